import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { existsSync } from 'node:fs';
import { refuse } from '../../base/index.ts';
import { GETCAP } from './file-capabilities.ts';
import { startProcess } from '../confine/start-process.ts';
import type { RunUser } from '../run-order.ts';

const SETPRIV = '/usr/bin/setpriv';
const REALPATH = '/usr/bin/realpath';
/** Where merged and unmerged systems have it. */
const TAR = ['/usr/bin/tar', '/bin/tar'];
/** How long reading an artifact may take: a caller's own file system (FUSE) may never answer. */
const READ_MS = 300_000;
const LOOK_MS = 30_000;
const MAX_SAID = 4096;
const MAX_PATH = 4096;

/**
 * A gateway that is root reads what a caller names with that caller's rights only: by programs that have become the caller,
 * have no capabilities and can't gain any. What they may not open isn't opened, and what opening has for effects is theirs.
 * One that isn't root reads for its own user and nobody else.
 * @throws Refusal `caller-rights`
 */
function asCaller({ uid, gid }: RunUser, command: readonly string[]): readonly [string, readonly string[]] {
  const own = process.getuid?.();
  const [file = '', ...args] = command;
  if (own !== 0 && uid !== own)
    refuse('caller-rights', 'this gateway is not root: it can act for its own user only', { uid });
  if (!existsSync(SETPRIV)) refuse('gateway-isolation', 'setpriv is not installed', { file: SETPRIV });
  const rights = ['--inh-caps=-all', '--ambient-caps=-all', '--bounding-set=-all'];
  const become = ['--reuid', String(uid), '--regid', String(gid), '--clear-groups', ...rights];
  const change = own === 0 && uid !== 0 ? become : [];
  return [SETPRIV, [...change, '--no-new-privs', '--pdeathsig', 'KILL', '--', file, ...args]];
}

/** The real path of what a caller names, as far as the caller sees it. @throws Refusal `artifact-unreadable` */
export async function realPathAs(caller: RunUser, source: string): Promise<string> {
  const out = await collect(caller, [REALPATH, '-e', '-z', '--', source], MAX_PATH + 1);
  const real = out.toString('utf8').replace(/\0$/, '');
  if (!real.startsWith('/') || real.includes('\0') || real.includes('\uFFFD'))
    refuse('artifact-unreadable', 'the artifact’s path is no text', { artifact: source });
  if (real === '/') refuse('artifact-type', 'the root directory can’t be an artifact');
  return real;
}

/**
 * Refuses a file or a tree in which a file has capabilities (the extended attribute `security.capability`, which Node
 * can't read): they would give an artifact rights that no policy named. What can't be looked at is refused as well.
 * @throws Refusal `artifact-capability`
 */
export async function refuseCapabilitiesAs(caller: RunUser, real: string): Promise<void> {
  const tool = GETCAP.find((candidate) => existsSync(candidate));
  if (tool === undefined)
    return refuse('artifact-capability', 'file capabilities can’t be looked for: getcap is not installed');
  const out = await collect(caller, [tool, '-r', real], MAX_SAID).catch((error: unknown) =>
    refuse('artifact-capability', error instanceof Error ? error.message : String(error)),
  );
  if (out.length > 0)
    refuse('artifact-capability', 'a file has capabilities', {
      found: out.toString('utf8').trim().slice(0, 512),
    });
}

/**
 * A file or a directory tree as GNU tar writes it, opened and read by the caller. Names begin with `./` and the last name of
 * the path; no link is followed, every name of a file comes with its content.
 * @param use reads the archive; only when this resolves did all of it come, and from what didn't change meanwhile
 * @throws Refusal `artifact-unreadable`, `artifact-changed`
 */
export async function archiveAs<T>(
  caller: RunUser,
  { parent, name }: { readonly parent: string; readonly name: string },
  use: (stream: AsyncIterable<Uint8Array>) => Promise<T>,
): Promise<T> {
  const tar = TAR.find((candidate) => existsSync(candidate));
  if (tar === undefined) return refuse('gateway-isolation', 'tar is not installed');
  const options = ['--create', '--format=gnu', '--no-unquote', '--hard-dereference', '--numeric-owner'];
  const command = [tar, ...options, '--file=-', '-C', parent, '--', `./${name}`];
  return await withProgram(caller, command, READ_MS, async (stream, ended) => {
    const [outcome] = await Promise.allSettled([use(stream)]);
    const failed = outcome.status === 'rejected';
    // What the program said comes first: a stream that broke off has a reason.
    const { status, said, killed } = await ended(failed);
    if (!killed && (status !== 0 || said !== '')) refuseArchive(said);
    if (failed) throw outcome.reason;
    if (killed)
      refuse('artifact-unreadable', 'reading the artifact took too long', { seconds: READ_MS / 1000 });
    return outcome.value;
  });
}

function refuseArchive(said: string): never {
  const reason = said.replace(/^\/\S*?tar: /gm, '').slice(0, 512);
  if (/: socket ignored$/m.test(said))
    refuse('artifact-type', 'a socket can’t be part of an artifact', { reason });
  if (/changed as we read it|shrank by|removed before we read|became a|File exists/.test(said))
    refuse('artifact-changed', 'the artifact was written to while it was read', { reason });
  return refuse('artifact-unreadable', 'the caller can’t read the artifact', { reason });
}

async function collect(caller: RunUser, command: readonly string[], most: number): Promise<Buffer> {
  return await withProgram(caller, command, LOOK_MS, async (stream, ended) => {
    const parts: Uint8Array[] = [];
    let size = 0;
    for await (const part of stream) {
      size += part.length;
      if (size > most) break;
      parts.push(part);
    }
    const { status, said } = await ended(size > most);
    if (size <= most && status !== 0)
      refuse('artifact-unreadable', 'the caller can’t read the artifact', { reason: said.slice(0, 512) });
    return Buffer.concat(parts);
  });
}

interface Ended {
  readonly status: number | null;
  /** What it wrote on standard error, at most 4 KiB. */
  readonly said: string;
  /** By us: time was up, or nobody reads on. */
  readonly killed: boolean;
}

/** Runs a program as the caller, in no directory and with no environment of anybody's. */
async function withProgram<T>(
  caller: RunUser,
  command: readonly string[],
  most: number,
  use: (stream: AsyncIterable<Uint8Array>, ended: (stop: boolean) => Promise<Ended>) => Promise<T>,
): Promise<T> {
  const [file, args] = asCaller(caller, command);
  const { child, closed } = await startProcess(() => {
    const child = spawn(file, args, { cwd: '/', env: { LC_ALL: 'C' }, stdio: ['ignore', 'pipe', 'pipe'] });
    return { child, closed: closeOf(child) };
  });
  let [said, killed] = ['', false];
  const stop = (): void => {
    killed = true;
    child.kill('SIGKILL');
  };
  const timer = setTimeout(stop, most);
  child.stderr.on('data', (part: Buffer) => {
    if (said.length < MAX_SAID) said += part.toString('latin1');
  });
  try {
    return await use(child.stdout, async (unread) => {
      if (unread && !child.stdout.readableEnded) {
        stop();
        // A pipe that nobody reads would keep it from closing.
        child.stdout.destroy();
      }
      return { status: await closed, said: said.trim(), killed };
    });
  } finally {
    clearTimeout(timer);
    if (child.exitCode === null) child.kill('SIGKILL');
  }
}

/** Its status, when all of its output was delivered. */
function closeOf(child: ChildProcess): Promise<number | null> {
  const closed = new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  }).catch((error: unknown) =>
    refuse('gateway-isolation', `a program can’t be started as the caller: ${String(error)}`),
  );
  closed.catch(() => undefined);
  return closed;
}
