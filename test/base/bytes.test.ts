import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  equalBytes,
  fromBase64,
  fromBase64url,
  fromHex,
  fromUtf8,
  toBase64,
  toBase64url,
  toHex,
  utf8,
} from '../../src/base/index.ts';
import { expectRefusal } from '../support/refusals.ts';

describe('text codecs', () => {
  it('round trip', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (data) => {
        expect(fromHex(toHex(data))).toEqual(data);
        expect(fromBase64url(toBase64url(data))).toEqual(data);
        expect(fromBase64(toBase64(data))).toEqual(data);
      }),
    );
  });

  // Node's Buffer accepts every one of these silently.
  it.each(['a', 'zz', '0x00', 'aa ', ' aa', 'aabbc'])('hex refuses %j', (text) => {
    expectRefusal('malformed', () => fromHex(text));
  });
  it.each(['AA==', 'A A', 'AB', 'A', 'AA\n', '+/+/', 'AA!A'])('base64url refuses %j', (text) => {
    expectRefusal('malformed', () => fromBase64url(text));
  });
  it.each(['AA', 'AA=', 'AB==', '-_-_', 'AAAA\n', 'AA==AA=='])('base64 refuses %j', (text) => {
    expectRefusal('malformed', () => fromBase64(text));
  });

  it('UTF-8 is strict both ways', () => {
    expect(fromUtf8(utf8('é€😀'), 'X')).toBe('é€😀');
    expect(fromUtf8(Uint8Array.of(0xef, 0xbb, 0xbf, 0x61), 'X')).toBe('\ufeffa');
    expectRefusal('malformed', () => fromUtf8(Uint8Array.of(0xc0, 0x80), 'X'));
    expect(() => utf8('\ud800')).toThrow(TypeError);
  });

  it('equalBytes compares content and length', () => {
    expect(equalBytes(Uint8Array.of(1, 2), Uint8Array.of(1, 2))).toBe(true);
    expect(equalBytes(Uint8Array.of(1, 2), Uint8Array.of(1, 3))).toBe(false);
    expect(equalBytes(Uint8Array.of(1, 2), Uint8Array.of(1))).toBe(false);
  });
});
