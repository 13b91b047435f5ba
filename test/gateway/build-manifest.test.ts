import { execFile } from 'node:child_process';
import { readFileSync, realpathSync } from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { temporaryDirectory } from '../support/temporary.ts';

const ROOT = path.resolve(import.meta.dirname, '../..');
const { files } = JSON.parse(readFileSync(path.join(ROOT, 'dist/sealgate.manifest.json'), 'utf8')) as {
  files: Readonly<Record<string, string>>;
};

/** Every file that a command line loads, by its real path. */
const loadedBy = (...command: readonly string[]): Promise<readonly string[]> =>
  loadedIn(path.join(ROOT, 'dist/src/cli/main.js'), ...command);

/** Every file that Node loads with these arguments. */
async function loadedIn(...args: readonly string[]): Promise<readonly string[]> {
  const target = path.join(temporaryDirectory(), 'loaded');
  const preload = path.join(ROOT, 'scripts/lib/trace-loads.js');
  await promisify(execFile)(process.execPath, ['--import', preload, ...args], {
    env: { ...process.env, SEALGATE_TRACE: target },
  });
  const lines = readFileSync(target, 'utf8').split('\n');
  return [...new Set(lines)]
    .filter((line) => line !== '' && !line.includes('/scripts/lib/'))
    .map((line) => realpathSync(line));
}

describe('sealgate.manifest.json of this build', () => {
  it.each(['agent', 'run', 'host enroll'])('names every file that %s loads', async (command) => {
    const loaded = await loadedBy(...command.split(' '), '--help');
    expect(loaded.length).toBeGreaterThan(200);
    expect(loaded.filter((file) => !Object.hasOwn(files, file))).toEqual([]);
  });

  it.each(['jose', 'pkijs', '@peculiar/x509', 'reflect-metadata', 'ffi-napi'])(
    'names files of %s, which is loaded by a call',
    (name) => {
      expect(Object.keys(files).some((file) => file.includes(`/node_modules/${name}/`))).toBe(true);
    },
  );

  it('loads for a verifier’s main thread none of what is large and for others', async () => {
    const loaded = [
      ...(await loadedBy('serve', '--help')),
      ...(await loadedIn(path.join(ROOT, 'dist/src/server/index.js'))),
    ];
    expect(loaded.some((file) => file.includes('/node_modules/fastify/'))).toBe(true);
    for (const name of ['typebox', 'kysely', 'pkijs', '@peculiar', 'jose'])
      expect(loaded.filter((file) => file.includes(`/node_modules/${name}/`))).toEqual([]);
  });

  it('a version is told without loading any command', async () => {
    expect((await loadedBy('--version')).length).toBeLessThan(80);
  });
});
