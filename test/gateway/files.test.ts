import {
  mkdtempSync,
  openSync,
  readFileSync,
  readdirSync,
  readSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { utf8 } from '../../src/base/index.ts';
import { CredentialsDirectory } from '../../src/gateway/credentials/credentials-dir.ts';
import { clearExecution, lockExecution, sweep } from '../../src/gateway/places.ts';
import { copyPrivately } from '../../src/gateway/artifact/private-copy.ts';
import { readArtifact } from '../../src/gateway/artifact/read-artifact.ts';
import { bubblewrap, withoutNamespaces } from '../../src/gateway/confine/sandbox.ts';
import { expectRejection } from '../support/refusals.ts';
import { temporaryDirectory } from '../support/temporary.ts';

const ID = '019a9e2c-7b1e-7c3d-8f20-1234567890ab';
const OTHER = '019a9e2c-7b1e-7c3d-8f20-1234567890ac';
const user = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 };
// A tmpfs, as credentials need it.
const memory = mkdtempSync('/dev/shm/sealgate-test-');
afterAll(() => {
  rmSync(memory, { recursive: true, force: true });
});

describe('a credentials directory', () => {
  it('is on a file system in memory only', async () => {
    await expectRejection('credentials-place', CredentialsDirectory.create(temporaryDirectory(), ID, user));
  });

  it('has files that only their user reads, and stays gone when it is wiped', async () => {
    const credentials = await CredentialsDirectory.create(memory, ID, user);
    await credentials.write(new Map([['database', utf8('hunter2')]]));
    const file = path.join(credentials.path, 'database');
    expect(statSync(file).mode & 0o777).toBe(0o400);
    expect(statSync(credentials.path).mode & 0o022).toBe(0);
    const open = openSync(file, 'r');
    await credentials.write(new Map([['database', utf8('hunter3')]]));
    // Who has the old file open goes on reading it whole.
    expect(readFileSync(open, 'utf8')).toBe('hunter2');
    // The end comes while a renewal writes.
    await Promise.all([credentials.write(new Map([['database', utf8('hunter4')]])), credentials.wipe()]);
    await credentials.write(new Map([['database', utf8('hunter5')]]));
    expect(readdirSync(memory)).toEqual([]);
  });

  it('zeroes what it removes', async () => {
    const credentials = await CredentialsDirectory.create(memory, ID, user);
    await credentials.write(new Map([['database', utf8('hunter2')]]));
    const open = openSync(path.join(credentials.path, 'database'), 'r');
    await credentials.wipe();
    const pages = new Uint8Array(7).fill(0xff);
    expect(readSync(open, pages, 0, 7, 0)).toBe(7);
    expect(pages).toEqual(new Uint8Array(7));
  });
});

it('only what nobody holds is swept', async () => {
  const places = { run: temporaryDirectory(), credentials: memory };
  const lock = await lockExecution(places, ID);
  for (const id of [ID, OTHER]) {
    const credentials = await CredentialsDirectory.create(memory, id, user);
    await credentials.write(new Map([['database', utf8('hunter2')]]));
  }
  expect(await sweep(places)).toEqual([OTHER]);
  expect(readdirSync(memory)).toEqual([ID]);
  await clearExecution(places, ID, lock);
  expect([...readdirSync(memory), ...readdirSync(places.run)]).toEqual([]);
});

it('an artifact is not copied to where the kernel does not measure', async () => {
  const source = path.join(temporaryDirectory(), 'artifact');
  writeFileSync(source, '#!/bin/sh\n', { mode: 0o755 });
  const read = await readArtifact(user, source);
  await expectRejection('artifact-place', copyPrivately(user, read, path.join(memory, ID), false));
  const { path: copy } = await copyPrivately(user, read, path.join(memory, OTHER), true);
  expect(readFileSync(copy, 'utf8')).toBe('#!/bin/sh\n');
});

describe('variables that select code', () => {
  const environment = { LD_PRELOAD: '/x.so', PATH: '/opt', PLAIN: 'a' };
  const confinement = { user, cwd: '/', environment, hidden: [], shown: [] };

  it('are set by env, after the programs that confine, in both ways', () => {
    const inside = bubblewrap(['/command'], confinement);
    const options = Buffer.from(inside.options ?? []).toString();
    expect(options).toContain('--setenv\0PLAIN\0a\0');
    expect(options).not.toMatch(/LD_PRELOAD|\/opt/);
    const without = withoutNamespaces(['/command'], confinement);
    expect(without.environment).toEqual({ PLAIN: 'a' });
    for (const { args } of [inside, without])
      expect(args.slice(-6)).toEqual([
        ...['/usr/bin/env', '-C', '/', 'LD_PRELOAD=/x.so', 'PATH=/opt', '/command'],
      ]);
  });
});
