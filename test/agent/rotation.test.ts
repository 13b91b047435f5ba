import { createHash } from 'node:crypto';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { attestHost, enrollHost, openHost, systemClock } from '../../src/agent/index.ts';
import { parseCheckpoint, parseVkey, verifyCheckpoint, verifySignatures } from '../../src/audit/index.ts';
import type { VerifierKey } from '../../src/audit/index.ts';
import { utf8 } from '../../src/base/index.ts';
import { lockFile } from '../../src/store/index.ts';
import { startSwtpm } from '../../src/testing/index.ts';
import type { Swtpm } from '../../src/testing/index.ts';
import { cli } from '../support/cli.ts';
import { expectRefusal } from '../support/refusals.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { AgentWorld } from './world.ts';

const directory = temporaryDirectory();
const state = path.join(directory, 'state');
let world: AgentWorld;
let tpm: Swtpm;
beforeAll(async () => {
  tpm = await startSwtpm({ clone: true });
  world = await AgentWorld.start(directory, tpm);
  await world.publish();
  await enrollHost(world.order('host-a', tpm, state, await world.invite('host-a')));
});
afterAll(async () => {
  await world.stop();
  await tpm.stop();
});

/** A command of the verifier's operator: exit code and the one document. */
async function command(...argv: string[]): Promise<Record<string, unknown> & { readonly exit: number }> {
  const { exit, stdout } = await cli(...argv, '--json');
  return { exit, ...(JSON.parse(stdout) as Record<string, unknown>) };
}
const config = (): string => path.join(world.directory, 'sealgate.yaml');
const authority = (): string => path.join(world.directory, 'offline/policy-authority-1.key');
const document = (name: string): string => path.join(directory, `${name}.json`);

/** Signs a version offline and makes it the newest. */
async function signAndPublish(file: string) {
  expect(await command('trust-bundle', 'sign', file, '--key', authority())).toMatchObject({ exit: 0 });
  return await command('trust-bundle', 'publish', `${file}.dsse.json`, '--config', config());
}

async function restart(): Promise<void> {
  await world.stop();
  await world.comeBack();
}

async function attest() {
  await using host = await openHost({ state });
  const outcome = await attestHost(host, [], systemClock);
  return { ...outcome, trust: host.trust.version };
}

async function shown() {
  return parseCheckpoint(utf8((await world.verifier.call({ url: '/checkpoint' })).text));
}

async function publicKeys(): Promise<{ name: string; public: string; next: string | null }[]> {
  const listed = await command('key', 'ls', '--config', config());
  return listed['keys'] as { name: string; public: string; next: string | null }[];
}
async function logKeys(): Promise<VerifierKey[]> {
  const log = (await publicKeys()).find(({ name }) => name === 'log');
  return [log?.public, log?.next].flatMap((text) => (typeof text === 'string' ? [parseVkey(text)] : []));
}

describe('the log’s key is rotated', () => {
  it('in two signed steps, with checkpoints signed by both in between; hosts walk the chain', async () => {
    const before = await logKeys();
    expect(before).toHaveLength(1);
    const prepared = await command(
      'key',
      'rotate',
      'log',
      '--prepare',
      '-o',
      document('two'),
      '--config',
      config(),
    );
    expect(prepared).toMatchObject({ exit: 0, ok: true, version: 2 });
    const [old, next] = await logKeys();
    if (old === undefined || next === undefined) throw new Error('two keys');
    // Too early: nobody has signed, and no host knows the next key.
    expect(
      await command('key', 'rotate', 'log', '--finish', '-o', document('x'), '--config', config()),
    ).toMatchObject({
      exit: 1,
      denial: {
        check: 'key-rotation',
        reason: 'no published trust bundle has the next key: hosts would refuse it',
      },
    });
    expect((await signAndPublish(document('two'))).exit).toBe(0);
    expect(
      await command('key', 'rotate', 'log', '--finish', '-o', document('x'), '--config', config()),
    ).toMatchObject({ exit: 1, denial: { check: 'key-rotation' } });
    await restart();
    // Also a head that was signed before is shown with both, without a new entry.
    expect(verifySignatures((await shown()).note, [old, next])).toHaveLength(2);
    expect(await attest()).toMatchObject({ trust: 2 });
    const finished = await command(
      'key',
      'rotate',
      'log',
      '--finish',
      '-o',
      document('three'),
      '--config',
      config(),
    );
    expect(finished).toMatchObject({ exit: 0, version: 3 });
    expect(await logKeys()).toEqual([next]);
    expect(existsSync(path.join(world.directory, 'keys/log.next.key'))).toBe(false);
    await restart();
    // The new key alone is what hosts of version 2 know too.
    expect(await attest()).toMatchObject({ trust: 2 });
    expect((await signAndPublish(document('three'))).exit).toBe(0);
    await restart();
    expect(await attest()).toMatchObject({ trust: 3 });
    verifyCheckpoint(await shown(), [next]);
    const checkpoint = await shown();
    expectRefusal('log-signature', () => verifyCheckpoint(checkpoint, [old]));
    expect(await command('store', 'check', '--config', config())).toMatchObject({ exit: 0, findings: [] });
  });

  it('and so is the key of attestation results', async () => {
    await command('key', 'rotate', 'ear', '--prepare', '-o', document('ear'), '--config', config());
    expect((await signAndPublish(document('ear'))).exit).toBe(0);
    await restart();
    expect(await attest()).toMatchObject({ trust: 4 });
    const done = await command(
      'key',
      'rotate',
      'ear',
      '--finish',
      '-o',
      document('ear-2'),
      '--config',
      config(),
    );
    expect(done).toMatchObject({ exit: 0, version: 5 });
    expect((await signAndPublish(document('ear-2'))).exit).toBe(0);
    await restart();
    expect(await attest()).toMatchObject({ trust: 5 });
  });

  it('by nobody but the authorities, and never past a version', async () => {
    const file = document('six');
    await command('key', 'rotate', 'log', '--prepare', '-o', file, '--config', config());
    const other = path.join(world.directory, 'keys/log.key');
    await command('trust-bundle', 'sign', file, '--key', other);
    expect(await command('trust-bundle', 'publish', `${file}.dsse.json`, '--config', config())).toMatchObject(
      {
        exit: 1,
        denial: { check: 'policy-signatures' },
      },
    );
    const bundles = path.join(world.directory, 'certificates/trust-bundles.json');
    const digest = createHash('sha256').update(readFileSync(bundles)).digest('hex');
    // The same version twice: what follows version 5 does not follow version 6.
    expect((await signAndPublish(file)).exit).toBe(0);
    expect(await command('trust-bundle', 'publish', `${file}.dsse.json`, '--config', config())).toMatchObject(
      {
        exit: 1,
        denial: { check: 'trust-bundle-chain' },
      },
    );
    expect(createHash('sha256').update(readFileSync(bundles)).digest('hex')).not.toBe(digest);
    expect(existsSync(`${bundles}.new`)).toBe(false);
    // Between another's reading and its replacing the file nobody publishes.
    const lock = lockFile(bundles);
    expect(await command('trust-bundle', 'publish', `${file}.dsse.json`, '--config', config())).toMatchObject(
      { exit: 1, denial: { check: 'trust-bundle-lock' } },
    );
    lock?.release();
    // A key that hosts can't hear of by the bundle, and one that there isn't.
    for (const name of ['master', 'nonsense'])
      expect((await cli('key', 'rotate', name, '--prepare', '--config', config())).exit).toBe(2);
  });

  it('also after a command that was killed while it published', async () => {
    const file = document('after-kill');
    const terms = ['--witnesses', 'none', '-o', file, '--config', config()];
    expect(await command('trust-bundle', 'prepare', ...terms)).toMatchObject({ exit: 0, version: 7 });
    const bundles = path.join(world.directory, 'certificates/trust-bundles.json');
    // It holds the kernel's lock, has written a part, and dies.
    const script = `import { lockFile } from ${JSON.stringify(path.resolve('src/store/lock.ts'))};
      import { writeFileSync } from 'node:fs';
      lockFile(process.argv[1]); writeFileSync(process.argv[1] + '.new', '[{"half'); console.log('held'); setInterval(() => {}, 1000);`;
    const child = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', script, bundles]);
    await once(child.stdout, 'data');
    expect((await signAndPublish(file)).exit).toBe(1);
    child.kill('SIGKILL');
    await once(child, 'exit');
    expect(existsSync(`${bundles}.new`)).toBe(true);
    expect(await signAndPublish(file)).toMatchObject({ exit: 0, version: 7 });
    expect(existsSync(`${bundles}.new`)).toBe(false);
  });

  it('and a version without a key that the verifier uses is not published', async () => {
    const made = await command(
      'trust-bundle',
      'prepare',
      '--witnesses',
      'none',
      '-o',
      document('seven'),
      '--config',
      config(),
    );
    expect(made).toMatchObject({ exit: 0, version: 8 });
    const text = readFileSync(document('seven'), 'utf8');
    const bundle = JSON.parse(text) as { log: string[] };
    const [own = ''] = bundle.log;
    writeFileSync(document('foreign'), text.replace(JSON.stringify(own), '').replace('"log":[,', '"log":['));
    expect(await signAndPublish(document('foreign'))).toMatchObject({
      exit: 1,
      denial: { check: 'trust-bundle-keys' },
    });
    writeFileSync(document('broken'), text.replace('"v":1', '"v":2'));
    expect(await command('trust-bundle', 'sign', document('broken'), '--key', authority())).toMatchObject({
      exit: 1,
      denial: { check: 'trust-bundle-form' },
    });
  });
});
