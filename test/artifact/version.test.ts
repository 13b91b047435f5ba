import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isVersion, parseTime, versionAtLeast } from '../../src/artifact/index.ts';

describe('versions', () => {
  // Semantic Versioning 2.0.0 §11's own order, and plain product numbers.
  const ordered = [
    '0.9',
    '1.0.0-alpha',
    '1.0.0-alpha.1',
    '1.0.0-alpha.beta',
    '1.0.0-beta',
    '1.0.0-beta.2',
    '1.0.0-beta.11',
    '1.0.0-rc.1',
    '1.0.0',
    '1.0.1',
    '1.2',
    '1.10',
    '2',
    '2.0.0.1',
    '10.0.0',
  ];

  it('are ordered by number, not by text', () => {
    for (const [i, a] of ordered.entries()) {
      for (const [j, b] of ordered.entries()) expect(versionAtLeast(a, b), `${a} ≥ ${b}`).toBe(i >= j);
    }
  });

  it('missing parts are zero, build metadata counts nothing', () => {
    expect(versionAtLeast('1', '1.0.0.0')).toBe(true);
    expect(versionAtLeast('1.0.0+a', '1.0.0+b')).toBe(true);
  });

  it.each([
    '',
    'latest',
    'v1.0',
    '1.',
    '.1',
    '1..2',
    '01',
    '1.02',
    '1.2.3.4.5',
    '1 ',
    '-1',
    '1.0.0-',
    '1.0.0-a..b',
    '9'.repeat(16),
    '1'.repeat(200),
  ])('%j is none, and never enough', (text) => {
    expect(isVersion(text)).toBe(false);
    expect(versionAtLeast(text, '0')).toBe(false);
    expect(versionAtLeast('99', text)).toBe(false);
  });

  it('comparison is total and antisymmetric', () => {
    const version = fc.stringMatching(
      /^(0|[1-9]\d{0,2})(\.(0|[1-9]\d{0,2})){0,3}(-[a-z0-9]{1,3}(\.[a-z0-9]{1,3})?)?$/,
    );
    fc.assert(
      fc.property(version, version, (a, b) => {
        fc.pre(isVersion(a) && isVersion(b));
        expect(versionAtLeast(a, b) || versionAtLeast(b, a)).toBe(true);
      }),
    );
  });
});

describe('times', () => {
  it('are RFC 3339 in UTC', () => {
    expect(parseTime('2026-11-22T20:00:00Z')).toBe(Date.UTC(2026, 10, 22, 20));
    expect(parseTime('2026-11-22T20:00:00.5Z')).toBe(Date.UTC(2026, 10, 22, 20, 0, 0, 500));
  });

  it.each([
    '2026-11-22',
    '2026-11-22T20:00:00',
    '2026-11-22T20:00:00+01:00',
    '2026-02-30T00:00:00Z',
    '2026-13-01T00:00:00Z',
    '2026-11-22T25:00:00Z',
    '+002026-11-22T20:00:00Z',
    'now',
  ])('%j is none', (text) => {
    expect(parseTime(text)).toBeUndefined();
  });
});
