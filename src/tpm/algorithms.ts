import { createHash, createHmac, hash as oneShot } from 'node:crypto';
import { concat, refuse } from '../base/index.ts';
import type { Reader } from '../base/index.ts';
import { TPM_ALG } from './constants.ts';

/** The hash algorithms of TPMs that this program knows, by the names that `node:crypto` and tpm2-tools use. */
export type HashName = 'sha1' | 'sha256' | 'sha384' | 'sha512';

interface HashFacts {
  readonly id: number;
  /** Digest size in bytes. */
  readonly size: number;
}

const HASHES: Readonly<Record<HashName, HashFacts>> = {
  sha1: { id: TPM_ALG.SHA1, size: 20 },
  sha256: { id: TPM_ALG.SHA256, size: 32 },
  sha384: { id: TPM_ALG.SHA384, size: 48 },
  sha512: { id: TPM_ALG.SHA512, size: 64 },
};

/** Every {@link HashName}, weakest first. */
export const HASH_NAMES: readonly HashName[] = ['sha1', 'sha256', 'sha384', 'sha512'];

/** True for the name of a hash algorithm, e.g. of a PCR bank that somebody typed. */
export function isHashName(text: string): text is HashName {
  return Object.hasOwn(HASHES, text);
}

/**
 * The hash algorithm of a TPM_ALG_ID.
 * @param structure names the place in the refusal
 * @throws Refusal `malformed` for any other algorithm: unknown is never skipped
 */
export function hashFromId(id: number, structure: string): HashName {
  return (
    nameOf(id) ??
    refuse('malformed', `${structure}: unknown hash algorithm 0x${id.toString(16)}`, { structure })
  );
}

/** Reads a TPMI_ALG_HASH. @throws Refusal `malformed` with the offset for any algorithm that isn't known */
export function readHash(reader: Reader): HashName {
  const id = reader.u16();
  return nameOf(id) ?? reader.malformed(`unknown hash algorithm 0x${id.toString(16)}`);
}

function nameOf(id: number): HashName | undefined {
  switch (id) {
    case TPM_ALG.SHA1:
      return 'sha1';
    case TPM_ALG.SHA256:
      return 'sha256';
    case TPM_ALG.SHA384:
      return 'sha384';
    case TPM_ALG.SHA512:
      return 'sha512';
    default:
      return undefined;
  }
}

/** The TPM_ALG_ID of a hash algorithm. */
export function hashId(name: HashName): number {
  return HASHES[name].id;
}

/** The digest size in bytes. */
export function digestSize(name: HashName): number {
  return HASHES[name].size;
}

/** H(parts one after the other). */
export function digest(name: HashName, ...parts: readonly Uint8Array[]): Uint8Array {
  const [only] = parts;
  // One part at once takes a third of the time of a hash object, as text rather than as memory of its own: quotes are
  // checked by the thousand.
  if (parts.length === 1 && only !== undefined) return bytesOf(oneShot(name, only, 'binary'));
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  if (length <= SHORT) return bytesOf(oneShot(name, concat(parts), 'binary'));
  const hash = createHash(name);
  for (const part of parts) hash.update(part);
  return new Uint8Array(hash.digest());
}

/**
 * True when H(bytes) is `expected`, all of it. Compared as text, one character a byte: `timingSafeEqual` would move both
 * out of the heap first, for longer than the hash itself takes. Every byte is looked at, whichever differs first.
 */
export function isDigestOf(name: HashName, bytes: Uint8Array, expected: Uint8Array): boolean {
  const text = oneShot(name, bytes, 'binary');
  if (text.length !== expected.length) return false;
  let difference = 0;
  for (let at = 0; at < text.length; at++) difference |= text.charCodeAt(at) ^ (expected[at] ?? -1);
  return difference === 0;
}

/** Up to this many bytes copying is cheaper than a hash object. */
const SHORT = 4096;

/** The bytes of a `binary` string: one character each. */
function bytesOf(text: string): Uint8Array {
  const bytes = new Uint8Array(text.length);
  for (let at = 0; at < bytes.length; at++) bytes[at] = text.charCodeAt(at);
  return bytes;
}

/** HMAC_H(key, parts one after the other). */
export function hmac(name: HashName, key: Uint8Array, ...parts: readonly Uint8Array[]): Uint8Array {
  const mac = createHmac(name, key);
  for (const part of parts) mac.update(part);
  return new Uint8Array(mac.digest());
}
