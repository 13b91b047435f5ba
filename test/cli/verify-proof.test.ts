import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  formatCheckpoint,
  formatLogProof,
  formatNote,
  formatVkey,
  proveInclusion,
  signNote,
} from '../../src/audit/index.ts';
import { fromUtf8, toBase64 } from '../../src/base/index.ts';
import { entry, logOf } from '../audit/support/log.ts';
import { testSigner } from '../audit/support/signers.ts';
import { cli } from '../support/cli.ts';

describe('sealgate verify proof', () => {
  const directory = mkdtempSync(path.join(tmpdir(), 'sealgate-proof-'));
  afterAll(() => {
    rmSync(directory, { recursive: true });
  });
  const write = (name: string, bytes: Uint8Array | string): string => {
    const file = path.join(directory, name);
    writeFileSync(file, bytes);
    return file;
  };

  const signer = testSigner('log.example', 1);
  const key = formatVkey(signer.key);
  const leaf = write('leaf', entry(3));
  const log = logOf(10);
  let proof: string;
  let text: string;
  const answer = { index: '3', size: '10', origin: 'log.example', root: toBase64(log.root) };
  beforeAll(async () => {
    const body = formatCheckpoint({ origin: 'log.example', size: 10n, root: log.root });
    const checkpoint = formatNote({ text: body, signatures: [signNote(body, signer)] });
    const bytes = formatLogProof({ index: 3n, hashes: await proveInclusion(3n, 10n, log), checkpoint });
    text = fromUtf8(bytes, 'proof');
    proof = write('good.tlog-proof', bytes);
  });
  const json = async (...args: string[]): Promise<{ exit: number; document: Record<string, unknown> }> => {
    const { exit, stdout } = await cli('verify', 'proof', ...args, '--json');
    return { exit, document: JSON.parse(stdout) as Record<string, unknown> };
  };

  it('verifies everything with leaf and key', async () => {
    expect(await json(proof, '--leaf', leaf, '--log-key', key)).toEqual({
      exit: 0,
      document: { ok: true, denial: null, unchecked: [], proof: answer },
    });
    const { exit, stdout } = await cli('verify', 'proof', proof, '--leaf', leaf, '--log-key', key);
    expect(exit).toBe(0);
    expect(stdout).toMatch(/^verified\n/);
  });

  it('says what it can’t check', async () => {
    const { exit, document } = await json(proof);
    expect(exit).toBe(0);
    expect(document).toEqual({
      ok: true,
      denial: null,
      unchecked: ['log-signature', 'log-inclusion'],
      proof: answer,
    });
    expect((await json(proof, '--leaf', leaf)).document['unchecked']).toEqual(['log-signature']);
    const { stdout } = await cli('verify', 'proof', proof, '--log-key', key);
    expect(stdout).toMatch(/^well formed\n/);
    expect(stdout).toContain('not checked: which entry');
  });

  it('refuses another leaf, another key, another log', async () => {
    const other = write('other-leaf', entry(4));
    const cases: [string[], string][] = [
      [['--leaf', other, '--log-key', key], 'log-inclusion'],
      [['--leaf', leaf, '--log-key', formatVkey(testSigner('log.example', 2).key)], 'log-signature'],
      [['--log-key', formatVkey(testSigner('b.example', 1).key)], 'log-origin'],
    ];
    for (const [args, check] of cases) {
      const { exit, document } = await json(proof, ...args);
      expect(exit).toBe(1);
      expect(document).toMatchObject({
        ok: false,
        proof: answer,
        denial: { stage: 'audit', code: 'invalid-verification', check },
      });
    }
    const { exit, stderr } = await cli('verify', 'proof', proof, '--leaf', other);
    expect(exit).toBe(1);
    expect(stderr).toContain('denied audit invalid-verification [log-inclusion]');
  });

  it('judges the form of the file first', async () => {
    const broken = write('broken', text.replace('index', 'Index'));
    const { exit, document } = await json(broken, '--leaf', '/nonexistent');
    expect(exit).toBe(1);
    expect(document).toMatchObject({
      ok: false,
      proof: null,
      unchecked: ['log-signature'],
      denial: { stage: 'audit', code: 'malformed-request', check: 'malformed', detail: { offset: 23 } },
    });
    const short = write('short', text.replace(/\n[^\n]{44}\n/, '\n'));
    expect((await json(short)).document).toMatchObject({ ok: false, denial: { check: 'log-inclusion' } });
    expect((await json(write('empty', ''))).exit).toBe(1);
    const large = await json(proof, '--leaf', write('large', new Uint8Array(70_000)));
    expect(large).toMatchObject({ exit: 1, document: { denial: { check: 'malformed' }, proof: answer } });
  });

  it('has exit 2 for what can’t be opened and for wrong flags', async () => {
    expect((await cli('verify', 'proof', '/nonexistent')).exit).toBe(2);
    expect((await cli('verify', 'proof', directory)).exit).toBe(2);
    expect((await cli('verify', 'proof', proof, '--leaf', '/nonexistent')).exit).toBe(2);
    expect((await cli('verify', 'proof', proof, '--log-key', 'x+y')).exit).toBe(2);
    expect((await cli('verify', 'proof', proof, '--guess')).exit).toBe(2);
    expect((await cli('verify', 'proof')).exit).toBe(2);
    const broken = path.join(path.dirname(proof), 'broken');
    writeFileSync(broken, 'no proof');
    expect(await json(broken, '--log-key', 'x+y', '--leaf', 'missing')).toMatchObject({
      exit: 1,
      document: { ok: false, denial: { check: 'malformed' } },
    });
    expect(await json(proof, '--log-key', 'x+y')).toMatchObject({ exit: 2, document: { ok: false } });
  });

  it('escapes what a log calls itself', async () => {
    const name = 'log\u202e.example';
    const strange = testSigner(name, 1);
    const body = formatCheckpoint({ origin: name, size: 1n, root: logOf(1).root });
    const checkpoint = formatNote({ text: body, signatures: [signNote(body, strange)] });
    const file = write('bidi', formatLogProof({ index: 0n, hashes: [], checkpoint }));
    const { stdout } = await cli('verify', 'proof', file);
    expect(stdout).toContain('log\\u{202e}.example');
  });

  it('has help with an example', async () => {
    expect((await cli('verify', 'proof', '--help')).stdout).toContain('Example:');
  });
});
