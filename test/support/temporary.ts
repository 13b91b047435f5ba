import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll } from 'vitest';

const made: string[] = [];

// Once for the file, when it imports this: a hook that is registered inside a test or another hook never runs. Hooks
// run last first, so whatever a test file stops in its own is stopped by now.
afterAll(() => {
  for (const directory of made.splice(0)) rmSync(directory, { recursive: true, force: true });
});

/** A new directory, removed after the file's tests; may be called anywhere in them. */
export function temporaryDirectory(): string {
  const directory = mkdtempSync(path.join(tmpdir(), 'sealgate-test-'));
  made.push(directory);
  return directory;
}

/** A copy of a directory with its modes, which fs.cpSync keeps in some versions of Node only. @param to not there yet */
export function copyDirectory(from: string, to: string): void {
  execFileSync('cp', ['--archive', from, to]);
}
