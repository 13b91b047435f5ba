import { existsSync } from 'node:fs';
import path from 'node:path';
import { touchesConfinement } from '../../lifecycle/loader-variables.ts';
import type { RunUser } from '../run-order.ts';
import { succeeds } from './start-process.ts';

const BWRAP = '/usr/bin/bwrap';
const SETPRIV = '/usr/bin/setpriv';
const ENV = '/usr/bin/env';
/** How long trying out a confining program may take. */
const PROBE_MS = 10_000;

/** How a child is kept apart: `bubblewrap` by namespaces of its own, `setpriv` by user and rights only. */
export type Isolation = 'bubblewrap' | 'setpriv';

/** What a child may see and be. */
export interface Confinement {
  readonly user: RunUser;
  readonly cwd: string;
  readonly environment: Readonly<Record<string, string>>;
  /** Directories that hold state, keys, sockets and other executions: empty to the child. */
  readonly hidden: readonly string[];
  /** Directories below hidden ones that the child does see, read-only. */
  readonly shown: readonly string[];
}

/** A command line that confines, and what goes to descriptor 3 of it. */
export interface ConfinedCommand {
  readonly file: string;
  readonly args: readonly string[];
  /** Where the confining program starts. */
  readonly cwd: string;
  /** Of the confining program itself. */
  readonly environment: Readonly<Record<string, string>>;
  /** NUL-separated options of bubblewrap, kept off the command line: others can read those. */
  readonly options: Uint8Array | undefined;
}

/**
 * The command that starts `command` under bubblewrap: own mount, PID, IPC, UTS and cgroup namespaces; a /dev without
 * TPM; no capabilities; no_new_privs; another user where this program is root.
 */
export function bubblewrap(command: readonly string[], confinement: Confinement): ConfinedCommand {
  const { cwd, environment, hidden, shown } = confinement;
  const { plain, loader } = splitEnvironment(environment);
  const options = [
    ...(process.getuid?.() === 0 ? [] : ['--unshare-user']),
    ...['--unshare-pid', '--unshare-ipc', '--unshare-uts', '--unshare-cgroup-try'],
    ...['--die-with-parent', '--new-session', '--clearenv'],
    ...['--bind', '/', '/', '--dev', '/dev', '--proc', '/proc'],
    ...hidden.filter((directory) => existsSync(directory)).flatMap((directory) => ['--tmpfs', directory]),
    // The directories on the way there, which bubblewrap would make for its own user only.
    ...shown.flatMap((directory) => ['--perms', '0755', '--dir', path.dirname(directory)]),
    ...shown.flatMap((directory) => ['--ro-bind', directory, directory]),
    // Into the working directory goes env, with the child's rights: root would get to where the child may not.
    ...['--chdir', '/'],
    ...Object.entries(plain).flatMap(([name, value]) => ['--setenv', name, value]),
  ];
  return {
    file: BWRAP,
    args: [
      '--args',
      '3',
      '--info-fd',
      '4',
      '--',
      ...setpriv(confinement.user),
      ...enter(cwd, loader),
      ...command,
    ],
    cwd: '/',
    environment: {},
    options: new Uint8Array(Buffer.from(options.map((option) => `${option}\0`).join(''))),
  };
}

/** The command without namespaces: user, groups, capabilities and no_new_privs only. */
export function withoutNamespaces(
  command: readonly string[],
  { user, cwd, environment }: Confinement,
): ConfinedCommand {
  const { plain, loader } = splitEnvironment(environment);
  const [file = SETPRIV, ...args] = [
    ...setpriv(user, ['--pdeathsig', 'KILL']),
    ...enter(cwd, loader),
    ...command,
  ];
  return { file, args, cwd: '/', environment: plain, options: undefined };
}

/** setpriv ends with 126 or 127 as shells do when the command can't be started. */
function setpriv({ uid, gid }: RunUser, more: readonly string[] = []): string[] {
  const rights = ['--inh-caps=-all', '--ambient-caps=-all', '--bounding-set=-all'];
  const become = ['--reuid', String(uid), '--regid', String(gid), '--clear-groups', ...rights];
  return [SETPRIV, ...(process.getuid?.() === 0 ? become : []), '--no-new-privs', ...more, '--'];
}

/** env(1), with the child's rights, goes into its directory and sets what setpriv must not have had. */
function enter(cwd: string, loader: Readonly<Record<string, string>>): string[] {
  const pairs = Object.entries(loader).map(([name, value]) => `${name}=${value}`);
  return cwd === '/' && pairs.length === 0 ? [] : [ENV, '-C', cwd, ...pairs];
}

/** Variables that would have the confining programs load other code are set after them, by env, with the child's rights. */
function splitEnvironment(environment: Confinement['environment']): {
  readonly plain: Record<string, string>;
  readonly loader: Record<string, string>;
} {
  const entries = Object.entries(environment);
  return {
    plain: Object.fromEntries(entries.filter(([name]) => !touchesConfinement(name))),
    loader: Object.fromEntries(entries.filter(([name]) => touchesConfinement(name))),
  };
}

let probed: Promise<Isolation | undefined> | undefined;

/**
 * What this machine allows, found out by doing it: containers and kernels forbid namespaces in many ways. Undefined when
 * not even setpriv is there. Only the best is remembered: a probe that failed on a busy machine weakens no later run.
 */
export function probeIsolation(): Promise<Isolation | undefined> {
  probed ??= probeOnce();
  return probed;
}

async function probeOnce(): Promise<Isolation | undefined> {
  let found: Isolation | undefined;
  try {
    return (found = await probe());
  } finally {
    if (found !== 'bubblewrap') probed = undefined;
  }
}

async function probe(): Promise<Isolation | undefined> {
  const root = process.getuid?.() === 0;
  const user = root ? { uid: 65_534, gid: 65_534 } : { uid: 0, gid: 0 };
  const shape: Confinement = { user, cwd: '/', environment: {}, hidden: [], shown: [] };
  if (existsSync(BWRAP) && (await works(bubblewrap(['/usr/bin/true'], shape)))) return 'bubblewrap';
  if (existsSync(SETPRIV) && (await works(withoutNamespaces(['/usr/bin/true'], shape)))) return 'setpriv';
  return undefined;
}

function works({ file, args, options }: ConfinedCommand): Promise<boolean> {
  // For a probe the options hold nothing secret, so they go where they are easy to pass.
  const given = options === undefined ? [] : Buffer.from(options).toString().split('\0').slice(0, -1);
  const rest = options === undefined ? args : [...given, ...args.slice(args.indexOf('--'))];
  return succeeds(file, rest, PROBE_MS);
}
