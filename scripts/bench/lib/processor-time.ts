/** Processor time of another process, from /proc: what a benchmark counts where others share the machine. */
import { readFileSync } from 'node:fs';

/** Seconds of processor time. */
export interface ProcessorTime {
  /** All threads. */
  readonly all: number;
  /** The one that JavaScript's main program runs in. */
  readonly main: number;
}

/** User and system time of one stat file (proc(5): utime, stime in ticks of 10 ms). */
function seconds(file: string): number {
  const fields = readFileSync(file, 'utf8').split(') ')[1]?.split(' ') ?? [];
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

/** What a process has used up to now. */
export const processorTime = (pid: number): ProcessorTime => ({
  all: seconds(`/proc/${String(pid)}/stat`),
  main: seconds(`/proc/${String(pid)}/task/${String(pid)}/stat`),
});

/** What was used between two readings. */
export const between = (from: ProcessorTime, to: ProcessorTime): ProcessorTime => ({
  all: to.all - from.all,
  main: to.main - from.main,
});
