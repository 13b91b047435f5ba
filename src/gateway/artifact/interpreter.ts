import { constants } from 'node:fs';
import { lstat, open, realpath, stat } from 'node:fs/promises';
import path from 'node:path';
import { fromUtf8, refuse, toHex } from '../../base/index.ts';
import type { ExecutionRequest } from '../../lifecycle/index.ts';
import { hashFile } from './hash-file.ts';

/** The program that a script is run by, as the request names it. */
export type Interpreter = NonNullable<ExecutionRequest['interpreter']>;

/** BINPRM_BUF_SIZE: what the kernel looks at. */
const LINE = 256;
/** `env` looks programs up; here only these places count, never the caller's PATH. */
const PROGRAM_PATH = ['/usr/local/bin', '/usr/bin', '/bin', '/usr/local/sbin', '/usr/sbin', '/sbin'];
const MAX_INTERPRETER = 2 ** 31;

/**
 * The interpreter of a script's first line, by its real path and digest, so that the request binds it; null for what
 * isn't a script. `#!/usr/bin/env NAME` is looked up here, so that nothing chooses another one later.
 * @param head the first 256 bytes of a file whose signatures were verified: nobody else's words name what is opened here
 * @throws Refusal `artifact-interpreter` when it is relative, missing, writable by others, or a script itself
 */
export async function interpreterOf(head: Uint8Array): Promise<Interpreter | null> {
  const line = firstLine(head);
  if (line === null) return null;
  const [, written = '', argument = ''] = /^[ \t]*(\S+)[ \t]*(.*?)[ \t]*$/.exec(line) ?? [];
  if (!written.startsWith('/'))
    refuse('artifact-interpreter', 'the script names no absolute path of an interpreter');
  const byEnv = path.basename(written) === 'env';
  const program = byEnv ? await lookUp(argument) : written;
  const args = byEnv || argument === '' ? [] : [argument];
  const real = await realpath(program).catch(() =>
    refuse('artifact-interpreter', 'the script’s interpreter is not installed', { interpreter: program }),
  );
  await requireFixedPath(real);
  return { path: real, sha256: await hashInterpreter(real), args };
}

/** Not writable by group or others. */
const CLOSED = 0o022;
/** Sticky: of what is in it, everybody moves only their own. */
const STICKY = 0o1000;

/**
 * Whoever may rename what is on the way to a program has another one started than the one that was hashed.
 * @throws Refusal `artifact-interpreter`
 */
async function requireFixedPath(real: string): Promise<void> {
  for (let directory = path.dirname(real); ; directory = path.dirname(directory)) {
    const { uid, mode } = await lstat(directory);
    const trusted = uid === 0 || uid === process.getuid?.();
    if (!trusted || ((mode & CLOSED) !== 0 && (mode & STICKY) === 0))
      refuse('artifact-interpreter', 'others can exchange the script’s interpreter', { directory });
    if (directory === '/') return;
  }
}

function firstLine(head: Uint8Array): string | null {
  if (head[0] !== 0x23 || head[1] !== 0x21) return null;
  const end = head.indexOf(0x0a);
  // The kernel would cut a longer line off, and run something else than what is written.
  if (end === -1 && head.length >= LINE)
    refuse('artifact-interpreter', `the script’s first line is over ${String(LINE)} bytes`);
  return fromUtf8(head.slice(2, end === -1 ? head.length : end), 'first line of the script');
}

async function lookUp(name: string): Promise<string> {
  if (!/^[A-Za-z0-9][A-Za-z0-9._+-]*$/.test(name))
    refuse('artifact-interpreter', 'of env only a program’s name is understood', { argument: name });
  for (const directory of PROGRAM_PATH) {
    const found = await stat(path.join(directory, name)).catch(() => undefined);
    if (found?.isFile() === true && (found.mode & 0o111) !== 0) return path.join(directory, name);
  }
  return refuse('artifact-interpreter', 'the script’s interpreter is not installed', { interpreter: name });
}

async function hashInterpreter(file: string): Promise<string> {
  // Before it is opened: opening a device has effects.
  if (!(await lstat(file)).isFile())
    refuse('artifact-interpreter', 'the script’s interpreter is no program', { interpreter: file });
  const handle = await open(file, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  try {
    const { uid, mode, size } = await handle.stat();
    const trusted = uid === 0 || uid === process.getuid?.();
    if (!trusted || (mode & 0o022) !== 0)
      refuse('artifact-interpreter', 'others can change the script’s interpreter', { interpreter: file });
    if ((mode & 0o111) === 0 || size > MAX_INTERPRETER)
      refuse('artifact-interpreter', 'the script’s interpreter is no program', { interpreter: file });
    const { digests, head } = await hashFile(handle, []);
    if (head[0] === 0x23 && head[1] === 0x21)
      refuse('artifact-interpreter', 'the script’s interpreter is a script itself', { interpreter: file });
    return toHex(digests.sha256);
  } finally {
    await handle.close();
  }
}
