import type { Precondition } from '../../audit/index.ts';
import type { JsonObject } from '../../base/index.ts';
import { fromBase64url, refuse, toBase64url } from '../../base/index.ts';
import { encodeSealed, issueJwtSvid, issueSvid, sealCredentials } from '../../credential/index.ts';
import { expandSpiffeTemplate } from '../../policy/index.ts';
import type { GrantedCredential } from '../../policy/index.ts';
import { parseSpiffeId, toPem } from '../../x509/index.ts';
import type { SpiffeId } from '../../x509/index.ts';
import { parsePublic } from '../../tpm/index.ts';
import { unchanged } from './authorization-stage.ts';
import type { MintedAuthorization } from './authorization-stage.ts';
import type { PolicyApproval, Verified, VerifiedRequest } from './policy-stage.ts';
import type { DecisionDeps } from '../ports.ts';
import type { AuthenticQuote } from './quote-stage.ts';
import { sealedSelection } from './quote-stage.ts';

/** A released credential as the log names it. */
export interface Released {
  readonly kind: string;
  readonly name: string;
  readonly serial: string;
  /** ISO 8601; null for stored secrets. */
  readonly expires: string | null;
}

/** Credentials, sealed to one TPM, session, boot and moment. */
export interface SealedRelease {
  /** docs/PROTOCOL.md "Sealed". */
  readonly sealed: JsonObject;
  readonly released: readonly Released[];
  /** What was read to make them is as it was. */
  readonly preconditions: readonly Precondition[];
}

/** One credential: what is sealed, and what is told of it. */
export interface MadeCredential {
  readonly credential: JsonObject;
  readonly released: Released;
  /** For what is stored: it was neither rotated nor removed since it was read. */
  readonly precondition?: Precondition;
}

/**
 * Stage `sealing`: makes each granted credential, none outliving the authorization, and seals them to the host's TPM by
 * the values of its own quote.
 * @throws Refusal `credential-…`, `secret-unknown`, `sealed-…`
 */
export async function sealRelease(
  verified: VerifiedRequest,
  approval: PolicyApproval,
  minted: MintedAuthorization,
  { quote, pcrs }: AuthenticQuote,
  deps: DecisionDeps,
): Promise<SealedRelease> {
  const { admitted, host, platform } = verified;
  const { request, digest } = admitted;
  const made = [];
  for (const grant of approval.grants) made.push(await makeCredential(grant, verified, minted, deps));
  const credentials: JsonObject = { v: 1, credentials: made.map(({ credential }) => credential) };
  const sealed = await sealCredentials(
    credentials,
    {
      binding: {
        kind: 'release',
        executionId: request.executionId,
        requestDigest: digest,
        jti: minted.claims.jti,
      },
      ek: parsePublic(host.ekPublic),
      nonceTpm: fromBase64url(request.nonceTPM, 'nonceTPM'),
      quoted: quote.attest.clockInfo,
      quotedPcr: (bank, index) => pcrs.get(bank, index),
      pcrSelection: sealedSelection(platform.sealed),
      expiration: admitted.policy.bundle.document.sealing.expiration,
    },
    deps.random,
  );
  return {
    sealed: encodeSealed(sealed),
    released: made.map(({ released }) => released),
    preconditions: preconditionsOf(made),
  };
}

/** What must hold of stored credentials when they are released. */
export const preconditionsOf = (made: readonly MadeCredential[]): readonly Precondition[] =>
  made.flatMap(({ precondition }) => precondition ?? []);

/** Makes one granted credential; it never outlives the authorization. */
export async function makeCredential(
  { name, credential }: GrantedCredential,
  verified: Verified,
  minted: Pick<MintedAuthorization, 'claims'>,
  deps: DecisionDeps,
): Promise<MadeCredential> {
  switch (credential.kind) {
    case 'secret':
      return await openSecret(name, credential.secret, deps);
    case 'x509-svid':
      return makeSvid(name, credential, verified, minted, deps);
    case 'jwt-svid':
      return await makeJwtSvid(name, credential, verified, minted, deps);
  }
}

async function openSecret(name: string, secret: string, deps: DecisionDeps): Promise<MadeCredential> {
  const found =
    (await deps.secrets.get(secret)) ??
    refuse('secret-unknown', 'policy grants a secret that is not stored', { name });
  const reason = 'a secret was rotated or removed while its release was decided';
  return {
    credential: { name, kind: 'secret', version: found.version, value: toBase64url(found.value) },
    released: { kind: 'secret', name: secret, serial: String(found.version), expires: null },
    precondition: unchanged(found.record, 'state-moved', reason),
  };
}

function makeSvid(
  name: string,
  { path, ttl }: { readonly path: string; readonly ttl: number },
  verified: Verified,
  { claims }: Pick<MintedAuthorization, 'claims'>,
  deps: DecisionDeps,
): MadeCredential {
  const { admitted, principals } = verified;
  const id = spiffeIdOf(path, verified, deps);
  const { now } = admitted;
  const notAfter = Math.min(now + ttl * 1000, claims.exp * 1000);
  const svid = issueSvid(
    { id, publicKey: principals.workload.key, notBefore: now, notAfter },
    deps.keys.svid,
    deps.ids,
  );
  const expires = new Date(svid.expires).toISOString();
  const chain = svid.chain.map(toPem);
  return {
    credential: { name, kind: 'x509-svid', id: id.text, certificatesPem: chain, expires },
    released: { kind: 'x509-svid', name: id.text, serial: svid.serial, expires },
  };
}

/** A token for the audiences that policy names, none of which a parent's constraints leave out. */
async function makeJwtSvid(
  name: string,
  {
    path,
    ttl,
    audiences,
  }: { readonly path: string; readonly ttl: number; readonly audiences: readonly string[] },
  verified: Verified,
  { claims }: Pick<MintedAuthorization, 'claims'>,
  deps: DecisionDeps,
): Promise<MadeCredential> {
  const id = spiffeIdOf(path, verified, deps);
  const issuedAt = Math.floor(verified.admitted.now / 1000);
  const expires = Math.min(issuedAt + ttl, claims.exp);
  const allowed = claims.authorization_details[0].constraints.audiences;
  const order = { id, audiences, allowed, issuedAt, expires };
  const { token, serial } = await issueJwtSvid(order, deps.keys.jwtSvid, deps.ids);
  const end = new Date(expires * 1000).toISOString();
  return {
    credential: { name, kind: 'jwt-svid', id: id.text, audiences: [...audiences], token, expires: end },
    released: { kind: 'jwt-svid', name: id.text, serial, expires: end },
  };
}

/** The identity that policy's template gives this execution. @throws Refusal `spiffe-…` */
function spiffeIdOf(path: string, { admitted: { request }, host }: Verified, deps: DecisionDeps): SpiffeId {
  const [scope = '', ...others] = request.scopes;
  const text = expandSpiffeTemplate(deps.trustDomain, path, {
    platform: host.platform,
    artifact: request.artifact.name,
    host: host.hostId,
    // Several scopes are no name: a template that asks for one is refused then.
    scope: others.length === 0 ? scope : '',
  });
  return parseSpiffeId(text);
}
