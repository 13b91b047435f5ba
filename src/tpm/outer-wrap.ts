import { createCipheriv } from 'node:crypto';
import { Writer, refuse } from '../base/index.ts';
import { digestSize, hmac } from './algorithms.ts';
import type { HashName } from './algorithms.ts';
import { kdfA } from './kdf.ts';
import { hasAttributes } from './object-attributes.ts';
import type { PublicArea } from './public-area.ts';

/** What the outer wrap takes from the public area of a storage key. */
export interface WrapParameters {
  readonly nameAlg: HashName;
  /** AES in CFB mode. */
  readonly keyBits: 128 | 192 | 256;
}

/**
 * The wrap parameters of a storage key: a restricted decryption key with AES-CFB, such as an EK.
 * @throws Refusal `wrapping-key` for any other key. A key that isn't restricted would decrypt for anybody.
 */
export function wrapParameters(key: PublicArea): WrapParameters {
  if (key.type !== 'rsa' && key.type !== 'ecc') {
    return refuse('wrapping-key', `a ${key.type} object is not a storage key`);
  }
  if (!hasAttributes(key.attributes, 'restricted', 'decrypt') || hasAttributes(key.attributes, 'sign')) {
    return refuse('wrapping-key', 'the key is not a restricted decryption key');
  }
  if (key.symmetric?.algorithm !== 'aes' || key.symmetric.mode !== 'cfb') {
    return refuse('wrapping-key', 'the key protects its children by something else than AES-CFB');
  }
  if (key.nameAlg === 'sha1') return refuse('wrapping-key', "the key's nameAlg is SHA-1");
  return { nameAlg: key.nameAlg, keyBits: key.symmetric.keyBits };
}

/**
 * The outer wrap of credentials (TPM 2.0 Part 1 §24.4) and of duplicated objects (§23.3.2.3): encrypt, then MAC, by
 * keys that come from a seed. The name is bound in: a TPM opens it for the object of that name only.
 * @param plain the sensitive structure, with its TPM2B size
 * @returns 2B(integrity) ‖ ciphertext: the content of a TPM2B_ID_OBJECT or of a duplicate's TPM2B_PRIVATE
 */
export function outerWrap(
  { nameAlg, keyBits }: WrapParameters,
  seed: Uint8Array,
  name: Uint8Array,
  plain: Uint8Array,
): Uint8Array {
  const symKey = kdfA(nameAlg, seed, 'STORAGE', name, EMPTY, keyBits);
  // The IV is zero by specification; the key is used for this one message, since the seed is.
  const cipher = createCipheriv(`aes-${String(keyBits)}-cfb`, symKey, new Uint8Array(16));
  const ciphertext = new Writer().bytes(cipher.update(plain)).bytes(cipher.final()).finish();
  const hmacKey = kdfA(nameAlg, seed, 'INTEGRITY', EMPTY, EMPTY, 8 * digestSize(nameAlg));
  return new Writer()
    .sized16(hmac(nameAlg, hmacKey, ciphertext, name))
    .bytes(ciphertext)
    .finish();
}

const EMPTY = new Uint8Array(0);
