import { describe, expect, it } from 'vitest';
import { fromHex, toHex } from '../../src/base/index.ts';
import { encapsulateSeed, parsePublic } from '../../src/tpm/index.ts';
import type { SeedLabel } from '../../src/tpm/index.ts';
import { expectRefusal } from '../support/refusals.ts';
import { dataJson, recordedRandom } from '../support/vectors.ts';

interface EncapsVector {
  readonly Name: string;
  readonly Label: SeedLabel;
  readonly PublicKey: string;
  readonly OAEPSalt: string;
  readonly EphemeralPrivate: string;
  readonly Secret: string;
  readonly Ciphertext: string;
}

function vectors(name: string): [string, EncapsVector][] {
  return (dataJson(`go-tpm/${name}.json`) as EncapsVector[]).map((vector) => [vector.Name, vector]);
}

const rsa = vectors('rsa_labeled_encaps');
const ecc = vectors('ecc_labeled_encaps');

describe('seed encapsulation (TPM 2.0 Part 1 Annexes B.10, C.6)', () => {
  it('has its two hundred published vectors', () => {
    expect([rsa.length, ecc.length]).toEqual([100, 100]);
  });

  it.each(rsa)('RSA %s', (_, v) => {
    const random = recordedRandom(fromHex(v.Secret), fromHex(v.OAEPSalt));
    const { seed, encryptedSecret } = encapsulateSeed(parsePublic(fromHex(v.PublicKey)), v.Label, random);
    expect(toHex(seed)).toBe(v.Secret);
    expect(toHex(encryptedSecret)).toBe(v.Ciphertext);
  });

  it.each(ecc)('ECC %s', (_, v) => {
    const random = recordedRandom(fromHex(v.EphemeralPrivate));
    const { seed, encryptedSecret } = encapsulateSeed(parsePublic(fromHex(v.PublicKey)), v.Label, random);
    expect(toHex(seed)).toBe(v.Secret);
    expect(toHex(encryptedSecret)).toBe(v.Ciphertext);
  });
});

describe('seed encapsulation refuses', () => {
  const rsaKey = parsePublic(fromHex(rsa[9]?.[1].PublicKey ?? ''));
  const eccKey = parsePublic(fromHex(ecc[4]?.[1].PublicKey ?? ''));
  if (rsaKey.type !== 'rsa' || eccKey.type !== 'ecc') throw new Error('vectors have other keys');
  const noRandom = recordedRandom();

  it('a key that does not decrypt', () => {
    const signing = { ...eccKey, attributes: 0x50072 };
    expectRefusal('wrapping-key', () => encapsulateSeed(signing, 'IDENTITY', noRandom));
  });

  it('objects that are no asymmetric keys', () => {
    const sealed = parsePublic(fromHex('0008000b000204a0000000100000'));
    expectRefusal('wrapping-key', () => encapsulateSeed(sealed, 'IDENTITY', noRandom));
  });

  it('an RSA key whose scheme is not OAEP', () => {
    const rsaes = { ...rsaKey, symmetric: null, scheme: { name: 'rsaes' } } as const;
    expectRefusal('wrapping-key', () => encapsulateSeed(rsaes, 'SECRET', noRandom));
  });

  it('a point that is not on the curve', () => {
    const y = eccKey.y.map((byte, at) => (at === 31 ? byte ^ 1 : byte));
    expectRefusal('e6', () => encapsulateSeed({ ...eccKey, y }, 'IDENTITY', noRandom));
  });

  it('a weak curve', () => {
    const p224 = { ...eccKey, curve: 'P-224', x: new Uint8Array(28), y: new Uint8Array(28) } as const;
    expectRefusal('wrapping-key', () => encapsulateSeed(p224, 'IDENTITY', noRandom));
  });

  it('an RSA key that is too small, or not as long as it says', () => {
    const small = { ...rsaKey, keyBits: 1024, modulus: rsaKey.modulus.slice(0, 128) };
    const short = { ...rsaKey, modulus: rsaKey.modulus.slice(1) };
    const padded = { ...rsaKey, modulus: rsaKey.modulus.map((byte, at) => (at === 0 ? 0 : byte)) };
    for (const key of [small, short, padded]) {
      expectRefusal('wrapping-key', () => encapsulateSeed(key, 'IDENTITY', noRandom));
    }
  });

  it('scalars out of range, and takes the next', () => {
    const good = fromHex(ecc[4]?.[1].EphemeralPrivate ?? '');
    const random = recordedRandom(new Uint8Array(32), new Uint8Array(32).fill(0xff), good);
    expect(toHex(encapsulateSeed(eccKey, 'SECRET', random).encryptedSecret)).toBe(ecc[4]?.[1].Ciphertext);
  });

  it('a random source that is stuck', () => {
    const stuck = { bytes: (length: number) => new Uint8Array(length) };
    expect(() => encapsulateSeed(eccKey, 'SECRET', stuck)).toThrow('no scalar in range');
  });
});
