import { Writer, concat } from '../base/index.ts';
import { digest, digestSize } from './algorithms.ts';
import type { HashName } from './algorithms.ts';

/**
 * EME-OAEP encoding (RFC 8017 §7.1.1, MGF1 with the same hash): the block that raw RSA then encrypts. Written here
 * because Node draws the OAEP seed itself, and then no published vector could be repeated.
 * @param label as hashed, with the terminating zero that the TPM counts in
 * @param seed fresh random bytes, as many as a digest
 * @param size of the modulus in bytes
 * @throws RangeError when message or seed don't fit
 */
export function oaepEncode(
  hash: HashName,
  label: Uint8Array,
  message: Uint8Array,
  seed: Uint8Array,
  size: number,
): Uint8Array {
  const length = digestSize(hash);
  const padding = size - message.length - 2 * length - 2;
  if (seed.length !== length || padding < 0)
    throw new RangeError('OAEP: message or seed does not fit the key');
  const block = new Writer()
    .bytes(digest(hash, label))
    .bytes(new Uint8Array(padding))
    .u8(1)
    .bytes(message)
    .finish();
  const maskedBlock = xor(block, mgf1(hash, seed, block.length));
  const maskedSeed = xor(seed, mgf1(hash, maskedBlock, seed.length));
  return concat([Uint8Array.of(0), maskedSeed, maskedBlock]);
}

/** MGF1 (RFC 8017 §B.2.1). */
function mgf1(hash: HashName, seed: Uint8Array, length: number): Uint8Array {
  const blocks = Array.from({ length: Math.ceil(length / digestSize(hash)) }, (_, counter) =>
    digest(hash, seed, new Writer().u32(counter).finish()),
  );
  return concat(blocks).slice(0, length);
}

function xor(a: Uint8Array, b: Uint8Array): Uint8Array {
  return a.map((byte, index) => byte ^ (b[index] ?? 0));
}
