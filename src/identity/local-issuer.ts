import { createPublicKey } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import type { JsonObject, Random } from '../base/index.ts';
import { toBase64url } from '../base/index.ts';

/** What a token of a {@link LocalIssuer} says. */
export interface TokenOrder {
  readonly subject: string;
  /** Trust domain of the verifier that it is for. */
  readonly audience: string;
  /** Unix seconds. */
  readonly now: number;
  /** Seconds. */
  readonly lifetime: number;
  /** P-256 key whose possession is proved with each request; left out, the token is a bearer's. */
  readonly confirmationKey?: KeyObject;
  readonly claims?: JsonObject;
}

/** An issuer of initiators' tokens with a key of its own: for small installations, playgrounds and tests. */
export class LocalIssuer {
  readonly issuer: string;
  readonly #key: KeyObject;
  readonly #kid: string;
  readonly #random: Random;

  /** @param key P-256, private */
  constructor(issuer: string, key: KeyObject, random: Random, kid = 'local-1') {
    this.issuer = issuer;
    this.#key = key;
    this.#kid = kid;
    this.#random = random;
  }

  /** The public key set (RFC 7517), as a policy bundle names it. */
  async jwks(): Promise<JsonObject> {
    const { exportJWK } = await import('jose');
    const jwk = await exportJWK(createPublicKey(this.#key));
    return { keys: [{ ...jwk, kid: this.#kid, alg: 'ES256', use: 'sig' }] };
  }

  /** A compact JWT (RFC 7519) with a random `jti`. */
  async issue(order: TokenOrder): Promise<string> {
    const { SignJWT, exportJWK } = await import('jose');
    const { subject, audience, now, lifetime, confirmationKey, claims = {} } = order;
    const cnf =
      confirmationKey === undefined ? {} : { cnf: { jwk: await exportJWK(publicHalf(confirmationKey)) } };
    return await new SignJWT({ ...claims, ...cnf })
      .setProtectedHeader({ alg: 'ES256', kid: this.#kid, typ: 'JWT' })
      .setIssuer(this.issuer)
      .setSubject(subject)
      .setAudience(audience)
      .setIssuedAt(now)
      .setExpirationTime(now + lifetime)
      .setJti(toBase64url(this.#random.bytes(16)))
      .sign(this.#key);
  }
}

const publicHalf = (key: KeyObject): KeyObject => (key.type === 'private' ? createPublicKey(key) : key);
