import {
  appendFileSync,
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { createPrivateKey } from 'node:crypto';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { attestHost, enrollHost, openHost, systemClock } from '../../src/agent/index.ts';
import { profileText } from '../../src/config/index.ts';
import { logVkey } from '../../src/server/index.ts';
import {
  formatCheckpoint,
  formatNote,
  noteSigner,
  parseCheckpoint,
  parseLeaf,
  signNote,
} from '../../src/audit/index.ts';
import type { OpeningLeaf } from '../../src/audit/index.ts';
import { openSqlite } from '../../src/store/index.ts';
import { startSwtpm } from '../../src/testing/index.ts';
import type { Swtpm } from '../../src/testing/index.ts';
import { cli } from '../support/cli.ts';
import { expectRejection } from '../support/refusals.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { startVerifier } from '../support/verifier.ts';
import { AgentWorld } from './world.ts';

const directory = temporaryDirectory();
const state = path.join(directory, 'state');
const backup = path.join(directory, 'backup.db');
const ORIGIN = 'example.org/log-2';
let world: AgentWorld;
let tpm: Swtpm;
const at = (name: string): string => path.join(world.directory, name);
const document = (name: string): string => path.join(directory, `${name}.json`);

/** What a command answered, with its exit code. */
interface Answer {
  readonly exit: number;
  readonly denial: { readonly check: string; readonly reason: string } | null;
  readonly closed: NonNullable<OpeningLeaf['previous']> & { readonly store: string };
  readonly [member: string]: unknown;
}
async function command(...argv: string[]): Promise<Answer> {
  const { exit, stdout, stderr } = await cli(...argv, '--json');
  return { ...(JSON.parse(stdout === '' ? '{}' : stdout) as Answer), exit, stderr };
}
const config = (): string[] => ['--config', at('sealgate.yaml')];
const successor = (name: string, ...more: string[]) =>
  command('store', 'restore', backup, '--successor', ORIGIN, '-o', document(name), ...more, ...config());

async function signAndPublish(file: string, key = at('offline/policy-authority-1.key')): Promise<Answer> {
  expect(await command('trust-bundle', 'sign', file, '--key', key)).toMatchObject({ exit: 0 });
  return await command('trust-bundle', 'publish', `${file}.dsse.json`, ...config());
}

async function attest() {
  await using host = await openHost({ state });
  return { ...(await attestHost(host, [], systemClock)), trust: host.trust.version };
}
const remembered = () => parseCheckpoint(readFileSync(path.join(state, 'checkpoint'))).claimed;
/** With a mark where it comes back by attesting. */
async function hostState(): Promise<unknown> {
  const { hosts } = await world.operate('/v1/hosts');
  const [host] = hosts as readonly { readonly state: string; readonly held: boolean }[];
  return host === undefined ? undefined : `${host.state}${host.held ? ', held' : ''}`;
}
/** Everything of a verifier, as it is now. */
const keepAs = (name: string): void => {
  cpSync(world.directory, path.join(directory, name), { recursive: true });
};
/** As it was then: what a crash or an attacker made is gone. */
const backTo = (name: string): void => {
  for (const entry of readdirSync(world.directory)) rmSync(at(entry), { recursive: true });
  cpSync(path.join(directory, name), world.directory, { recursive: true });
  for (const entry of readdirSync(directory))
    if (entry.endsWith('.json')) rmSync(path.join(directory, entry));
};
const useOrigin = (): void => {
  appendFileSync(at('sealgate.yaml'), `log:\n  origin: ${ORIGIN}\n`);
};
/** The host, as it was before it heard of a successor. */
const forgetSuccessor = (): void => {
  for (const name of ['checkpoint', 'trust-bundles.json'])
    copyFileSync(path.join(directory, 'kept-state', name), path.join(state, name));
};
/** An auditor with a memory of its own, who has these log keys. */
const auditor = path.join(directory, 'auditor');
async function audit(...argv: string[]): Promise<Answer> {
  return await command('audit', 'verify', '--profile', path.join(auditor, 'a.yaml'), ...argv);
}
const bySuccession = () => ['--successor', at('certificates/trust-bundles.json')];
function useLogKeys(...keys: readonly string[]): void {
  mkdirSync(auditor, { recursive: true });
  for (const name of ['admin.pem', 'admin.key'])
    copyFileSync(at(`operators/${name}`), path.join(auditor, name));
  const pins = { url: world.url, caFingerprint: world.caFingerprint, logKey: keys.join(' ') };
  const text = profileText({ ...pins, certificate: 'admin.pem', key: 'admin.key' });
  writeFileSync(path.join(auditor, 'a.yaml'), text, { mode: 0o600 });
}
const logKey = (): string => logVkey(world.verifier.server.services);

/** What serve says to a start. */
const starts = async (): Promise<string> => {
  try {
    await (await startVerifier(world.directory)).server.stop();
    return 'served';
  } catch (error) {
    return (error as { readonly check: string }).check;
  }
};

let oldKey: string;
beforeAll(async () => {
  tpm = await startSwtpm({ clone: true });
  world = await AgentWorld.start(directory, tpm);
  await world.publish();
  await enrollHost(world.order('host-a', tpm, state, await world.invite('host-a')));
  await attest();
  oldKey = logKey();
  useLogKeys(oldKey);
  expect(await command('store', 'backup', '-o', backup, ...config())).toMatchObject({ exit: 0 });
  // Entries that the backup doesn't have, and that the host was told of.
  await attest();
  expect(await audit()).toMatchObject({ exit: 0, closed: null });
  await world.operate('/v1/secrets', { name: 'after-the-backup', value: 'c2VjcmV0' });
  await attest();
  await world.stop();
  keepAs('kept');
  cpSync(state, path.join(directory, 'kept-state'), { recursive: true });
});
afterAll(async () => {
  await world.stop().catch(() => undefined);
  await tpm.stop();
});

describe('store restore --successor', () => {
  it('wants a name, a place for the trust bundle, and something that is lost', async () => {
    const restore = (...argv: string[]) => command('store', 'restore', backup, ...argv, ...config());
    for (const argv of [
      ['--successor', ORIGIN],
      ['--successor', 'not an origin', '-o', document('x')],
      ['--successor', 'example.org/log', '-o', document('x')],
      ['--successor', ORIGIN, '-o', backup],
      ['--successor', ORIGIN, '--accept-rollback', '-o', document('x')],
      ['--hold-hosts'],
      ['-o', document('x')],
    ])
      expect((await restore(...argv)).exit, argv.join(' ')).toBe(2);
    const newest = path.join(directory, 'newest.db');
    await command('store', 'backup', '-o', newest, ...config());
    const whole = await command(
      ...['store', 'restore', newest, '--successor', ORIGIN, '-o', document('x'), ...config()],
    );
    expect(whole).toMatchObject({ exit: 2 });
    expect(existsSync(document('x'))).toBe(false);
  });

  it('refuses a checkpoint that the log didn’t sign, and a backup of another history than one it did', async () => {
    const forged = path.join(directory, 'forged');
    const text = readFileSync(path.join(state, 'checkpoint'), 'utf8');
    writeFileSync(forged, text.replace(/\n\d+\n/, '\n900\n'));
    expect(await successor('forged', '--known', forged)).toMatchObject({
      ...{ exit: 1, denial: { check: 'log-signature' } },
    });
    expect(existsSync(document('forged'))).toBe(false);
    // Who has the log's key shows a host another history of as many entries as are known here: neither is chosen.
    const { origin, size } = parseCheckpoint(readFileSync(at('high-water'))).claimed;
    const signer = noteSigner(origin, 'note', createPrivateKey(readFileSync(at('keys/log.key'))));
    const other = formatCheckpoint({ origin, size, root: new Uint8Array(32).fill(7) });
    writeFileSync(forged, formatNote({ text: other, signatures: [signNote(other, signer)] }));
    const two = await successor('forged', '--known', forged);
    expect(two).toMatchObject({ exit: 1, denial: { check: 'store-rollback' } });
    expect(two.denial?.reason).toContain(`the high-water file and forged have ${String(size)} entries each`);
    expect(existsSync(document('forged'))).toBe(false);
  });

  it('closes the log at the newest that is known, and opens one that nobody believes yet', async () => {
    const known = parseCheckpoint(readFileSync(at('high-water'))).claimed;
    const done = await successor('two');
    expect(done).toMatchObject({ exit: 0, ok: true, origin: ORIGIN, hosts: 1, trustBundle: { version: 2 } });
    expect(done.closed).toMatchObject({
      ...{ origin: 'example.org/log', size: String(known.size), source: 'high-water' },
    });
    const { kept } = done.closed;
    expect(Number(kept)).toBeLessThan(Number(known.size));
    // Who signs is told how much is forgotten.
    const forgotten = String(known.size - BigInt(kept));
    expect(await command('trust-bundle', 'show', document('two'))).toMatchObject({
      succession: [{ closed: { size: String(known.size) }, kept, forgotten }],
    });
    expect(statSync(done.closed.store).mode & 0o777).toBe(0o600);
    expect(statSync(at('keys/log.key')).mode & 0o777).toBe(0o600);
    // Without the new name in the configuration nothing starts, and with it not without the authorities.
    expect(await starts()).not.toBe('served');
    useOrigin();
    expect(await starts()).toBe('trust-bundle-keys');
    // The verifier's own keys are no authority.
    expect(await signAndPublish(document('two'), at('keys/authorization.key'))).toMatchObject({
      ...{ exit: 1, denial: { check: 'policy-signatures' } },
    });
    expect(await starts()).toBe('trust-bundle-keys');
    rmSync(`${document('two')}.dsse.json`);
    expect(await signAndPublish(document('two'))).toMatchObject({ exit: 0, version: 2 });
    expect(await command('store', 'check', ...config())).toMatchObject({ exit: 0, findings: [] });
    expect(await starts()).toBe('served');
    // The closed log is what it was, for whoever has its store; and this one was never closed.
    const check = (file: string) => command('store', 'check', '--closed', file, ...config());
    const entries = Number(done.closed.kept);
    expect(await check(done.closed.store)).toMatchObject({ exit: 0, findings: [], entries });
    expect(await check(at('data/store.db'))).toMatchObject({ exit: 1, denial: { check: 'log-origin' } });
    const edited = path.join(directory, 'edited.db');
    copyFileSync(done.closed.store, edited);
    const db = openSqlite(edited, 'DELETE');
    await db
      .deleteFrom('leaves')
      .where('position', '=', entries - 1)
      .execute();
    await db.destroy();
    expect((await check(edited)).exit).toBe(1);
  });

  it('has an opening that names what is lost, what was taken over, and every host quarantined', async () => {
    await world.comeBack();
    const { store } = world.verifier.server.services;
    const leaves = (await store.leaves(0, 100)).map((bytes) => parseLeaf(bytes));
    expect(leaves[0]).toMatchObject({
      ...{ kind: 'opening', origin: ORIGIN, previous: { origin: 'example.org/log', source: 'high-water' } },
    });
    const [opening] = leaves;
    if (opening?.kind !== 'opening') throw new Error('no opening');
    expect(opening.previous?.gap).toMatch(/the high-water file has \d+ entries, the backup \d+/);
    const actions = leaves.map((leaf) => (leaf.kind === 'operator' ? leaf.action : leaf.kind));
    expect(actions).toEqual(expect.arrayContaining(['records-taken-over', 'ids-taken-over', 'transition']));
    expect(await hostState()).toBe('quarantined, held');
    // What came after the backup is not there.
    expect(JSON.stringify(await world.operate('/v1/secrets'))).not.toContain('after-the-backup');
  });

  it('a host walks to it by what the authorities signed, attests, and is back', async () => {
    expect(remembered().origin).toBe('example.org/log');
    expect(await attest()).toMatchObject({ trust: 2 });
    expect(remembered().origin).toBe(ORIGIN);
    expect(await hostState()).toBe('active');
    expect(await attest()).toMatchObject({ trust: 2 });
  });

  it('is an alarm for an auditor, who follows by saying so, and only from what was known', async () => {
    const [memory, kept] = [path.join(auditor, 'a.checkpoint'), path.join(directory, 'a.kept')];
    copyFileSync(memory, kept);
    expect(await audit()).toMatchObject({ exit: 1, denial: { check: 'log-origin' } });
    expect(await audit(...bySuccession())).toMatchObject({ exit: 1, denial: { check: 'log-origin' } });
    useLogKeys(oldKey, logKey());
    expect(await audit()).toMatchObject({ exit: 1, denial: { check: 'log-origin' } });
    // What the authorities signed before doesn't name this log, and what they didn't sign isn't read.
    const [before] = JSON.parse(readFileSync(at('certificates/trust-bundles.json'), 'utf8')) as unknown[];
    const earlier = path.join(auditor, 'earlier.bundles');
    writeFileSync(earlier, JSON.stringify([before]));
    expect(await audit('--successor', earlier)).toMatchObject({ exit: 1, denial: { check: 'log-origin' } });
    const first = path.join(auditor, 'first.bundles');
    copyFileSync(earlier, first);
    writeFileSync(earlier, JSON.stringify(before));
    expect(await audit('--successor', earlier)).toMatchObject({
      ...{ exit: 1, denial: { check: 'trust-bundle-form' } },
    });
    expect(readFileSync(memory).equals(readFileSync(kept))).toBe(true);
    expect(await audit(...bySuccession())).toMatchObject({
      ...{ exit: 0, closed: { origin: 'example.org/log', source: 'high-water' } },
      continues: { origin: ORIGIN, size: '1' },
      trustBundle: { version: 2, closed: [{ origin: 'example.org/log' }] },
    });
    // Who remembers nothing begins at the first entry that the authorities signed, of that log and no other.
    for (const file of [memory, kept]) rmSync(file);
    expect(await audit(...bySuccession())).toMatchObject({
      exit: 0,
      continues: { origin: ORIGIN, size: '1' },
    });
    expect(await audit('--successor', first)).toMatchObject({ exit: 1, denial: { check: 'log-origin' } });
    expect(await audit()).toMatchObject({ exit: 0, closed: null, unchecked: [] });
    await world.stop();
    expect(await command('store', 'check', ...config())).toMatchObject({ exit: 0, findings: [] });
    expect(await command('store', 'rebuild-lineage', ...config())).toMatchObject({ exit: 0 });
    keepAs('succeeded');
  });

  it('is refused by serve under a trust bundle that names another first entry, or none', async () => {
    // The whole of it once more, from the same backup: another key, another opening, under the signed bundle of the first.
    const bundles = readFileSync(at('certificates/trust-bundles.json'));
    backTo('kept');
    // What it cosigned for others since the backup is forgotten too, which no entry of its own log shows.
    const db = openSqlite(at('data/store.db'), 'DELETE');
    const row = {
      origin: 'elsewhere.example/log',
      version: 1,
      size: '3',
      root: 'x',
      mac: new Uint8Array(32),
    };
    await db.insertInto('witnessed').values(row).execute();
    await db.destroy();
    const again = await successor('again');
    expect(again).toMatchObject({ exit: 0 });
    expect(JSON.stringify(again['warnings'])).toContain('exchange its witness key');
    useOrigin();
    const key = readFileSync(at('keys/log.key'));
    writeFileSync(at('certificates/trust-bundles.json'), bundles);
    copyFileSync(path.join(directory, 'succeeded/keys/log.key'), at('keys/log.key'));
    expect(await starts()).not.toBe('served');
    writeFileSync(at('keys/log.key'), key);
    expect(await starts()).toBe('trust-bundle-keys');
  });

  it('is made again after a crash on the way, and knows what was known', async () => {
    backTo('kept');
    const known = parseCheckpoint(readFileSync(at('high-water'))).claimed;
    const key = readFileSync(at('keys/log.key'));
    expect(await successor('crashed')).toMatchObject({ exit: 0 });
    // As if the last step had not been done: the store and the mark are new, the key is not.
    copyFileSync(at('keys/log.key'), at('keys/log.successor.key'));
    writeFileSync(at('keys/log.key'), key);
    expect(await starts()).toBe('log-origin');
    expect(await successor('crashed')).toMatchObject({ exit: 2 });
    const again = await successor('crashed-again');
    expect(again).toMatchObject({
      ...{ exit: 0, denial: null, closed: { size: String(known.size), source: 'high-water' } },
    });
    expect(existsSync(at('keys/log.successor.key'))).toBe(false);
    useOrigin();
    expect(await signAndPublish(document('crashed'))).toMatchObject({ exit: 1 });
    expect(await signAndPublish(document('crashed-again'))).toMatchObject({ exit: 0 });
    expect(await command('store', 'check', ...config())).toMatchObject({ exit: 0, findings: [] });
  });

  it('holds no host that an operator stops before it has attested', async () => {
    forgetSuccessor();
    await world.comeBack();
    const { hosts } = await world.operate('/v1/hosts');
    const [{ hostId } = { hostId: '' }] = hosts as readonly { readonly hostId: string }[];
    const stop = () => world.operate(`/v1/hosts/${hostId}/quarantine`, { reason: 'looked odd' });
    expect(await stop()).toMatchObject({ state: 'quarantined' });
    await expect(stop()).rejects.toThrow('host-state');
    await attest();
    expect(await hostState()).toBe('quarantined');
    await world.operate(`/v1/hosts/${hostId}/restore`, { reason: 'was fine' });
    expect(await hostState()).toBe('active');
    await world.stop();
  });

  it('is refused by a host that has seen more than the log was closed at, until the authorities know', async () => {
    backTo('kept');
    const hostSaw = path.join(directory, 'host.checkpoint');
    // Disk and high-water file are gone: only the backup is left, and the host that was told of more.
    rmSync(at('data'), { recursive: true });
    rmSync(at('high-water'));
    mkdirSync(at('data'), { mode: 0o700 });
    forgetSuccessor();
    copyFileSync(path.join(state, 'checkpoint'), hostSaw);
    const done = await successor('less', '--hold-hosts');
    expect(done).toMatchObject({ exit: 0, closed: { source: 'backup' } });
    useOrigin();
    expect(await signAndPublish(document('less'))).toMatchObject({ exit: 0, version: 2 });
    await world.comeBack();
    await expectRejection('log-succession', attest());
    expect(remembered().origin).toBe('example.org/log');
    copyFileSync(hostSaw, path.join(auditor, 'a.checkpoint'));
    useLogKeys(oldKey, logKey());
    expect(await audit(...bySuccession())).toMatchObject({ exit: 1, denial: { check: 'log-succession' } });
    await world.stop();
    const terms = ['--known', hostSaw, '-o', document('more'), ...config()];
    expect(await command('trust-bundle', 'prepare', ...terms)).toMatchObject({ exit: 0, version: 3 });
    expect(await signAndPublish(document('more'))).toMatchObject({ exit: 0, version: 3 });
    await world.comeBack();
    expect(await attest()).toMatchObject({ trust: 3 });
    // Held until an operator says so.
    expect(await hostState()).toBe('quarantined');
    await world.stop();
  });

  it('keeps a host quarantined whose TPM doesn’t show counters above the last known', async () => {
    backTo('kept');
    forgetSuccessor();
    await world.comeBack();
    const { ledger, records } = world.verifier.server.services;
    const [host] = await records.list('counters', { limit: 10 });
    const { resetCount, restartCount } = host?.body ?? {};
    const by = { kind: 'verifier', id: 'test' };
    const change = {
      leaf: { v: 1, kind: 'operator', action: 'test', target: 'x', digest: null, by },
      ...{ preconditions: [], once: [], writes: [], bodies: [] },
    };
    const clock = String(10n ** 12n);
    const ahead = { ek: host?.id ?? '', resetCount: Number(resetCount), restartCount: Number(restartCount) };
    await ledger.commit({ ...change, counters: { ...ahead, clock, safe: true } });
    rmSync(backup);
    expect(await command('store', 'backup', '-o', backup, ...config())).toMatchObject({ exit: 0 });
    await ledger.commit(change);
    await world.stop();
    expect(await successor('counters')).toMatchObject({ exit: 0, hosts: 1 });
    useOrigin();
    expect(await signAndPublish(document('counters'))).toMatchObject({ exit: 0 });
    await world.comeBack();
    await expect(attest()).rejects.toMatchObject({ check: 'e17' });
    expect(await hostState()).toBe('quarantined, held');
    await world.stop();
    // Where a refused attestation takes an operator, it does for a host that was to come back by itself.
    appendFileSync(at('sealgate.yaml'), 'attestation:\n  quarantine: true\n');
    await world.comeBack();
    await expect(attest()).rejects.toMatchObject({ check: 'e17' });
    expect(await hostState()).toBe('quarantined');
  });
});
