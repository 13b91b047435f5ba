import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { bootDirectory } from '../support/boot-evidence.ts';
import { cli } from '../support/cli.ts';

const folder = mkdtempSync(path.join(tmpdir(), 'sealgate-evidence-'));
const references = path.join(folder, 'references.json');
afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

interface Answer {
  ok: boolean;
  denial: {
    check: string;
    code: string;
    stage: string;
    reason: string;
    detail: { failed?: { check: string }[] };
  } | null;
  unchecked: string[];
  quote: object | null;
  pcrs: object | null;
  eventLog: {
    matches: Record<string, Record<string, boolean>>;
    facts: { secureBoot?: object } | null;
  } | null;
  ima: {
    entries: number;
    consumed: number;
    violations: number;
    unknown: number | null;
    unknownFiles: object[];
  } | null;
  appraisal: { status: string; vector: object; checks: { id: string; ok: boolean }[] } | null;
}

async function verify(...argv: string[]): Promise<{ exit: number; answer: Answer }> {
  const { exit, stdout } = await cli('verify', 'evidence', ...argv, '--json');
  return { exit, answer: JSON.parse(stdout) as Answer };
}

/** A copy of a recorded boot's directory, to be changed. */
function copyOf(boot: string): string {
  const copy = mkdtempSync(path.join(folder, `${boot}-`));
  for (const file of [
    'quote.msg',
    'quote.sig',
    'ak.pub',
    'nonce.hex',
    'quoted_pcrs.json',
    'eventlog.bin',
    'ima_binary.bin',
  ]) {
    cpSync(path.join(bootDirectory(boot), file), path.join(copy, file));
  }
  return copy;
}

beforeAll(async () => {
  const { exit, stdout } = await cli(
    'policy',
    'learn',
    '--from',
    bootDirectory('secure-boot'),
    '-o',
    references,
    '--json',
  );
  expect(exit).toBe(0);
  const learned = JSON.parse(stdout) as { ok: boolean; warnings: string[] };
  expect(learned.warnings.join('\n')).toContain('violation tolerated');
  expect(learned.warnings.join('\n')).toContain('gateway-measured is not asked for');
});

describe('sealgate verify evidence', () => {
  it('verifies a recorded boot, and says what it could not check', async () => {
    const { exit, answer } = await verify('--dir', bootDirectory('secure-boot'));
    expect(exit).toBe(0);
    expect(answer).toMatchObject({
      ok: true,
      denial: null,
      appraisal: null,
      ima: { entries: 647, consumed: 647, violations: 2, unknown: null },
    });
    expect(answer.eventLog?.matches['sha256']?.['7']).toBe(true);
    expect(answer.eventLog?.facts?.secureBoot).toEqual({ enabled: true, enforced: true });
    expect(answer.unchecked).toEqual(['e2', 'e3', 'e15', 'e17', 'e18', 'e19', 'ima-files']);
  });

  it('refuses a log that replays to the quoted values and breaks a rule: a variable’s name is not what was hashed', async () => {
    const copy = copyOf('secure-boot');
    const file = path.join(copy, 'eventlog.bin');
    const log = readFileSync(file);
    const name = log.indexOf(Buffer.from('SecureBoot', 'utf16le'));
    expect(name).toBeGreaterThan(0);
    log.write('T', name, 'utf16le');
    writeFileSync(file, log);
    const { exit, answer } = await verify('--dir', copy);
    expect(answer.eventLog?.matches['sha256']?.['7']).toBe(true);
    expect(exit).toBe(1);
    expect(answer).toMatchObject({ ok: false, denial: { code: 'environment-integrity-failure' } });
    expect(answer.denial?.check).toMatch(/^f\d+$/);
  });

  it('affirms the golden host by what was learned from it', async () => {
    const { exit, answer } = await verify('--dir', bootDirectory('secure-boot'), '--references', references);
    expect(exit).toBe(0);
    expect(answer.appraisal).toMatchObject({
      status: 'affirming',
      vector: { executables: 3, configuration: 2, hardware: 2 },
    });
    expect(answer.ima).toMatchObject({ unknown: 0, unknownFiles: [] });
  });

  it('refuses another boot, first of all for its command line', async () => {
    const { exit, answer } = await verify(
      '--dir',
      bootDirectory('secure-boot-tampered-cmdline'),
      '--references',
      references,
    );
    expect(exit).toBe(1);
    expect(answer.denial).toMatchObject({
      stage: 'environment',
      code: 'environment-integrity-failure',
      check: 'command-line',
    });
    expect(answer.ima).toMatchObject({
      unknown: 1,
      unknownFiles: [{ path: '/usr/lib/x86_64-linux-gnu/libsepol.so.2' }],
    });
    const people = await cli(
      'verify',
      'evidence',
      '--dir',
      bootDirectory('secure-boot-tampered-cmdline'),
      '--references',
      references,
    );
    expect(people.exit).toBe(1);
    expect(people.stderr).toContain('added: apparmor=0');
    expect(people.stderr).toContain('[boot-file]');
  });

  it('without logs lists every PCR as unchecked; with references that need them it is a denial', async () => {
    const copy = copyOf('secure-boot');
    rmSync(path.join(copy, 'eventlog.bin'));
    const noLog = await verify('--dir', copy);
    expect(noLog.exit).toBe(0);
    expect(noLog.answer.unchecked).toEqual(expect.arrayContaining(['sha256:0', 'sha256:7', 'sha256:14']));
    expect(noLog.answer.unchecked).not.toContain('sha256:10');
    const needed = await verify('--dir', copy, '--references', references);
    expect(needed.exit).toBe(1);
    expect(needed.answer.denial?.check).toBe('no-event-log');
    rmSync(path.join(copy, 'ima_binary.bin'));
    expect((await verify('--dir', copy)).answer.unchecked).toContain('sha256:10');
  });

  it.each<[string, string, (bytes: Buffer) => Buffer, string]>([
    [
      'a log of another boot',
      'eventlog.bin',
      () => readFileSync(path.join(bootDirectory('plain-boot'), 'eventlog.bin')),
      'e24',
    ],
    [
      'a list of another boot',
      'ima_binary.bin',
      () => readFileSync(path.join(bootDirectory('plain-boot'), 'ima_binary.bin')),
      'ima-behind-quote',
    ],
    ['a truncated log', 'eventlog.bin', (bytes) => bytes.subarray(0, -1), 'malformed'],
    ['a truncated list', 'ima_binary.bin', (bytes) => bytes.subarray(0, -1), 'malformed'],
    ['an empty log', 'eventlog.bin', () => Buffer.alloc(0), 'no-event-log'],
    ['another nonce', 'nonce.hex', () => Buffer.from('00'.repeat(32)), 'e16'],
    [
      'PCR values of another boot',
      'quoted_pcrs.json',
      () => readFileSync(path.join(bootDirectory('plain-boot'), 'quoted_pcrs.json')),
      'e22',
    ],
    [
      'PCR values that are no JSON',
      'quoted_pcrs.json',
      () => Buffer.from('{"sha256":{"0":"00"}'),
      'malformed',
    ],
  ])('refuses %s', async (_name, file, change, check) => {
    const copy = copyOf('secure-boot');
    writeFileSync(path.join(copy, file), change(readFileSync(path.join(copy, file))));
    const { exit, answer } = await verify('--dir', copy);
    expect(exit).toBe(1);
    expect([
      answer.denial?.check,
      ...(answer.denial?.detail.failed ?? []).map((failed) => failed.check),
    ]).toContain(check);
  });

  it.each(['zz', 'abc', 'ab\0', ''])(
    'a nonce.hex that holds %j is content that doesn’t parse',
    async (text) => {
      const copy = copyOf('secure-boot');
      writeFileSync(path.join(copy, 'nonce.hex'), text);
      const { exit, answer } = await verify('--dir', copy);
      expect(exit).toBe(1);
      expect(answer.ok).toBe(false);
    },
  );

  it('wrong use is exit 2', async () => {
    expect((await verify()).exit).toBe(2);
    expect((await verify('--dir', path.join(folder, 'nowhere'))).exit).toBe(2);
    expect((await verify('--dir', bootDirectory('secure-boot'), '--attest', 'x')).exit).toBe(2);
    expect((await verify('--dir', bootDirectory('secure-boot'), '--quirk', 'nonsense')).exit).toBe(2);
  });

  it('references that are not references are refused', async () => {
    const file = path.join(folder, 'bad.json');
    writeFileSync(file, '{"version":1,"platform":"x"}');
    const { exit, answer } = await verify('--dir', bootDirectory('secure-boot'), '--references', file);
    expect(exit).toBe(1);
    expect(answer.denial).toMatchObject({ code: 'malformed-request', check: 'references-form' });
  });
});

describe('sealgate policy learn', () => {
  it('learns nothing from evidence that does not verify', async () => {
    const copy = copyOf('secure-boot');
    writeFileSync(path.join(copy, 'nonce.hex'), '00'.repeat(32));
    const { exit, stdout } = await cli(
      'policy',
      'learn',
      '--from',
      copy,
      '-o',
      path.join(folder, 'none.json'),
      '--json',
    );
    expect(exit).toBe(1);
    expect((JSON.parse(stdout) as Answer).denial?.check).toBe('e16');
  });

  it('takes a gateway manifest that is among the evidence, and then asks for it', async () => {
    const copy = copyOf('secure-boot');
    const libc = '/usr/lib/x86_64-linux-gnu/libc.so.6';
    const learned = JSON.parse(readFileSync(references, 'utf8')) as {
      ima: { rules: { files: Record<string, string[]> } };
    };
    const [digest = ''] = learned.ima.rules.files[libc] ?? [];
    writeFileSync(
      path.join(copy, 'sealgate.manifest.json'),
      JSON.stringify({ files: { [libc]: digest.replace('sha256:', '') } }),
    );
    const output = path.join(folder, 'with-gateway.json');
    expect((await cli('policy', 'learn', '--from', copy, '-o', output)).exit).toBe(0);
    expect((await verify('--dir', copy, '--references', output)).answer.appraisal?.checks).toContainEqual(
      expect.objectContaining({ id: 'gateway-measured', ok: true }),
    );
  });
});
