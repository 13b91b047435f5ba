import { renameSync, rmSync, writeFileSync } from 'node:fs';
import { UsageError } from '../errors.ts';
import { ALARMS } from './watch-log.ts';
import type { Watched } from './watch-log.ts';

/** What the metrics are of. */
export interface MonitorFigures {
  readonly origin: string;
  /** Entries that were verified; 0 before the first look that succeeded. */
  readonly size: bigint;
  /** Unix ms of the last look, and of the last one that verified the log; undefined when there was none. */
  readonly looked: number;
  readonly verified: number | undefined;
  readonly newest: number | undefined;
}

/**
 * Writes metrics for node_exporter's textfile collector: whole or not at all, so that it never reads half a file.
 * @throws UsageError when the directory can't be written
 */
export function writeMetrics(file: string, figures: MonitorFigures, { alarms }: Watched): void {
  const label = `origin="${figures.origin.replaceAll(/["\\\n]/g, '_')}"`;
  const lines = [
    ...gauge('sealgate_monitor_log_entries', 'Entries of the log that were verified.', [
      `{${label}} ${String(figures.size)}`,
    ]),
    ...gauge('sealgate_monitor_looked_timestamp_seconds', 'When the monitor looked last.', [
      `{${label}} ${seconds(figures.looked)}`,
    ]),
    ...gauge('sealgate_monitor_verified_timestamp_seconds', 'When it verified the log last; 0: never.', [
      `{${label}} ${seconds(figures.verified ?? 0)}`,
    ]),
    ...gauge('sealgate_monitor_newest_entry_timestamp_seconds', 'Time of the newest entry read; 0: none.', [
      `{${label}} ${seconds(figures.newest ?? 0)}`,
    ]),
    ...gauge(
      'sealgate_monitor_alarms',
      'Alarms of the last look by kind.',
      ALARMS.map(
        (kind) => `{${label},alarm="${kind}"} ${String(alarms.filter(({ alarm }) => alarm === kind).length)}`,
      ),
    ),
  ];
  const temporary = `${file}.${String(process.pid)}.new`;
  try {
    writeFileSync(temporary, `${lines.join('\n')}\n`, { mode: 0o644 });
    renameSync(temporary, file);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw new UsageError(
      `--metrics: can't write ${file}: ${error instanceof Error ? error.message : String(error)}`,
    );
  }
}

function gauge(name: string, help: string, values: readonly string[]): string[] {
  return [`# HELP ${name} ${help}`, `# TYPE ${name} gauge`, ...values.map((value) => `${name}${value}`)];
}

const seconds = (ms: number): string => (ms / 1000).toFixed(3);
