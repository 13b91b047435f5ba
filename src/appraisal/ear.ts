import { createHash } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import type { JsonObject, SignElsewhere } from '../base/index.ts';
import { canonicalJson, es256, signCompact, toBase64url, utf8 } from '../base/index.ts';
import type { Appraisal } from './appraise.ts';
import type { TrustTier } from './trust-vector.ts';

/** The two forms of an EAT Attestation Result that are in use (draft-ietf-rats-ear). */
export type EarDialect = 'deployed' | 'draft-03';

const PROFILE: Readonly<Record<EarDialect, string>> = {
  deployed: 'tag:github.com,2023:veraison/ear',
  'draft-03': 'tag:ietf.org,2026:rats/ear#03',
};

/** AR4SI's integers for tiers, as the `ear.status` claim has them. */
const TIER: Readonly<Record<TrustTier, number>> = { none: 0, affirming: 2, warning: 32, contraindicated: 96 };

/** What a result says besides the appraisal; a result without audience could be replayed to another relying party. */
export interface EarContext {
  readonly audience: string;
  readonly nonce: string;
  readonly jti: string;
  /** Unix seconds. */
  readonly issuedAt: number;
  readonly expires: number;
  /** RFC 7638 thumbprint of the key that the result is about. */
  readonly confirmation: string;
  readonly verifier: { readonly build: string; readonly developer: string };
  /** SHA-256 of the policy: 32 bytes. */
  readonly policyHash: Uint8Array;
}

/** Policy id of RFC 6920 form: `ni:///sha-256;` and base64url. */
export function policyId(hash: Uint8Array): string {
  return `ni:///sha-256;${toBase64url(hash)}`;
}

/** The claims of a result for one submodule, `host`. */
export function earClaims(
  appraisal: Appraisal,
  context: EarContext,
  dialect: EarDialect = 'deployed',
): JsonObject {
  const vector = Object.fromEntries(Object.entries(appraisal.vector));
  const status = TIER[appraisal.status];
  const policy = policyId(context.policyHash);
  const verifier = { build: context.verifier.build, developer: context.verifier.developer };
  const submodule: JsonObject =
    dialect === 'deployed'
      ? { 'ear.status': status, 'ear.trustworthiness-vector': vector, 'ear.appraisal-policy-id': policy }
      : { ear_status: status, ear_trustworthiness_vector: vector, ear_appraisal_policy_ids: [policy] };
  return {
    eat_profile: PROFILE[dialect],
    ...(dialect === 'deployed' ? { 'ear.verifier-id': verifier } : { ear_verifier_id: verifier }),
    submods: { host: submodule },
    eat_nonce: context.nonce,
    aud: context.audience,
    jti: context.jti,
    iat: context.issuedAt,
    exp: context.expires,
    cnf: { jkt: context.confirmation },
  };
}

/** The key that results are signed with. */
export interface EarKey {
  readonly kid: string;
  readonly key: KeyObject;
  /** Signs in place of `key`, which is public then: for keys that are elsewhere, and decisions that are repeated. */
  readonly sign?: SignElsewhere;
}

/** Signs a result with the EAR key: a JWS compact, `typ: eat+jwt`. */
export async function signEar(claims: JsonObject, key: EarKey): Promise<string> {
  const header = { alg: 'ES256', kid: key.kid, typ: 'eat+jwt' };
  return await signCompact(utf8(canonicalJson(claims)), header, key.sign ?? es256(key.key));
}

/** SHA-256 of a result: what the log and the authorization name. */
export function earDigest(jwt: string): string {
  return createHash('sha256').update(jwt).digest('hex');
}
