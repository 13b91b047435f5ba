import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import {
  agileEvent,
  boot,
  eventLogPath,
  readEventLog,
  readJson,
  sha1Event,
  specId,
} from '../../support/eventlogs.ts';
import { cli } from '../../support/cli.ts';
import { temporaryDirectory } from '../../support/temporary.ts';

interface Row {
  readonly file: string;
  readonly expect: string;
  readonly pcrsSha256?: Readonly<Record<string, string>>;
}
interface Answer {
  readonly ok: boolean;
  readonly denial: { readonly check: string; readonly stage: string } | null;
  readonly format?: string;
  readonly banks?: readonly string[];
  readonly events?: readonly Readonly<Record<string, unknown>>[];
  readonly pcrs?: Readonly<Record<string, Readonly<Record<string, string>>>>;
  readonly facts?: Readonly<Record<string, unknown>> & {
    readonly secureBoot?: { readonly enabled: boolean };
  };
  readonly problems?: readonly {
    readonly event: number | null;
    readonly rule: string;
    readonly reason: string;
  }[];
  readonly comparison?: Readonly<Record<string, unknown>>;
  readonly quirks?: readonly string[];
  readonly skippedBanks?: readonly string[];
}

const directory = temporaryDirectory();
const MANIFEST = readJson('generated/manifest.json') as readonly Row[];

function file(name: string, content: Uint8Array | string): string {
  const out = path.join(directory, name);
  writeFileSync(out, content);
  return out;
}

async function inspect(...argv: string[]): Promise<Answer & { exit: number }> {
  const { exit, stdout, stderr } = await cli('inspect', 'eventlog', ...argv, '--json');
  expect(stderr).toBe('');
  return { ...(JSON.parse(stdout) as Answer), exit };
}

describe('the generated logs: each row has the outcome that it states', () => {
  const generated = (row: Row): string => eventLogPath(`generated/${row.file}`);
  const pcrsFile = (row: Row): string =>
    file(`${row.file}.pcrs.json`, JSON.stringify({ sha256: row.pcrsSha256 }));

  it('are thirty', () => {
    expect(MANIFEST).toHaveLength(30);
  });

  it.each(MANIFEST.filter((row) => row.expect.startsWith('ACCEPT')))('$file: $expect', async (row) => {
    const argv = row.pcrsSha256 && Object.keys(row.pcrsSha256).length > 0 ? ['--pcrs', pcrsFile(row)] : [];
    const answer = await inspect(generated(row), ...argv);
    expect(answer).toMatchObject({ exit: 0, ok: true, denial: null, problems: [] });
    const stated = /secureBoot=(true|false)/.exec(row.expect)?.[1];
    if (stated !== undefined) expect(answer.facts?.secureBoot?.enabled).toBe(stated === 'true');
    if (row.expect.includes('2 EFI apps')) expect(answer.facts?.['bootApplications']).toHaveLength(2);
  });

  it.each(MANIFEST.filter((row) => row.expect.startsWith('REJECT')))('$file: $expect', async (row) => {
    // Rows that speak of PCRs are compared with them; the others break a rule of form or trust themselves.
    const argv = /PCRs|quoted/.test(row.expect) ? ['--pcrs', pcrsFile(row)] : [];
    const answer = await inspect(generated(row), ...argv);
    expect(answer).toMatchObject({ exit: 1, ok: false });
    expect(
      answer.facts?.secureBoot?.enabled === true && /PCR7|secure ?boot|siglist|db/i.test(row.expect),
    ).toBe(false);
    if (
      row.file !== 'evil-reordered.bin' &&
      answer.pcrs !== undefined &&
      Object.keys(row.pcrsSha256 ?? {}).length > 0
    )
      expect(answer.pcrs['sha256']).toEqual(withoutZeros(row.pcrsSha256 ?? {}));
  });

  it('evil-reordered.bin: the order is proven by its PCR', async () => {
    const row = MANIFEST.find((each) => each.file === 'evil-reordered.bin')!;
    const answer = await inspect(generated(row), '--pcrs', pcrsFile(row));
    expect(answer.problems?.some(({ rule, event }) => rule === 'e24' && event === null)).toBe(true);
  });

  it('evil-no-exit-boot-services.bin: EFI apps are unknown, and that is a fact', async () => {
    const answer = await inspect(eventLogPath('generated/evil-no-exit-boot-services.bin'));
    expect(answer).toMatchObject({ exit: 0, facts: { exitBootServices: false } });
    expect(answer.facts).not.toHaveProperty('bootApplications');
  });

  const withoutZeros = (pcrs: Readonly<Record<string, string>>): Record<string, string> =>
    Object.fromEntries(Object.entries(pcrs).filter(([, value]) => !/^0+$/.test(value)));
});

describe('inspect eventlog --json', () => {
  const secureBoot = eventLogPath('boots/secure-boot/eventlog.bin');
  const pcrs = eventLogPath('boots/secure-boot/pcrs.json');

  it('has the documented members', async () => {
    const answer = await inspect(secureBoot);
    expect(Object.keys(answer)).toEqual([
      'ok',
      'denial',
      'format',
      'banks',
      'events',
      'pcrs',
      'facts',
      'problems',
      'exit',
    ]);
    expect(answer).toMatchObject({
      format: 'crypto-agile',
      banks: ['sha1', 'sha256', 'sha384'],
      facts: { secureBoot: { enabled: true, enforced: true } },
    });
    expect(answer.events?.[9]).toEqual({
      index: 9,
      pcr: 7,
      type: 'EV_SEPARATOR',
      digests: {
        sha1: '9069ca78e7450a285173431b3e52c5c25299e473',
        sha256: 'df3f619804a92fdb4057192dc43dd748ea778adc52bc498ce80524c014b81119',
        sha384: expect.stringMatching(/^394341b7182cd227/) as string,
      },
      data: '00000000',
      size: 4,
      verified: 'digest',
    });
  });

  it('--bank: one bank only; one that the log lacks is refused, one that doesn’t exist is usage', async () => {
    const answer = await inspect(secureBoot, '--bank', 'sha384');
    expect(answer.banks).toEqual(['sha384']);
    expect(Object.keys(answer.pcrs ?? {})).toEqual(['sha384']);
    expect(Object.keys(answer.events?.[1]?.['digests'] ?? {})).toEqual(['sha384']);
    // debian-10 has a SHA-1 log: a policy of SHA-256 must refuse it.
    const debian = eventLogPath('go-tpm-tools/debian-10.bin');
    expect(await inspect(debian)).toMatchObject({ exit: 0, format: 'sha1', banks: ['sha1'] });
    expect(await inspect(debian, '--bank', 'sha256')).toMatchObject({ exit: 1, denial: { check: 'e24' } });
    expect((await cli('inspect', 'eventlog', secureBoot, '--bank', 'md5')).exit).toBe(2);
  });

  it('--pcrs: real values, all 24 PCRs of all banks', async () => {
    for (const name of ['secure-boot', 'plain-boot', 'secure-boot-tampered-cmdline']) {
      const answer = await inspect(
        eventLogPath(`boots/${name}/eventlog.bin`),
        '--pcrs',
        eventLogPath(`boots/${name}/pcrs.json`),
      );
      expect(answer).toMatchObject({ exit: 0, problems: [], comparison: { diverging: [], unexplained: [] } });
    }
  });

  it('--pcrs: a value of a PCR that no TPM has is not passed over', async () => {
    const real = JSON.parse(readFileSync(pcrs, 'utf8')) as { sha256: Record<string, string> };
    const values = file('pcr-24.json', JSON.stringify({ sha256: { ...real.sha256, 24: 'ab'.repeat(32) } }));
    expect(await inspect(secureBoot, '--pcrs', values)).toMatchObject({
      exit: 1,
      denial: { check: 'e24', reason: 'there is no PCR 24' },
    });
  });

  it('--pcrs: a mismatch is exit 1, its facts are left out, the others stay', async () => {
    const answer = await inspect(
      eventLogPath('boots/secure-boot-tampered-cmdline/eventlog.bin'),
      '--pcrs',
      pcrs,
      '--bank',
      'sha256',
    );
    expect(answer).toMatchObject({ exit: 1, denial: { check: 'e24', stage: 'environment' } });
    expect(answer.problems?.map(({ rule }) => rule)).toEqual(['e24', 'e24']);
    expect(answer.facts).not.toHaveProperty('kernelCommandLine');
    expect(answer.facts).toHaveProperty('secureBoot');
    expect(answer.comparison).toMatchObject({ matches: { sha256: { 7: true, 8: false, 9: false } } });
  });

  it('--pcrs: nothing to compare with is no agreement', async () => {
    expect(await inspect(secureBoot, '--pcrs', file('none.json', '{"sha256":{}}'))).toMatchObject({
      exit: 1,
      denial: { check: 'e24' },
    });
    expect(await inspect(secureBoot, '--pcrs', pcrs, '--bank', 'sha1')).toMatchObject({ exit: 0 });
    expect(await inspect(secureBoot, '--pcrs', file('bad.json', '{"sha256":{"0":1}}'))).toMatchObject({
      exit: 1,
      denial: { check: 'malformed' },
    });
  });

  it('ebs_event_missing: PCR 5 is not what the log gives, the events of ExitBootServices are missing', async () => {
    const values = file(
      'ebs.json',
      JSON.stringify({ sha1: { 5: '31245808d6d35849bc394f6343f2b3ff908ed5e3' } }),
    );
    const log = eventLogPath('go-attestation/ebs_event_missing_eventlog');
    expect(await inspect(log)).toMatchObject({ exit: 0 });
    const answer = await inspect(log, '--pcrs', values);
    expect(answer).toMatchObject({ exit: 1, denial: { check: 'e24' } });
    expect(answer.comparison).toMatchObject({
      diverging: [{ pcr: 5, hint: 'log-ends-before-exit-boot-services' }],
    });
  });

  it('short_no_action parses', async () => {
    expect(await inspect(eventLogPath('go-attestation/short_no_action_eventlog'))).toMatchObject({
      exit: 0,
      pcrs: { sha1: {} },
    });
  });

  it('pcrs are printed whenever the log parses', async () => {
    const answer = await inspect(eventLogPath('go-tpm-tools/arch-linux-workstation.bin'));
    expect(answer).toMatchObject({ exit: 1, denial: { check: 'f6' } });
    expect(Object.keys(answer.pcrs?.['sha256'] ?? {})).toHaveLength(9);
    expect(answer.facts).not.toHaveProperty('secureBoot');
  });

  it('quirks are named, listed and shown in the answer', async () => {
    const arch = eventLogPath('go-tpm-tools/arch-linux-workstation.bin');
    const answer = await inspect(
      arch,
      '--quirk',
      'empty-secure-boot-variable',
      '--quirk',
      'unbounded-boot-applications',
    );
    expect(answer).toMatchObject({
      exit: 0,
      quirks: ['empty-secure-boot-variable', 'unbounded-boot-applications'],
    });
    expect(answer.facts?.['bootApplications']).toHaveLength(2);
    expect((await cli('inspect', 'eventlog', arch, '--quirk', 'anything')).exit).toBe(2);
    expect((await cli('inspect', 'eventlog', '--help')).stdout).toContain('multiple-boot-attempts');
    const ccel = eventLogPath('go-eventlog/event_log.bin');
    expect((await inspect(ccel)).exit).toBe(1);
    expect((await inspect(ccel, '--quirk', 'ccel-padding')).pcrs).toHaveProperty('sha384');
  });

  it('says which banks it skipped, and refuses a log of unknown ones only', async () => {
    const log = (algorithms: readonly (readonly [number, number])[]): Uint8Array => {
      const digests = algorithms.map(([id, size]) => [id, Buffer.alloc(size)] as const);
      return Buffer.concat([
        sha1Event(0, 3, specId(algorithms)),
        agileEvent(6, 3, digests, new Uint8Array()),
      ]);
    };
    const both = file(
      'both.bin',
      log([
        [0x12, 32],
        [0x0b, 32],
      ]),
    );
    expect(await inspect(both)).toMatchObject({ exit: 0, banks: ['sha256'], skippedBanks: ['0x12'] });
    expect(await inspect(file('sm3.bin', log([[0x12, 32]])))).toMatchObject({
      exit: 1,
      denial: { check: 'e24' },
    });
  });

  it('refuses what is no log with exactly one document', async () => {
    expect(await inspect(file('empty.bin', ''))).toMatchObject({
      exit: 1,
      denial: { check: 'no-event-log' },
    });
    expect(await inspect(file('text.bin', 'not an event log at all, but some text'))).toMatchObject({
      exit: 1,
      denial: { check: 'malformed' },
    });
    expect((await cli('inspect', 'eventlog', path.join(directory, 'absent'))).exit).toBe(2);
  });

  it('escapes control and bidi characters of event data', async () => {
    const data = Buffer.from('grub_cmd: echo \u001b[2J\u202egnp\0', 'utf8');
    const { createHash } = await import('node:crypto');
    const digest = createHash('sha256').update(data.subarray(10, -1)).digest();
    const answer = await inspect(file('bidi.bin', boot({ command: [{ pcr: 8, type: 13, data, digest }] })));
    expect(answer.exit).toBe(0);
    expect(answer.events?.[19]?.['data']).toBe('grub_cmd: echo \\u{1b}[2J\\u{202e}gnp');
  });

  it('describes every event of every log without failing', async () => {
    for (const name of [
      'go-attestation/option_rom_eventlog',
      'tpm2-tools/event-sd-boot-fedora37.bin',
      'go-tpm-tools/eventlogwithsp800155.bin',
    ]) {
      const { events } = await inspect(eventLogPath(name));
      expect(events).toHaveLength(readEventLog(name).length > 70_000 ? 61 : events!.length);
      for (const event of events ?? []) expect(event['data']).not.toMatch(/\p{Cc}/u);
    }
    const tagged = await inspect(eventLogPath('boots/plain-boot/eventlog.bin'));
    expect(tagged.events?.map(({ data }) => data)).toEqual(
      expect.arrayContaining([
        'tag 0x8f3b22ec: Linux initrd',
        'Spec ID Event03, digests 0x0004 0x000b 0x000c',
        '.linux',
      ]),
    );
    const locality = await inspect(eventLogPath('go-tpm-tools/glinux-alex.bin'));
    expect(locality.events?.[1]?.['data']).toBe('StartupLocality 3');
  });
});

describe('inspect eventlog for people', () => {
  it.each([
    [
      'secure-boot',
      ['boots/secure-boot/eventlog.bin', '--bank', 'sha256', '--pcrs', 'boots/secure-boot/pcrs.json'],
      0,
    ],
    ['debug-mode', ['generated/evil-debug-mode.bin'], 1],
    [
      'tampered',
      [
        'boots/secure-boot-tampered-cmdline/eventlog.bin',
        '--bank',
        'sha256',
        '--pcrs',
        'boots/secure-boot/pcrs.json',
      ],
      1,
    ],
  ] as const)('%s: table and summary as they were reviewed', async (name, argv, exit) => {
    const paths = argv.map((argument) => (argument.includes('/') ? eventLogPath(argument) : argument));
    const result = await cli('inspect', 'eventlog', ...paths);
    expect(result.exit).toBe(exit);
    expect(`${result.stdout}${result.stderr}`).toBe(readFileSync(eventLogPath(`golden/${name}.txt`), 'utf8'));
  });
});
