import { createPrivateKey, createPublicKey } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { equalBytes, fromHex, fromUtf8, refuse } from '../base/index.ts';
import { parseCertificate, parsePem, publicKeyOf } from '../x509/index.ts';
import type { Certificate } from '../x509/index.ts';
import { checkSecretDirectory, readSecretFile } from './secret-files.ts';
import { KEYS } from './verifier-files.ts';
import type { KeyName, VerifierFiles } from './verifier-files.ts';

/** The keys and certificates of a verifier, read once at start. */
export interface KeyRing {
  /** A private key. */
  privateKey(name: KeyName): KeyObject;
  /** The key that is to follow it, while it is rotated. */
  successor(name: KeyName): KeyObject | undefined;
  /** A secret of 32 bytes. */
  secret(name: 'challenge' | 'master'): Uint8Array;
  certificate(name: KeyName): Certificate;
}

const CERTIFIED: readonly KeyName[] = ['tls-ca', 'tls', 'operator-ca', 'agent-ca', 'svid-ca', 'ak-ca'];

/**
 * Reads every key that a running verifier needs, and every certificate. Modes and owners are checked; a certificate
 * whose key is not the key beside it is refused.
 * @throws Refusal `secret-file`, `key-file`, `malformed`
 */
export function readKeyRing(files: VerifierFiles): KeyRing {
  checkSecretDirectory(files.keys);
  const pairs = new Map<KeyName, KeyObject>();
  const secrets = new Map<KeyName, Uint8Array>();
  const successors = new Map<KeyName, KeyObject>();
  for (const { name, type, online } of KEYS) {
    const bytes = online ? readSecretFile(files.key(name)) : undefined;
    if (bytes === undefined) continue;
    if (type === 'secret') secrets.set(name, readSecret(name, bytes));
    else {
      pairs.set(name, readPrivateKey(name, bytes, type));
      const next = files.nextKey(name);
      if (existsSync(next)) successors.set(name, readPrivateKey(`next ${name}`, readSecretFile(next), type));
    }
  }
  const certificates = new Map(CERTIFIED.map((name) => [name, readCertificate(files.certificate(name))]));
  for (const [name, certificate] of certificates) requireSameKey(name, certificate, pairs.get(name));
  const take = <T>(map: ReadonlyMap<KeyName, T>, name: KeyName): T =>
    map.get(name) ?? refuse('key-file', `no ${name} is kept here`, { name });
  return {
    privateKey: (name) => take(pairs, name),
    successor: (name) => successors.get(name),
    secret: (name) => take(secrets, name),
    certificate: (name) => take(certificates, name),
  };
}

/** A PEM private key of the named type. @throws Refusal `key-file` */
export function readPrivateKey(name: string, pem: Uint8Array, type: 'P-256' | 'Ed25519'): KeyObject {
  let key: KeyObject;
  try {
    key = createPrivateKey(Buffer.from(pem));
  } catch {
    return refuse('key-file', `${name}: not a private key in PEM`, { name });
  }
  const found = key.asymmetricKeyDetails?.namedCurve === 'prime256v1' ? 'P-256' : key.asymmetricKeyType;
  if (found !== (type === 'Ed25519' ? 'ed25519' : type))
    refuse('key-file', `${name}: not a key of type ${type}`, { name });
  return key;
}

/** The one certificate of a PEM file. @throws Refusal `key-file`, `malformed`, `x509-…` */
export function readCertificate(file: string): Certificate {
  if (!existsSync(file) || statSync(file).size > 64 * 1024)
    return refuse('key-file', 'a certificate file is missing or too large', { file });
  const [certificate] = parsePem(new Uint8Array(readFileSync(file)), 1).map((der) => parseCertificate(der));
  return certificate ?? refuse('key-file', 'no certificate in the file', { file });
}

function readSecret(name: string, bytes: Uint8Array): Uint8Array {
  const text = fromUtf8(bytes, name).trimEnd();
  if (!/^[0-9a-f]{64}$/.test(text)) refuse('key-file', `${name}: not 64 hex digits`, { name });
  return fromHex(text);
}

function requireSameKey(name: string, certificate: Certificate, key: KeyObject | undefined): void {
  if (key === undefined) return;
  const own = createPublicKey(key).export({ type: 'spki', format: 'der' });
  const certified = publicKeyOf(certificate.publicKey).export({ type: 'spki', format: 'der' });
  if (!equalBytes(new Uint8Array(own), new Uint8Array(certified)))
    refuse('key-file', `${name}: certificate and key are not of one pair`, { name });
}
