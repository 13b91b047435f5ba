import { createHash, createPublicKey } from 'node:crypto';
import { normalKey, parsePublicKey } from '../artifact/index.ts';
import type { PublicKey } from '../artifact/index.ts';
import { parseQuorumPolicy, parseVkey } from '../audit/index.ts';
import type { QuorumPolicy, VerifierKey } from '../audit/index.ts';
import type { VerificationKey } from '../authorization/index.ts';
import {
  LIMITS,
  Refusal,
  canonicalJson,
  equalBytes,
  parseJsonObject,
  refuse,
  shape,
  toBase64url,
  toHex,
  utf8,
} from '../base/index.ts';
import type { Fail } from '../base/index.ts';
import { parseCertificate, parsePem } from '../x509/index.ts';
import { authoritiesShape, readAuthorities } from './authorities.ts';
import type { Authorities } from './authorities.ts';
import { requireOneLine, successionShape } from './succession.ts';
import type { Succession } from './succession.ts';

/** DSSE payload type of a trust bundle. */
export const TRUST_BUNDLE_TYPE = 'application/vnd.sealgate.trust-bundle+json';

const { integer, list, literal, nullable, object, oneOf, set, sha256Text, text } = shape;

const signingKeys = list(
  object({ kid: text({ max: 128 }), algorithm: oneOf('ES256', 'Ed25519'), key: text({ max: 2048 }) }),
  32,
);
const certificates = set(text({ max: 2 * LIMITS.certificate }), 32);

const trustBundleDocument = object(
  {
    v: literal(1),
    trustDomain: text({ max: 255, pattern: /^[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?$/, want: 'a trust domain' }),
    version: integer(1),
    previous: nullable(sha256Text),
    issuer: text({ max: 512 }),
    cas: object({ agent: certificates, svid: certificates, attestation: certificates }),
    keys: object({ authorization: signingKeys, ear: signingKeys, status: signingKeys, jwtSvid: signingKeys }),
    log: set(text({ max: 512 }), 32, 1),
    authorities: authoritiesShape,
    witnesses: nullable(text({ max: 64 * 1024 })),
  },
  { succession: successionShape },
);

/**
 * A trust bundle's JSON. `cas`: PEM certificates by purpose; `keys`: PEM public keys by purpose; `log`: vkeys;
 * `witnesses`: a tlog-policy text, or null when no cosignature is asked for; `previous`: digest of the version before;
 * `succession`: where logs were closed (succession.ts).
 */
export type TrustBundleDocument = ReturnType<typeof trustBundleDocument>;

/** What a verifier's keys are for; no two purposes share a key. */
export type KeyPurpose = keyof TrustBundleDocument['keys'];

/** A trust bundle, read; believed only through its chain (`verifyTrustChain`). */
export interface TrustBundle {
  readonly document: TrustBundleDocument;
  readonly trustDomain: string;
  readonly version: number;
  readonly previous: string | null;
  /** `sha256:` and the hex SHA-256 of the signed bytes: what the next version names. */
  readonly digest: string;
  readonly issuer: string;
  readonly authorities: Authorities;
  readonly keys: Readonly<Record<KeyPurpose, readonly VerificationKey[]>>;
  readonly log: readonly VerifierKey[];
  /** Logs that were closed, and what opened in place of each; usually there is none. */
  readonly succession: readonly Succession[];
  readonly witnesses: QuorumPolicy | null;
  /** DER, by purpose. */
  readonly cas: Readonly<Record<keyof TrustBundleDocument['cas'], readonly Uint8Array[]>>;
}

const fail: Fail = (path, want) => refuse('trust-bundle-form', `${path} is not ${want}`, { member: path });

/** The bytes that are signed: canonical JSON. @throws Refusal `trust-bundle-form` for what no reader would accept */
export function trustBundleBytes(document: TrustBundleDocument): Uint8Array {
  const bytes = utf8(canonicalJson({ ...document }));
  readTrustBundle(bytes);
  return bytes;
}

/**
 * Reads a trust bundle's signed bytes: a closed object in canonical form, each key usable and for one purpose only.
 * @throws Refusal `malformed`, `trust-bundle-form`
 */
export function readTrustBundle(payload: Uint8Array): TrustBundle {
  const json = parseJsonObject(payload, 'trust bundle', {
    maxBytes: LIMITS.signature,
    maxDepth: 8,
    maxValues: 10_000,
  });
  const document = trustBundleDocument(json, 'trust', fail);
  // One content has one digest: another spelling of the same content could not be told from a fork.
  if (!equalBytes(payload, utf8(canonicalJson(json)))) fail('trust', 'canonical JSON');
  if ((document.version === 1) !== (document.previous === null))
    fail('trust.previous', 'null in version 1, and only there');
  const uses = new KeyUses();
  const authorities = readAuthorities(document.authorities, 'trust.authorities', fail);
  for (const { key } of authorities.keys) uses.claim(key.fingerprint, 'authorities');
  const keysOf = (purpose: KeyPurpose): readonly VerificationKey[] =>
    readKeys(document.keys[purpose], purpose, uses);
  const casOf = (purpose: keyof TrustBundleDocument['cas']): readonly Uint8Array[] =>
    document.cas[purpose].map((pem, i) => readCa(pem, `trust.cas.${purpose}[${String(i)}]`, purpose, uses));
  const log = document.log.map((vkey, i) => readLog(vkey, `trust.log[${String(i)}]`, uses));
  const succession = document.succession ?? [];
  requireOneLine(
    succession,
    log.map(({ name }) => name),
    fail,
  );
  return Object.freeze({
    document,
    trustDomain: document.trustDomain,
    version: document.version,
    previous: document.previous,
    digest: `sha256:${toHex(createHash('sha256').update(payload).digest())}`,
    issuer: document.issuer,
    authorities,
    keys: {
      authorization: keysOf('authorization'),
      ear: keysOf('ear'),
      status: keysOf('status'),
      jwtSvid: keysOf('jwtSvid'),
    },
    cas: { agent: casOf('agent'), svid: casOf('svid'), attestation: casOf('attestation') },
    log,
    succession,
    witnesses: readWitnesses(document.witnesses),
  });
}

/** One key, one purpose (PROTOCOL 1): a signature made for one could be shown for the other. */
class KeyUses {
  readonly #uses = new Map<string, string>();

  claim(fingerprint: string, purpose: string): void {
    const other = this.#uses.get(fingerprint);
    if (other !== undefined && other !== purpose)
      fail(`trust.keys`, `one key for one purpose: one is for ${other} and ${purpose}`);
    this.#uses.set(fingerprint, purpose);
  }
}

function readKeys(
  keys: TrustBundleDocument['keys'][KeyPurpose],
  purpose: KeyPurpose,
  uses: KeyUses,
): readonly VerificationKey[] {
  const path = `trust.keys.${purpose}`;
  if (new Set(keys.map(({ kid }) => kid)).size !== keys.length) fail(path, 'a list with each kid once');
  return keys.map(({ kid, algorithm, key }, i) => {
    const at = `${path}[${String(i)}]`;
    const publicKey: PublicKey = guard(`${at}.key`, 'a public key', () => parsePublicKey(key));
    if (publicKey.type !== (algorithm === 'ES256' ? 'ecdsa-p256' : 'ed25519'))
      fail(`${at}.algorithm`, 'the algorithm of its key');
    uses.claim(publicKey.fingerprint, purpose);
    return { kid, algorithm, key: publicKey.key };
  });
}

function readCa(pem: string, path: string, purpose: string, uses: KeyUses): Uint8Array {
  return guard(path, 'one CA certificate, PEM', () => {
    const [der, ...more] = parsePem(utf8(pem));
    if (der === undefined || more.length > 0) return fail(path, 'one certificate');
    const certificate = parseCertificate(der);
    if (certificate.basicConstraints?.ca !== true) fail(path, 'a certificate of a CA');
    const spki = createHash('sha256').update(certificate.publicKey.canonical).digest();
    uses.claim(`sha256:${toHex(spki)}`, `${purpose} CA`);
    return der;
  });
}

function readLog(vkey: string, path: string, uses: KeyUses): VerifierKey {
  const key = guard(path, 'a vkey', () => parseVkey(vkey));
  if (key.use !== 'note') fail(path, 'the vkey of a log');
  const jwk = { kty: 'OKP', crv: 'Ed25519', x: toBase64url(key.publicKey) };
  uses.claim(normalKey(createPublicKey({ key: jwk, format: 'jwk' })).fingerprint, 'log');
  return key;
}

function readWitnesses(policy: string | null): QuorumPolicy | null {
  if (policy === null) return null;
  return guard('trust.witnesses', 'a tlog-policy text', () => parseQuorumPolicy(utf8(policy)));
}

/** Turns another folder's refusal of a member into one that names the member. */
function guard<T>(path: string, want: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof Refusal) || error.check === 'trust-bundle-form') throw error;
    return fail(path, `${want} (${error.reason})`);
  }
}
