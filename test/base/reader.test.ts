import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Reader, Writer, concat } from '../../src/base/index.ts';
import { expectRefusal } from '../support/refusals.ts';

const bytes = (...values: number[]): Uint8Array => Uint8Array.from(values);

describe('Reader', () => {
  it('reads both byte orders', () => {
    const r = new Reader(bytes(1, 0, 2, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 4), 'X');
    expect([r.u8(), r.u16(), r.u32(), r.u64()]).toEqual([1, 2, 3, 4n]);
    r.end();
    const le = new Reader(bytes(2, 0, 3, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0), 'X');
    expect([le.u16le(), le.u32le(), le.u64le()]).toEqual([2, 3, 4n]);
    le.end();
  });

  it('refuses short input with structure and offset', () => {
    const r = new Reader(bytes(0, 5, 1), 'TPM2B_X', 10);
    const refusal = expectRefusal('malformed', () => r.sized16());
    expect(refusal.detail).toEqual({ structure: 'TPM2B_X', offset: 12 });
  });

  it('refuses trailing bytes', () => {
    const r = new Reader(bytes(0, 1), 'X');
    r.u8();
    expect(
      expectRefusal('malformed', () => {
        r.end();
      }).reason,
    ).toContain('1 trailing');
  });

  it.each([-1, 1.5, Number.NaN, 2 ** 53, Infinity])('refuses the impossible length %s', (length) => {
    expectRefusal('malformed', () => new Reader(bytes(1, 2), 'X').bytes(length));
  });

  it('refuses a sized buffer over its limit before reading it', () => {
    expectRefusal('malformed', () => new Reader(bytes(0, 3, 1, 2, 3), 'X').sized16(2));
  });

  it('reports absolute offsets from nested readers and keeps them in their bounds', () => {
    const r = new Reader(bytes(9, 9, 1, 2, 3), 'OUTER');
    r.u16();
    const inner = r.nested(2, 'INNER');
    inner.u16();
    expect(expectRefusal('malformed', () => inner.u8()).detail).toEqual({ structure: 'INNER', offset: 4 });
    expect(r.peek(2)).toBeUndefined();
    expect(r.peek(1)).toEqual(bytes(3));
    expect(r.rest()).toEqual(bytes(3));
    expect(r.consumed()).toEqual(bytes(9, 9, 1, 2, 3));
  });

  it('hands out views, not copies', () => {
    const buffer = bytes(1, 2, 3);
    expect(new Reader(buffer, 'X').bytes(2).buffer).toBe(buffer.buffer);
  });

  it('reads what Writer wrote', () => {
    const u8 = fc.integer({ min: 0, max: 0xff });
    const u16 = fc.integer({ min: 0, max: 0xffff });
    const u32 = fc.integer({ min: 0, max: 0xffffffff });
    const u64 = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
    fc.assert(
      fc.property(u8, u16, u32, u64, fc.uint8Array({ maxLength: 300 }), (a, b, c, d, e) => {
        const r = new Reader(new Writer().u8(a).u16(b).u32(c).u64(d).sized16(e).finish(), 'X');
        expect([r.u8(), r.u16(), r.u32(), r.u64(), r.sized16()]).toEqual([a, b, c, d, e]);
        r.end();
      }),
    );
  });
});

describe('Writer', () => {
  it.each([
    ['u8', 256],
    ['u8', -1],
    ['u8', 0.5],
    ['u16', 65536],
    ['u32', 2 ** 32],
    ['u32', Number.NaN],
  ] as const)('%s refuses %s', (method, value) => {
    expect(() => new Writer()[method](value)).toThrow(RangeError);
  });

  it('refuses a u64 out of range and a buffer over 65535 bytes', () => {
    expect(() => new Writer().u64(2n ** 64n)).toThrow(RangeError);
    expect(() => new Writer().u64(-1n)).toThrow(RangeError);
    expect(() => new Writer().sized16(new Uint8Array(65536))).toThrow(RangeError);
  });

  it('counts and joins', () => {
    const w = new Writer().u8(1).bytes(bytes(2, 3));
    expect(w.length).toBe(3);
    expect(w.finish()).toEqual(concat([bytes(1), bytes(2, 3)]));
  });
});
