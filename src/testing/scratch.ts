import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync } from 'node:fs';
import { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';

/**
 * The cleaner waits for the end of its standard input, which comes when this process ends in any way, SIGKILL
 * included. Then it kills the emulators whose pid files are left below the directory (if the pid is still theirs:
 * their command line names the directory) and removes it.
 */
const CLEANER = `
cat >/dev/null
for file in "$1"/*/pid; do
  pid=$(cat "$file" 2>/dev/null) || continue
  grep -qF "$1" "/proc/$pid/cmdline" 2>/dev/null && kill -KILL "$pid"
done
rm -rf -- "$1"
`;

let root: string | undefined;
let count = 0;

/** A new, empty, private (0700) directory with an absolute path; it is gone when this process has ended. */
export function scratchDirectory(name: string): string {
  root ??= startScratch();
  const directory = path.join(root, `${name}${String(count++)}`);
  mkdirSync(directory, { mode: 0o700 });
  return directory;
}

function startScratch(): string {
  const directory = mkdtempSync(path.join(path.resolve(tmpdir()), 'sealgate-swtpm-'));
  // In a session of its own: Ctrl-C in the terminal must not end the cleaner before its work is done.
  const cleaner = spawn('/bin/sh', ['-c', CLEANER, 'sh', directory], {
    detached: true,
    cwd: '/',
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  cleaner.unref();
  // The pipe, a socket in Node, must not keep this process alive either.
  if (cleaner.stdin instanceof Socket) cleaner.stdin.unref();
  return directory;
}
