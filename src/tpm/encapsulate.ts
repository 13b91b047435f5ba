import { constants, publicEncrypt } from 'node:crypto';
import { Reader, Writer, concat, refuse, utf8 } from '../base/index.ts';
import type { Random } from '../base/index.ts';
import { digestSize } from './algorithms.ts';
import type { HashName } from './algorithms.ts';
import { curveSize } from './curves.ts';
import { ephemeralKey } from './ephemeral-key.ts';
import { kdfE } from './kdf.ts';
import { leftPad, publicKeyObject } from './key-object.ts';
import { oaepEncode } from './oaep.ts';
import { hasAttributes } from './object-attributes.ts';
import type { EccPublic, PublicArea, RsaPublic } from './public-area.ts';

/** What the seed is for: a credential, an object to import, the salt of a session (TPM 2.0 Part 1 Annexes B, C). */
export type SeedLabel = 'IDENTITY' | 'DUPLICATE' | 'SECRET';

/** A seed, and the same seed as only the key's TPM can recover it. */
export interface EncapsulatedSeed {
  /** Secret. As long as a digest of the key's nameAlg, or of its OAEP scheme's hash where it has one. */
  readonly seed: Uint8Array;
  /** Content of a TPM2B_ENCRYPTED_SECRET. */
  readonly encryptedSecret: Uint8Array;
}

/**
 * Makes a seed and encrypts it to a TPM's key: RSA-OAEP (TPM 2.0 Part 1 Annex B.10.3) or one-pass ECDH with KDFe
 * (Annex C.6.1).
 * @param random draws, for RSA, the seed and the OAEP seed; for ECC, the ephemeral private scalar
 * @throws Refusal `wrapping-key` when nothing can safely be encrypted to this key, `e6` when it is no key at all
 */
export function encapsulateSeed(key: PublicArea, label: SeedLabel, random: Random): EncapsulatedSeed {
  if (!hasAttributes(key.attributes, 'decrypt')) refuse('wrapping-key', 'the key is not a decryption key');
  switch (key.type) {
    case 'rsa':
      return encapsulateRsa(key, label, random);
    case 'ecc':
      return encapsulateEcc(key, label, random);
    default:
      return refuse('wrapping-key', `nothing can be encrypted to a ${key.type} object`);
  }
}

function encapsulateRsa(key: RsaPublic, label: SeedLabel, random: Random): EncapsulatedSeed {
  const hash = oaepHash(key);
  const [first = 0] = key.modulus;
  if (key.keyBits < 2048 || key.modulus.length !== key.keyBits / 8 || first < 0x80) {
    refuse('wrapping-key', `an RSA key of ${String(key.keyBits)} bits with another or too small a modulus`);
  }
  const seed = random.bytes(digestSize(hash));
  // The TPM counts the label's terminating zero in (Part 1 Annex B.4).
  const terminatedLabel = new Writer().bytes(utf8(label)).u8(0).finish();
  const oaepSeed = random.bytes(digestSize(hash));
  const block = oaepEncode(hash, terminatedLabel, seed, oaepSeed, key.modulus.length);
  const encrypted = publicEncrypt({ key: publicKeyObject(key), padding: constants.RSA_NO_PADDING }, block);
  return { seed, encryptedSecret: encrypted };
}

function oaepHash(key: RsaPublic): HashName {
  if (key.scheme === null) return key.nameAlg;
  if (key.scheme.name === 'oaep') return key.scheme.hash;
  return refuse('wrapping-key', `the key's scheme is ${key.scheme.name}, not OAEP`);
}

function encapsulateEcc(key: EccPublic, label: SeedLabel, random: Random): EncapsulatedSeed {
  const size = curveSize(key.curve);
  const { curve } = key;
  if (curve === 'P-192' || curve === 'P-224') {
    return refuse('wrapping-key', `the key is on the weak curve ${curve}`);
  }
  publicKeyObject(key); // refuses a point that isn't on the curve: its shared secret would be guessable
  const [keyX, keyY] = [leftPad(key.x, size), leftPad(key.y, size)];
  const ephemeral = ephemeralKey(curve, random);
  const z = ephemeral.computeSecret(concat([Uint8Array.of(4), keyX, keyY]));
  const point = new Reader(ephemeral.getPublicKey(), 'uncompressed point');
  point.u8();
  const x = point.bytes(size);
  const y = point.bytes(size);
  const seed = kdfE(key.nameAlg, z, label, x, keyX, 8 * digestSize(key.nameAlg));
  return { seed, encryptedSecret: new Writer().sized16(x).sized16(y).finish() };
}
