import { accessSync, constants, existsSync, lstatSync, statSync } from 'node:fs';
import path from 'node:path';
import { fromUtf8, toBase64url } from '../base/index.ts';
import { RENEW_SIGNALS } from '../client/index.ts';
import type { RenewSignal } from '../client/index.ts';
import type { RunOrder } from '../gateway/index.ts';
import { readBeside, readNamed } from './artifact-files.ts';
import { UsageError } from './errors.ts';
import { readInput } from './input.ts';

/** What `sealgate run` was given. */
export interface RunFlags {
  readonly scope: readonly string[];
  readonly credential: readonly string[];
  readonly signature: readonly string[];
  readonly env: readonly string[];
  readonly initiator?: string;
  readonly onRenew?: string;
}

/** A command that can't be started, as shells say it: 127 when there is none, 126 when it is none. */
export class CommandError extends Error {
  readonly status: 126 | 127;

  constructor(status: 126 | 127, message: string) {
    super(message);
    this.status = status;
  }
}

/**
 * Makes the order of a command line: finds the command, the file or tree that its signatures are over, and what proves
 * the initiator. It has no parent: `parent-file.ts` adds one.
 * @throws CommandError, UsageError
 */
export function makeOrder(
  [command = '', ...args]: readonly string[],
  flags: RunFlags,
  environment: NodeJS.ProcessEnv,
): RunOrder {
  const file = findCommand(command, environment['PATH'] ?? '');
  const { artifact, signatures } = findSignatures(file, flags.signature);
  const initiator = flags.initiator === undefined ? null : readToken(flags.initiator);
  return {
    artifact,
    entry: artifact === file ? '' : path.relative(artifact, file),
    args,
    environment: chosenEnvironment(flags.env, environment),
    cwd: process.cwd(),
    scopes: flags.scope,
    credentials: flags.credential,
    signatures: signatures.map(({ format, bytes }) => ({ format, data: toBase64url(bytes) })),
    initiator: initiator?.token ?? null,
    initiatorKey: initiator?.key ?? null,
    parent: null,
    parentKey: null,
    ...(flags.onRenew === undefined ? {} : { onRenew: renewSignal(flags.onRenew) }),
  };
}

/** As `kill` takes them: with SIG or without. @throws UsageError */
function renewSignal(wanted: string): RenewSignal {
  const name = wanted.toUpperCase().replace(/^SIG/, '');
  const found = RENEW_SIGNALS.find((signal) => signal === name);
  if (found === undefined) throw new UsageError(`--on-renew is one of ${RENEW_SIGNALS.join(', ')}`);
  return found;
}

/** As shells look: a name with a slash is a path, others are looked up. */
function findCommand(command: string, searched: string): string {
  const places = command.includes('/')
    ? [path.resolve(command)]
    : searched.split(':').map((directory) => path.resolve(directory, command));
  const found = places.filter((file) => existsSync(file));
  const [first] = found;
  if (command === '' || first === undefined) throw new CommandError(127, `${command}: not found`);
  const runnable = found.find((file) => statSync(file).isFile() && isExecutable(file));
  if (runnable === undefined)
    throw new CommandError(
      126,
      `${command}: ${statSync(first).isDirectory() ? 'is a directory; of a signed tree name the file that starts' : 'not executable'}`,
    );
  return runnable;
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/**
 * What is signed: the file, when signatures are beside it or named; else the nearest directory above it that has some
 * beside it, which is a tree.
 */
function findSignatures(
  file: string,
  named: readonly string[],
): { readonly artifact: string; readonly signatures: ReturnType<typeof readBeside> } {
  if (named.length > 0) {
    const stem = path.resolve(named[0] ?? '').replace(/(?:\.dsse\.json|\.p7s|\.sig)$/, '');
    const tree = file.startsWith(`${stem}/`) && lstatSync(stem).isDirectory();
    return { artifact: tree ? stem : file, signatures: named.map(readNamed) };
  }
  for (let artifact = file; artifact !== '/'; artifact = path.dirname(artifact)) {
    const signatures = readBeside(artifact);
    if (signatures.length > 0) return { artifact, signatures };
  }
  // Unsigned: it is asked for all the same, so that the denial is the verifier's, and in its log.
  return { artifact: file, signatures: [] };
}

function chosenEnvironment(
  wanted: readonly string[],
  environment: NodeJS.ProcessEnv,
): Record<string, string> {
  return Object.fromEntries(
    wanted.map((name) => {
      const [, variable = name, value = environment[name]] = /^([^=]+)=(.*)$/s.exec(name) ?? [];
      if (value === undefined) throw new UsageError(`--env ${name}: the variable is not set`);
      return [variable, value];
    }),
  );
}

/** A token, and its holder's key where one lies beside it: `x.jwt` and `x.key`. */
export function readToken(file: string): { readonly token: string; readonly key: string | null } {
  const token = fromUtf8(readInput(file, 'token', 16_384), 'token').trim();
  const key = `${file.replace(/\.jwt$/, '')}.key`;
  return { token, key: existsSync(key) ? fromUtf8(readInput(key, 'key', 8192), 'key') : null };
}
