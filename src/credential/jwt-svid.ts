import type { KeyObject } from 'node:crypto';
import { canonicalJson, es256, refuse, signCompact, toBase64url, utf8 } from '../base/index.ts';
import type { Random, SignElsewhere } from '../base/index.ts';
import type { SpiffeId } from '../x509/index.ts';

/** What a JWT-SVID is issued for. */
export interface JwtSvidOrder {
  readonly id: SpiffeId;
  /** Who may accept it; at least one. */
  readonly audiences: readonly string[];
  /**
   * The audiences that the authorization's constraints leave; undefined: no such constraint. Policy's audiences are
   * never cut silently: a workload that gets a token for fewer services than it was promised finds out too late.
   */
  readonly allowed: readonly string[] | undefined;
  /** Unix seconds. */
  readonly issuedAt: number;
  /** Unix seconds; the token ends with the authorization that it belongs to, or before. */
  readonly expires: number;
}

/** The key that signs JWT-SVIDs and nothing else: its public half is in the SPIFFE bundle. */
export interface JwtSvidKey {
  readonly kid: string;
  /** Private, P-256; public where `sign` is given. */
  readonly key: KeyObject;
  readonly sign?: SignElsewhere;
}

/** An issued JWT-SVID. */
export interface IssuedJwtSvid {
  readonly token: string;
  /** Its `jti`: what the log names it by. */
  readonly serial: string;
}

/**
 * Issues a JWT-SVID (SPIFFE JWT-SVID §2, §3): header `alg`, `kid`, `typ` and nothing else; `sub` the SPIFFE id, `aud`
 * and `exp` always, and `iat` and `jti` besides. It is a bearer token: who has it is its subject, so it ends soon.
 * @throws Refusal `credential-audience` without an audience, or for one that the authorization doesn't have
 */
export async function issueJwtSvid(
  order: JwtSvidOrder,
  key: JwtSvidKey,
  random: Random,
): Promise<IssuedJwtSvid> {
  const { id, audiences, allowed, issuedAt, expires } = order;
  if (audiences.length === 0)
    refuse('credential-audience', 'a JWT-SVID without an audience is for everybody');
  if (allowed !== undefined && !audiences.every((audience) => allowed.includes(audience)))
    refuse('credential-audience', 'an audience that the authorization’s constraints leave out', {
      audiences: [...audiences],
    });
  if (expires <= issuedAt) refuse('credential-authority', 'the token would end before it begins');
  const serial = toBase64url(random.bytes(16));
  const claims = { sub: id.text, aud: [...audiences], iat: issuedAt, exp: expires, jti: serial };
  const payload = utf8(canonicalJson(claims));
  const header = { alg: 'ES256', kid: key.kid, typ: 'JWT' };
  const token = await signCompact(payload, header, key.sign ?? es256(key.key));
  return { token, serial };
}
