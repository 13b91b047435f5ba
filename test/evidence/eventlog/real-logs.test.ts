import { describe, expect, it } from 'vitest';
import { toHex } from '../../../src/base/index.ts';
import { interpretEventLog, parseEventLog, replayEventLog } from '../../../src/evidence/index.ts';
import type { ClaimedFacts, Interpretation } from '../../../src/evidence/index.ts';
import type { HashName } from '../../../src/tpm/index.ts';
import { readEventLog, readJson } from '../../support/eventlogs.ts';
import { expectRefusal } from '../../support/refusals.ts';

type Pcrs = Readonly<Record<string, Readonly<Record<string, string>>>>;

/** What independent programs found (test/data/eventlogs/expected.json). */
interface Expected {
  readonly format: string;
  readonly banks: readonly string[];
  readonly secureBoot: boolean | null;
  readonly authorityPre: number;
  readonly authorityPost: number;
  readonly exitBootServices: boolean;
  readonly replayedPcrs: Pcrs;
  /** PCRs that go-tpm-tools asserts for this machine. */
  readonly assertedPcrs?: Pcrs;
  readonly assertedEfiApps?: Readonly<Partial<Record<HashName, readonly string[]>>>;
}

const EXPECTED = readJson('expected.json') as Readonly<Record<string, Expected>>;

/** Logs that break rules, and which: everything else is sound. */
const f5 = (times: number): string[] => Array<string>(times).fill('f5');
const BROKEN: Readonly<Record<string, readonly string[]>> = {
  // SecureBoot of length 0: firmware that has no secure boot, or has it off.
  'go-tpm-tools/arch-linux-workstation.bin': ['f6'],
  'go-attestation/crypto_agile_eventlog': ['f6'],
  'tpm2-tools/event-sd-boot-fedora37.bin': ['f6'],
  'tpm2-tools/event-uefi-sha1-log.bin': ['f6'],
  'tpm2-tss/binary_measurements_nuc.b64': ['f6'],
  'tpm2-tss/binary_measurements_pc_client.b64': ['f6'],
  // Google's early vTPM firmware measured a separator into PCR 7 only.
  'go-attestation/sb_cert_eventlog': f5(7),
  'go-attestation/windows_gcp_shielded_vm.json': f5(7),
  // TPM 1.2: variables hashed by their value alone.
  'go-eventlog/linux_tpm12.json': ['f2', 'f2', 'f2', 'f2', 'f2'],
  // One event each; the first two miss digests that they declare.
  'tpm2-tools/event-uefiaction.bin': ['f', ...f5(8)],
  'tpm2-tools/event-uefivar.bin': ['f', ...f5(8), 'f6', 'f6', 'f6', 'f6'],
  'tpm2-tools/event-uefiservices.bin': f5(8),
  'tpm2-tools/event.bin': f5(8),
};
/** Not logs of a TPM: measurement registers of TDX under PCR indices 1–4. */
const CCEL = new Set([
  'go-eventlog/CCEL_unpadded.data.bin',
  'go-eventlog/cos-113-intel-tdx-dupe-separator-unpadded.bin',
  'go-eventlog/event_log.bin',
]);

const interpret = (name: string): Interpretation => {
  const log = parseEventLog(readEventLog(name), new Set(['ccel-padding'] as const));
  return interpretEventLog(log, log.banks);
};

const facts = (name: string): ClaimedFacts => interpret(name).facts;

describe.each(Object.entries(EXPECTED))('%s', (name, expected) => {
  const log = parseEventLog(readEventLog(name), new Set(['ccel-padding'] as const));
  const replayed = (bank: HashName): Record<string, string> =>
    Object.fromEntries([...replayEventLog(log, bank)].map(([pcr, value]) => [String(pcr), toHex(value)]));

  it('replays to its PCRs in every bank', () => {
    expect(log.format).toBe(expected.format);
    expect(log.banks).toEqual(expected.banks);
    for (const bank of log.banks) expect(replayed(bank)).toEqual(expected.replayedPcrs[bank]);
    for (const [bank, values] of Object.entries(expected.assertedPcrs ?? {}))
      expect(replayed(bank as HashName)).toMatchObject(values);
  });

  if (CCEL.has(name)) return;
  it('breaks the rules that it is known to break, and no other', () => {
    expect(interpret(name).problems.map(({ rule }) => rule)).toEqual(BROKEN[name] ?? []);
  });

  if (BROKEN[name]?.some((rule) => rule === 'f6' || rule === 'f2')) return;
  it('has the facts that others found', () => {
    const found = facts(name);
    const { secureBoot, exitBootServices, authorityPre, authorityPost } = expected;
    expect(found.secureBoot?.enabled).toBe(secureBoot ?? undefined);
    if (found.authorities !== undefined) expect(found.authorities).toHaveLength(authorityPre + authorityPost);
    if (found.exitBootServices !== undefined) expect(found.exitBootServices).toBe(exitBootServices);
    const asserted = Object.entries(expected.assertedEfiApps ?? {}) as [HashName, readonly string[]][];
    for (const [bank, apps] of asserted) {
      // f9: unknown where no ExitBootServices was measured, as upstream notes for the same log.
      if (!exitBootServices) expect(found).not.toHaveProperty('bootApplications');
      else expect(found.bootApplications?.map(({ digests }) => digests[bank])).toEqual(apps);
    }
  });
});

describe('single real machines', () => {
  it('glinux: startup locality 3, secure boot off, no GRUB', () => {
    const found = facts('go-tpm-tools/glinux-alex.bin');
    expect(found.secureBoot).toEqual({ enabled: false, enforced: false });
    expect(found).toMatchObject({ grubCommands: [], kernelCommandLine: [], exitBootServices: false });
    expect(found.bootOrder).toEqual(['0001', '0002', '0003', '0006', '0007']);
    expect(found.bootVariables?.map(({ name }) => name)).toEqual([
      'Boot0001',
      'Boot0002',
      'Boot0003',
      'Boot0006',
      'Boot0007',
    ]);
  });

  it('ubuntu without dbx: an empty list is no error', () => {
    expect(facts('go-tpm-tools/ubuntu-2104-no-dbx.bin').dbx).toEqual({
      certificates: [],
      hashes: [],
      others: 0,
    });
  });

  it('sb_cert: three authorities although old shim logged two of them wrongly', () => {
    const { facts: found, ties } = interpret('go-attestation/sb_cert_eventlog');
    expect(found.secureBoot).toEqual({ enabled: true, enforced: true });
    expect(found.authorities?.map(({ variable, kind }) => `${variable} ${kind}`)).toEqual([
      'db certificate',
      'Shim certificate',
      'Shim certificate',
    ]);
    expect(ties.filter((tie) => tie === 'rule:old-shim-authority')).toHaveLength(2);
  });

  it('option_rom: a driver in PCR 2, and a digest in an EV_NO_ACTION of no PCR', () => {
    expect(facts('go-attestation/option_rom_eventlog').drivers).toHaveLength(1);
  });

  it('windows: parses, replays, secure boot on; separators in PCR 12–14 are its own', () => {
    expect(facts('go-attestation/windows_gcp_shielded_vm.json').secureBoot).toEqual({
      enabled: true,
      enforced: true,
    });
  });

  it('rhel8 and Debian: the text behind GRUB’s labels, old and new', () => {
    expect(facts('go-tpm-tools/rhel8-uefi.bin').kernelCommandLine).toEqual([
      expect.stringMatching(/^\(hd0,gpt2\)\/boot\/vmlinuz-4\.18\.0-240\.22\.1\.el8_3\.x86_64 root=UUID=/),
    ]);
    expect(facts('go-tpm-tools/debian-10.bin').secureBoot).toEqual({ enabled: true, enforced: true });
    expect(facts('go-tpm-tools/cos-93-amd-sev.bin').firmware?.versions[0]).toBe('GCE Virtual Firmware v1');
  });

  it('fedora37: systemd-stub’s command line in PCR 12, said twice', () => {
    const log = parseEventLog(readEventLog('tpm2-tools/event-sd-boot-fedora37.bin'));
    const { facts: found, problems } = interpretEventLog(
      log,
      log.banks,
      new Set(['empty-secure-boot-variable'] as const),
    );
    expect(problems).toEqual([]);
    expect(found.kernelCommandLine).toEqual([' console=ttyS0 console=tty0 efi=debug ']);
    expect(found.secureBoot?.enabled).toBe(false);
    expect(found.bootFiles).toHaveLength(1);
  });

  it('arch: systemd-boot’s command line in PCR 8 with half a NUL', () => {
    const log = parseEventLog(readEventLog('go-tpm-tools/arch-linux-workstation.bin'));
    const {
      facts: found,
      problems,
      ties,
    } = interpretEventLog(log, log.banks, new Set(['empty-secure-boot-variable'] as const));
    expect(problems).toEqual([]);
    expect(found.kernelCommandLine).toEqual([
      expect.stringMatching(/^initrd=\\intel-ucode\.img .*l1tf=off$/),
    ]);
    expect(ties.at(-1)).toBe('rule:systemd-boot');
  });

  it('the three boots of Debian guests', () => {
    const good = facts('boots/secure-boot/eventlog.bin');
    const tampered = facts('boots/secure-boot-tampered-cmdline/eventlog.bin');
    expect(good.secureBoot).toEqual({ enabled: true, enforced: true });
    expect(good.sbatLevel).toBe('sbat,1,2025021800\nshim,4\ngrub,5\n');
    expect(good.kernelCommandLine).toEqual([
      '/boot/vmlinuz-6.1.0-56-amd64 root=/dev/vda2 ro console=ttyS0 ima_policy=tcb ima_template=ima-ng ima_hash=sha256',
    ]);
    expect(tampered.kernelCommandLine).not.toEqual(good.kernelCommandLine);
    const plain = facts('boots/plain-boot/eventlog.bin');
    expect(plain.secureBoot?.enabled).toBe(false);
    expect(plain.unifiedKernelImage?.sections.map(({ name }) => name)).toEqual([
      '.linux',
      '.osrel',
      '.cmdline',
      '.initrd',
    ]);
    expect(plain).not.toHaveProperty('kernelCommandLine');
  });
});

describe('CCEL', () => {
  it('is refused with its padding unless that is allowed', () => {
    expectRefusal('malformed', () => parseEventLog(readEventLog('go-eventlog/event_log.bin')));
  });

  it('breaks the rule of separators when read as a TPM’s log', () => {
    for (const name of CCEL) expect(interpret(name).problems.map(({ rule }) => rule)).toContain('f5');
  });

  it('is no ACPI table', () => {
    expectRefusal('malformed', () => parseEventLog(readEventLog('go-eventlog/CCEL.bin')));
  });
});
