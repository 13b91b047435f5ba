import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll } from 'vitest';

/** A new directory for the tests of one file; removed after them. */
export function temporaryDirectory(): string {
  const directory = mkdtempSync(path.join(tmpdir(), 'sealgate-test-'));
  afterAll(() => {
    rmSync(directory, { recursive: true, force: true });
  });
  return directory;
}
