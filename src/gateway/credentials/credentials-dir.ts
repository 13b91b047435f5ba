import { constants } from 'node:fs';
import { chmod, chown, lstat, mkdir, open, readdir, rename, rm } from 'node:fs/promises';
import path from 'node:path';
import { refuse } from '../../base/index.ts';
import type { CredentialFiles } from './credential-files.ts';
import { isTmpfs } from '../artifact/file-systems.ts';
import { succeeds } from '../confine/start-process.ts';
import type { RunUser } from '../run-order.ts';

const MOUNT = '/usr/bin/mount';
const MOUNT_MS = 10_000;
/** Where root mounts a tmpfs of its own. */
export const ROOT_PLACE = '/run/sealgate/credentials';
/** Without `noswap` (Linux before 6.4) what was opened could be written to a swap partition. */
const OPTIONS = 'nosuid,nodev,noexec,mode=0711,size=64m';

/**
 * The directory below which credentials directories are made: always tmpfs, so that nothing that was unsealed is ever on
 * a disk. Root mounts one of its own there; others use their runtime directory or /dev/shm.
 * @param wanted instead of the usual places; mounted when root, else it must be tmpfs already
 * @throws Refusal `credentials-place`
 */
export async function credentialsPlace(
  wanted: string | undefined,
  environment: NodeJS.ProcessEnv,
): Promise<string> {
  if (process.getuid?.() === 0) {
    const place = wanted ?? ROOT_PLACE;
    await ownDirectory(place, 0o711);
    if (!(await isMountOfOurs(place))) await mountTmpfs(place);
    return await requireTmpfs(place);
  }
  const runtime = environment['XDG_RUNTIME_DIR'];
  const parents = [...(runtime?.startsWith('/') === true ? [runtime] : []), '/dev/shm'];
  for (const parent of wanted === undefined ? parents : []) {
    if (!(await isTmpfs(parent))) continue;
    const place = path.join(parent, `sealgate-${String(process.getuid?.() ?? 0)}`);
    await ownDirectory(place, 0o700);
    return place;
  }
  if (wanted !== undefined) {
    await ownDirectory(wanted, 0o700);
    return await requireTmpfs(wanted);
  }
  return refuse('credentials-place', 'there is no file system in memory to put credentials on');
}

async function requireTmpfs(place: string): Promise<string> {
  if (!(await isTmpfs(place)))
    refuse('credentials-place', 'credentials would be written to a disk', { directory: place });
  return place;
}

/** A directory of this user's own that nobody else can write to; a link is not followed. */
async function ownDirectory(directory: string, mode: number): Promise<void> {
  await mkdir(directory, { recursive: true, mode });
  const status = await lstat(directory);
  if (!status.isDirectory() || status.uid !== process.getuid?.() || (status.mode & 0o022) !== 0)
    refuse('credentials-place', 'the place for credentials is not a directory of this user’s own', {
      directory,
    });
  await chmod(directory, mode);
}

/** A tmpfs that begins right here: not just a directory of a larger one. */
async function isMountOfOurs(place: string): Promise<boolean> {
  if (!(await isTmpfs(place))) return false;
  const [own, parent] = [await lstat(place), await lstat(path.dirname(place))];
  return own.dev !== parent.dev;
}

async function mountTmpfs(place: string): Promise<void> {
  for (const options of [`noswap,${OPTIONS}`, OPTIONS]) {
    const args = ['-t', 'tmpfs', '-o', options, 'sealgate-credentials', place];
    if (await succeeds(MOUNT, args, MOUNT_MS)) return;
  }
  // Without the right to mount (a container): what is there counts, and statfs tells what it is.
}

/** The credentials of one execution, as files that only its user reads. */
export class CredentialsDirectory {
  readonly path: string;
  readonly #user: RunUser;
  #writing: Promise<void> = Promise.resolve();
  #wiped: Promise<void> | undefined;

  private constructor(directory: string, user: RunUser) {
    this.path = directory;
    this.#user = user;
  }

  /** The path is known before there is anything in it: the request names it. */
  static pathOf(place: string, executionId: string): string {
    return path.join(place, executionId);
  }

  /** @param place from {@link credentialsPlace} @throws Refusal `credentials-place` */
  static async create(place: string, executionId: string, user: RunUser): Promise<CredentialsDirectory> {
    await requireTmpfs(place);
    const directory = CredentialsDirectory.pathOf(place, executionId);
    await mkdir(directory, { mode: 0o700 });
    // The directory stays this program's own: in one that the child could write to, it would choose by links what root
    // changes. The child's group may look into it.
    if (process.getuid?.() === 0) {
      await chown(directory, 0, user.gid);
      await chmod(directory, 0o550);
    }
    return new CredentialsDirectory(directory, user);
  }

  /** Writes each file whole and puts it in place at once: a reader sees the old content or the new one. */
  write(files: CredentialFiles): Promise<void> {
    const written = this.#write(files);
    this.#writing = written.catch(() => undefined);
    return written;
  }

  async #write(files: CredentialFiles): Promise<void> {
    for (const [name, content] of files) {
      // Ended in between: nothing is put where everything is being wiped.
      if (this.#wiped !== undefined) return;
      const target = path.join(this.path, name);
      const temporary = path.join(this.path, `.${name}.new`);
      await rm(temporary, { force: true });
      const handle = await open(temporary, 'wx', 0o400);
      try {
        await handle.writeFile(content);
        if (process.getuid?.() === 0) await handle.chown(this.#user.uid, this.#user.gid);
      } finally {
        await handle.close();
      }
      await rename(temporary, target);
    }
  }

  /** Overwrites and removes all of it. May be called again, also while it is under way: the end of a run and its ending do. */
  wipe(): Promise<void> {
    this.#wiped ??= this.#writing.then(() => wipeDirectory(this.path));
    return this.#wiped;
  }
}

/** What is zeroed of one file at most: no credential is larger. */
const MAX_ZEROED = 64 * 1024 * 1024;

/**
 * Zeroes every file before it goes, so that freed pages hold nothing. Nothing in it can keep the directory from being
 * removed, and no link is followed.
 */
export async function wipeDirectory(directory: string): Promise<void> {
  const names = await readdir(directory).catch(() => []);
  for (const name of names) await zero(path.join(directory, name)).catch(() => undefined);
  await rm(directory, { recursive: true, force: true });
}

async function zero(file: string): Promise<void> {
  // Without root, even the owner may write only to what has the bit.
  if (process.getuid?.() !== 0 && (await lstat(file)).isFile()) await chmod(file, 0o600);
  const handle = await open(file, constants.O_WRONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  try {
    const status = await handle.stat();
    if (status.isFile()) await handle.writeFile(new Uint8Array(Math.min(status.size, MAX_ZEROED)));
  } finally {
    await handle.close();
  }
}
