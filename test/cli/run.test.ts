import { describe, expect, it } from 'vitest';
import { table, printable, safeJson } from '../../src/cli/output.ts';
import { cli } from '../support/cli.ts';

describe('sealgate', () => {
  it('prints help and exits 0', async () => {
    const { exit, stdout } = await cli('--help');
    expect(exit).toBe(0);
    expect(stdout).toContain('Usage: sealgate');
  });

  it.each([['--no-such-flag'], ['no-such-command'], ['verify', 'quote', '--attest', '/no/such/file']])(
    'wrong use is exit 2 (%s …)',
    async (...argv) => {
      const people = await cli(...argv);
      expect(people.exit).toBe(2);
      expect(people.stdout).toBe('');
      expect(people.stderr).not.toBe('');
      const json = await cli(...argv, '--json');
      expect(json.exit).toBe(2);
      expect(JSON.parse(json.stdout)).toMatchObject({ ok: false, denial: null });
    },
  );
});

describe('output', () => {
  it('makes foreign text harmless', () => {
    expect(printable('a\u001b[31m\u202eb\n\u0007é')).toBe('a\\u{1b}[31m\\u{202e}b\\u{a}\\u{7}é');
  });

  it('writes JSON whose text shows nothing that reorders or hides it, with the same values', () => {
    const value = { 'na\u202eme': 'a\u001b[31m\u202eb\u2066\u009b\u007f\u{e0001}\u2028é日' };
    const json = safeJson(value);
    expect(JSON.parse(json)).toEqual(value);
    expect(json).toBe('{"na\\u202eme":"a\\u001b[31m\\u202eb\\u2066\\u009b\\u007f\\udb40\\udc01\\u2028é日"}');
  });

  it('aligns columns', () => {
    expect(
      table([
        ['a', 'bb'],
        ['ccc', 'd'],
      ]),
    ).toBe('a    bb\nccc  d\n');
  });
});
