import { existsSync } from 'node:fs';
import type { Command } from 'commander';
import { formatNote, parseCheckpoint, verifyCheckpoint } from '../../audit/index.ts';
import type { UnverifiedCheckpoint } from '../../audit/index.ts';
import type { JsonObject } from '../../base/index.ts';
import { writeWhole } from '../artifact-files.ts';
import { systemClock } from '../clock.ts';
import { UsageError } from '../errors.ts';
import { readInput } from '../input.ts';
import { parseEntryFilter } from '../monitor/entry-filter.ts';
import { writeMetrics } from '../monitor/metrics-file.ts';
import { watchLog } from '../monitor/watch-log.ts';
import type { WatchRules, Watched } from '../monitor/watch-log.ts';
import { checkpointJson, withLog, withLogOptions } from '../opened-log.ts';
import type { LogOptions, OpenedLog } from '../opened-log.ts';
import { paint, printJson, printable, safeJson } from '../output.ts';
import { withProfileOptions } from '../profile-file.ts';
import { rememberCheckpoint } from '../remembered-checkpoint.ts';
import type { CommandContext } from '../context.ts';
import { group } from './group.ts';

interface MonitorOptions extends LogOptions {
  readonly alarmOn: readonly string[];
  readonly expect: readonly string[];
  readonly maxAge?: string;
  readonly interval: string;
  readonly once?: true;
  readonly metrics?: string;
  readonly state?: string;
}

const HELP = `
Looks at the log again and again: its newest checkpoint must continue the one of the last look (NAME.monitor beside the
profile; --state FILE), and every entry in between is read. Alarms: fork, rollback, signature, witnesses, entry (--alarm-on,
--expect), stale (--max-age), unreachable. What was shown instead of a continuation is kept beside the state: it is the
evidence. After a fork or rollback the state stays, so that the alarm stays until somebody looks.

The exit status is 1 when there was an alarm (with --once: in this look). --metrics writes a file for node_exporter's
textfile collector. With --json a document for each look, NDJSON without --once.

Filters are MEMBER=VALUE or MEMBER!=VALUE with commas between: kind=operator,action=secret-put or denial.check=e17.

Example:
  sealgate audit monitor --once --max-age 3600 --alarm-on kind=revocation --metrics /var/lib/node_exporter/sealgate.prom
`;

/** `sealgate audit monitor`. */
export function registerAuditMonitor(program: Command, context: CommandContext): void {
  const audit = group(program, 'audit', 'the audit log: verified, proved, followed');
  withLogOptions(withProfileOptions(audit.command('monitor').description('watch the log and alarm')))
    .option('--alarm-on <filter>', 'alarm for entries like this; may be repeated', collect, [])
    .option(
      '--expect <filter>',
      'alarm for entries that are like none of these; may be repeated',
      collect,
      [],
    )
    .option('--max-age <seconds>', 'alarm when the newest entry is older')
    .option('--interval <seconds>', 'between two looks', '60')
    .option('--once', 'look once')
    .option('--metrics <file>', 'metrics for Prometheus, written after each look')
    .option('--state <file>', 'where the checkpoint of the last look is kept')
    .addHelpText('after', HELP)
    .action(async (options: MonitorOptions) => {
      const rules: WatchRules = {
        alarmOn: options.alarmOn.map(parseEntryFilter),
        expect: options.expect.map(parseEntryFilter),
        maxAge: options.maxAge === undefined ? undefined : secondsOf('--max-age', options.maxAge),
      };
      const interval = secondsOf('--interval', options.interval);
      await withLog(options, async (log) => {
        const monitor = new Monitor(log, rules, options, context);
        await monitor.look();
        const ended = options.once === true ? undefined : endOfProcess();
        while (ended !== undefined && (await ended(interval))) await monitor.look();
      });
    });
}

const collect = (value: string, before: readonly string[]): readonly string[] => [...before, value];

function secondsOf(flag: string, text: string): number {
  if (!/^[1-9]\d{0,8}$/.test(text)) throw new UsageError(`${flag}: seconds`);
  return Number(text) * 1000;
}

/** Waits so long, or until the process is told to end: then false. */
function endOfProcess(): (ms: number) => Promise<boolean> {
  let end = (): void => undefined;
  const told = new Promise<void>((resolve) => (end = resolve));
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, end);
  return async (ms) => {
    let timer: NodeJS.Timeout | undefined;
    const waited = new Promise<true>((resolve) => (timer = setTimeout(resolve, ms, true)));
    const more = await Promise.race([waited, told.then(() => false)]);
    clearTimeout(timer);
    return more;
  };
}

class Monitor {
  readonly #log: OpenedLog;
  readonly #rules: WatchRules;
  readonly #options: MonitorOptions;
  readonly #context: CommandContext;
  readonly #file: string;
  #before: UnverifiedCheckpoint | undefined;
  #newest: number | undefined;
  #verified: number | undefined;

  constructor(log: OpenedLog, rules: WatchRules, options: MonitorOptions, context: CommandContext) {
    this.#log = log;
    this.#rules = rules;
    this.#options = options;
    this.#context = context;
    const file = options.state ?? log.profile?.checkpointFile.replace(/checkpoint$/, 'monitor');
    if (file === undefined) throw new UsageError('a directory without a profile: give --state');
    this.#file = file;
    if (!existsSync(file)) return;
    this.#before = parseCheckpoint(readInput(file, 'checkpoint', 128 * 1024));
    verifyCheckpoint(this.#before, log.keys);
  }

  async look(): Promise<void> {
    const now = systemClock.now();
    const watched = await watchLog(this.#log, this.#before?.claimed, this.#rules, now, this.#newest);
    const { checkpoint, offending, newest, alarms } = watched;
    this.#newest = newest;
    const evidence = offending === undefined ? null : this.#keep(offending);
    if (checkpoint !== undefined) {
      rememberCheckpoint({ checkpointFile: this.#file }, checkpoint);
      this.#before = checkpoint;
      this.#verified = now;
    }
    if (alarms.length > 0) this.#context.exit(1);
    this.#report(watched, evidence);
    if (this.#options.metrics !== undefined)
      writeMetrics(
        this.#options.metrics,
        {
          ...{ origin: this.#log.keys[0].name, size: this.#before?.claimed.size ?? 0n },
          ...{ looked: now, verified: this.#verified, newest },
        },
        watched,
      );
  }

  /** What was shown instead, as evidence; the first one, so that an alarm that stays fills no disk. */
  #keep({ note }: UnverifiedCheckpoint): string {
    const file = `${this.#file}.offending`;
    if (!existsSync(file)) writeWhole(file, formatNote(note));
    return file;
  }

  #report({ alarms, checkpoint, entries, read }: Watched, evidence: string | null): void {
    const { io, json } = this.#context;
    const shown: JsonObject = {
      ok: alarms.length === 0,
      denial: null,
      checkpoint: checkpoint === undefined ? null : checkpointJson(checkpoint.claimed),
      entries,
      alarms: alarms.map((one) => ({ ...one })),
      evidence,
      unchecked: read === 'tiles' ? ['entries'] : [],
    };
    if (json) {
      if (this.#options.once === true) printJson(io, shown);
      else io.stdout(`${safeJson(shown)}\n`);
      return;
    }
    if (checkpoint !== undefined)
      io.stdout(`${String(checkpoint.claimed.size)} entries, ${String(entries)} new\n`);
    for (const { alarm, check, reason, detail } of alarms)
      io.stdout(
        `${paint(io, 'red', `alarm: ${alarm}`)} [${check}] ${printable(reason)} ${printable(JSON.stringify(detail))}\n`,
      );
    if (evidence !== null) io.stdout(`  kept in ${printable(evidence)}\n`);
  }
}
