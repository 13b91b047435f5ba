import { execFile } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  appendLeaves,
  EMPTY_EDGE,
  formatAddCheckpoint,
  formatCheckpoint,
  formatNote,
  formatVkey,
  leafHash,
  noteSigner,
  parseCheckpoint,
  parseQuorumPolicy,
  parseSignatureLines,
  proveConsistency,
  signNote,
  verifyQuorum,
  verifySignatures,
} from '../../src/audit/index.ts';
import type { NoteSigner, Tile, TileReader } from '../../src/audit/index.ts';
import { fromUtf8, utf8 } from '../../src/base/index.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { operatorTls, startVerifier } from '../support/verifier.ts';
import type { TestVerifier } from '../support/verifier.ts';
import { askedBy, makeSite, policyText, witnesses } from './witness-world.ts';
import type { Site } from './witness-world.ts';

const scratch = temporaryDirectory();

/** One more entry of a verifier's log. */
async function entry(verifier: TestVerifier, name: string): Promise<void> {
  const invited = await verifier.call({
    ...{ method: 'POST', url: '/v1/invitations', tls: operatorTls(verifier.directory) },
    body: {
      ...{ name, labels: {}, platform: 'p', ekTemplate: 'L-1', ek: null, host: null },
      ...{ restartCounters: false, needsApproval: false, ttlSeconds: 60 },
    },
  });
  expect(invited.status).toBe(201);
}

async function shown(verifier: TestVerifier) {
  const { status, text } = await verifier.call({ url: '/checkpoint' });
  expect(status).toBe(200);
  return parseCheckpoint(utf8(text));
}

describe('two verifiers that witness each other', () => {
  let [a, b]: (Site | undefined)[] = [];
  const running: TestVerifier[] = [];
  const site = (one: Site | undefined): Site => {
    if (one === undefined) throw new Error('not made');
    return one;
  };
  beforeAll(async () => {
    a = await makeSite(path.join(scratch, 'a'), 'a.example');
    b = await makeSite(path.join(scratch, 'b'), 'b.example');
    askedBy(a, [b], 1);
    askedBy(b, [a], 1);
    witnesses(a, [b.logKey]);
    witnesses(b, [a.logKey]);
    for (const one of [a, b]) running.push(await startVerifier(one.directory, one.environment));
  });
  afterAll(async () => {
    for (const one of running) await one.server.stop();
  });

  it('show checkpoints that the other has cosigned, and grow nothing by it', async () => {
    const [first, second] = running as [TestVerifier, TestVerifier];
    for (let i = 0; i < 3; i++) {
      await entry(first, `a-${String(i)}`);
      await entry(second, `b-${String(i)}`);
    }
    for (const [verifier, other] of [
      [first, site(b)],
      [second, site(a)],
    ] as const) {
      // A witness that was away when this verifier started is asked again after a pause.
      await expect
        .poll(async () => (await shown(verifier)).note.signatures.length, { timeout: 15_000, interval: 200 })
        .toBe(2);
      const checkpoint = await shown(verifier);
      expect(checkpoint.claimed.size).toBe(4n);
      expect(verifyQuorum(checkpoint, parseQuorumPolicy(utf8(policyText([other], 1))))).toEqual([
        `${other.domain}/witness`,
      ]);
    }
    const metrics = await first.call({ url: '/metrics', tls: operatorTls(first.directory) });
    expect(metrics.text).toContain('sealgate_witness_cosigned_entries{witness="b.example/witness"} 4');
    // So does another implementation see it (test/conformance).
    const file = path.join(scratch, 'cosigned');
    writeFileSync(file, (await first.call({ url: '/checkpoint' })).text);
    const script = path.resolve(import.meta.dirname, '../conformance/tlog.py');
    const keys = [site(a).logKey, site(b).witnessKey].map(formatVkey);
    const { stdout } = await promisify(execFile)('python3', [script, 'note', file, ...keys]);
    expect(JSON.parse(stdout)).toEqual({ signed: ['a.example/log', 'b.example/witness'] });
    // The proof routes show the same checkpoint.
    const { text } = await first.call({ url: '/v1/log/proof/2' });
    const [, checkpoint = ''] = /\n\n([^]*)$/.exec(text) ?? [];
    expect(parseCheckpoint(utf8(checkpoint)).note.signatures).toHaveLength(2);
    const { json } = await first.call({ url: '/v1/log/consistency?from=2' });
    expect(parseCheckpoint(utf8(String(json['checkpoint']))).note.signatures).toHaveLength(2);
  });

  it('keeps cosignatures over a restart, and goes on from what the witness remembers', async () => {
    await running[0]?.server.stop();
    const again = await startVerifier(site(a).directory, site(a).environment);
    running[0] = again;
    expect((await shown(again)).note.signatures).toHaveLength(2);
    await entry(again, 'a-after');
    const checkpoint = await shown(again);
    expect(checkpoint.claimed.size).toBe(5n);
    expect(verifySignatures(checkpoint.note, [site(b).witnessKey])).toHaveLength(1);
  });
});

/** A log of this test's own, whose key a witness knows. */
class OtherLog {
  readonly signer: NoteSigner;
  readonly #tiles = new Map<string, Tile>();
  #edge = EMPTY_EDGE;
  readonly #notes: Uint8Array[] = [];
  readonly tiles: TileReader = {
    readTiles: (ids) =>
      Promise.resolve(
        ids.map(({ level, index, width }) =>
          (this.#tiles.get(`${String(level)}/${String(index)}`)?.bytes ?? new Uint8Array()).slice(
            0,
            width * 32,
          ),
        ),
      ),
  };

  constructor(origin: string) {
    this.signer = noteSigner(origin, 'note', generateKeyPairSync('ed25519').privateKey);
    this.#notes.push(this.#sign(0n, appendLeaves(EMPTY_EDGE, []).root));
  }

  grow(...entries: string[]): this {
    for (const one of entries) {
      const { edge, root, tiles } = appendLeaves(this.#edge, [leafHash(utf8(one))]);
      this.#edge = edge;
      for (const tile of tiles) this.#tiles.set(`${String(tile.level)}/${String(tile.index)}`, tile);
      this.#notes.push(this.#sign(edge.size, root));
    }
    return this;
  }

  note(size: number): Uint8Array {
    return this.#notes[size] ?? new Uint8Array();
  }

  #sign(size: bigint, root: Uint8Array): Uint8Array {
    const text = formatCheckpoint({ origin: this.signer.key.name, size, root });
    return formatNote({ text, signatures: [signNote(text, this.signer)] });
  }
}

describe('POST /witness/add-checkpoint', () => {
  const log = new OtherLog('log.example/2026').grow('one', 'two', 'three', 'four', 'five', 'six');
  const fork = new OtherLog('log.example/2026').grow('one', 'TWO', 'three');
  const stranger = new OtherLog('stranger.example/log').grow('one');
  let verifier: TestVerifier;
  let own: Site;
  beforeAll(async () => {
    own = await makeSite(path.join(scratch, 'w'), 'w.example');
    witnesses(own, [log.signer.key]);
    verifier = await startVerifier(own.directory, own.environment);
  });
  afterAll(async () => {
    await verifier.server.stop();
  });

  async function ask(oldSize: number, size: number, note = log.note(size), proof?: readonly Uint8Array[]) {
    const hashes =
      proof ??
      (oldSize === 0 || oldSize > size
        ? []
        : await proveConsistency(BigInt(oldSize), BigInt(size), log.tiles));
    const body = formatAddCheckpoint({ oldSize: BigInt(oldSize), proof: hashes, checkpoint: note });
    return await post(fromUtf8(body, 'body'));
  }
  const post = (raw: string, type = 'text/plain') =>
    verifier.call({ method: 'POST', url: '/witness/add-checkpoint', raw, type });
  const cosigns = (size: number, text: string) =>
    verifySignatures(
      { text: parseCheckpoint(log.note(size)).note.text, signatures: parseSignatureLines(utf8(text)) },
      [own.witnessKey],
    ).length;

  it('400 for what is no request, 404 for an unknown log, 403 for a checkpoint that the log didn’t sign', async () => {
    expect((await post('old one\n')).status).toBe(400);
    expect((await post('')).status).toBe(400);
    expect((await post('{"old":0}', 'application/json')).status).toBe(400);
    expect(await ask(0, 1, stranger.note(1))).toMatchObject({ status: 404 });
    expect(await ask(0, 1, fork.note(1))).toMatchObject({ status: 403 });
    expect((await post('x'.repeat(200_000))).status).toBe(413);
  });

  it('200 with its cosignature, then only for what grew from there', async () => {
    const first = await ask(0, 2);
    expect(first).toMatchObject({ status: 200, type: 'text/plain; charset=utf-8' });
    expect(cosigns(2, first.text)).toBe(1);
    // Behind what it has cosigned, ahead of what the log has, and a proof that isn't one.
    expect(await ask(0, 4)).toMatchObject({ status: 409, type: 'text/x.tlog.size', text: '2\n' });
    expect((await ask(5, 4)).status).toBe(400);
    expect((await ask(2, 4, log.note(4), [])).status).toBe(422);
    expect((await ask(2, 2)).status).toBe(200);
    expect(cosigns(4, (await ask(2, 4)).text)).toBe(1);
    expect(await ask(2, 3)).toMatchObject({ status: 409, text: '4\n' });
  });

  it('of two forks at one moment cosigns one: two requests never roll it back', async () => {
    const answers = await Promise.all(Array.from({ length: 12 }, (_, i) => ask(4, i % 2 === 0 ? 5 : 6)));
    const cosigned = answers.filter(({ status }) => status === 200);
    expect(answers.filter(({ status }) => status === 409)).toHaveLength(11);
    expect(cosigned).toHaveLength(1);
  });

  it('remembers over a restart', async () => {
    await verifier.server.stop();
    verifier = await startVerifier(own.directory, own.environment);
    const { status, text } = await ask(0, 6);
    expect(status).toBe(409);
    expect(Number(text)).toBeGreaterThanOrEqual(5);
  });
});
