import { LIMITS, Refusal, fromBase64, parseJson, refuse, shape } from '../base/index.ts';
import type { Fail, JsonValue, Shape } from '../base/index.ts';
import { ALGORITHMS, fits } from './keys.ts';
import type { EcdsaEncoding, PublicKey, SignatureAlgorithm } from './keys.ts';
import { parsePublicKey, pemBody } from './key-text.ts';
import { ARTIFACT_PREDICATE } from './statement.ts';
import { time } from './time.ts';
import { FORMATS, HASHES } from './types.ts';
import type { HashName, SignatureFormat } from './types.ts';
import { isVersion } from './version.ts';

/** When something counts: Unix milliseconds, both ends included; an absent end is open. */
export interface Window {
  readonly notBefore: number | undefined;
  readonly notAfter: number | undefined;
}

/** One key that may sign, and exactly how. */
export interface TrustedKey extends Window {
  /** For people. */
  readonly name: string;
  readonly key: PublicKey;
  readonly algorithm: SignatureAlgorithm;
  /** ECDSA in DSSE only; CMS and SSHSIG fix their own. */
  readonly encoding: EcdsaEncoding;
  readonly formats: readonly SignatureFormat[];
  readonly hashes: readonly HashName[];
}

/** A certificate authority whose code-signing certificates may sign CMS. */
export interface TrustedRoot extends Window {
  readonly name: string;
  /** DER. */
  readonly certificate: Uint8Array;
  /** For the signer's key. */
  readonly algorithms: readonly SignatureAlgorithm[];
  readonly hashes: readonly HashName[];
  /** Subjects (RFC 4514 text) that may sign; undefined: every one that the root's chains name. */
  readonly subjects: readonly string[] | undefined;
}

/** Who may sign an artifact, how many of them must, and what else has to hold (docs/ARTIFACTS.md). */
export interface ArtifactTrust extends Window {
  /** Distinct keys that must have signed. */
  readonly threshold: number;
  readonly keys: readonly TrustedKey[];
  readonly roots: readonly TrustedRoot[];
  /** Names that the artifact may have; undefined: any. */
  readonly names: readonly string[] | undefined;
  readonly predicateTypes: readonly string[];
  /** Namespaces of SSHSIG that count. */
  readonly namespaces: readonly string[];
  readonly minimumVersion: string | undefined;
  /** Seconds since the signed time; signatures that state none don't count when this is set. */
  readonly maximumAge: number | undefined;
  /** Lowercase hex SHA-256 of artifacts that never run, whoever signed them. */
  readonly deny: ReadonlySet<string>;
}

/** Bounds that keep verification small: each signature is tried with each key that could have made it. */
const MAX_SIGNERS = 64;
const MAX_NAMES = 1024;
const MAX_DENY = 100_000;
const CENTURY = 100 * 366 * 86_400;
/** What OpenSSH's manual uses for files. */
export const DEFAULT_NAMESPACE = 'file';

const { integer, list, literal, object, oneOf, set, sha256Text, text } = shape;

const window = { notBefore: time, notAfter: time };
const label = text({ max: 256 });
const labels = set(label, MAX_NAMES, 1);

const publicKey: Shape<PublicKey> = (value, path, fail) => {
  try {
    return parsePublicKey(text({ max: 16_384 })(value, path, fail));
  } catch (error) {
    if (!(error instanceof Refusal) || error.check === 'trust-document') throw error;
    return fail(path, `a public key, PEM or OpenSSH (${error.reason})`);
  }
};

/** One certificate as PEM or as base64 of its DER; read and judged when a signature needs it. */
const certificate: Shape<Uint8Array> = (value, path, fail) => {
  const pem = text({ max: 2 * LIMITS.certificate })(value, path, fail).trim();
  try {
    return pem.startsWith('-----') ? pemBody(pem, 'CERTIFICATE') : fromBase64(pem, 'certificate');
  } catch {
    return fail(path, 'one certificate, PEM or base64');
  }
};

const version: Shape<string> = (value, path, fail) =>
  typeof value === 'string' && isVersion(value) ? value : fail(path, 'a version like 1.4.2');

const hashes = set(oneOf(...HASHES), HASHES.length, 1);
/** Ed25519 in CMS is left out: RFC 8419 ties it to SHA-512, and OpenSSL 3.0 can't make it either. */
const CMS_ALGORITHMS = ['ecdsa-p256', 'rsa-pss', 'rsa-pkcs1'] as const;

const signerShape = object(
  { name: label, key: publicKey, algorithm: oneOf(...ALGORITHMS) },
  {
    encoding: oneOf('der', 'ieee-p1363'),
    formats: set(oneOf(...FORMATS), FORMATS.length, 1),
    hashes,
    ...window,
  },
);

const rootShape = object(
  { name: label, certificate },
  {
    algorithms: set(oneOf(...CMS_ALGORITHMS), CMS_ALGORITHMS.length, 1),
    hashes,
    subjects: labels,
    ...window,
  },
);

const trustShape = object(
  { version: literal(1) },
  {
    threshold: integer(1, MAX_SIGNERS),
    signers: list(signerShape, MAX_SIGNERS, 1),
    roots: list(rootShape, MAX_SIGNERS, 1),
    names: labels,
    predicateTypes: set(text(), 64, 1),
    namespaces: set(label, 16, 1),
    minimumVersion: version,
    maximumAge: integer(1, CENTURY),
    deny: set(sha256Text, MAX_DENY),
    ...window,
  },
);

const fail: Fail = (path, want) => refuse('trust-document', `${path}: expected ${want}`, { path });

/** A trust document as file content. @throws Refusal `malformed` for no strict JSON, else `trust-document` */
export function parseTrust(bytes: Uint8Array): ArtifactTrust {
  return readTrust(parseJson(bytes, 'trust document', { maxBytes: LIMITS.json, maxDepth: 8 }));
}

/** The same from a parsed value, as a policy bundle holds it. @throws Refusal `trust-document` */
export function readTrust(value: JsonValue): ArtifactTrust {
  const document = trustShape(value, 'trust', fail);
  const keys = (document.signers ?? []).map((signer, i) => trustedKey(signer, `trust.signers[${String(i)}]`));
  const roots = (document.roots ?? []).map((root, i) => trustedRoot(root, `trust.roots[${String(i)}]`));
  const { threshold = 1 } = document;
  const distinct = new Set(keys.map((signer) => signer.key.fingerprint)).size;
  if (keys.length + roots.length === 0) fail('trust', 'signers or roots, or nobody could sign');
  // Certificates can bring any number of keys, listed keys can't.
  if (roots.length === 0 && threshold > distinct)
    fail('trust.threshold', `at most ${String(distinct)}, the distinct keys`);
  return Object.freeze({
    threshold,
    keys,
    roots,
    names: document.names,
    predicateTypes: document.predicateTypes ?? [ARTIFACT_PREDICATE],
    namespaces: document.namespaces ?? [DEFAULT_NAMESPACE],
    minimumVersion: document.minimumVersion,
    maximumAge: document.maximumAge,
    deny: new Set((document.deny ?? []).map((digest) => digest.slice('sha256:'.length))),
    ...windowOf(document, 'trust'),
  });
}

function trustedKey(signer: ReturnType<typeof signerShape>, path: string): TrustedKey {
  const { name, key, algorithm, encoding = 'der' } = signer;
  if (!fits(key, algorithm)) fail(`${path}.algorithm`, `one for a key of type ${key.type}`);
  if (signer.encoding !== undefined && algorithm !== 'ecdsa-p256')
    fail(`${path}.encoding`, 'no member: it is for ecdsa-p256');
  const usable = usableFormats(algorithm);
  const { formats = usable } = signer;
  if (formats.some((format) => !usable.includes(format)))
    fail(`${path}.formats`, `${usable.join(', ')} for ${algorithm}`);
  return Object.freeze({
    name,
    key,
    algorithm,
    encoding,
    formats,
    hashes: signer.hashes ?? HASHES,
    ...windowOf(signer, path),
  });
}

/** SSH signs RSA with PKCS #1 v1.5 only (RFC 8332). */
function usableFormats(algorithm: SignatureAlgorithm): readonly SignatureFormat[] {
  if (algorithm === 'rsa-pss') return ['dsse', 'cms'];
  if (algorithm === 'ed25519') return ['dsse', 'ssh'];
  return FORMATS;
}

function trustedRoot(root: ReturnType<typeof rootShape>, path: string): TrustedRoot {
  return Object.freeze({
    name: root.name,
    certificate: root.certificate,
    algorithms: root.algorithms ?? CMS_ALGORITHMS,
    hashes: root.hashes ?? HASHES,
    subjects: root.subjects,
    ...windowOf(root, path),
  });
}

function windowOf(value: { notBefore?: number; notAfter?: number }, path: string): Window {
  const { notBefore, notAfter } = value;
  if (notBefore !== undefined && notAfter !== undefined && notBefore > notAfter)
    fail(path, 'a window that is not empty');
  return { notBefore, notAfter };
}
