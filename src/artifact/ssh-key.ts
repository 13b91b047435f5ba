import { createPublicKey } from 'node:crypto';
import { Reader, Refusal, Writer, fromBase64, fromUtf8, refuse, toBase64url, utf8 } from '../base/index.ts';
import { normalKey } from './keys.ts';
import type { PublicKey } from './keys.ts';

/** OpenSSH's names of the key types that count here (RFC 4253, RFC 5656, RFC 8709). */
export const SSH_KEY_TYPES = ['ssh-ed25519', 'ecdsa-sha2-nistp256', 'ssh-rsa'] as const;
export type SshKeyType = (typeof SSH_KEY_TYPES)[number];

/** A public key on one line: type, base64 blob, comment (the comment is ignored). @throws Refusal */
export function parseSshPublicLine(line: string): PublicKey {
  const [type, blob] = line.split(' ');
  if (type === undefined || blob === undefined || /[\r\n]/.test(line)) {
    refuse('malformed', 'OpenSSH public key: not one line of type and base64');
  }
  const parsed = parseSshPublicKey(fromBase64(blob, 'OpenSSH public key'));
  if (parsed.type !== type) refuse('malformed', 'OpenSSH public key: two different types');
  return parsed.key;
}

/** An SSH wire-format public key (RFC 4253 §6.6). @throws Refusal `artifact-key` for other types, `malformed` */
export function parseSshPublicKey(blob: Uint8Array): { type: SshKeyType; key: PublicKey } {
  const reader = new Reader(blob, 'SSH public key');
  const name = fromUtf8(sshString(reader, 64), 'SSH public key');
  const type = SSH_KEY_TYPES.find((known) => known === name);
  if (type === undefined)
    return refuse('artifact-key', 'SSH keys are ssh-ed25519, ecdsa-sha2-nistp256 or ssh-rsa');
  const jwk = sshJwk(type, reader);
  reader.end();
  try {
    return { type, key: normalKey(createPublicKey({ key: jwk, format: 'jwk' })) };
  } catch (error) {
    if (error instanceof Refusal) throw error;
    return refuse('malformed', 'SSH public key: not a point or number of its type');
  }
}

function sshJwk(type: SshKeyType, reader: Reader): Record<string, string> {
  switch (type) {
    case 'ssh-ed25519': {
      const x = sshString(reader, 32);
      if (x.length !== 32) reader.malformed('Ed25519 key of another size');
      return { kty: 'OKP', crv: 'Ed25519', x: toBase64url(x) };
    }
    case 'ecdsa-sha2-nistp256': {
      if (fromUtf8(sshString(reader, 32), 'SSH public key') !== 'nistp256')
        reader.malformed('curve differs from the type');
      const point = new Reader(sshString(reader, 65), 'SSH public key');
      if (point.u8() !== 4) reader.malformed('point is not uncompressed');
      const [x, y] = [point.bytes(32), point.bytes(32)];
      point.end();
      return { kty: 'EC', crv: 'P-256', x: toBase64url(x), y: toBase64url(y) };
    }
    case 'ssh-rsa': {
      const e = mpint(reader, 8);
      return { kty: 'RSA', e: toBase64url(e), n: toBase64url(mpint(reader, 1025)) };
    }
  }
}

/** A `string`: u32 length and that many bytes (RFC 4251 §5). */
export function sshString(reader: Reader, max: number): Uint8Array {
  const length = reader.u32();
  if (length > max) reader.malformed(`string of ${String(length)} bytes, over the limit of ${String(max)}`);
  return reader.bytes(length);
}

/** A positive `mpint` in its minimal form (RFC 4251 §5), without the sign byte. */
export function mpint(reader: Reader, max: number): Uint8Array {
  const bytes = sshString(reader, max);
  const [first, second] = bytes;
  if (first === undefined || first >= 0x80 || (first === 0 && (second === undefined || second < 0x80))) {
    reader.malformed('integer is not positive and minimal');
  }
  return first === 0 ? bytes.slice(1) : bytes;
}

/** Encodes `string`s one after the other. */
export function sshStrings(...values: readonly (Uint8Array | string)[]): Uint8Array {
  const writer = new Writer();
  for (const value of values) {
    const bytes = typeof value === 'string' ? utf8(value) : value;
    writer.u32(bytes.length).bytes(bytes);
  }
  return writer.finish();
}

/** A big-endian magnitude as the content of an `mpint`. */
export function toMpint(magnitude: Uint8Array): Uint8Array {
  const start = magnitude.findIndex((byte) => byte !== 0);
  const bytes = start < 0 ? new Uint8Array() : magnitude.slice(start);
  return (bytes[0] ?? 0) >= 0x80 ? new Uint8Array([0, ...bytes]) : bytes;
}
