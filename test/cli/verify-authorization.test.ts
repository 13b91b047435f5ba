import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { cli } from '../support/cli.ts';

const ROOT = path.resolve(import.meta.dirname, '../..');
const DATA = path.join(ROOT, 'test/data/authorization');
const FILES = readdirSync(DATA).filter((name) => name.endsWith('.json'));
const jsonOf = (name: string): Record<string, unknown> =>
  JSON.parse(readFileSync(path.join(DATA, name), 'utf8')) as Record<string, unknown>;

describe('sealgate verify authorization --vector', () => {
  const directory = mkdtempSync(path.join(tmpdir(), 'sealgate-vector-'));
  afterAll(() => {
    rmSync(directory, { recursive: true });
  });
  const run = async (file: string) => {
    const { exit, stdout } = await cli('verify', 'authorization', '--vector', file, '--json');
    return { exit, document: JSON.parse(stdout) as Record<string, unknown> };
  };

  it('exits 0 where the outcome is the stated one', async () => {
    for (const name of FILES.filter((_, i) => i % 10 === 0)) {
      const { exit, document } = await run(path.join(DATA, name));
      const { outcome } = jsonOf(name) as { outcome: string };
      expect(exit, name).toBe(0);
      expect(document).toMatchObject({ ok: true, denial: null, outcome, expected: outcome });
      expect(document['check']).toBe(outcome === 'ok' ? null : outcome);
    }
    const { exit, stdout } = await cli(
      'verify',
      'authorization',
      '--vector',
      path.join(DATA, 'revoked--root.json'),
    );
    expect(exit).toBe(0);
    expect(stdout).toContain('as stated root: revoked');
  });

  it('exits 1 where it is another, and says which', async () => {
    const file = path.join(directory, 'wrong.json');
    writeFileSync(file, JSON.stringify({ ...jsonOf('revoked--root.json'), outcome: 'ok' }));
    const { exit, document } = await run(file);
    expect(exit).toBe(1);
    expect(document).toMatchObject({
      ok: false,
      outcome: 'revoked',
      expected: 'ok',
      check: 'revoked',
      denial: { check: 'vector-outcome', code: 'invalid-verification' },
    });
  });

  it('exits 1 with malformed-request for what is no vector, 2 for a file that can’t be opened', async () => {
    const file = path.join(directory, 'broken.json');
    for (const text of ['', '{', '{}', JSON.stringify({ ...jsonOf('ok--depth-0.json'), more: 1 })]) {
      writeFileSync(file, text);
      const { exit, document } = await run(file);
      expect(exit).toBe(1);
      expect(document).toMatchObject({ ok: false, denial: { code: 'malformed-request' } });
    }
    expect((await run(path.join(directory, 'absent.json'))).exit).toBe(2);
    expect((await cli('verify', 'authorization')).exit).toBe(2);
    expect((await cli('verify', 'authorization', file, '--vector', file)).exit).toBe(2);
  });
});

describe('sealgate verify authorization FILE', () => {
  const directory = mkdtempSync(path.join(tmpdir(), 'sealgate-chain-'));
  afterAll(() => {
    rmSync(directory, { recursive: true });
  });
  const example = (name: string): string => path.join(ROOT, 'share/examples/authorization', name);
  const textOf = (name: string): string => readFileSync(example(name), 'utf8').trim();
  const write = (name: string, text: string): string => {
    const file = path.join(directory, name);
    writeFileSync(file, text);
    return file;
  };
  const TRUST = [
    '--issuer',
    'https://verifier.example.org',
    '--trust-domain',
    'example.org',
    '--now',
    '1800000000',
  ];
  const KEYS = ['--keys', example('jwks.json')];
  const USE = [
    ...[
      '--proof',
      example('proof.jwt'),
      '--holder-key',
      example('holder.jwk.json'),
      '--nonce',
      textOf('nonce.txt'),
    ],
    ...['--request-digest', textOf('request-digest.txt')],
  ];
  const run = async (...args: string[]) => {
    const { exit, stdout } = await cli('verify', 'authorization', ...args, '--json');
    return { exit, document: JSON.parse(stdout) as Record<string, unknown> };
  };
  const chain = example('chain.jwt');
  const status = ['--status', example('status.jwt')];

  it('says what it found, and what it could not check', async () => {
    const { exit, document } = await run(chain, ...TRUST, ...KEYS);
    expect(exit).toBe(0);
    expect(document).toMatchObject({
      ok: true,
      denial: null,
      outcome: 'ok',
      check: null,
      reason: null,
      unchecked: ['holder_binding_failed', 'scope_not_granted', 'revoked', 'status_unknown'],
      claims: { sub: 'https://idp.example.org#alice', del_depth: 2 },
      lineage: [{}, {}, { execution: '01930000-0000-7000-8000-000000000002' }],
    });
    const all = await run(chain, ...TRUST, ...KEYS, ...status, ...USE, '--scope', 'orders.read', '--strict');
    expect(all).toMatchObject({ exit: 0, document: { ok: true, unchecked: [] } });
  });

  it('refuses by the same outcomes as the vectors, one document each', async () => {
    const cases: [string, string[]][] = [
      ['scope_not_granted', [...status, ...USE]],
      ['scope_not_granted', [...status, ...USE, '--scope', 'mail.send']],
      ['ceiling_exceeded', [...status, ...USE, '--scope', 'orders.read', '--accept', 'mail.*']],
      ['ceiling_exceeded', ['--max-depth', '1']],
      ['ceiling_exceeded', ['--max-lifetime', '10']],
      ['holder_binding_failed', [...USE, '--proof-audience', 'other.org', '--scope', 'orders.read']],
      ['audience_mismatch', ['--audience', 'spiffe://example.org/host/other']],
      ['revoked', ['--status', example('status-revoked.jwt')]],
      ['revoked', [...status, '--status', example('status-revoked.jwt')]],
      ['status_unknown', ['--status', chain]],
      ['authorization-unchecked', ['--strict']],
      ['authorization-unchecked', [...status, '--strict']],
    ];
    for (const [outcome, flags] of cases) {
      const { exit, document } = await run(chain, ...TRUST, ...KEYS, ...flags);
      expect(exit, flags.join(' ')).toBe(1);
      expect(document).toMatchObject({ ok: false, outcome, check: outcome, denial: { check: outcome } });
    }
    const late = await run(chain, ...TRUST.with(5, '1800000190'), ...KEYS);
    expect(late.document).toMatchObject({ ok: false, outcome: 'expired' });
    const other = await run(chain, ...TRUST.with(1, 'https://other'), ...KEYS);
    expect(other.document).toMatchObject({ ok: false, outcome: 'signature_invalid' });
  });

  it('takes keys for one purpose only', async () => {
    const { keys } = JSON.parse(textOf('jwks.json')) as { keys: Record<string, unknown>[] };
    const swapped = keys.map((key, i) => ({
      ...key,
      sealgate_purpose: i === 0 ? 'status' : 'authorization',
    }));
    const file = write('swapped.json', JSON.stringify({ keys: swapped }));
    expect((await run(chain, ...TRUST, '--keys', file)).document).toMatchObject({
      outcome: 'signature_invalid',
    });
    // A set that says no purposes has that of its flag.
    const plain = keys.map(({ sealgate_purpose: _purpose, ...key }) => key);
    const own = write('own.json', JSON.stringify({ keys: [plain[0]] }));
    const statusKeys = write('status-keys.json', JSON.stringify({ keys: [plain[1]] }));
    expect((await run(chain, ...TRUST, '--keys', own, ...status)).document).toMatchObject({
      outcome: 'status_unknown',
    });
    const both = ['--keys', own, '--status-keys', statusKeys, ...status];
    expect((await run(chain, ...TRUST, ...both)).exit).toBe(0);
  });

  it('exits 1 for files whose content isn’t what it should be, 2 for wrong use', async () => {
    const empty = write('empty', '');
    expect((await run(empty, ...TRUST, ...KEYS)).document).toMatchObject({
      denial: { code: 'malformed-request' },
    });
    const garbage = write('garbage', 'x\n\ny\n');
    expect((await run(garbage, ...TRUST, ...KEYS)).document).toMatchObject({ outcome: 'signature_invalid' });
    for (const text of [
      '',
      '{}',
      '{"keys":[]}',
      '[1]',
      '{"keys":[{"kty":"oct","k":"AA","kid":"a","alg":"HS256"}]}',
    ]) {
      const { exit, document } = await run(chain, ...TRUST, '--keys', write('keys.json', text));
      expect(exit, text).toBe(1);
      expect(document, text).toMatchObject({ ok: false });
    }
    for (const args of [
      [chain, ...TRUST],
      [chain, ...KEYS, '--issuer', 'x'],
      [chain, ...TRUST, ...KEYS, '--nonce', 'x'],
      [chain, ...TRUST, ...KEYS, ...USE.with(7, 'xyz')],
      [chain, ...TRUST, ...KEYS, '--max-depth', '-1'],
      [path.join(directory, 'absent'), ...TRUST, ...KEYS],
      [chain, ...TRUST, '--keys', path.join(directory, 'absent')],
    ])
      expect((await run(...args)).exit, args.join(' ')).toBe(2);
  });
});
