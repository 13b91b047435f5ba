import { createHash } from 'node:crypto';
import type { Random } from '../base/index.ts';
import { Refusal, equalBytes, fromBase64url, refuse, toHex } from '../base/index.ts';
import {
  importAttestationKey,
  keyMaterial,
  makeCredential,
  parsePublicIn,
  requireAkRules,
} from '../tpm/index.ts';
import type { AttestationKey, PcrSelection } from '../tpm/index.ts';
import { parseSpki } from '../x509/index.ts';
import type { Admission } from './admission.ts';
import type { JudgedEk } from './endorsement.ts';
import type { StoredHost } from './host-record.ts';
import type { EnrollmentOffer } from './offer.ts';

/** An AK by rules h, strong enough to verify quotes with. */
export interface JudgedAk {
  readonly key: AttestationKey;
  /** TPMT_PUBLIC as received, and its TPM name. */
  readonly publicBytes: Uint8Array;
  readonly name: Uint8Array;
}

/** The agent's own key. */
export interface JudgedAgentKey {
  /** SubjectPublicKeyInfo. */
  readonly spki: Uint8Array;
  /** Hex SHA-256 of it. */
  readonly keyId: string;
}

/** A host that was judged but has proved nothing yet. */
export interface Candidate {
  readonly name: string;
  readonly ek: JudgedEk;
  readonly ak: JudgedAk;
  readonly agent: JudgedAgentKey;
  readonly admission: Admission;
  /** The host that enrolls again by `invite --for`. */
  readonly before: StoredHost | undefined;
  /** SHA-256(JCS(request)). */
  readonly digest: Uint8Array;
}

/** What the verifier keeps until the answer: of the secret only a hash. */
export interface EnrollmentChallenge {
  readonly enrollmentId: string;
  readonly candidate: Candidate;
  readonly secretHash: Uint8Array;
  readonly nonce: Uint8Array;
  readonly selection: PcrSelection;
  /** Unix ms. */
  readonly expires: number;
}

/** How long a challenge waits for its answer: a TPM takes seconds, an RSA EK that has to be made up to a minute. */
export const CREDENTIAL_CHALLENGE_MS = 5 * 60_000;
const SECRET_BYTES = 32;

/** Rules h and e5–e7 for the AK. @throws Refusal `h`, `e4`, `e6`, `e7`, `malformed` */
export function judgeAk(akPublic: string): JudgedAk {
  const { area, bytes } = parsePublicIn(fromBase64url(akPublic, 'akPublic'));
  requireAkRules(area);
  const key = importAttestationKey(bytes);
  if (key.failures.length > 0) throw Refusal.join(key.failures);
  if (key.name === null) return refuse('h', 'not an attestation key: it has no TPM name');
  return { key, publicBytes: bytes, name: key.name };
}

/**
 * The agent's key: P-256, and no other than the agent's. An AK that is also a TLS key would sign what a stranger sends.
 * @throws Refusal `enroll-agent-key`, `malformed`
 */
export function judgeAgentKey(agentPublic: string, ek: JudgedEk, ak: JudgedAk): JudgedAgentKey {
  const spki = parseSpki(fromBase64url(agentPublic, 'agentPublic'));
  if (spki.key.type !== 'ec' || spki.key.curve !== 'P-256' || !equalBytes(spki.der, spki.canonical))
    return refuse('enroll-agent-key', 'the agent’s key is not a P-256 key in its one encoding');
  for (const { area } of [ek, ak.key]) {
    const other = area === null ? undefined : keyMaterial(area);
    if (other?.type === 'ecc' && toHex(spki.key.point).endsWith(toHex(other.x) + toHex(other.y)))
      refuse('enroll-agent-key', 'the agent’s key is also a key of its TPM');
  }
  return { spki: spki.der, keyId: spki.keyId };
}

/**
 * Challenges a candidate: a secret that only the TPM with this EK opens, and only while an object of exactly this AK's
 * name is loaded in it; and a nonce for the quote.
 */
export function challengeCandidate(
  candidate: Candidate,
  selection: PcrSelection,
  now: number,
  random: Random,
): { readonly challenge: EnrollmentChallenge; readonly offer: EnrollmentOffer } {
  const secret = random.bytes(SECRET_BYTES);
  const { ek, ak } = candidate;
  const credential = makeCredential(ek.area, ak.name, secret, random);
  const challenge: EnrollmentChallenge = {
    enrollmentId: uuid(random),
    candidate,
    secretHash: secretHash(secret),
    nonce: random.bytes(32),
    selection,
    expires: now + CREDENTIAL_CHALLENGE_MS,
  };
  const { enrollmentId, nonce, expires } = challenge;
  const offer = { enrollmentId, hostId: ek.hostId, credential, nonce, selection, expires };
  return { challenge, offer };
}

/** What is kept of a credential's secret. */
export function secretHash(secret: Uint8Array): Uint8Array {
  const hash = createHash('sha256').update('sealgate/enrollment-secret/v1\0').update(secret);
  return new Uint8Array(hash.digest());
}

/** UUIDv4 (RFC 9562 §5.4). */
function uuid(random: Random): string {
  const bytes = random.bytes(16).slice();
  bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x40;
  bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80;
  return toHex(bytes).replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}
