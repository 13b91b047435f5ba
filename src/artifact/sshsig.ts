import { LIMITS, Reader, concat, fromUtf8, refuse, toBase64, utf8 } from '../base/index.ts';
import { pemBody } from './key-text.ts';
import type { PublicKey, SignatureAlgorithm } from './keys.ts';
import { mpint, parseSshPublicKey, sshString, sshStrings } from './ssh-key.ts';
import type { HashName } from './types.ts';

const MAGIC = utf8('SSHSIG');
export const SSHSIG_LABEL = 'SSH SIGNATURE';

/** An SSHSIG (OpenSSH PROTOCOL.sshsig), decoded; nothing of it is verified. */
export interface SshSignature {
  /** The key that claims to have signed. */
  readonly publicKey: PublicKey;
  readonly namespace: string;
  /** Of the content. */
  readonly hash: HashName;
  readonly algorithm: SignatureAlgorithm;
  /** Inside the signature. */
  readonly signatureHash: HashName;
  /** Ed25519 and RSA as they are; ECDSA as r ‖ s of 32 bytes each. */
  readonly signature: Uint8Array;
}

/** What each signature format name stands for; `ssh-rsa` is SHA-1 and `sk-…` another message, so both are unknown. */
const SIGNATURES: Readonly<
  Record<string, { key: PublicKey['type']; algorithm: SignatureAlgorithm; hash: HashName } | undefined>
> = {
  'ssh-ed25519': { key: 'ed25519', algorithm: 'ed25519', hash: 'sha512' },
  'ecdsa-sha2-nistp256': { key: 'ecdsa-p256', algorithm: 'ecdsa-p256', hash: 'sha256' },
  'rsa-sha2-256': { key: 'rsa', algorithm: 'rsa-pkcs1', hash: 'sha256' },
  'rsa-sha2-512': { key: 'rsa', algorithm: 'rsa-pkcs1', hash: 'sha512' },
};

/** An armored signature file. @throws Refusal `malformed`, `artifact-key`, `artifact-algorithm` */
export function parseSshSignature(file: Uint8Array): SshSignature {
  if (file.length > LIMITS.signature) refuse('malformed', 'SSHSIG: too large');
  const reader = new Reader(pemBody(fromUtf8(file, 'SSHSIG'), SSHSIG_LABEL), 'SSHSIG');
  if (fromUtf8(reader.bytes(MAGIC.length), 'SSHSIG') !== 'SSHSIG') reader.malformed('no SSHSIG magic');
  if (reader.u32() !== 1) reader.malformed('version is not 1');
  const { key: publicKey } = parseSshPublicKey(sshString(reader, 4096));
  const namespace = fromUtf8(sshString(reader, 256), 'SSHSIG namespace');
  if (namespace === '') reader.malformed('empty namespace');
  if (sshString(reader, 0).length > 0) reader.malformed('reserved field is not empty');
  const hash = contentHash(fromUtf8(sshString(reader, 16), 'SSHSIG hash'));
  const body = sshString(reader, 4096);
  reader.end();
  return { publicKey, namespace, hash, ...readSignature(body, publicKey) };
}

function contentHash(name: string): HashName {
  if (name === 'sha256' || name === 'sha512') return name;
  return refuse('artifact-algorithm', 'SSHSIG hashes content with sha256 or sha512 only', { hash: name });
}

function readSignature(
  body: Uint8Array,
  key: PublicKey,
): { algorithm: SignatureAlgorithm; signatureHash: HashName; signature: Uint8Array } {
  const reader = new Reader(body, 'SSHSIG signature');
  const name = fromUtf8(sshString(reader, 64), 'SSHSIG signature');
  const kind = Object.hasOwn(SIGNATURES, name) ? SIGNATURES[name] : undefined;
  if (kind === undefined)
    return refuse('artifact-algorithm', 'SSHSIG signature format is not supported', { format: name });
  if (kind.key !== key.type)
    return refuse('artifact-algorithm', 'SSHSIG signature format does not fit its key');
  const raw = sshString(reader, 2048);
  reader.end();
  const signature = kind.algorithm === 'ecdsa-p256' ? ecdsaPair(raw) : raw;
  return { algorithm: kind.algorithm, signatureHash: kind.hash, signature };
}

/** RFC 5656 §3.1.2: two mpints → r ‖ s. */
function ecdsaPair(blob: Uint8Array): Uint8Array {
  const reader = new Reader(blob, 'SSH ECDSA signature');
  const [r, s] = [mpint(reader, 33), mpint(reader, 33)];
  reader.end();
  if (r.length > 32 || s.length > 32) reader.malformed('integer over 256 bits');
  return concat([new Uint8Array(32 - r.length), r, new Uint8Array(32 - s.length), s]);
}

/** What is signed: the content only through its hash, bound to the namespace. */
export function sshSignedData(namespace: string, hash: HashName, digest: Uint8Array): Uint8Array {
  return concat([MAGIC, sshStrings(namespace, '', hash, digest)]);
}

/** The armored file of a signature. @param publicKey @param signature SSH wire blobs */
export function encodeSshSignature(
  publicKey: Uint8Array,
  namespace: string,
  hash: HashName,
  signature: Uint8Array,
): string {
  const version = new Uint8Array([0, 0, 0, 1]);
  const blob = concat([MAGIC, version, sshStrings(publicKey, namespace, '', hash, signature)]);
  const lines = toBase64(blob).match(/.{1,70}/g) ?? [];
  return [`-----BEGIN ${SSHSIG_LABEL}-----`, ...lines, `-----END ${SSHSIG_LABEL}-----`, ''].join('\n');
}
