import { generateKeyPairSync } from 'node:crypto';
import { chmodSync, existsSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import {
  formatNote,
  formatVkey,
  formatCheckpoint,
  noteSigner,
  parseCheckpoint,
  signNote,
} from '../../src/audit/index.ts';
import { fromUtf8 } from '../../src/base/index.ts';
import { profileText, readKeyRing, verifierFiles } from '../../src/config/index.ts';
import { logVkey } from '../../src/server/index.ts';
import { cli } from '../support/cli.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { remoteVerifier } from './remote.ts';

const remote = remoteVerifier();
const scratch = temporaryDirectory();
const remembered = () => remote.profile().replace('.yaml', '.checkpoint');
const vkey = () => logVkey(remote.verifier().server.services);

afterEach(() => {
  rmSync(remembered(), { force: true });
});

/** One more entry in the log. */
async function entry(name: string): Promise<void> {
  const made = await remote.json('host', 'invite', '--name', name, '--platform', 'p');
  expect(made.exit).toBe(0);
}

/** A checkpoint that the log signed, whatever its content. */
function signed(size: bigint, root: Uint8Array): string {
  const { config } = remote.verifier().server.services;
  const ring = readKeyRing(verifierFiles(path.join(remote.directory, 'sealgate.yaml'), config));
  const signer = noteSigner('example.org/log', 'note', ring.privateKey('log'));
  const text = formatCheckpoint({ origin: 'example.org/log', size, root });
  return fromUtf8(formatNote({ text, signatures: [signNote(text, signer)] }), 'note');
}

describe('sealgate audit verify', () => {
  it('verifies signature and entries, remembers the checkpoint, and then its continuation', async () => {
    await entry('host-1');
    const first = await remote.json('audit', 'verify');
    expect(first).toMatchObject({
      exit: 0,
      document: { ok: true, continues: null, unchecked: ['consistency'] },
    });
    expect(statSync(remembered()).mode & 0o777).toBe(0o600);
    const { claimed } = parseCheckpoint(new Uint8Array(readFileSync(remembered())));
    await entry('host-2');
    const second = await remote.json('audit', 'verify', '--new');
    expect(second).toMatchObject({
      exit: 0,
      document: {
        ok: true,
        unchecked: [],
        continues: { size: String(claimed.size) },
        checkpoint: { origin: 'example.org/log', size: String(claimed.size + 1n) },
        entries: { from: String(claimed.size), to: String(claimed.size + 1n), kinds: { operator: 1 } },
      },
    });
    const whole = await remote.run('audit', 'verify');
    expect(whole.exit).toBe(0);
    expect(whole.stdout).toMatch(/^verified\n/);
    // Nothing new: still consistent.
    expect((await remote.json('audit', 'verify', '--new')).document['unchecked']).toEqual([]);
  });

  it('refuses a log with another history than the one remembered', async () => {
    await entry('host-3');
    const head = await remote.verifier().server.services.store.head();
    const size = BigInt(head?.size ?? 0);
    writeFileSync(remembered(), signed(size - 1n, new Uint8Array(32).fill(7)));
    expect(await remote.json('audit', 'verify')).toMatchObject({
      exit: 1,
      document: { ok: false, denial: { check: 'log-consistency' } },
    });
    writeFileSync(remembered(), signed(size + 5n, new Uint8Array(32).fill(7)));
    expect(await remote.json('audit', 'verify')).toMatchObject({
      exit: 1,
      document: { denial: { check: 'log-consistency' } },
    });
    // What somebody else wrote is not compared with, but refused.
    writeFileSync(remembered(), signed(1n, new Uint8Array(32)).replace(/[A-Za-z0-9+/]{8}\n$/, 'AAAAAAAA\n'));
    expect((await remote.json('audit', 'verify')).exit).toBe(1);
    // The remembered checkpoint stays what it was: a refused one never replaces it.
    expect(readFileSync(remembered(), 'utf8')).toContain('AAAAAAAA');
  });

  it('refuses another log key, and needs one', async () => {
    const file = path.join(scratch, 'nobody.yaml');
    const { caFingerprint } = remote.verifier().server.services;
    const url = `https://localhost:${String(remote.verifier().server.address.port)}`;
    writeFileSync(file, profileText({ url, caFingerprint }), { mode: 0o600 });
    expect(await cli('audit', 'verify', '--profile', file)).toMatchObject({ exit: 2, stdout: '' });
    const { privateKey } = generateKeyPairSync('ed25519');
    const other = formatVkey(noteSigner('example.org/log', 'note', privateKey).key);
    const wrong = await cli('audit', 'verify', '--profile', file, '--log-key', other, '--json');
    expect(JSON.parse(wrong.stdout)).toMatchObject({ ok: false, denial: { check: 'log-signature' } });
    // Without a certificate the hashes are compared, and it says that the entries were not.
    const public_ = await cli('audit', 'verify', '--profile', file, '--log-key', vkey(), '--json');
    expect(JSON.parse(public_.stdout)).toMatchObject({
      ok: true,
      entries: null,
      unchecked: ['consistency', 'entries'],
    });
    rmSync(file.replace('.yaml', '.checkpoint'));
  });

  it('refuses entries that were changed in the database', async () => {
    const { store } = remote.verifier().server.services;
    const real = store.entryBundle.bind(store);
    const proxy = store as { entryBundle: typeof store.entryBundle };
    proxy.entryBundle = async (index, width) => {
      const bytes = await real(index, width);
      const text = Buffer.from(bytes).toString('latin1').replace('host-invite', 'host-invitf');
      return new Uint8Array(Buffer.from(text, 'latin1'));
    };
    try {
      expect(await remote.json('audit', 'verify')).toMatchObject({
        exit: 1,
        document: { denial: { check: 'log-root' } },
      });
      expect(existsSync(remembered())).toBe(false);
    } finally {
      proxy.entryBundle = real;
    }
  });
});

describe('sealgate audit prove', () => {
  it('makes a proof that verify proof accepts, by flag and by profile', async () => {
    const [proof, leaf] = [path.join(scratch, 'a.tlog-proof'), path.join(scratch, 'a.json')];
    const made = await remote.json('audit', 'prove', '0', '-o', proof, '--leaf', leaf);
    expect(made).toMatchObject({ exit: 0, document: { ok: true, index: '0', output: proof, unchecked: [] } });
    for (const key of [
      ['--log-key', vkey()],
      ['--profile', remote.profile()],
    ]) {
      const verified = await cli('verify', 'proof', proof, '--leaf', leaf, ...key, '--json');
      expect(verified.exit).toBe(0);
      expect(JSON.parse(verified.stdout)).toMatchObject({ ok: true, unchecked: [] });
    }
    const open = await cli('verify', 'proof', proof, '--json');
    expect(JSON.parse(open.stdout)).toMatchObject({
      ok: true,
      unchecked: ['log-signature', 'log-inclusion'],
    });
    chmodSync(leaf, 0o644);
    writeFileSync(leaf, readFileSync(leaf, 'utf8').replace('opening', 'openinh'));
    expect((await cli('verify', 'proof', proof, '--leaf', leaf, '--log-key', vkey())).exit).toBe(1);
    expect((await remote.run('audit', 'prove', '0')).stdout).toMatch(/^c2sp\.org\/tlog-proof@v1\n/);
  });

  it('says what there is no proof of', async () => {
    expect((await remote.json('audit', 'prove', '100000')).document).toMatchObject({ ok: false });
    expect((await remote.run('audit', 'prove', 'first')).exit).toBe(2);
    const { documents } = {
      documents: (await remote.run('audit', 'prove', '0', '--leaf', '/nowhere/x')).exit,
    };
    expect(documents).toBe(2);
  });
});

describe('sealgate audit tail', () => {
  it('prints one entry a line', async () => {
    const people = await remote.run('audit', 'tail', '-n', '2');
    expect(people.stdout.trimEnd().split('\n')).toHaveLength(2);
    const { exit, stdout } = await cli('audit', 'tail', '-n', '100', '--profile', remote.profile(), '--json');
    expect(exit).toBe(0);
    const leaves = stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as { index: string; kind: string });
    expect(leaves[0]).toMatchObject({ index: '0', kind: 'opening' });
    expect(leaves.map(({ index }) => Number(index))).toEqual(leaves.map((_, i) => i));
  });

  it('refuses in one line', async () => {
    const file = path.join(scratch, 'none.yaml');
    const { caFingerprint } = remote.verifier().server.services;
    const url = `https://localhost:${String(remote.verifier().server.address.port)}`;
    writeFileSync(file, profileText({ url, caFingerprint, logKey: vkey() }), { mode: 0o600 });
    const { exit, stdout } = await cli('audit', 'tail', '--profile', file, '--json');
    expect(exit).toBe(1);
    expect(stdout.trimEnd().split('\n')).toHaveLength(1);
    expect(JSON.parse(stdout)).toMatchObject({ ok: false, denial: { check: 'caller-certificate' } });
  });
});
