import { describe, expect, it } from 'vitest';
import { toHex } from '../../src/base/index.ts';
import { systemRandom } from '../../src/cli/random.ts';

describe('the machine’s randomness', () => {
  it('never gives a byte twice, across many pools', () => {
    const seen = new Set<string>();
    // Lengths that don't divide the pool: draws end and begin at every place of it.
    for (let i = 0; i < 3000; i++) {
      const drawn = toHex(systemRandom.bytes(13 + (i % 20)));
      expect(drawn).toHaveLength(2 * (13 + (i % 20)));
      // 8 bytes that come twice anywhere would be one chance in 10^11, or a pool that is read again.
      for (const at of [0, 2, 4, 6, 8, 10]) {
        const part = drawn.slice(at, at + 16);
        expect(seen.has(part)).toBe(false);
        seen.add(part);
      }
      expect(/^(?:00)+$/.test(drawn)).toBe(false);
    }
  });

  it('gives what is its receiver’s alone: changing it changes no later draw', () => {
    const one = systemRandom.bytes(32);
    expect(one.buffer.byteLength).toBe(32);
    expect(one.byteOffset).toBe(0);
  });

  it.each([0, 1, 255, 256, 257, 4096, 70_000])('gives %i bytes', (length) => {
    const drawn = systemRandom.bytes(length);
    expect(drawn).toHaveLength(length);
    if (length >= 255) expect(new Set(drawn).size).toBeGreaterThan(100);
  });

  it('refuses a length that is none, as the machine does', () => {
    for (const length of [-1, Number.NaN]) expect(() => systemRandom.bytes(length)).toThrow();
  });
});
