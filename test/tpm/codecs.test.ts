import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Refusal, toHex } from '../../src/base/index.ts';
import {
  encodeAttest,
  encodeCreationData,
  encodeDigestList,
  encodeNvPublic,
  encodePcrSelection,
  encodePublic,
  encodeSignature,
  encodeSizedPublic,
  parseAttest,
  parseCreationData,
  parseDigestList,
  parseNvPublic,
  parsePcrSelection,
  parsePublic,
  parseSignature,
  parseSizedPublic,
} from '../../src/tpm/index.ts';
import { expectRefusal } from '../support/refusals.ts';
import {
  anySelection,
  attest,
  creationData,
  digestList,
  nvPublic,
  publicArea,
  signature,
} from './arbitraries.ts';

interface Codec<T> {
  readonly values: fc.Arbitrary<T>;
  readonly encode: (value: T) => Uint8Array;
  readonly parse: (bytes: Uint8Array) => T;
}

const codec = <T>(
  values: fc.Arbitrary<T>,
  encode: (value: T) => Uint8Array,
  parse: (bytes: Uint8Array) => T,
): Codec<unknown> => ({ values, encode, parse }) as Codec<unknown>;

const CODECS: Readonly<Record<string, Codec<unknown>>> = {
  TPMT_PUBLIC: codec(publicArea, encodePublic, parsePublic),
  TPM2B_PUBLIC: codec(publicArea, encodeSizedPublic, parseSizedPublic),
  TPMS_ATTEST: codec(attest, encodeAttest, parseAttest),
  TPMT_SIGNATURE: codec(signature, encodeSignature, parseSignature),
  TPML_PCR_SELECTION: codec(anySelection, encodePcrSelection, parsePcrSelection),
  TPMS_CREATION_DATA: codec(creationData, encodeCreationData, parseCreationData),
  TPMS_NV_PUBLIC: codec(nvPublic, encodeNvPublic, parseNvPublic),
  TPML_DIGEST: codec(digestList, encodeDigestList, parseDigestList),
};

/** The parsed structure, or undefined when it was refused; any other error fails the test. */
function tryParse(parse: (bytes: Uint8Array) => unknown, input: Uint8Array): unknown {
  try {
    return parse(input);
  } catch (error) {
    if (error instanceof Refusal) return undefined;
    throw error;
  }
}

describe.each(Object.entries(CODECS))('%s', (_, { values, encode, parse }) => {
  it('gives back what was encoded', () => {
    fc.assert(
      fc.property(values, (value) => {
        expect(parse(encode(value))).toEqual(value);
      }),
    );
  });

  it('never reads a changed byte as the same structure', () => {
    fc.assert(
      fc.property(values, fc.nat(), fc.integer({ min: 1, max: 255 }), (value, where, mask) => {
        const bytes = encode(value);
        const changed = bytes.slice();
        const at = where % bytes.length;
        changed[at] = (changed[at] ?? 0) ^ mask;
        const parsed = tryParse(parse, changed);
        if (parsed === undefined) return;
        expect(parsed).not.toEqual(value);
        expect(toHex(encode(parsed))).toBe(toHex(changed));
      }),
    );
  });

  it('refuses every truncation and any trailing byte', () => {
    fc.assert(
      fc.property(values, fc.nat(255), (value, extra) => {
        const bytes = encode(value);
        for (let length = 0; length < bytes.length; length++) {
          expect(tryParse(parse, bytes.slice(0, length)), `cut at ${length}`).toBeUndefined();
        }
        expect(tryParse(parse, Uint8Array.of(...bytes, extra))).toBeUndefined();
      }),
      { numRuns: 25 },
    );
  });

  it('accepts from random bytes only what it would write itself', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 120 }), (input) => {
        const bytes = new Uint8Array(input);
        const parsed = tryParse(parse, bytes);
        if (parsed !== undefined) expect(toHex(encode(parsed))).toBe(toHex(bytes));
      }),
    );
  });
});

describe('sizes and counts', () => {
  const oversized = new Uint8Array(5000);

  it.each([
    ['TPMT_PUBLIC', parsePublic],
    ['TPM2B_PUBLIC', parseSizedPublic],
    ['TPMS_ATTEST', parseAttest],
    ['TPMT_SIGNATURE', parseSignature],
    ['TPMS_CREATION_DATA', parseCreationData],
  ])('%s over the limit is refused before it is read', (_, parse) => {
    expect(expectRefusal('malformed', () => parse(oversized)).reason).toContain('5000 bytes');
  });

  it('a count of four billion allocates nothing', () => {
    const huge = Uint8Array.of(0xff, 0xff, 0xff, 0xff, 0, 0xb, 3, 0, 0, 0);
    expectRefusal('malformed', () => parsePcrSelection(huge));
    expectRefusal('malformed', () => parseDigestList(huge));
  });

  it('says where in the structure it stopped', () => {
    const refusal = expectRefusal('malformed', () => parsePublic(Uint8Array.of(0, 1, 0, 0x99)));
    expect(refusal.reason).toBe('TPMT_PUBLIC: unknown hash algorithm 0x99 at offset 4');
    expect(expectRefusal('malformed', () => parsePublic(Uint8Array.of(0, 1, 0))).detail).toEqual({
      structure: 'TPMT_PUBLIC',
      offset: 2,
    });
  });

  it('encoders refuse what does not fit', () => {
    expect(() => encodePcrSelection([{ bank: 'sha256', pcrs: [24] }])).toThrow(RangeError);
    expect(() => encodeDigestList(Array.from({ length: 9 }, () => new Uint8Array()))).toThrow(RangeError);
  });
});
