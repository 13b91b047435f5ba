import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { readFileSync } from 'node:fs';
import type { Readable, Writable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { refuse } from '../../base/index.ts';
import type { ConfinedCommand } from './sandbox.ts';
import { startProcess } from './start-process.ts';

/** Standard streams of a child: this process's own, or others. */
export type ChildStreams =
  'inherit' | { readonly stdin: Readable; readonly stdout: Writable; readonly stderr: Writable };

/** How a child ended: one of both is null. */
export interface ChildEnd {
  readonly status: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** A confined process under way. */
export interface Child {
  /** Sends a signal to the command itself; a child that has ended gets none. */
  kill(signal: NodeJS.Signals): void;
  readonly ended: Promise<ChildEnd>;
}

/** How long a confining program may take to start its command. */
const START_MS = 10_000;

/** How long the last output of what was killed is waited for. */
const DRAIN_MS = 2000;

/** What a child is started with besides its command. */
export interface ChildTerms {
  /** A descriptor that the command finds as its descriptor 3 (without namespaces only). */
  readonly keep?: number;
  /** Throws what speaks against starting it: asked in the last moment, when nothing is waited for any more. */
  readonly requireWanted: () => void;
  /** Ends whatever the command has started and left: when it has ended, and when it is killed. */
  readonly endRest: () => Promise<void>;
}

/**
 * Starts a confined command.
 * @throws Refusal `gateway-isolation` when the confining program doesn't start, `tpm-timeout` when the TPM doesn't answer
 *   for too long; what `requireWanted` throws
 */
export async function startChild(
  command: ConfinedCommand,
  streams: ChildStreams,
  { keep, endRest, requireWanted }: ChildTerms,
): Promise<Child> {
  const { options } = command;
  const three = streams === 'inherit' ? ('inherit' as const) : ('pipe' as const);
  const more = options === undefined ? (keep === undefined ? [] : [keep]) : (['pipe', 'pipe'] as const);
  const { child, ended, begun } = await startProcess(() => {
    requireWanted();
    const child = spawn(command.file, command.args, {
      env: { ...command.environment },
      cwd: command.cwd,
      stdio: [three, three, three, ...more],
    });
    return { child, ended: endOf(child), begun: started(child) };
  });
  // Whoever doesn't read its output must not keep what was killed from being over.
  const giveUp = (): void => {
    const dropOutput = (): void => {
      child.stdout?.destroy();
      child.stderr?.destroy();
    };
    const soon = (): void => void setTimeout(dropOutput, DRAIN_MS).unref();
    if (hasExited(child)) soon();
    else child.once('exit', soon);
  };
  // What it left behind would keep its output open, and go on without anybody who answers for it.
  const rest = (): void => {
    endRest().catch(() => undefined);
  };
  child.once('exit', rest);
  const finish = (): void => {
    rest();
    giveUp();
  };
  await begun;
  if (streams !== 'inherit') connect(child, streams);
  if (options === undefined) {
    const kill = (signal: NodeJS.Signals): void => {
      if (Object.hasOwn(SIGNALS, signal)) child.kill(signal);
      if (signal === 'SIGKILL') finish();
    };
    return { ended, kill };
  }
  const info = readInfo(child);
  const [, , , optionsPipe] = child.stdio;
  if (optionsPipe !== null && 'write' in Object(optionsPipe)) (optionsPipe as Writable).end(options);
  return withSignals(child, await info, { ended, finish });
}

const hasExited = ({ exitCode, signalCode }: ChildProcess): boolean =>
  exitCode !== null || signalCode !== null;

function started(child: ChildProcess): Promise<void> {
  return new Promise((resolve, reject) => {
    child.once('spawn', resolve);
    child.once('error', (error) => {
      reject(error);
    });
  }).catch((error: unknown) =>
    refuse('gateway-isolation', `the confining program can’t be started: ${String(error)}`),
  ) as Promise<void>;
}

function endOf(child: ChildProcess): Promise<ChildEnd> {
  return new Promise((resolve) => {
    // `close`, not `exit`: all output has been delivered then.
    child.once('close', (status, signal) => {
      resolve({ status, signal });
    });
  });
}

function connect(child: ChildProcess, { stdin, stdout, stderr }: Exclude<ChildStreams, 'inherit'>): void {
  // A command that reads no further is no fault of the one who writes.
  child.stdin?.on('error', () => stdin.unpipe());
  if (child.stdin !== null) stdin.pipe(child.stdin);
  child.stdout?.pipe(stdout, { end: false });
  child.stderr?.pipe(stderr, { end: false });
}

/** bubblewrap's `--info-fd`: the pid of the new namespace's init. Undefined when it ended before. */
async function readInfo(child: ChildProcess): Promise<number | undefined> {
  const [, , , , pipe] = child.stdio;
  let text = '';
  for await (const part of pipe as Readable) {
    text += String(part);
    if (text.length > 4096) break;
  }
  const [, pid] = /"child-pid"\s*:\s*(\d+)/.exec(text) ?? [];
  return pid === undefined ? undefined : Number(pid);
}

/**
 * bubblewrap's init doesn't pass signals on, and init itself ignores most: they go to its one child, the command. Exit
 * codes above 128 that follow such a signal are that signal.
 */
function withSignals(
  child: ChildProcess,
  init: number | undefined,
  { ended, finish }: Pick<Child, 'ended'> & { readonly finish: () => void },
): Child {
  const sent = new Set<NodeJS.Signals>();
  // When it has exited, its init's number may be another process's, however long its output is still read.
  const alive = (): boolean => !hasExited(child);
  const end = ended.then((outcome) => {
    const named = [...sent].find((signal) => outcome.status === 128 + (SIGNALS[signal] ?? 0));
    return named === undefined ? outcome : { status: null, signal: named };
  });
  const deliver = async (signal: NodeJS.Signals): Promise<void> => {
    const deadline = performance.now() + START_MS;
    while (alive() && init !== undefined) {
      // With init all that is in its namespace ends, whether the command was ever started or not.
      const target = signal === 'SIGKILL' ? init : childOf(init);
      if (target !== undefined) {
        try {
          process.kill(target, signal);
        } catch {
          // It ended in between.
        }
        return;
      }
      if (performance.now() > deadline) return;
      await sleep(5);
    }
  };
  return {
    ended: end,
    kill: (signal) => {
      if (!Object.hasOwn(SIGNALS, signal)) return;
      if (alive()) {
        sent.add(signal);
        void deliver(signal);
      }
      if (signal === 'SIGKILL') finish();
    },
  };
}

/** Numbers of signals that are passed on, on Linux. */
const SIGNALS: Readonly<Partial<Record<NodeJS.Signals, number>>> = {
  SIGHUP: 1,
  SIGINT: 2,
  SIGQUIT: 3,
  SIGKILL: 9,
  SIGUSR1: 10,
  SIGUSR2: 12,
  SIGTERM: 15,
};

function childOf(pid: number): number | undefined {
  try {
    const children = readFileSync(`/proc/${String(pid)}/task/${String(pid)}/children`, 'utf8').trim();
    const [first] = children.split(' ');
    return first === undefined || first === '' ? undefined : Number(first);
  } catch {
    return undefined;
  }
}
