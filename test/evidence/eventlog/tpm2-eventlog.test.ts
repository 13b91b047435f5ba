import { spawnSync } from 'node:child_process';
import { readdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { Refusal, toHex } from '../../../src/base/index.ts';
import { parseEventLog, replayEventLog } from '../../../src/evidence/index.ts';
import { eventLogPath, readEventLog, readJson } from '../../support/eventlogs.ts';
import { temporaryDirectory } from '../../support/temporary.ts';

type Pcrs = Record<string, Record<string, string>>;

const directory = temporaryDirectory();
/** Where tpm2_eventlog 5.4 computes another PCR 0: it takes the last byte of any EV_NO_ACTION for the locality. */
const WRONG_PCR_0 = new Set([
  'go-tpm-tools/glinux-alex.bin',
  'go-tpm-tools/confidential-gke-debug-251000_eventlog.bin',
  'go-tpm-tools/eventlogwithsp800155.bin',
]);
/** Forged logs where it extends an EV_NO_ACTION, or takes locality 5 for 0; the manifest has what a TPM holds. */
const WRONG_FORGED = new Set(['evil-noaction-nonzero-digest.bin', 'evil-startup-locality-5.bin']);
const FOLDERS = [
  'go-tpm-tools',
  'go-attestation',
  'go-eventlog',
  'tpm2-tools',
  'tpm2-tss',
  'generated',
  'boots',
];

const logs = FOLDERS.flatMap((folder) =>
  readdirSync(eventLogPath(folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => /eventlog|\.bin$|\.b64$|^windows|^linux/.test(path.basename(name)))
    .map((name) => path.join(folder, name)),
);

/** What tpm2_eventlog replays, or undefined when it refuses the log or crashes. */
function byTpm2Tools(bytes: Uint8Array): Pcrs | undefined {
  const file = path.join(directory, 'log.bin');
  writeFileSync(file, bytes);
  const { status, stdout } = spawnSync('tpm2_eventlog', [file], {
    encoding: 'latin1',
    maxBuffer: 64 * 1024 * 1024,
  });
  if (status !== 0) return undefined;
  const pcrs: Pcrs = {};
  let bank = '';
  for (const line of (/^pcrs:\n([\s\S]*)$/m.exec(stdout)?.[1] ?? '').split('\n')) {
    const heading = /^ {2}(sha\d+):$/.exec(line)?.[1];
    if (heading !== undefined) bank = heading;
    const value = /^ {4}(\d+) *: 0x([0-9a-f]+)$/.exec(line);
    if (value !== null) (pcrs[bank] ??= {})[value[1]!] = value[2]!;
  }
  return pcrs;
}

function byUs(bytes: Uint8Array): Pcrs | undefined {
  try {
    const log = parseEventLog(bytes);
    const banks = log.banks.map((bank) => {
      const values = [...replayEventLog(log, bank)].map(([pcr, value]) => [String(pcr), toHex(value)]);
      return [bank, Object.fromEntries(values) as Record<string, string>] as const;
    });
    return Object.fromEntries(banks.filter(([, values]) => Object.keys(values).length > 0));
  } catch (error) {
    if (error instanceof Refusal) return undefined;
    throw error;
  }
}

describe('agreement with tpm2_eventlog on replayed PCRs', () => {
  it('looks at all logs', () => {
    expect(logs.length).toBeGreaterThan(60);
  });

  it.each(logs)('%s', (name) => {
    const bytes = readEventLog(name);
    const [ours, theirs] = [byUs(bytes), byTpm2Tools(bytes)];
    // It takes much that is no sound log; what we refuse to parse has no PCRs to compare.
    if (ours === undefined || theirs === undefined) return;
    if (WRONG_FORGED.has(path.basename(name))) {
      const manifest = readJson('generated/manifest.json') as {
        file: string;
        pcrsSha256: Record<string, string>;
      }[];
      const right = manifest.find((row) => row.file === path.basename(name))!.pcrsSha256;
      expect(ours['sha256']).toEqual(right);
      expect(theirs['sha256']).not.toEqual(right);
      return;
    }
    if (!WRONG_PCR_0.has(name)) {
      expect(ours).toEqual(withoutUnlogged(theirs, ours));
      return;
    }
    const asserted = (readJson('expected.json') as Record<string, { assertedPcrs: Pcrs }>)[name]!
      .assertedPcrs;
    for (const [bank, values] of Object.entries(asserted)) {
      expect(ours[bank]).toMatchObject(values);
      expect(theirs[bank]!['0']).not.toBe(values['0']);
    }
  });

  it('crashes on option_rom, which we replay', () => {
    const bytes = readEventLog('go-attestation/option_rom_eventlog');
    expect(byTpm2Tools(bytes)).toBeUndefined();
    expect(byUs(bytes)?.['sha1']?.['0']).toBe('01518aedc87a0ef505d27261ef835809e7da0086');
  });

  /** It also prints PCRs that only an EV_NO_ACTION names. */
  const withoutUnlogged = (theirs: Pcrs, ours: Pcrs): Pcrs =>
    Object.fromEntries(
      Object.entries(theirs)
        .map(
          ([bank, values]) =>
            [
              bank,
              Object.fromEntries(
                Object.entries(values).filter(
                  ([pcr, v]) => ours[bank]?.[pcr] !== undefined || !/^0*$/.test(v),
                ),
              ),
            ] as const,
        )
        .filter(([, values]) => Object.keys(values).length > 0),
    );
});
