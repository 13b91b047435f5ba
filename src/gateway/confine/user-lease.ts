import { execFile } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { constants } from 'node:fs';
import { mkdir, open, readdir, rm, stat } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import path from 'node:path';
import { loadNative } from '../../agent/open-tpm.ts';
import { refuse } from '../../base/index.ts';
import type { Random } from '../../base/index.ts';
import type { RunUser } from '../run-order.ts';
import { startProcessNow } from './start-process.ts';

/**
 * Numbers that systemd's list of ranges leaves unused, below those of its dynamic users: a service that got the same number
 * could read an execution's credentials, and would be killed with it.
 */
const FIRST = 60_706;
const LAST = 61_183;
const COUNT = LAST - FIRST + 1;
/**
 * Where root's gateways lock the users that they have given away: one place for the whole machine, since users are the
 * machine's, and what one gateway ends would otherwise be another's.
 */
export const MACHINE_USERS = '/run/sealgate/users';
/** Who nobody is: an artifact never runs as root, nor with its group. */
const NOBODY = 65_534;
const SETPRIV = '/usr/bin/setpriv';
const SHELL = '/bin/sh';

/** The user that one execution runs as. */
export interface UserLease {
  readonly user: RunUser;
  /** Ends every process of a user of its own: whatever it forked away, since nobody else has that user. */
  killAll(): Promise<void>;
  /** Ends them and gives the user back. */
  release(): Promise<void>;
}

/**
 * The user for an execution: its caller, where that is an ordinary one. Where the gateway is root and the caller is root (or
 * is itself such an execution), a user of its own, so that no two executions read each other's memory or credentials. The
 * number is this gateway's by a lock that the kernel drops when it dies.
 * @param users directory of the locks: {@link MACHINE_USERS}
 * @throws Refusal `run-limit` when all numbers are taken, `gateway-isolation` when there is no place for the locks
 */
export async function leaseUser(users: string, caller: RunUser, random: Random): Promise<UserLease> {
  const own = caller.uid === 0 || (caller.uid >= FIRST && caller.uid <= LAST);
  if (process.getuid?.() !== 0 || !own) return lent(caller);
  await makePlace(users);
  const [high = 0, low = 0] = random.bytes(2);
  // Begun anywhere: what one execution left in /tmp is another user's for a long time.
  const start = (high * 256 + low) % COUNT;
  for (let i = 0; i < COUNT; i++) {
    const uid = FIRST + ((start + i) % COUNT);
    const lock = await tryLock(lockFile(users, uid));
    if (lock === undefined) continue;
    // What a gateway left that was killed.
    await killAllOf(uid);
    return owned(users, uid, lock);
  }
  return refuse('run-limit', 'there is no user left for another execution', { most: COUNT });
}

async function makePlace(users: string): Promise<void> {
  try {
    await mkdir(users, { recursive: true, mode: 0o700 });
  } catch (error) {
    refuse('gateway-isolation', `there is no place for the locks of users: ${String(error)}`, { users });
  }
}

/** Ends what gateways that were killed left running under users of their own. */
export async function sweepUsers(users: string): Promise<void> {
  if (process.getuid?.() !== 0) return;
  for (const name of await readdir(users).catch(() => [])) {
    const uid = Number(/^user-(\d{5})\.lock$/.exec(name)?.[1] ?? 0);
    if (uid < FIRST || uid > LAST) continue;
    const lock = await tryLock(lockFile(users, uid));
    if (lock !== undefined) await owned(users, uid, lock).release();
  }
}

function lent({ uid, gid }: RunUser): UserLease {
  const nothing = (): Promise<void> => Promise.resolve();
  // Without root there is nobody else to be: the caller is the gateway's own user.
  const group = gid === 0 && process.getuid?.() === 0 ? NOBODY : gid;
  return { user: { uid, gid: group }, killAll: nothing, release: nothing };
}

function owned(users: string, uid: number, lock: FileHandle): UserLease {
  return {
    user: { uid, gid: uid },
    killAll: () => killAllOf(uid),
    release: async () => {
      await killAllOf(uid);
      await rm(lockFile(users, uid), { force: true });
      await lock.close();
    },
  };
}

const lockFile = (users: string, uid: number): string => path.join(users, `user-${String(uid)}.lock`);

/** Undefined when somebody has it. The file that was locked is the one that is there: whoever released it removed another. */
async function tryLock(file: string): Promise<FileHandle | undefined> {
  const { tryLockFile } = await loadNative();
  const flags = constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW;
  const handle = await open(file, flags, 0o600);
  const there = tryLockFile(handle.fd) ? await stat(file).catch(() => undefined) : undefined;
  if (there?.ino === (await handle.stat()).ino) return handle;
  await handle.close();
  return undefined;
}

/**
 * kill(2) of -1 as that user: the kernel takes every process that this user may signal at once, so that none is missed that
 * forks meanwhile. Twice, for one that was just being made. It waits for no command of the TPM.
 */
async function killAllOf(uid: number): Promise<void> {
  const rights = ['--clear-groups', '--inh-caps=-all', '--ambient-caps=-all', '--bounding-set=-all'];
  const become = ['--reuid', String(uid), '--regid', String(uid), ...rights, '--no-new-privs', '--'];
  for (let i = 0; i < 2; i++)
    await new Promise<void>((resolve, reject) => {
      const args = [...become, SHELL, '-c', 'kill -KILL -1'];
      const start = (): ChildProcess =>
        // It has a status of its own when there is nobody to kill.
        execFile(SETPRIV, args, { env: {}, cwd: '/', timeout: 10_000 }, () => {
          resolve();
        });
      startProcessNow(start).catch(reject);
    });
}
