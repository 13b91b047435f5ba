import { Writer, utf8 } from '../base/index.ts';
import { digest, hmac } from './algorithms.ts';
import type { HashName } from './algorithms.ts';

/** The labels that the TPM 2.0 Library gives to its key derivations; written without the terminating zero. */
export type KdfLabel =
  'STORAGE' | 'INTEGRITY' | 'IDENTITY' | 'DUPLICATE' | 'SECRET' | 'CFB' | 'ATH' | 'OBFUSCATE' | 'XOR';

/** More than any TPM derivation asks for; a caller that asks for more has mixed up bits and bytes. */
const MAX_BITS = 8192;

/**
 * KDFa, the counter-mode KDF over HMAC of SP 800-108 (TPM 2.0 Part 1 §11.4.10.2): `bits` bits of key material from
 * a secret key. A length that isn't a whole number of bytes clears the top bits of the first byte.
 * @param label without its terminating zero, which is added here
 * @throws RangeError when `bits` is not an integer in 0…8192
 */
export function kdfA(
  hash: HashName,
  key: Uint8Array,
  label: KdfLabel,
  contextU: Uint8Array,
  contextV: Uint8Array,
  bits: number,
): Uint8Array {
  return counterMode(bits, (counter) =>
    hmac(hash, key, u32(counter), terminated(label), contextU, contextV, u32(bits)),
  );
}

/**
 * KDFe, the hash-based KDF of SP 800-56A for ECDH secrets (TPM 2.0 Part 1 §11.4.10.3): `bits` bits from the
 * x-coordinate `z` of the shared point, which the caller pads to the field's length, as it does both parties'
 * x-coordinates.
 * @param label without its terminating zero, which is added here
 * @throws RangeError when `bits` is not an integer in 0…8192
 */
export function kdfE(
  hash: HashName,
  z: Uint8Array,
  label: KdfLabel,
  partyU: Uint8Array,
  partyV: Uint8Array,
  bits: number,
): Uint8Array {
  return counterMode(bits, (counter) => digest(hash, u32(counter), z, terminated(label), partyU, partyV));
}

/** Blocks 1, 2, … one after the other, cut to ceil(bits/8) leading bytes. */
function counterMode(bits: number, block: (counter: number) => Uint8Array): Uint8Array {
  if (!Number.isInteger(bits) || bits < 0 || bits > MAX_BITS)
    throw new RangeError(`KDF: ${String(bits)} bits`);
  const out = new Uint8Array(Math.ceil(bits / 8));
  for (let at = 0, counter = 1; at < out.length; counter++) {
    const bytes = block(counter).slice(0, out.length - at);
    out.set(bytes, at);
    at += bytes.length;
  }
  // The surplus bits are the most significant ones: the result is a number of `bits` bits, right-aligned.
  if (bits % 8 !== 0) out[0] = (out[0] ?? 0) & ((1 << (bits % 8)) - 1);
  return out;
}

function terminated(label: string): Uint8Array {
  return new Writer().bytes(utf8(label)).u8(0).finish();
}

function u32(value: number): Uint8Array {
  return new Writer().u32(value).finish();
}
