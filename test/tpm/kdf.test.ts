import { describe, expect, it } from 'vitest';
import { fromHex, toHex } from '../../src/base/index.ts';
import { kdfA, kdfE } from '../../src/tpm/kdf.ts';
import type { KdfLabel } from '../../src/tpm/kdf.ts';
import { dataJson } from '../support/vectors.ts';

interface KdfVector {
  readonly Name: string;
  readonly HashAlg: number;
  readonly Key: string;
  readonly Z: string;
  readonly Label: KdfLabel;
  readonly ContextU: string;
  readonly ContextV: string;
  readonly Bits: number;
  readonly Result: string;
}

const HASHES = new Map([
  [0x0004, 'sha1'],
  [0x000b, 'sha256'],
  [0x000c, 'sha384'],
  [0x000d, 'sha512'],
] as const);

function vectors(name: string): [string, KdfVector][] {
  return (dataJson(`go-tpm/${name}.json`) as KdfVector[]).map((vector) => [vector.Name, vector]);
}

function hashOf(id: number): 'sha1' | 'sha256' | 'sha384' | 'sha512' {
  for (const [number, name] of HASHES) if (number === id) return name;
  throw new Error(`vector with hash ${id}`);
}

describe('KDFa (TPM 2.0 Part 1 §11.4.10.2)', () => {
  const all = vectors('kdfa');

  it('has its hundred published vectors', () => {
    expect(all).toHaveLength(100);
  });

  it.each(all)('%s', (_, v) => {
    const out = kdfA(
      hashOf(v.HashAlg),
      fromHex(v.Key),
      v.Label,
      fromHex(v.ContextU),
      fromHex(v.ContextV),
      v.Bits,
    );
    expect(toHex(out)).toBe(v.Result);
  });
});

describe('KDFe (TPM 2.0 Part 1 §11.4.10.3)', () => {
  const all = vectors('kdfe');

  it('has its hundred published vectors', () => {
    expect(all).toHaveLength(100);
  });

  it.each(all)('%s', (_, v) => {
    const out = kdfE(
      hashOf(v.HashAlg),
      fromHex(v.Z),
      v.Label,
      fromHex(v.ContextU),
      fromHex(v.ContextV),
      v.Bits,
    );
    expect(toHex(out)).toBe(v.Result);
  });
});

describe('key derivation', () => {
  const none = new Uint8Array(0);

  it('gives one bit, and nothing for no bits', () => {
    expect([0, 1]).toContain(kdfA('sha256', none, 'ATH', none, none, 1)[0]);
    expect(kdfA('sha256', none, 'ATH', none, none, 0)).toHaveLength(0);
  });

  it.each([-1, 1.5, Number.NaN, 8193])('refuses %s bits', (bits) => {
    expect(() => kdfA('sha256', none, 'STORAGE', none, none, bits)).toThrow(RangeError);
    expect(() => kdfE('sha256', none, 'STORAGE', none, none, bits)).toThrow(RangeError);
  });
});
