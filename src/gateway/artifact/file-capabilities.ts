import { execFile } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { existsSync } from 'node:fs';
import { realpath } from 'node:fs/promises';
import { refuse } from '../../base/index.ts';
import { startProcess } from '../confine/start-process.ts';

/** Fixed places only: PATH is the caller's. */
export const GETCAP = ['/usr/sbin/getcap', '/sbin/getcap', '/usr/bin/getcap', '/bin/getcap'];

/** Output past this is a refusal anyway. */
const MAX_OUTPUT = 1024 * 1024;

/**
 * Refuses a file or a tree in which a file has capabilities (the extended attribute `security.capability`, which Node
 * can't read): they would give an artifact rights that no policy named. What can't be looked at is refused as well.
 * @throws Refusal `artifact-capability`
 */
export async function refuseFileCapabilities(
  target: string,
  tools: readonly string[] = GETCAP,
): Promise<void> {
  const tool = tools.find((candidate) => existsSync(candidate));
  if (tool === undefined)
    refuse('artifact-capability', 'file capabilities can’t be looked for: getcap is not installed');
  // An absolute path can't be mistaken for an option, and getcap doesn't go through a link to a directory.
  const found = await run(tool, ['-r', await realpath(target)]);
  if (found !== '')
    refuse('artifact-capability', 'a file has capabilities', { found: found.trim().slice(0, 512) });
}

function run(tool: string, args: readonly string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const start = (): ChildProcess =>
      execFile(tool, args, { encoding: 'utf8', maxBuffer: MAX_OUTPUT, env: {} }, (error, stdout) => {
        // getcap prints what it finds and ends with 0; a status of its own means that it did not look everywhere.
        resolve(stdout === '' && error !== null ? `getcap failed: ${error.message}` : stdout);
      });
    startProcess(start).catch(reject);
  });
}
