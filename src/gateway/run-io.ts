import { setTimeout as sleep } from 'node:timers/promises';
import type { ExecutionDenial, RunStreams } from '../agent/runner-port.ts';
import { Refusal, refuse } from '../base/index.ts';
import type { JsonObject, Random } from '../base/index.ts';
import type { ChildStreams } from './confine/child.ts';
import type { Execution } from './execution.ts';
import type { Prove } from './run-order.ts';

/** What a run is connected to. */
export interface RunIo {
  readonly streams: ChildStreams;
  readonly onSignal?: (listener: (signal: NodeJS.Signals) => void) => void;
  /** Told when the child runs, and of what could not be reported. */
  readonly event?: (event: JsonObject) => void;
  /** Ends what runs; a refusal as its reason is why. */
  readonly signal?: AbortSignal;
  /** Proves that the parent is held that the order names without its key. */
  readonly prove?: Prove;
}

/** What a caller of a local socket is connected by. */
export function ioOf(streams: RunStreams): RunIo {
  const { stdin, stdout, stderr, signal, event, prove } = streams;
  return {
    streams: { stdin, stdout, stderr },
    event,
    signal,
    ...(prove === undefined ? {} : { prove }),
    onSignal: (listener) => {
      streams.onSignal((name) => {
        listener(`SIG${name.replace(/^SIG/, '')}` as NodeJS.Signals);
      });
    },
  };
}

/** @throws Refusal `caller-gone`, or why it shall not run any more */
export function requireCaller({ signal }: RunIo): void {
  if (signal?.aborted !== true) return;
  const reason: unknown = signal.reason;
  if (reason instanceof Refusal) throw reason;
  refuse('caller-gone', 'whoever asked for it is gone');
}

const FIRST_PAUSE_MS = 100;

/**
 * Waits before something is asked for once more: each time twice as long, and less by up to a half at random, so that
 * hosts that were refused together don't come back together.
 * @param attempt 1 after the first
 * @throws Refusal `caller-gone`, at once, or why it shall not run any more
 */
export async function pauseAfter(attempt: number, io: RunIo, random: Random): Promise<void> {
  const [byte = 0] = random.bytes(1);
  const wait = FIRST_PAUSE_MS * 2 ** (attempt - 1) * (1 - byte / 510);
  await sleep(wait, undefined, io.signal && { signal: io.signal }).catch(() => undefined);
  requireCaller(io);
}

/** From here on the caller's signals reach what runs, and it ends with its caller. */
export function connectSignals(execution: Execution, io: RunIo): void {
  io.onSignal?.((signal) => {
    execution.signal(signal);
  });
  const leave = (): void => {
    // What could not be wiped is wiped once more when the run ends; nobody is left to be told.
    execution.end(reasonOf(io.signal)).catch(() => undefined);
  };
  if (io.signal?.aborted === true) leave();
  else io.signal?.addEventListener('abort', leave, { once: true });
}

function reasonOf(signal: AbortSignal | undefined): ExecutionDenial {
  const reason: unknown = signal?.reason;
  return reason instanceof Refusal
    ? { check: reason.check, reason: reason.reason }
    : { check: 'caller-gone', reason: 'whoever asked for it is gone' };
}
