import { NO_PCR } from '../evidence/index.ts';
import type { EventLogFacts, SignatureDatabaseFacts } from '../evidence/index.ts';
import type { EventLogReport } from './eventlog-report.ts';
import { paint, printable, table } from './output.ts';
import type { Io } from './output.ts';

const DATA_WIDTH = 72;

/** An event log for people: its events, PCRs, facts, broken rules, and what all this proves. */
export function printEventLog(io: Io, report: EventLogReport): void {
  const { log, banks } = report;
  const heading = (text: string): void => {
    io.stdout(`\n${paint(io, 'bold', text)}\n`);
  };
  io.stdout(`${log.format} event log, ${String(log.events.length)} events, banks ${banks.join(' ')}\n`);
  for (const quirk of report.quirks) io.stdout(`quirk allowed: ${quirk}\n`);
  heading('Events');
  io.stdout(table([['event', 'PCR', 'type', 'verified', 'data'], ...report.events.map(eventRow)]));
  heading('PCRs that these events give');
  io.stdout(table(pcrRows(report)));
  heading('Facts');
  io.stdout(table(factRows(report.facts)));
  if (report.problems.length > 0) {
    heading('Broken rules');
    io.stdout(
      table(
        report.problems.map(({ event, rule, reason }) => [
          rule,
          event === null ? '-' : `event ${String(event)}`,
          printable(reason),
        ]),
      ),
    );
  }
  heading('What this log proves');
  for (const line of proofs(report)) io.stdout(`  ${line}\n`);
  heading('What it does not prove');
  for (const line of gaps(report)) io.stdout(`  ${line}\n`);
}

function eventRow({ index, pcr, type, data, verified }: EventLogReport['events'][number]): string[] {
  const shown = data.length > DATA_WIDTH ? `${data.slice(0, DATA_WIDTH)}…` : data;
  return [String(index), pcr === NO_PCR ? '-' : String(pcr), type, verified, shown];
}

function pcrRows({ replayed, match }: EventLogReport): string[][] {
  return Object.entries(replayed).flatMap(([bank, values]) =>
    Object.entries(values ?? {}).map(([pcr, value]) => {
      const matches = Object.entries(match?.matches ?? {}).find(([name]) => name === bank)?.[1][Number(pcr)];
      const verdict = matches === undefined ? '' : matches ? 'matches' : 'DIFFERS';
      return [`${bank}:${pcr}`, String(value), verdict];
    }),
  );
}

/** Names and short values; whole lists are in --json. */
function factRows(facts: EventLogFacts): string[][] {
  const rows: (readonly [string, string | undefined])[] = [
    ['secure boot', secureBoot(facts)],
    ['UEFI debug mode', yesNo(facts.uefiDebugMode)],
    ['SBAT level', facts.sbatLevel],
    ['PK', database(facts.platformKey)],
    ['KEK', database(facts.keyExchangeKeys)],
    ['db', database(facts.db)],
    ['dbx', database(facts.dbx)],
    ['authorities', facts.authorities?.map(({ variable, kind }) => `${variable} (${kind})`).join(', ')],
    [
      'firmware',
      facts.firmware &&
        [...facts.firmware.versions, count(facts.firmware.measurements, 'measurement')].join(', '),
    ],
    ['drivers', facts.drivers && count(facts.drivers, 'digest')],
    ['boot order', facts.bootOrder?.join(' ')],
    ['boot applications', facts.bootApplications ? count(facts.bootApplications, 'digest') : undefined],
    ['ExitBootServices', yesNo(facts.exitBootServices)],
    ['GRUB commands', facts.grubCommands && count(facts.grubCommands, 'command')],
    ['boot files', facts.bootFiles && count(facts.bootFiles, 'digest')],
    [
      'kernel command line',
      facts.kernelCommandLine && (facts.kernelCommandLine.join(' | ') || 'none measured'),
    ],
    ['unified kernel image', facts.unifiedKernelImage?.sections.map(({ name }) => name).join(' ')],
    ['MOK', facts.mok && count(facts.mok, 'digest')],
    ['separators', facts.separators?.join(' ')],
  ];
  return rows.map(([name, value]) => [name, value === undefined ? 'unknown' : printable(value) || '-']);
}

function secureBoot({ secureBoot: state }: EventLogFacts): string | undefined {
  if (state === undefined) return undefined;
  if (!state.enabled) return 'off';
  return state.enforced ? 'on, enforced' : 'on, but shim does not enforce it (MokSBState)';
}

function database(facts: SignatureDatabaseFacts | undefined): string | undefined {
  if (facts === undefined) return undefined;
  const parts = [count(facts.certificates, 'certificate'), count(facts.hashes, 'hash')];
  return [...parts, ...(facts.others > 0 ? [`${String(facts.others)} others`] : [])].join(', ');
}

function count(list: readonly unknown[], noun: string): string {
  const plural = noun === 'hash' ? 'hashes' : `${noun}s`;
  return `${String(list.length)} ${list.length === 1 ? noun : plural}`;
}

function yesNo(value: boolean | undefined): string | undefined {
  return value === undefined ? undefined : value ? 'yes' : 'no';
}

function proofs({ match, events, problems }: EventLogReport): string[] {
  const tied = events.filter(({ verified }) => verified !== 'no').length;
  const differing = match?.diverging.length ?? 0;
  return [
    match === undefined
      ? 'Nothing about a machine: no PCR values were given. The rest holds if a quote has the PCRs above.'
      : differing === 0
        ? 'The given PCR values have these events, in this order within each PCR.'
        : `The given values differ in ${String(differing)} PCRs; for the others, the events and their order.`,
    `The data of ${String(tied)} of ${String(events.length)} events is what was measured (verified: digest or rule).`,
    problems.length === 0
      ? 'No rule of form or trust is broken.'
      : 'Facts of PCRs with a broken rule are left out; the others stand.',
  ];
}

function gaps({ events, facts, match }: EventLogReport): string[] {
  const untied = events.filter(({ verified, type }) => verified === 'no' && type !== 'EV_NO_ACTION').length;
  const unexplained = match?.unexplained.map(({ bank, pcr }) => `${bank}:${String(pcr)}`) ?? [];
  return [
    'That the values come from a TPM: only a verified quote does (sealgate verify evidence).',
    'Event types, image paths and file names: no digest covers them.',
    'The order of events of different PCRs.',
    ...(untied > 0 ? [`What the data of ${String(untied)} events says: only their digests count.`] : []),
    ...(facts.bootApplications === undefined ? ['Which boot applications ran: nothing bounds PCR 4.'] : []),
    ...(unexplained.length > 0 ? [`What extended ${unexplained.join(', ')}: no event says.`] : []),
    'Anything after the kernel started: that is IMA’s part (PCR 10).',
  ];
}
