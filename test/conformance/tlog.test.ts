import { execFile } from 'node:child_process';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';
import { beforeAll, describe, expect, it } from 'vitest';
import { logVkey } from '../../src/server/index.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { remoteVerifier } from '../cli/remote.ts';

/* What a verifier serves, checked by an implementation that shares no line with it (tlog.py). */
const remote = remoteVerifier();
const scratch = temporaryDirectory();
const SCRIPT = path.resolve(import.meta.dirname, 'tlog.py');
const at = (name: string): string => path.join(scratch, name);
const vkey = () => logVkey(remote.verifier().server.services);

/** Runs the other implementation: what it found, or `wrong` and why. */
async function other(...argv: string[]): Promise<Record<string, unknown>> {
  try {
    const { stdout } = await promisify(execFile)('python3', [SCRIPT, ...argv]);
    return JSON.parse(stdout) as Record<string, unknown>;
  } catch (error) {
    if (error instanceof Error && 'stderr' in error) return { wrong: String(error.stderr).trim() };
    throw error;
  }
}

async function grow(count: number): Promise<void> {
  const { ledger } = remote.verifier().server.services;
  await Promise.all(
    Array.from({ length: count }, (_, i) =>
      ledger.commit({
        leaf: {
          ...{ v: 1, kind: 'operator', action: 'test', target: String(i), digest: null },
          by: { kind: 'verifier', id: 'test' },
        },
        ...{ preconditions: [], once: [], writes: [], bodies: [] },
      }),
    ),
  );
}

/** The newest checkpoint, in a file. */
async function checkpoint(name: string): Promise<string> {
  const { text } = await remote.verifier().call({ url: '/checkpoint' });
  writeFileSync(at(name), text);
  return at(name);
}

let small: string;
beforeAll(async () => {
  await grow(299);
  small = await checkpoint('small');
  await grow(400);
});

describe('by an independent implementation', () => {
  it('checkpoints are signed as the log’s key says', async () => {
    const file = await checkpoint('newest');
    expect(await other('note', file, vkey())).toEqual({ signed: ['example.org/log'] });
    writeFileSync(at('forged'), readFileSync(file, 'utf8').replace('\n700\n', '\n701\n'));
    expect(await other('note', at('forged'), vkey())).toEqual({
      wrong: 'wrong: a wrong signature of example.org/log',
    });
  });

  it.each([0, 255, 256, 299, 511, 699])(
    'the proof of entry %i verifies, and that of no other leaf',
    async (index) => {
      const [proof, leaf] = [at('proof'), at('leaf')];
      for (const file of [proof, leaf]) rmSync(file, { force: true });
      const made = await remote.run('audit', 'prove', String(index), '-o', proof, '--leaf', leaf);
      expect(made.exit).toBe(0);
      expect(await other('proof', proof, leaf, vkey())).toEqual({ index, size: 700 });
      writeFileSync(at('leaf.changed'), readFileSync(leaf, 'utf8').replace('"v":1', '"v":2'));
      expect(await other('proof', proof, at('leaf.changed'), vkey())).toHaveProperty('wrong');
    },
  );

  it('consistency proofs verify, and lead nowhere else', async () => {
    const newest = await checkpoint('newest');
    const { json } = await remote.verifier().call({ url: '/v1/log/consistency?from=300' });
    const hashes = json['proof'] as string[];
    writeFileSync(at('hashes'), hashes.join('\n'));
    expect(await other('consistency', small, newest, at('hashes'), vkey())).toEqual({ from: 300, to: 700 });
    writeFileSync(at('hashes'), hashes.slice(1).join('\n'));
    expect(await other('consistency', small, newest, at('hashes'), vkey())).toEqual({
      wrong: 'wrong: the log did not only grow',
    });
  });

  it('an export is the whole log: entries, every tile, root', async () => {
    const directory = at('export');
    expect((await remote.run('audit', 'export', '-o', directory)).exit).toBe(0);
    expect(await other('tree', directory, vkey())).toEqual({ size: 700, tiles: 4 });
    const tile = path.join(directory, 'tile/0/001');
    const bytes = readFileSync(tile);
    writeFileSync(tile, Buffer.concat([bytes.subarray(0, 100), Buffer.alloc(32), bytes.subarray(132)]));
    expect(await other('tree', directory, vkey())).toEqual({
      wrong: 'wrong: a tile that is not that of the entries',
    });
  });
});
