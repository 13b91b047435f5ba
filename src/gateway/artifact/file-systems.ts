import { existsSync } from 'node:fs';
import { statfs } from 'node:fs/promises';

/** `f_type` of statfs(2) (linux/magic.h). */
const TMPFS = 0x01021994;
const RAMFS = 0x858458f6;

/** True when a path is on tmpfs: its content is in memory (and swap), and gone with the machine. */
export async function isTmpfs(path: string): Promise<boolean> {
  return existsSync(path) && (await statfs(path)).type === TMPFS;
}

/** True when a path is on a file system in memory, which IMA policies usually leave out. */
export async function isInMemory(path: string): Promise<boolean> {
  const { type } = await statfs(path);
  return type === TMPFS || type === RAMFS;
}
