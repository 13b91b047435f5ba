import { generateKeyPairSync } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import {
  answerAddCheckpoint,
  formatCheckpoint,
  formatNote,
  formatSignatureLines,
  formatSize,
  noteSigner,
  parseAddCheckpoint,
  signNote,
} from '../../src/audit/index.ts';
import type { NoteSigner, QuorumRule, WitnessedHead } from '../../src/audit/index.ts';
import { Refusal, fromUtf8, utf8 } from '../../src/base/index.ts';
import { Witnessing } from '../../src/server/witness/witnessing.ts';
import type { WitnessReply } from '../../src/server/witness/witnessing.ts';
import { MemoryLog, entry } from '../audit/support/log.ts';
import { expectRejection } from '../support/refusals.ts';

const signerOf = (name: string, use: 'note' | 'cosignature'): NoteSigner =>
  noteSigner(name, use, generateKeyPairSync('ed25519').privateKey);
const logSigner = signerOf('example.org/log', 'note');

/** A witness as the specification wants it, in memory; `answer` may make another one of it. */
class MemoryWitness {
  readonly signer: NoteSigner;
  last: WitnessedHead | undefined;
  asked = 0;
  answer: ((reply: WitnessReply) => WitnessReply | Promise<WitnessReply>) | undefined;

  constructor(name: string) {
    this.signer = signerOf(name, 'cosignature');
  }

  async ask(body: Uint8Array): Promise<WitnessReply> {
    this.asked++;
    const state = { logKeys: [logSigner.key], last: this.last };
    const answer = answerAddCheckpoint(parseAddCheckpoint(body), state, this.signer, 1_700_000_000n);
    if (answer.status === 200) this.last = answer.next;
    const text = 'body' in answer ? answer.body : answer.reason;
    const reply = { status: answer.status, bytes: utf8(text) };
    return this.answer === undefined ? reply : await this.answer(reply);
  }
}

/** A log with witnesses, k of which are a quorum. */
function world(witnesses: readonly MemoryWitness[], k: number) {
  const log = new MemoryLog();
  const errors: unknown[] = [];
  const kept: string[] = [];
  let now = 1_700_000_000_000;
  const members: QuorumRule[] = witnesses.map(({ signer }) => ({ kind: 'witness', key: signer.key }));
  const asking = new Witnessing({
    policy: {
      logs: [],
      witnesses: witnesses.map(({ signer }) => ({ key: signer.key, url: `https://${signer.key.name}` })),
      quorum: { kind: 'group', threshold: k, members },
    },
    tiles: log,
    ask: async (url, body) => {
      const found = witnesses.find(({ signer }) => url === `https://${signer.key.name}`);
      if (found === undefined) throw new Error('nobody is there');
      return await found.ask(body);
    },
    keep: (_size, checkpoint) => {
      kept.push(checkpoint);
      return Promise.resolve();
    },
    clock: { now: () => now },
    waitMs: 400,
    onError: (error) => errors.push(error),
  });
  const grow = (count: number): { readonly size: bigint; readonly note: string } => {
    const from = Number(log.edge.size);
    log.append(Array.from({ length: count }, (_, i) => entry(from + i)));
    const { size } = log.edge;
    const text = formatCheckpoint({ origin: 'example.org/log', size, root: log.root });
    return { size, note: fromUtf8(formatNote({ text, signatures: [signNote(text, logSigner)] }), 'note') };
  };
  return { asking, grow, errors, kept, pass: (ms: number) => (now += ms) };
}

const checksOf = (errors: readonly unknown[]): string[] =>
  errors.map((error) => (error instanceof Refusal ? error.check : String(error)));

describe('a log that asks its witnesses', () => {
  it('has the newest head cosigned, by steps that each witness can follow', async () => {
    const all = ['a', 'b', 'c'].map((name) => new MemoryWitness(name));
    const { asking, grow, kept, errors } = world(all, 2);
    await asking.start(grow(1).note, undefined);
    for (const count of [3, 300, 1]) {
      const { size, note } = grow(count);
      asking.note(note);
      const found = await asking.covering(size);
      expect(found?.claimed.size).toBe(size);
      expect(kept.at(-1)).toContain(`\n${String(size)}\n`);
    }
    expect(errors).toEqual([]);
    expect(asking.standing().map(({ size }) => size)).toEqual([305n, 305n, 305n]);
    await asking.stop();
  });

  it('shows no quorum where there is none, at once, and asks again after a pause', async () => {
    const [a, b] = [new MemoryWitness('a'), new MemoryWitness('b')];
    const { asking, grow, errors, pass } = world([a, b], 2);
    b.answer = () => Promise.reject(new Error('down'));
    const head = grow(2);
    await asking.start(head.note, undefined);
    expect(await asking.covering(head.size)).toBeUndefined();
    // What there is is shown all the same.
    expect(asking.cosignaturesOf(head.note).split('\n— ')).toHaveLength(3);
    expect(checksOf(errors)).toEqual([]);
    b.answer = undefined;
    const asked = b.asked;
    expect(await asking.covering(head.size)).toBeUndefined();
    expect(b.asked).toBe(asked);
    pass(2000);
    expect((await asking.covering(head.size))?.note.signatures).toHaveLength(3);
    await asking.stop();
  });

  it('believes no cosignature that isn’t the witness’s own', async () => {
    const a = new MemoryWitness('a');
    const stranger = signerOf('a', 'cosignature');
    const { asking, grow } = world([a], 1);
    const { note, size } = grow(2);
    const text = `${note.split('\n\n')[0] ?? ''}\n`;
    for (const by of [stranger, signerOf('b', 'cosignature')]) {
      a.answer = ({ status }) => ({ status, bytes: utf8(formatSignatureLines([signNote(text, by, 1n)])) });
      await asking.start(note, undefined);
      expect(await asking.covering(size)).toBeUndefined();
      expect(asking.standing()[0]).toMatchObject({ failures: expect.any(Number) as unknown, size: 0n });
      expect(asking.cosignaturesOf(note)).toBe(note);
    }
    await asking.stop();
  });

  it('does not start behind what a witness has cosigned', async () => {
    const a = new MemoryWitness('a');
    const { asking, grow } = world([a], 1);
    const first = grow(2);
    await asking.start(first.note, undefined);
    const kept = (await asking.covering(2n))?.text;
    const later = grow(3);
    asking.note(later.note);
    await asking.covering(later.size);
    await asking.stop();
    // The store of before: the same log, shorter. What was kept of it doesn't spare the question.
    const again = world([a], 1);
    again.grow(2);
    await expectRejection('log-behind', again.asking.start(first.note, kept));
    // Another history of the same size.
    const forked = world([a], 1);
    forked.grow(4);
    a.last = { size: 5n, root: new Uint8Array(32).fill(7) };
    await expectRejection('log-behind', forked.asking.start(forked.grow(1).note, undefined));
  });

  it('follows a witness that names another size, but not for ever', async () => {
    const a = new MemoryWitness('a');
    const { asking, grow } = world([a], 1);
    grow(5);
    const head = grow(2);
    let size = 1n;
    a.answer = () => ({ status: 409, bytes: utf8(formatSize(size++)) });
    await asking.start(head.note, undefined);
    expect(a.asked).toBe(3);
    expect(asking.standing()[0]?.problem).toContain('did not cosign');
    a.answer = () => ({ status: 409, bytes: utf8('many\n') });
    await asking.start(head.note, undefined);
    expect(await asking.covering(head.size)).toBeUndefined();
    await asking.stop();
  });

  it('waits for nobody longer than it is told to', async () => {
    const [a, b] = [new MemoryWitness('a'), new MemoryWitness('b')];
    const { asking, grow } = world([a, b], 1);
    let release = (): void => undefined;
    b.answer = (reply) =>
      new Promise((resolve) => {
        release = () => {
          resolve(reply);
        };
      });
    const head = grow(2);
    const began = performance.now();
    await asking.start(head.note, undefined);
    expect(performance.now() - began).toBeLessThan(5000);
    expect((await asking.covering(head.size))?.note.signatures).toHaveLength(2);
    release();
    await expect.poll(() => asking.standing()[1]?.size).toBe(2n);
    await asking.stop();
  });
});
