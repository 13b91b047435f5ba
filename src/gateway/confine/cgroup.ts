import { mkdir, readFile, rmdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ConfinedCommand } from './sandbox.ts';

/** How long the kernel may take to end what was killed. */
const EMPTY_MS = 5000;
const LOOK_MS = 10;

/** A control group that one execution and everything that it ever starts is in: nothing leaves it by forking away. */
export interface RunGroup {
  /** Runs a command in it: the shell that becomes the command enters first. */
  enter(command: readonly string[]): readonly string[];
  /** Ends all that is in it, at once. */
  kill(): Promise<void>;
  /** Ends all that is in it and removes it. */
  remove(): Promise<void>;
}

const ENTER = 'echo 0 > "$0" && exec "$@"';

/**
 * Makes a control group for an execution below this program's own (cgroup v2). Undefined where that isn't allowed or isn't
 * there: then namespaces or the execution's own user have to do.
 */
export async function makeRunGroup(executionId: string): Promise<RunGroup | undefined> {
  const parent = await ownGroup();
  if (parent === undefined) return undefined;
  const group = path.join(parent, `sealgate-${executionId}`);
  try {
    await mkdir(group);
    // Only kernels since 5.14 end a whole group at once.
    await readFile(path.join(group, 'cgroup.procs'));
    await writeFile(path.join(group, 'cgroup.kill'), '1');
  } catch {
    await rmdir(group).catch(() => undefined);
    return undefined;
  }
  return {
    enter: (command) => ['/bin/sh', '-c', ENTER, path.join(group, 'cgroup.procs'), ...command],
    kill: () => killGroup(group),
    remove: () => removeGroup(group),
  };
}

/** The same command, in a group where there is one. */
export function grouped(command: ConfinedCommand, group: RunGroup | undefined): ConfinedCommand {
  if (group === undefined) return command;
  const [file = command.file, ...args] = group.enter([command.file, ...command.args]);
  return { ...command, file, args };
}

/** Removes what a gateway that was killed left of an execution's group. */
export async function sweepRunGroup(executionId: string): Promise<void> {
  const parent = await ownGroup();
  if (parent !== undefined) await removeGroup(path.join(parent, `sealgate-${executionId}`));
}

async function killGroup(group: string): Promise<void> {
  await writeFile(path.join(group, 'cgroup.kill'), '1').catch(() => undefined);
}

async function removeGroup(group: string): Promise<void> {
  await killGroup(group);
  const until = performance.now() + EMPTY_MS;
  while (performance.now() < until) {
    const gone = await rmdir(group).then(
      () => true,
      (error: unknown) => error instanceof Error && 'code' in error && error.code === 'ENOENT',
    );
    if (gone) return;
    await sleep(LOOK_MS);
  }
}

/** The directory of this program's own group; undefined without cgroup v2. */
async function ownGroup(): Promise<string | undefined> {
  const [mounts, own] = await Promise.all(
    ['/proc/self/mounts', '/proc/self/cgroup'].map((file) => readFile(file, 'utf8').catch(() => '')),
  );
  const mount = mounts
    ?.split('\n')
    .map((line) => line.split(' '))
    .find(([, , type]) => type === 'cgroup2')?.[1];
  const name = own
    ?.split('\n')
    .find((line) => line.startsWith('0::/'))
    ?.slice('0::'.length);
  return mount === undefined || name === undefined ? undefined : path.join(mount, name);
}
