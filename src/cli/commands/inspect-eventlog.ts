import type { Command } from 'commander';
import { LIMITS, Refusal, toHex } from '../../base/index.ts';
import type { JsonObject } from '../../base/index.ts';
import {
  QUIRKS,
  describeEvent,
  interpretEventLog,
  matchEventLog,
  matchFailures,
  parseEventLog,
  problemRefusals,
  replayEventLog,
} from '../../evidence/index.ts';
import type { EventLog, EventView, PcrMatch, PcrTable, Quirk, Quirks } from '../../evidence/index.ts';
import { toDenial } from '../../lifecycle/denial.ts';
import { isHashName, pcrValuesJson } from '../../tpm/index.ts';
import type { HashName } from '../../tpm/index.ts';
import { UsageError } from '../errors.ts';
import type { EventLogReport } from '../eventlog-report.ts';
import { printEventLog } from '../eventlog-text.ts';
import { readInput } from '../input.ts';
import { printJson } from '../output.ts';
import { MAX_PCR_FILE, decodePcrs } from '../quote-files.ts';
import { addQuirk } from '../quirks.ts';
import { printDenial } from '../report.ts';
import type { CommandContext } from '../context.ts';
import { group } from './group.ts';

interface Options {
  readonly bank?: string;
  readonly pcrs?: string;
  readonly quirk?: readonly Quirk[];
}

/** PC Client TPMs have PCR 0–23. */
const LAST_PCR = 23;

const HELP = `
FILE is what the kernel gives as /sys/kernel/security/tpm0/binary_bios_measurements: crypto-agile or SHA-1 format.
Exit 0 when it parses, replays and breaks no rule; 1 when it doesn't, or when --pcrs differ. Secure boot being off, no
GRUB, or no ExitBootServices are facts, not failures. Facts here are claims: only a quote ("verify evidence") proves the
PCRs that they come from.

Quirks (each allows what its line says, none is on by itself):
${Object.entries(QUIRKS)
  .map(([name, meaning]) => `  ${name.padEnd(28)}${meaning}`)
  .join('\n')}

Example:
  sealgate inspect eventlog /sys/kernel/security/tpm0/binary_bios_measurements --bank sha256
  sealgate inspect eventlog eventlog.bin --pcrs quoted_pcrs.json --json
`;

/** `sealgate inspect eventlog FILE`: what a TCG event log says, and how far it can be believed. */
export function registerInspectEventlog(program: Command, context: CommandContext): void {
  group(program, 'inspect', 'explain a file offline; nothing is verified')
    .command('eventlog <file>')
    .description('parse, replay and interpret a TCG event log')
    .option('--bank <name>', 'one bank only (default: every bank of the log)')
    .option('--pcrs <file>', 'PCR values to compare with')
    .option('--quirk <name>', 'allow a named firmware habit; repeatable', addQuirk)
    .option('--json', 'one JSON document')
    .addHelpText('after', HELP)
    .action((file: string, options: Options) => {
      const report = inspect(file, options);
      if (!context.json) printEventLog(context.io, report);
      const [first] = report.failures;
      if (first === undefined) {
        if (context.json) printJson(context.io, { ok: true, denial: null, ...reportJson(report) });
        return;
      }
      const denial = toDenial(Refusal.join(report.failures), 'environment');
      printDenial(denial, context.io, context.json, context.json ? reportJson(report) : {});
      context.exit(1);
    });
}

function inspect(file: string, options: Options): EventLogReport {
  const bank = options.bank === undefined ? undefined : requireBank(options.bank);
  const bytes = readInput(file, 'event log', LIMITS.eventLog);
  const values = options.pcrs === undefined ? undefined : readPcrs(options.pcrs, bank);
  const quirks: Quirks = new Set(options.quirk);
  const log = parseEventLog(bytes, quirks);
  if (bank !== undefined && !log.banks.includes(bank))
    throw new Refusal('e24', `the log has no ${bank} digests`, { bank, banks: log.banks });
  const banks = bank === undefined ? log.banks : [bank];
  // A log of unknown digests only has nothing to replay, and so nothing to tie its data to.
  if (banks.length === 0) throw new Refusal('e24', 'the log has digests of unknown algorithms only');
  const match = values === undefined ? undefined : matchEventLog(log, values);
  const differs = (pcr: number): boolean =>
    Object.values(match?.matches ?? {}).some((ofBank) => ofBank[pcr] === false);
  const { problems, facts, ties } = interpretEventLog(log, banks, quirks, (pcr) => !differs(pcr));
  const mismatches = match === undefined ? [] : matchFailures(match);
  return {
    log,
    banks,
    quirks,
    events: log.events.map((event) => onlyBanks(describeEvent(event, ties[event.index] ?? 'no'), banks)),
    replayed: Object.fromEntries(banks.map((name) => [name, replayedJson(log, name)])),
    facts,
    match,
    problems: [...problems, ...mismatches.map(({ check, reason }) => ({ event: null, rule: check, reason }))],
    failures: [...problemRefusals(problems), ...mismatches],
  };
}

function requireBank(name: string): HashName {
  if (!isHashName(name)) throw new UsageError(`no PCR bank ${name}`);
  return name;
}

function readPcrs(file: string, bank: HashName | undefined): PcrTable {
  const values = decodePcrs(readInput(file, 'PCR values', MAX_PCR_FILE), undefined);
  const chosen = [...values].filter(([name]) => bank === undefined || name === bank);
  // Comparing with nothing must not look like agreement.
  if (!chosen.some(([, ofBank]) => ofBank.size > 0))
    throw new Refusal('e24', 'no PCR values to compare with');
  // Nor must values that no PCR of a PC Client TPM can have be passed over.
  const beyond = chosen.flatMap(([, ofBank]) => [...ofBank.keys()]).find((index) => index > LAST_PCR);
  if (beyond !== undefined) throw new Refusal('e24', `there is no PCR ${String(beyond)}`);
  return new Map(chosen);
}

function replayedJson(log: EventLog, bank: HashName): JsonObject {
  const values = [...replayEventLog(log, bank)].map(([index, value]) => ({ bank, index, value }));
  const json = pcrValuesJson(values)[bank];
  return typeof json === 'object' && json !== null && !Array.isArray(json) ? (json as JsonObject) : {};
}

function onlyBanks(view: EventView, banks: readonly HashName[]): EventView {
  const digests = Object.fromEntries(
    banks.flatMap((bank) => {
      const digest = view.digests[bank];
      return digest === undefined ? [] : [[bank, digest]];
    }),
  );
  return { ...view, digests };
}

/** The documented answer; `comparison`, `quirks` and `skippedBanks` only where there is something to say. */
function reportJson(report: EventLogReport): JsonObject {
  const { log, match, quirks } = report;
  return {
    format: log.format,
    banks: report.banks,
    ...(log.skippedBanks.length > 0 && {
      skippedBanks: log.skippedBanks.map((id) => `0x${id.toString(16)}`),
    }),
    ...(quirks.size > 0 && { quirks: [...quirks] }),
    events: report.events.map((event) => ({ ...event })),
    pcrs: report.replayed,
    facts: plain(report.facts),
    problems: report.problems.map((problem) => ({ ...problem })),
    ...(match !== undefined && { comparison: comparisonJson(match) }),
  };
}

function comparisonJson({ matches, unexplained, phases, diverging }: PcrMatch): JsonObject {
  return plain({
    matches,
    unexplained: unexplained.map(({ bank, pcr }) => `${bank}:${String(pcr)}`),
    phases,
    diverging: diverging.map(({ bank, pcr, replayed, value, hint }) => ({
      bank,
      pcr,
      replayed: toHex(replayed),
      value: toHex(value),
      hint: hint ?? null,
    })),
  });
}

/** Plain data, as JSON.parse gives it: types of the evidence layer have no index signature. */
function plain(value: object): JsonObject {
  return JSON.parse(JSON.stringify(value)) as JsonObject;
}
