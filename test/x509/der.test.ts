import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Refusal, fromHex, toHex } from '../../src/base/index.ts';
import { DerReader, der, oidText } from '../../src/x509/index.ts';
import type { EncodingQuirk } from '../../src/x509/index.ts';
import { expectRefusal } from '../support/refusals.ts';

const read = (hex: string, allowed: EncodingQuirk[] = []) => {
  const leniency = { allowed: new Set(allowed), used: new Set<EncodingQuirk>() };
  return new DerReader(fromHex(hex), 'test', { leniency });
};

describe('DerReader', () => {
  it.each([
    ['indefinite length', '3080020101 0000', (r: DerReader) => r.sequence('x')],
    ['length not minimal, long form', '30810302010100', (r: DerReader) => r.sequence('x')],
    ['length not minimal, leading zero', `30820080${'00'.repeat(128)}`, (r: DerReader) => r.sequence('x')],
    ['length over 4 bytes', '308500000000010000', (r: DerReader) => r.sequence('x')],
    ['length past the end', '300502010100', (r: DerReader) => r.sequence('x')],
    ['length of 4 GiB', '3084ffffffff020101', (r: DerReader) => r.sequence('x')],
    ['multi-byte tag', '1f810103020101', (r: DerReader) => r.any()],
    ['another tag', '0201', (r: DerReader) => r.sequence('x')],
    ['nothing', '', (r: DerReader) => r.sequence('x')],
    ['empty INTEGER', '0200', (r: DerReader) => r.integer('x')],
    ['padded INTEGER', '0202007f', (r: DerReader) => r.integer('x')],
    ['padded negative INTEGER', '0202ff80', (r: DerReader) => r.integer('x')],
    ['negative where none may be', '0201ff', (r: DerReader) => r.smallInteger('x', 255)],
    ['integer over the limit', '02020100', (r: DerReader) => r.smallInteger('x', 255)],
    ['huge integer', `0209${'01'.repeat(9)}`, (r: DerReader) => r.smallInteger('x', 255)],
    ['BOOLEAN of two bytes', '0102ffff', (r: DerReader) => r.boolean('x')],
    ['BOOLEAN neither 00 nor FF', '010101', (r: DerReader) => r.boolean('x')],
    ['default value encoded', '010100', (r: DerReader) => r.defaultFalse('x')],
    ['BIT STRING without its first byte', '0300', (r: DerReader) => r.wholeBitString('x')],
    ['unused bits in bytes', '03020180', (r: DerReader) => r.wholeBitString('x')],
    ['more than 7 unused bits', '03020880', (r: DerReader) => r.namedBits('x')],
    ['unused bits of no byte', '030101', (r: DerReader) => r.namedBits('x')],
    ['unused bits that are set', '03020181', (r: DerReader) => r.namedBits('x')],
    ['trailing zero bits', '03020004', (r: DerReader) => r.namedBits('x')],
    ['OID without content', '0600', (r: DerReader) => r.oid('x')],
    ['OID that breaks off', '06022a86', (r: DerReader) => r.oid('x')],
    ['OID arc with padding', '06032a8001', (r: DerReader) => r.oid('x')],
    ['OID arc over 2^53', '060a2affffffffffffffff7f', (r: DerReader) => r.oid('x')],
    ['OID over 64 bytes', `0641${'01'.repeat(65)}`, (r: DerReader) => r.oid('x')],
  ])('refuses: %s', (_, hex, action) => {
    expectRefusal('malformed', () => action(read(hex.replaceAll(' ', ''))));
  });

  it('tolerates what is named, and says so', () => {
    const cases: [EncodingQuirk, string, (r: DerReader) => unknown, unknown][] = [
      ['non-minimal-length', '028101 05', (r) => r.smallInteger('x', 9), 5],
      ['non-minimal-integer', '0202007f', (r) => r.smallInteger('x', 255), 127],
      ['boolean-value', '010101', (r) => r.boolean('x'), true],
      ['explicit-default', '010100', (r) => r.defaultFalse('x'), false],
      ['named-bits', '03020004', (r) => r.namedBits('x'), [5]],
    ];
    for (const [quirk, hex, action, value] of cases) {
      const reader = read(hex.replaceAll(' ', ''), [quirk]);
      expect(action(reader)).toEqual(value);
      expect([...(reader.leniency?.used ?? [])]).toEqual([quirk]);
    }
  });

  it('ends by depth, not by the stack', () => {
    let bytes = new Uint8Array([5, 0]);
    for (let n = 0; n < 1000; n++) bytes = new Uint8Array(der.sequence(bytes));
    const descend = (reader: DerReader): void => {
      if (reader.nextTag === 0x30) descend(reader.sequence('x'));
    };
    expectRefusal('malformed', () => {
      descend(new DerReader(bytes, 'x'));
    });
  });

  it('refuses trailing elements and reports absolute offsets', () => {
    const reader = read('3006020101020102').sequence('pair');
    reader.integer('first');
    const refusal = expectRefusal('malformed', () => {
      reader.end();
    });
    expect(refusal.detail).toEqual({ structure: 'pair', offset: 5 });
  });
});

describe('object identifiers', () => {
  it.each([
    ['2a864886f70d01010b', '1.2.840.113549.1.1.11'],
    ['6781050801', '2.23.133.8.1'],
    ['883703', '2.999.3'],
    ['00', '0.0'],
    ['4f', '1.39'],
    ['50', '2.0'],
  ])('%s is %s', (hex, text) => {
    expect(oidText(fromHex(hex), 'x')).toBe(text);
    expect(toHex(der.oid(text)).slice(4)).toBe(hex);
  });
  it('refuses to encode what is none', () => {
    expect(() => der.oid('3.1')).toThrow(TypeError);
    expect(() => der.oid('1')).toThrow(TypeError);
  });
});

describe('writing and reading', () => {
  it('integers of any size come back', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
        const value = new DerReader(der.integer(bytes), 'x').integer('x');
        expect(BigInt(`0x0${toHex(value)}`)).toBe(BigInt(`0x0${toHex(bytes)}`));
      }),
    );
  });
  it('named bits come back', () => {
    fc.assert(
      fc.property(fc.uniqueArray(fc.integer({ min: 0, max: 40 }), { maxLength: 12 }), (bits) => {
        const sorted = [...bits].sort((a, b) => a - b);
        expect(new DerReader(der.namedBits(bits), 'x').namedBits('x')).toEqual(sorted);
      }),
    );
  });
  it('lengths of each form come back, byte for byte', () => {
    for (const length of [0, 127, 128, 255, 256, 65_535, 65_536]) {
      const bytes = der.octetString(new Uint8Array(length));
      const reader = new DerReader(bytes, 'x');
      expect(reader.any().raw).toEqual(bytes);
      reader.end();
    }
  });
  it('arbitrary bytes end in a value or a refusal', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
        try {
          new DerReader(bytes, 'x').sequence('x').any();
        } catch (error) {
          expect(error).toBeInstanceOf(Refusal);
        }
      }),
    );
  });
});

it('no other file of the folder takes bytes apart by hand', () => {
  const folder = path.resolve(import.meta.dirname, '../../src/x509');
  const files = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((file) =>
    file.endsWith('.ts'),
  );
  expect(files.length).toBeGreaterThan(15);
  for (const file of files) {
    expect(readFileSync(path.join(folder, file), 'utf8'), file).not.toMatch(/\.subarray\(|readUInt/);
  }
});
