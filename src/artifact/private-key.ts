import { createPrivateKey, createPublicKey } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { Reader, Refusal, equalBytes, fromUtf8, refuse, toBase64url, utf8 } from '../base/index.ts';
import { normalKey } from './keys.ts';
import { pemBody } from './key-text.ts';
import type { SigningKey } from './sign.ts';
import { mpint, parseSshPublicKey, sshString } from './ssh-key.ts';

const OPENSSH_LABEL = 'OPENSSH PRIVATE KEY';

/**
 * A private key file: PEM PKCS #8 (also SEC 1 and PKCS #1), or OpenSSH's own format, without a passphrase.
 * @throws Refusal `malformed`, `artifact-key` for types that can't sign here, `artifact-key-encrypted`
 */
export function parsePrivateKey(file: Uint8Array): SigningKey {
  if (file.length > 65_536) refuse('malformed', 'private key: too large');
  const text = fromUtf8(file, 'private key');
  const privateKey = text.includes(`-----BEGIN ${OPENSSH_LABEL}-----`) ? opensshKey(text) : pkcs8Key(text);
  return { privateKey, publicKey: normalKey(createPublicKey(privateKey)) };
}

function pkcs8Key(text: string): KeyObject {
  if (text.includes('ENCRYPTED')) refuse('artifact-key-encrypted', 'the private key is encrypted');
  try {
    return createPrivateKey({ key: text, format: 'pem' });
  } catch {
    return refuse('malformed', 'private key: not PEM that holds a key');
  }
}

const MAGIC = utf8('openssh-key-v1\0');

/** OpenSSH's PROTOCOL.key: one key, cipher and kdf `none`. */
function opensshKey(text: string): KeyObject {
  const reader = new Reader(pemBody(text.trim(), OPENSSH_LABEL), 'OpenSSH private key');
  if (!equalBytes(reader.bytes(MAGIC.length), MAGIC)) reader.malformed('no openssh-key-v1 magic');
  const cipher = fromUtf8(sshString(reader, 64), 'OpenSSH private key');
  const kdf = fromUtf8(sshString(reader, 64), 'OpenSSH private key');
  const options = sshString(reader, 1024);
  if (cipher !== 'none' || kdf !== 'none') refuse('artifact-key-encrypted', 'the private key is encrypted');
  if (options.length > 0 || reader.u32() !== 1) reader.malformed('not exactly one key');
  const { key: publicKey } = parseSshPublicKey(sshString(reader, 4096));
  const secret = new Reader(sshString(reader, 16_384), 'OpenSSH private key');
  reader.end();
  const key = importJwk(secretJwk(secret));
  sshString(secret, 4096);
  const padding = secret.rest();
  if (padding.length > 255 || padding.some((byte, index) => byte !== index + 1))
    secret.malformed('wrong padding');
  if (normalKey(createPublicKey(key)).fingerprint !== publicKey.fingerprint)
    secret.malformed('two different keys');
  return key;
}

function importJwk(jwk: Record<string, string>): KeyObject {
  try {
    return createPrivateKey({ key: jwk, format: 'jwk' });
  } catch (error) {
    if (error instanceof Refusal) throw error;
    return refuse('malformed', 'OpenSSH private key: not a key of its type');
  }
}

function secretJwk(reader: Reader): Record<string, string> {
  if (reader.u32() !== reader.u32()) reader.malformed('check numbers differ');
  const type = fromUtf8(sshString(reader, 64), 'OpenSSH private key');
  switch (type) {
    case 'ssh-ed25519': {
      const x = sshString(reader, 32);
      // Seed and public key again (RFC 8032 §5.1.5).
      const pair = new Reader(sshString(reader, 64), 'Ed25519 key pair');
      const d = pair.bytes(32);
      if (!equalBytes(pair.bytes(32), x)) pair.malformed('two different public keys');
      return { kty: 'OKP', crv: 'Ed25519', x: toBase64url(x), d: toBase64url(d) };
    }
    case 'ecdsa-sha2-nistp256': {
      sshString(reader, 32);
      const point = new Reader(sshString(reader, 65), 'EC point');
      if (point.u8() !== 4) point.malformed('not uncompressed');
      const [x, y] = [point.bytes(32), point.bytes(32)];
      const d = mpint(reader, 33);
      if (d.length > 32) reader.malformed('scalar over 256 bits');
      const fixed = new Uint8Array(32);
      fixed.set(d, 32 - d.length);
      return { kty: 'EC', crv: 'P-256', x: toBase64url(x), y: toBase64url(y), d: toBase64url(fixed) };
    }
    case 'ssh-rsa':
      return rsaJwk(reader);
    default:
      return refuse('artifact-key', 'SSH keys are ssh-ed25519, ecdsa-sha2-nistp256 or ssh-rsa');
  }
}

/** n, e, d, iqmp, p, q; the CRT exponents are computed, the file doesn't have them. */
function rsaJwk(reader: Reader): Record<string, string> {
  const [n, e, d, qi, p, q] = Array.from({ length: 6 }, () => mpint(reader, 2049));
  const big = (bytes: Uint8Array | undefined): bigint =>
    BigInt(`0x${Buffer.from(bytes ?? []).toString('hex')}`);
  const text = (value: bigint): string => {
    const hex = value.toString(16);
    return Buffer.from(hex.length % 2 === 0 ? hex : `0${hex}`, 'hex').toString('base64url');
  };
  if (big(p) < 2n || big(q) < 2n) reader.malformed('impossible primes');
  const [dp, dq] = [big(d) % (big(p) - 1n), big(d) % (big(q) - 1n)];
  return {
    kty: 'RSA',
    n: text(big(n)),
    e: text(big(e)),
    d: text(big(d)),
    p: text(big(p)),
    q: text(big(q)),
    dp: text(dp),
    dq: text(dq),
    qi: text(big(qi)),
  };
}
