import fc from 'fast-check';
import { describe, expect, expectTypeOf, it } from 'vitest';
import { utf8 } from '../../src/base/index.ts';
import {
  encodePcrSelection,
  formatPcrSelection,
  isSerializedPcrs,
  parsePcrSelection,
  parsePcrSelectionText,
  parsePcrValues,
  parsePlainPcrs,
  parseSerializedPcrs,
  pcrDigest,
  pcrValuesJson,
  samePcrSelection,
} from '../../src/tpm/index.ts';
import type { ClaimedPcrs, VerifiedPcrs, VerifiedQuote } from '../../src/tpm/index.ts';
import { expectRefusal } from '../support/refusals.ts';
import { serializedPcrs } from '../support/serialized-pcrs.ts';
import { pcrValue, valuesOf } from '../support/software-ak.ts';
import { anySelection, soundSelection } from './arbitraries.ts';

describe('selections as text', () => {
  it('read and write the form of tpm2-tools', () => {
    expect(parsePcrSelectionText('sha256:7,0,1+sha384:0')).toEqual([
      { bank: 'sha256', pcrs: [0, 1, 7] },
      { bank: 'sha384', pcrs: [0] },
    ]);
    expect(parsePcrSelectionText('sha1:all')[0]?.pcrs).toHaveLength(24);
    fc.assert(
      fc.property(soundSelection, (selection) => {
        expect(parsePcrSelectionText(formatPcrSelection(selection))).toEqual(selection);
        expect(parsePcrSelection(encodePcrSelection(selection))).toEqual(selection);
      }),
    );
  });

  it.each([
    '',
    'sha256',
    'sha256:',
    'sha256:,',
    'sha256:0,',
    'sha256:24',
    'sha256:100',
    'sha256:-1',
    'sha256:01',
    'sha256:0x1',
    'sha256:0-7',
    'sha256:0,0',
    'sha256: 0',
    'sha257:0',
    'SHA256:0',
    'toString:0',
    'sha256:0+',
    'sha256:0+sha256:1',
    'sha256:0:1',
  ])('"%s" is refused', (text) => {
    expectRefusal('malformed', () => parsePcrSelectionText(text));
  });

  it('are the same when they select the same, whatever the order of banks', () => {
    const a = parsePcrSelectionText('sha256:0,1+sha384:2');
    expect(samePcrSelection(a, parsePcrSelectionText('sha384:2+sha256:1,0'))).toBe(true);
    expect(samePcrSelection(a, parsePcrSelectionText('sha256:0,1+sha384:3'))).toBe(false);
    expect(samePcrSelection(a, parsePcrSelectionText('sha256:0,1'))).toBe(false);
    expect(samePcrSelection(a, [...a, { bank: 'sha1', pcrs: [] }])).toBe(false);
  });

  it('a bitmap has its bits in the TPM’s order', () => {
    const bytes = encodePcrSelection([{ bank: 'sha256', pcrs: [0, 9, 23] }]);
    expect([...bytes]).toEqual([0, 0, 0, 1, 0, 0x0b, 3, 0x01, 0x02, 0x80]);
  });
});

describe('pcrDigest', () => {
  it('depends on the order of banks', () => {
    const ab = parsePcrSelectionText('sha256:0+sha384:1');
    const ba = parsePcrSelectionText('sha384:1+sha256:0');
    expect(pcrDigest('sha256', ab, pcrValue)).not.toEqual(pcrDigest('sha256', ba, pcrValue));
  });

  it('of an unknown value can’t be made', () => {
    expect(() => pcrDigest('sha256', [{ bank: 'sha256', pcrs: [3] }], () => undefined)).toThrow(RangeError);
  });
});

describe('values as JSON', () => {
  const parse = (text: string): ClaimedPcrs => parsePcrValues(utf8(text));

  it('by bank and index, alone or in an answer', () => {
    const plain = parse('{"sha256":{"0":"00ff","23":"AA"},"sha1":{}}');
    expect(plain.get('sha256')).toEqual(
      new Map([
        [0, Uint8Array.of(0, 255)],
        [23, Uint8Array.of(0xaa)],
      ]),
    );
    expect(parse('{"ok":true,"pcrs":{"sha256":{"7":"01"}}}').get('sha256')?.get(7)).toEqual(Uint8Array.of(1));
  });

  it.each([
    '',
    '[]',
    '{',
    '{"sha999":{}}',
    '{"sha256":[]}',
    '{"sha256":null}',
    '{"sha256":{"0":1}}',
    '{"sha256":{"00":"aa"}}',
    '{"sha256":{"-1":"aa"}}',
    '{"sha256":{"1e1":"aa"}}',
    '{"sha256":{"0":"a"}}',
    '{"sha256":{"0":"0xaa"}}',
    '{"sha256":{"0":"aa","0":"bb"}}',
    '{"sha256":{"0":"aa"},"sha256":{"1":"bb"}}',
    '{"pcrs":null}',
    '{"__proto__":{"0":"aa"}}',
  ])('%s is refused', (text) => {
    expectRefusal('malformed', () => parse(text));
  });

  it('is written as it is read', () => {
    const values = [{ bank: 'sha256', index: 3, value: Uint8Array.of(1, 2) } as const];
    expect(pcrValuesJson(values)).toEqual({ sha256: { '3': '0102' } });
  });
});

describe('values as tpm2_quote writes them', () => {
  const one = parsePcrSelectionText('sha256:0');
  const digest = new Uint8Array(32).fill(7);
  const dump = serializedPcrs(one, [digest]);
  const changed = (at: number, value: number): Uint8Array => {
    const bytes = dump.slice();
    bytes[at] = value;
    return bytes;
  };

  it('are read in selection order', () => {
    expect(isSerializedPcrs(dump)).toBe(true);
    expect(parseSerializedPcrs(dump).get('sha256')?.get(0)).toEqual(digest);
    fc.assert(
      fc.property(soundSelection, (selection) => {
        const digests = selection.flatMap(({ bank, pcrs }) => pcrs.map((index) => pcrValue(bank, index)));
        expect(parseSerializedPcrs(serializedPcrs(selection, digests))).toEqual(valuesOf(selection));
      }),
    );
  });

  it('cut or with wrong counts are refused', () => {
    for (let length = 0; length < dump.length; length++) {
      expectRefusal('malformed', () => parseSerializedPcrs(dump.slice(0, length)));
    }
    expectRefusal('malformed', () => parseSerializedPcrs(Uint8Array.of(...dump, 0)));
    expectRefusal('malformed', () => parseSerializedPcrs(serializedPcrs(one, [])));
    expectRefusal('malformed', () => parseSerializedPcrs(serializedPcrs(one, [digest, digest])));
    expectRefusal('malformed', () => parseSerializedPcrs(serializedPcrs([...one, ...one], [digest, digest])));
    expectRefusal('malformed', () => parseSerializedPcrs(changed(0, 17))); // banks
    expect(isSerializedPcrs(changed(0, 17))).toBe(false);
    expectRefusal('malformed', () => parseSerializedPcrs(changed(4, 0x99))); // algorithm
    expectRefusal('malformed', () => parseSerializedPcrs(changed(6, 5))); // sizeofSelect
    expectRefusal('malformed', () => parseSerializedPcrs(changed(132, 2))); // lists
    expectRefusal('malformed', () => parseSerializedPcrs(changed(136, 9))); // digests in a list
    expectRefusal('malformed', () => parseSerializedPcrs(changed(140, 65))); // size of a digest
  });

  it('plain values have exactly the selection’s length', () => {
    const selection = parsePcrSelectionText('sha256:0+sha1:1');
    expect(parsePlainPcrs(new Uint8Array(52), selection).get('sha1')?.get(1)).toHaveLength(20);
    expectRefusal('malformed', () => parsePlainPcrs(new Uint8Array(51), selection));
    expectRefusal('malformed', () => parsePlainPcrs(new Uint8Array(53), selection));
    fc.assert(
      fc.property(anySelection, fc.uint8Array({ minLength: 1, maxLength: 19 }), (any, bytes) => {
        expectRefusal('malformed', () => parsePlainPcrs(new Uint8Array(bytes), any));
      }),
    );
  });
});

it('e23: what asks for verified values does not take claimed ones', () => {
  expectTypeOf<ClaimedPcrs>().not.toExtend<VerifiedPcrs>();
  expectTypeOf<Pick<VerifiedPcrs, keyof VerifiedPcrs>>().not.toExtend<VerifiedPcrs>();
  expectTypeOf<Pick<VerifiedQuote, keyof VerifiedQuote>>().not.toExtend<VerifiedQuote>();
});
