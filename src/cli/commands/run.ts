import { existsSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import type { Command } from 'commander';
import { DEFAULT_SOCKET, DEFAULT_STATE, HostAccess, askAgent } from '../../agent/index.ts';
import { AttestationLoop } from '../../agent/attestation-loop.ts';
import type { RunEnd } from '../../agent/runner-port.ts';
import { Refusal, isJsonObject, refuse, toHex } from '../../base/index.ts';
import type { JsonObject } from '../../base/index.ts';
import { VerifierRefusal } from '../../client/index.ts';
import { CHILD_SOCKET_VARIABLE, Gateway, verifyInstallation } from '../../gateway/index.ts';
import type { RunOrder } from '../../gateway/index.ts';
import { toDenial } from '../../lifecycle/index.ts';
import { systemClock } from '../clock.ts';
import { UsageError } from '../errors.ts';
import { printable } from '../output.ts';
import type { Io } from '../output.ts';
import { systemRandom } from '../random.ts';
import { readParent } from '../parent-file.ts';
import type { NamedParent } from '../parent-file.ts';
import { CommandError, makeOrder } from '../run-command.ts';
import type { RunFlags } from '../run-command.ts';
import { printDenial } from '../report.ts';
import type { CommandContext } from '../context.ts';

interface RunOptions extends RunFlags {
  readonly parent?: string;
  readonly report?: string;
  readonly state?: string;
  readonly tcti?: string;
  readonly socket?: string;
}

/** Exit status when Sealgate itself says no: none of the command's own ones by custom (docker, env, timeout). */
const REFUSED = 125;

const HELP = `
Signatures are found beside the command (CMD.dsse.json, CMD.p7s, CMD.sig), or beside a directory above it: then that tree
is the artifact. The command gets no environment but what --env names, and CREDENTIALS_DIRECTORY. A token X.jwt is proved
by the key X.key beside it. Without an agent's socket, or with --state, everything happens in this process.

While the command runs, its authorization and credentials are renewed: their files are replaced, each at once. With
--on-renew HUP it is told by that signal when all of them are there; without a handler for it, it would end by it.

Inside a governed run, SEALGATE_CHILD_SOCKET names that run's own socket: then this starts a child of it, which gets at
most what its parent has. To start one on another host, name that host's agent with --socket and the parent with --parent:
its token with the key beside it, or JSON { "v": 1, "authorization": "…", "socket": "…" } with its child socket.

Exit status: the command's own (128+n when signal n ended it); 125 Sealgate refused; 126 can't be executed; 127 not found.

Example:
  sealgate run --credential database --scope reports.read -- ./report --month 2026-11
  sealgate run --scope reports.read.eu -- ./part       (inside of it: a child with less)
`;

const more = (value: string, before: readonly string[]): readonly string[] => [...before, value];

/** `sealgate run`: one artifact, asked for, verified, confined. */
export function registerRun(program: Command, context: CommandContext): void {
  program
    .command('run')
    .description('run an artifact with what the verifier allows it')
    .argument('<command...>', 'the command, after --')
    .option('--scope <scope>', 'scope to ask for (repeatable)', more, [])
    .option('--credential <name>', 'credential to ask for (repeatable)', more, [])
    .option('--signature <file>', 'signature of the artifact (repeatable)', more, [])
    .option('--env <name>', 'variable that the command gets, NAME or NAME=VALUE (repeatable)', more, [])
    .option('--parent <file>', 'the execution that starts this one: token or JSON')
    .option('--initiator <file>', 'token of whoever starts it')
    .option('--on-renew <signal>', 'send the command HUP, USR1 or USR2 when its credentials were renewed')
    .option('--report <file>', 'write what happened, as JSON')
    .option('--state <directory>', 'run in this process, with this host’s state')
    .option('--tcti <tcti>', 'how to reach the TPM (default: as at enrollment)')
    .option('--socket <path>', `where the agent listens (default: ${DEFAULT_SOCKET})`)
    .addHelpText('after', HELP)
    .action(async (command: readonly string[], options: RunOptions) => {
      context.exit(await runCommand(command, options, context.io));
    });
}

/** @returns the exit status; nothing of ours is ever on standard output */
async function runCommand(command: readonly string[], options: RunOptions, io: Io): Promise<number> {
  try {
    const parent = options.parent === undefined ? undefined : await readParent(options.parent);
    const order = { ...makeOrder(command, options, process.env), ...parent?.order };
    const socket = socketOf(options, process.env);
    const end =
      socket === undefined
        ? await runHere(order, options, parent?.prove, io)
        : await runByAgent(order, socket, parent?.prove, io);
    writeReport(options, { ok: end.denial === null, ...end });
    if (end.denial !== null)
      io.stderr(`sealgate: ended: ${printable(JSON.stringify(end.denial['reason'] ?? end.denial))}\n`);
    return end.signal === null ? (end.status ?? REFUSED) : 128 + numberOf(end.signal);
  } catch (error) {
    return refused(error, options, io);
  }
}

/**
 * Where to ask; undefined: nowhere, this process does it itself. What runs inside a governed run asks there, or where it
 * is told to, and never on its own account.
 * @throws Refusal `no-children`
 */
function socketOf(
  { socket, state, tcti, parent }: RunOptions,
  environment: NodeJS.ProcessEnv,
): string | undefined {
  // A named one that isn't there is refused where it is asked: nothing runs in another way than it was told to.
  if (socket !== undefined) return socket;
  if (state !== undefined || tcti !== undefined) return undefined;
  // Another parent than this execution is none of its own socket's business.
  const own = parent === undefined ? environment[CHILD_SOCKET_VARIABLE] : undefined;
  if (own === undefined) return existsSync(DEFAULT_SOCKET) ? DEFAULT_SOCKET : undefined;
  if (!existsSync(own)) refuse('no-children', 'this execution may start no others');
  return own;
}

function refused(error: unknown, options: RunOptions, io: Io): number {
  if (error instanceof CommandError || error instanceof UsageError) {
    io.stderr(`sealgate: ${printable(error.message)}\n`);
    return error instanceof CommandError ? error.status : REFUSED;
  }
  const refusal =
    error instanceof Refusal
      ? error
      : new Refusal('internal', error instanceof Error ? error.message : String(error));
  const denial = refusal instanceof VerifierRefusal ? refusal.denial : toDenial(refusal);
  printDenial(denial, io, false);
  const auditIndex = refusal instanceof VerifierRefusal ? (refusal.auditIndex ?? null) : null;
  if (auditIndex !== null) io.stderr(`  audit   entry ${auditIndex}\n`);
  writeReport(options, { ok: false, status: null, signal: null, denial: { ...denial }, auditIndex });
  if (refusal.check !== 'not-executable') return REFUSED;
  return refusal.detail['missing'] === true ? 127 : 126;
}

function writeReport({ report }: RunOptions, content: JsonObject): void {
  if (report !== undefined)
    writeFileSync(report, `${JSON.stringify({ v: 1, ...content }, null, 2)}\n`, { mode: 0o600 });
}

const numberOf = (signal: string): number =>
  Object.entries(os.constants.signals).find(([name]) => name === signal)?.[1] ?? 0;

/** Signals that go to the command instead of ending this process. */
const PASSED_ON = ['SIGHUP', 'SIGINT', 'SIGQUIT', 'SIGTERM', 'SIGUSR1', 'SIGUSR2'] as const;

function passSignals(send: (signal: NodeJS.Signals) => void): () => void {
  const listeners = PASSED_ON.map((signal) => {
    const listener = (): void => {
      send(signal);
    };
    process.on(signal, listener);
    return () => process.off(signal, listener);
  });
  return () => {
    for (const stop of listeners) stop();
  };
}

async function runByAgent(
  order: RunOrder,
  socket: string,
  prove: NamedParent['prove'],
  io: Io,
): Promise<RunEnd> {
  let stop = (): void => undefined;
  try {
    const result = await askAgent(
      socket,
      { v: 1, op: 'run', order: order },
      {
        stdin: process.stdin,
        stdout: process.stdout,
        stderr: process.stderr,
        onSignals: (send) => {
          stop = passSignals((signal) => {
            send(signal.slice('SIG'.length));
          });
        },
        onEvent: (event) => {
          tell(event, io);
        },
        ...(prove === undefined ? {} : { onProve: prove }),
      },
    );
    const { status, signal, denied, report } = result;
    return {
      status: typeof status === 'number' ? status : null,
      signal: typeof signal === 'string' ? signal : null,
      denial: isJsonObject(denied) ? denied : null,
      report: isJsonObject(report) ? report : {},
    };
  } finally {
    stop();
  }
}

/** A run that lasts is renewed from here too, by the same loop as the agent's. */
const RENEW_AFTER_MS = 60_000;
const TIMES = { intervalMs: 300_000, jitter: 0.2, maxBackoffMs: 60_000 };

async function runHere(
  order: RunOrder,
  { state, tcti }: RunOptions,
  prove: NamedParent['prove'],
  io: Io,
): Promise<RunEnd> {
  await using hosts = new HostAccess({
    ...{ state: state ?? DEFAULT_STATE, clock: systemClock },
    ...(tcti === undefined ? {} : { tcti }),
  });
  const shared = { clock: systemClock, random: systemRandom };
  const { state: installation } = await verifyInstallation();
  const gateway = new Gateway({
    ...shared,
    host: () => hosts.current(),
    environment: process.env,
    installation,
  });
  const loop = new AttestationLoop({
    ...shared,
    hosts,
    runner: gateway,
    times: TIMES,
    report: () => undefined,
  });
  const stopping = new AbortController();
  let renewing = Promise.resolve();
  const timer = setTimeout(() => {
    renewing = loop.run(stopping.signal);
  }, RENEW_AFTER_MS);
  let stop = (): void => undefined;
  try {
    const user = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 };
    return await gateway.runArtifact(order, user, {
      streams: 'inherit',
      event: (event) => {
        tell(event, io);
      },
      onSignal: (send) => {
        stop = passSignals(send);
      },
      ...(prove === undefined
        ? {}
        : {
            prove: ({ audience, nonce, requestDigest }) =>
              prove({ aud: audience, nonce, requestDigest: toHex(requestDigest) }),
          }),
    });
  } finally {
    clearTimeout(timer);
    stopping.abort();
    await renewing;
    stop();
  }
}

function tell(event: JsonObject, io: Io): void {
  if (event['event'] === 'not-reported')
    io.stderr(`sealgate: not reported to the verifier: ${printable(JSON.stringify(event['reason']))}\n`);
}
