/**
 * A log of 150 events: parsed, replayed in one bank and interpreted by all rules, beside tpm2_eventlog, which parses,
 * replays every bank and prints. Both are measured by turns; a run of tpm2_eventlog on a log of one event is taken off
 * its time, so that process start doesn't count.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { interpretEventLog, parseEventLog, replayEventLog } from '../../src/evidence/index.ts';

const DATA = path.resolve(import.meta.dirname, '../../test/data/eventlogs');
const EVENTS = 150;
const PAIRS = 21;
const RUNS = 100;

const { values } = parseArgs({
  options: { json: { type: 'boolean' }, help: { type: 'boolean', short: 'h' } },
});
if (values.help) {
  process.stdout.write('usage: scripts/bench/eventlog [--json]\n');
  process.exit(0);
}

/** Real Ubuntu and Debian boots, with events of the first repeated until there are 150. */
function logOf150(): Uint8Array {
  const log = new Uint8Array(readFileSync(path.join(DATA, 'go-tpm-tools/ubuntu-2104-no-dbx.bin')));
  const { events } = parseEventLog(log);
  const starts = events.map((_, i) => {
    const before = events[i - 1];
    return before === undefined ? 0 : before.data.byteOffset - log.byteOffset + before.data.length;
  });
  const parts = [log];
  for (let i = 40; events.length + parts.length - 1 < EVENTS; i++)
    parts.push(log.slice(starts[i], starts[i + 1]));
  return new Uint8Array(Buffer.concat(parts));
}

function median(samples: readonly number[]): number {
  return [...samples].sort((a, b) => a - b)[samples.length >> 1] ?? NaN;
}

/** Milliseconds a log of ours takes: the median of single runs, so that other processes' time slices fall out. */
function ours(bytes: Uint8Array): number {
  const runs = Array.from({ length: RUNS }, () => {
    const start = performance.now();
    const log = parseEventLog(bytes);
    replayEventLog(log, 'sha256');
    interpretEventLog(log, ['sha256']);
    return performance.now() - start;
  });
  return median(runs);
}

function tpm2Eventlog(file: string): number {
  const start = performance.now();
  const { status } = spawnSync('tpm2_eventlog', [file], { stdio: ['ignore', 'pipe', 'ignore'] });
  if (status !== 0) throw new Error(`tpm2_eventlog ended with ${String(status)}`);
  return performance.now() - start;
}

function main(): void {
  const directory = mkdtempSync(path.join(tmpdir(), 'sealgate-bench-'));
  try {
    const bytes = logOf150();
    const file = path.join(directory, 'log.bin');
    writeFileSync(file, bytes);
    const empty = path.join(DATA, 'tpm2-tools/event.bin');
    for (let i = 0; i < 5; i++) ours(bytes);
    const samples = Array.from({ length: PAIRS }, () => ({
      ours: ours(bytes),
      theirs: tpm2Eventlog(file) - tpm2Eventlog(empty),
    }));
    const mine = median(samples.map((sample) => sample.ours));
    const theirs = median(samples.map((sample) => sample.theirs));
    report(mine, theirs, parseEventLog(bytes).events.length, bytes.length);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

function report(mine: number, theirs: number, events: number, size: number): void {
  const cases = [
    {
      name: 'parse-replay-interpret',
      value: Math.round(1000 / mine),
      unit: 'logs/s',
      against: 'tpm2_eventlog, without process start',
      ratio: theirs / mine,
    },
    { name: 'one-log', value: mine, unit: 'ms', against: 'goal of 2 ms', ratio: mine / 2 },
  ];
  if (values.json) {
    process.stdout.write(`${JSON.stringify({ bench: 'eventlog', cases })}\n`);
    return;
  }
  process.stdout.write(
    `${String(events)} events, ${String(size)} bytes, sha256 bank; median of ${String(PAIRS)} interleaved pairs\n` +
      `  Sealgate       ${mine.toFixed(2)} ms a log (goal: under 2 ms)\n` +
      `  tpm2_eventlog  ${theirs.toFixed(2)} ms a log, without process start\n`,
  );
}

main();
