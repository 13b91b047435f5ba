import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { cli } from '../support/cli.ts';
import { bootAggregate, file, listOf, violation } from '../support/ima.ts';
import { temporaryDirectory } from '../support/temporary.ts';

const DATA = path.resolve(import.meta.dirname, '../data');
const folder = temporaryDirectory();

/** A file with these bytes. */
function written(name: string, bytes: Uint8Array): string {
  const target = path.join(folder, name);
  writeFileSync(target, bytes);
  return target;
}

const json = async (...argv: string[]): Promise<{ exit: number; answer: Record<string, unknown> }> => {
  const { exit, stdout } = await cli('inspect', 'ima', ...argv, '--json');
  return { exit, answer: JSON.parse(stdout) as Record<string, unknown> };
};

describe('sealgate inspect ima', () => {
  it('answers exactly what is documented', async () => {
    const { exit, answer } = await json(path.join(DATA, 'boots/secure-boot/ima_binary.bin'));
    expect(exit).toBe(0);
    expect(answer).toEqual({
      entries: 647,
      templates: { 'ima-ng': 647 },
      violations: 2,
      bootAggregate: 'aca1444af479fcee67a30ae7b96b9e333b0139f2c517c252050136eed0e254a7',
      pcrs: {
        sha1: { 10: '3b13ac5f1a83c4c57e231068e8acef3654d2bcec' },
        sha256: { 10: '91406994fa7c7602e497a64f2878d4a28341f8c69ae8a203c52a7ca8191f0b3c' },
      },
    });
  });

  it('reads the ascii form and says what that is worth', async () => {
    const binary = await json(path.join(DATA, 'boots/plain-boot/ima_binary.bin'));
    const ascii = await json(path.join(DATA, 'boots/plain-boot/ima_ascii.txt'));
    expect(ascii.answer).toMatchObject({ ...binary.answer, format: 'ascii' });
    expect(ascii.answer['note']).toContain('no evidence');
    const { stdout } = await cli('inspect', 'ima', path.join(DATA, 'boots/plain-boot/ima_ascii.txt'));
    expect(stdout).toContain('no evidence');
  });

  it('shows people the same', async () => {
    const list = written('small.bin', listOf([bootAggregate(), file('/a', 'a'), violation('/b')]));
    const { exit, stdout, stderr } = await cli('inspect', 'ima', list);
    expect([exit, stderr]).toEqual([0, '']);
    expect(stdout).toMatch(
      /^entries +3\n {2}ima-ng +3\nviolations +1\nboot_aggregate +[0-9a-f]{64}\nPCR 10 sha1 +/,
    );
    expect((await cli('inspect', 'ima', written('none.bin', file('/a', 'a').bytes))).stdout).toMatch(
      /boot_aggregate +none/,
    );
  });

  it.each<[string, Uint8Array, string, number]>([
    [
      'a stray byte',
      new Uint8Array([...bootAggregate().bytes, 0]),
      'malformed-request',
      bootAggregate().bytes.length,
    ],
    ['an empty file', new Uint8Array(), 'malformed-request', 0],
    ['something else', new Uint8Array(100).fill(0xff), 'malformed-request', 4],
    ['a line that is none', Buffer.from('10 x\n'), 'malformed-request', 0],
  ])('refuses %s', async (_what, bytes, code, offset) => {
    const { exit, answer } = await json(written('bad.bin', bytes));
    expect(exit).toBe(1);
    expect(answer).toMatchObject({ ok: false, denial: { code, detail: { offset } } });
  });

  it('refuses an altered list', async () => {
    const altered = bootAggregate().bytes.slice();
    altered[60] = (altered[60] ?? 0) ^ 1;
    const { exit, answer } = await json(written('altered.bin', altered));
    expect(exit).toBe(1);
    expect(answer).toMatchObject({
      denial: { check: 'ima-template-digest', code: 'environment-integrity-failure' },
    });
  });

  it('can’t open what isn’t there', async () => {
    expect((await json(path.join(folder, 'missing'))).exit).toBe(2);
    expect((await json(folder)).exit).toBe(2);
    expect((await cli('inspect', 'ima')).exit).toBe(2);
  });

  it('explains itself with an example', async () => {
    const { exit, stdout } = await cli('inspect', 'ima', '--help');
    expect(exit).toBe(0);
    expect(stdout).toContain('sealgate inspect ima /sys/kernel/security/ima/binary_runtime_measurements');
  });
});
