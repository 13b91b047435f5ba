import {
  addSignature,
  dsseJson,
  parseDsse,
  parsePublicKey,
  verifyDsseSignatures,
} from '../artifact/index.ts';
import type { DsseEnvelope, SigningKey, TrustedKey } from '../artifact/index.ts';
import { Refusal, refuse, shape } from '../base/index.ts';
import type { Fail, JsonObject, Shape } from '../base/index.ts';

/** Who signs policy and trust bundles, and how many of them it takes. */
export interface Authorities {
  readonly threshold: number;
  readonly keys: readonly TrustedKey[];
}

/** The signatures of authorities that counted. */
export interface AuthoritySignatures {
  /** Fingerprints of distinct keys, sorted. */
  readonly signers: readonly string[];
  /** Signatures that no authority made: they count for nothing. */
  readonly unknown: number;
}

const { integer, list, object, oneOf, text } = shape;
const MAX_AUTHORITIES = 64;

const authority = object({
  name: text({ max: 128 }),
  algorithm: oneOf('ed25519', 'ecdsa-p256'),
  key: text({ max: 2048 }),
});
const authoritiesDocument = object({
  threshold: integer(1, MAX_AUTHORITIES),
  keys: list(authority, MAX_AUTHORITIES, 1),
});
/** Authorities as JSON: keys are PEM `PUBLIC KEY`, the algorithm is configuration. */
export type AuthoritiesDocument = ReturnType<typeof authoritiesDocument>;
export const authoritiesShape: Shape<AuthoritiesDocument> = authoritiesDocument;

/**
 * Reads authorities. A key that is listed twice would count twice, and a threshold over the keys could never be met.
 * @throws what `fail` throws
 */
export function readAuthorities(document: AuthoritiesDocument, path: string, fail: Fail): Authorities {
  const keys = document.keys.map(({ name, algorithm, key }, i): TrustedKey => {
    const at = `${path}.keys[${String(i)}]`;
    const publicKey = readKey(key, `${at}.key`, fail);
    if (publicKey.type !== algorithm) fail(`${at}.algorithm`, 'the algorithm of its key');
    return {
      name,
      key: publicKey,
      algorithm,
      encoding: 'der',
      formats: ['dsse'],
      hashes: ['sha256'],
      notBefore: undefined,
      notAfter: undefined,
    };
  });
  if (new Set(keys.map(({ key }) => key.fingerprint)).size !== keys.length)
    fail(`${path}.keys`, 'a list of distinct keys');
  if (document.threshold > keys.length) fail(`${path}.threshold`, `at most ${String(keys.length)}, the keys`);
  return { threshold: document.threshold, keys };
}

function readKey(pem: string, path: string, fail: Fail) {
  try {
    return parsePublicKey(pem);
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    return fail(path, `a public key (${error.reason})`);
  }
}

/** Distinct authorities that signed this envelope; one key's second signature counts nothing. */
export function countAuthorities(envelope: DsseEnvelope, { keys }: Authorities): AuthoritySignatures {
  const { signers, unknown } = verifyDsseSignatures(envelope, keys);
  return { signers: [...new Set(signers.map(({ key }) => key.fingerprint))].sort(), unknown: unknown.length };
}

/**
 * Parses an envelope whose signatures reach the threshold. An empty list of authorities, or one that nobody signed for,
 * is refused.
 * @throws Refusal `malformed`, `policy-payload-type`, `policy-signatures`
 */
export function openSigned(
  bytes: Uint8Array,
  payloadType: string,
  authorities: Authorities,
): AuthoritySignatures & { readonly payload: Uint8Array } {
  const envelope = parseDsse(bytes);
  requirePayloadType(envelope, payloadType);
  return { ...requireThreshold(envelope, authorities), payload: envelope.payload };
}

/** The type tells what was signed: a signature over one kind of document is none over another. */
export function requirePayloadType({ payloadType }: DsseEnvelope, expected: string): void {
  if (payloadType !== expected)
    refuse('policy-payload-type', `payloadType is not ${expected}`, { payloadType });
}

/** @throws Refusal `policy-signatures` when too few distinct authorities signed */
export function requireThreshold(envelope: DsseEnvelope, authorities: Authorities): AuthoritySignatures {
  const counted = countAuthorities(envelope, authorities);
  const { threshold, keys } = authorities;
  if (keys.length === 0 || threshold < 1 || counted.signers.length < threshold) {
    refuse(
      'policy-signatures',
      `${String(counted.signers.length)} of the authorities signed, ${String(threshold)} must`,
      { signers: [...counted.signers], unknown: counted.unknown, threshold },
    );
  }
  return counted;
}

/** The envelope over these bytes with this key's signature added; a signature of the same key is replaced. */
export function signAsAuthority(
  payload: Uint8Array,
  payloadType: string,
  key: SigningKey,
  before?: DsseEnvelope,
): JsonObject {
  if (key.publicKey.type === 'rsa')
    refuse('policy-authority-key', 'authorities sign with Ed25519 or ECDSA P-256', {
      key: key.publicKey.fingerprint,
    });
  return dsseJson(addSignature(before ?? { payloadType, payload, signatures: [] }, key));
}
