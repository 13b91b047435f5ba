import { createCipheriv, createDecipheriv, hkdfSync } from 'node:crypto';
import { Reader, Writer, refuse, utf8 } from '../base/index.ts';
import type { Random } from '../base/index.ts';

/** Which record a stored value belongs to: all of it is authenticated with the ciphertext. */
export interface StoredPlace {
  /** What the value is, e.g. `secret`: values of different purposes have different keys. */
  readonly purpose: string;
  readonly table: string;
  readonly id: string;
  /** 1 and up; an older version's ciphertext doesn't pass for a newer one. */
  readonly version: number;
}

const NONCE = 12;
const TAG = 16;
/** The largest value that is stored: what fits into one release. */
export const MAX_STORED = 256 * 1024;

/**
 * Encrypts a value for its place in the database: AES-256-GCM under HKDF-SHA-256(master key, purpose and record), a
 * random nonce, and AAD = purpose ‖ table ‖ id ‖ version, each with its length.
 * @param master 32 bytes
 * @returns nonce (12) ‖ ciphertext ‖ tag (16)
 */
export function encryptStored(
  master: Uint8Array,
  place: StoredPlace,
  value: Uint8Array,
  random: Random,
): Uint8Array {
  if (value.length > MAX_STORED) throw new RangeError(`a value of ${String(value.length)} bytes`);
  const nonce = random.bytes(NONCE);
  const cipher = createCipheriv('aes-256-gcm', recordKey(master, place), nonce, { authTagLength: TAG });
  cipher.setAAD(additionalData(place));
  const body = [cipher.update(value), cipher.final()];
  return new Uint8Array(Buffer.concat([nonce, ...body, cipher.getAuthTag()]));
}

/**
 * Decrypts what {@link encryptStored} made for the same place.
 * @throws Refusal `stored-secret` for another place, key or version, or altered bytes; `malformed` when too short or long
 */
export function decryptStored(master: Uint8Array, place: StoredPlace, stored: Uint8Array): Uint8Array {
  const reader = new Reader(stored, 'stored value');
  if (stored.length < NONCE + TAG || stored.length > NONCE + TAG + MAX_STORED)
    reader.malformed('impossible size');
  const nonce = reader.bytes(NONCE);
  const body = reader.bytes(reader.remaining - TAG);
  const tag = reader.bytes(TAG);
  const decipher = createDecipheriv('aes-256-gcm', recordKey(master, place), nonce, { authTagLength: TAG });
  decipher.setAAD(additionalData(place));
  decipher.setAuthTag(tag);
  try {
    return new Uint8Array(Buffer.concat([decipher.update(body), decipher.final()]));
  } catch {
    return refuse('stored-secret', 'the stored value is not the one that was written at this place', {
      table: place.table,
      version: place.version,
    });
  }
}

function recordKey(master: Uint8Array, { purpose, table, id }: StoredPlace): Uint8Array {
  if (master.length !== 32) throw new RangeError('a master key has 32 bytes');
  const info = new Writer()
    .sized16(utf8('sealgate/stored/v1'))
    .sized16(utf8(purpose))
    .sized16(utf8(table))
    .sized16(utf8(id))
    .finish();
  return new Uint8Array(hkdfSync('sha256', master, new Uint8Array(0), info, 32));
}

function additionalData({ purpose, table, id, version }: StoredPlace): Uint8Array {
  return new Writer()
    .sized16(utf8(purpose))
    .sized16(utf8(table))
    .sized16(utf8(id))
    .u64(BigInt(version))
    .finish();
}
