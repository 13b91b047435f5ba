import { readFileSync } from 'node:fs';
import path from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { formatCheckpoint } from '../../src/audit/checkpoint.ts';
import { EMPTY_ROOT } from '../../src/audit/hash.ts';
import {
  formatNote,
  parseNote,
  parseSignatureLines,
  signNote,
  verifySignatures,
} from '../../src/audit/note.ts';
import { proveConsistency } from '../../src/audit/prove.ts';
import { parseVkey } from '../../src/audit/verifier-key.ts';
import { formatAddCheckpoint, parseAddCheckpoint, parseSize } from '../../src/audit/witness-protocol.ts';
import type { AddCheckpoint } from '../../src/audit/witness-protocol.ts';
import { answerAddCheckpoint } from '../../src/audit/witness.ts';
import type { WitnessAnswer, WitnessState, WitnessedHead } from '../../src/audit/witness.ts';
import { fromHex, fromUtf8, toBase64, utf8 } from '../../src/base/index.ts';
import { expectRefusal } from '../support/refusals.ts';
import { entry, logOf } from './support/log.ts';
import { signerOf, testSigner } from './support/signers.ts';

const { witness_protocol: vectors } = JSON.parse(
  readFileSync(path.resolve(import.meta.dirname, '../data/tlog/signed-note-vectors.json'), 'utf8'),
) as {
  witness_protocol: {
    log_vkey: string;
    log_skey: string;
    witness_skey: string;
    checkpoint_5: string;
    checkpoint_8: string;
    consistency_proof_5_to_8_hex: string[];
  };
};

/** `PRIVATE+KEY+name+id+base64(type ‖ seed)` of golang.org/x/mod. */
const seedOf = (skey: string): Uint8Array =>
  new Uint8Array(Buffer.from(skey.split('+').slice(4).join('+'), 'base64')).slice(1);

const TIME = 1_790_000_000n;
const logKey = parseVkey(vectors.log_vkey);
const log = signerOf('monkeys', seedOf(vectors.log_skey));
const witness = signerOf('witness', seedOf(vectors.witness_skey), 'cosignature');
const PROOF = vectors.consistency_proof_5_to_8_hex.map((hex) => fromHex(hex));
const head = (checkpoint: string): WitnessedHead =>
  parseAddCheckpoint(body({ checkpoint: utf8(checkpoint) })).claimed;

function body(request: Partial<AddCheckpoint>): Uint8Array {
  return formatAddCheckpoint({ oldSize: 0n, proof: [], checkpoint: utf8(vectors.checkpoint_8), ...request });
}

function ask(request: Partial<AddCheckpoint>, state: Partial<WitnessState> = {}): WitnessAnswer {
  return answerAddCheckpoint(
    parseAddCheckpoint(body(request)),
    { logKeys: [logKey], last: head(vectors.checkpoint_5), ...state },
    witness,
    TIME,
  );
}

describe('the witness cases of transparency-dev/witness', () => {
  it('old=5 with its proof → 200', () => {
    const answer = ask({ oldSize: 5n, proof: PROOF });
    if (answer.status !== 200) throw new Error(`answered ${answer.status}`);
    expect(head(vectors.checkpoint_8)).toMatchObject(answer.next);
    // The log adds the lines to its checkpoint; both signatures verify then.
    const cosigned = parseNote(utf8(vectors.checkpoint_8 + answer.body));
    const verified = verifySignatures(cosigned, [logKey, witness.key]);
    expect(verified.map(({ key, time }) => [key.name, time])).toEqual([
      ['monkeys', null],
      ['witness', TIME],
    ]);
    expect(parseSignatureLines(utf8(answer.body))).toEqual(cosigned.signatures.slice(1));
  });

  it('old=2, which is stale → 409 with the size', () => {
    const answer = ask({ oldSize: 2n, proof: PROOF });
    expect(answer).toEqual({ status: 409, body: '5\n' });
    expect(parseSize(utf8('5\n'))).toBe(5n);
  });

  it('old=0 with a proof → 422', () => {
    expect(ask({ oldSize: 0n, proof: PROOF }, { last: undefined }).status).toBe(422);
  });

  it('the same size and root again, without proof → 200', () => {
    const again = { oldSize: 8n, proof: [] };
    expect(ask(again, { last: head(vectors.checkpoint_8) }).status).toBe(200);
  });

  it('the same size with another root → 422', () => {
    const text = formatCheckpoint({ origin: 'monkeys', size: 8n, root: new Uint8Array(32) });
    const checkpoint = formatNote({ text, signatures: [signNote(text, log)] });
    expect(ask({ oldSize: 8n, checkpoint }, { last: head(vectors.checkpoint_8) }).status).toBe(422);
  });

  it('a wrong proof → 422', () => {
    expect(ask({ oldSize: 5n, proof: PROOF.toReversed() }).status).toBe(422);
    expect(ask({ oldSize: 5n, proof: PROOF.slice(1) }).status).toBe(422);
    expect(ask({ oldSize: 5n, proof: [] }).status).toBe(422);
  });

  it('an old size above the checkpoint → 400', () => {
    expect(ask({ oldSize: 9n, proof: [] }).status).toBe(400);
  });

  it('an unknown origin → 404', () => {
    expect(ask({ oldSize: 5n, proof: PROOF }, { logKeys: [] }).status).toBe(404);
  });

  it('an unknown or invalid signature of the log → 403', () => {
    const other = testSigner('monkeys', 9);
    expect(ask({ oldSize: 5n, proof: PROOF }, { logKeys: [other.key] }).status).toBe(403);
    const checkpoint = utf8(vectors.checkpoint_8.replace('V8K9', 'V8K8'));
    expect(ask({ oldSize: 5n, proof: PROOF, checkpoint }).status).toBe(403);
  });
});

describe('a witness', () => {
  const grown = logOf(40, 1);
  const forked = logOf(10, 1);
  beforeAll(() => {
    forked.append([entry(99)]);
    for (let i = 11; i < 40; i++) forked.append([entry(i)]);
  });

  const signed = (size: bigint, of = grown): Uint8Array => {
    const root = size === 0n ? EMPTY_ROOT : of.roots.get(size)!;
    const text = formatCheckpoint({ origin: 'monkeys', size, root });
    return formatNote({ text, signatures: [signNote(text, log)] });
  };
  const request = async (oldSize: bigint, size: bigint, of = grown): Promise<Partial<AddCheckpoint>> => ({
    oldSize,
    proof: oldSize === 0n ? [] : await proveConsistency(oldSize, size, of),
    checkpoint: signed(size, of),
  });

  it('follows a log that grows, from nothing on', async () => {
    let last: WitnessedHead | undefined;
    for (const size of [0n, 0n, 1n, 2n, 3n, 10n, 10n, 39n, 40n]) {
      const answer = ask(await request(last?.size ?? 0n, size), { last });
      if (answer.status !== 200) throw new Error(`answered ${answer.status} at ${size}`);
      last = answer.next;
    }
    expect(last?.root).toEqual(grown.root);
  });

  it('signs no fork and nothing older than what it signed', async () => {
    const last = { size: 20n, root: grown.roots.get(20n)! };
    expect(ask(await request(20n, 40n, forked), { last }).status).toBe(422);
    expect(ask(await request(10n, 40n, forked), { last })).toEqual({ status: 409, body: '20\n' });
    expect(ask(await request(10n, 15n), { last }).status).toBe(409);
    expect(ask({ oldSize: 20n, proof: [], checkpoint: signed(15n) }, { last }).status).toBe(400);
    expect(ask({ oldSize: 0n, proof: [], checkpoint: signed(40n, forked) }, { last }).status).toBe(409);
  });

  it('ignores strange signatures on the checkpoint, and refuses a wrong one of the log', async () => {
    const last = { size: 20n, root: grown.roots.get(20n)! };
    const good = await request(20n, 40n);
    const { text, signatures } = parseNote(good.checkpoint!);
    const strange = { name: 'monkeys', id: '00000000', bytes: new Uint8Array(64) };
    const withStrange = formatNote({ text, signatures: [strange, ...signatures] });
    expect(ask({ ...good, checkpoint: withStrange }, { last }).status).toBe(200);
    const wrong = { ...signatures[0]!, bytes: new Uint8Array(64) };
    const withWrong = formatNote({ text, signatures: [...signatures, wrong] });
    expect(ask({ ...good, checkpoint: withWrong }, { last }).status).toBe(403);
  });
});

describe('the body of add-checkpoint', () => {
  const good = body({ oldSize: 5n, proof: PROOF });

  it('is read as it was written', () => {
    const parsed = parseAddCheckpoint(good);
    expect(formatAddCheckpoint(parsed)).toEqual(good);
    expect(parsed).toMatchObject({ oldSize: 5n, proof: PROOF, claimed: { origin: 'monkeys', size: 8n } });
  });

  it('has at most 63 hashes', () => {
    const hashes = Array.from({ length: 64 }, () => new Uint8Array(32));
    expect(() => body({ proof: hashes })).toThrow(RangeError);
    expect(parseAddCheckpoint(body({ proof: hashes.slice(1) })).proof).toHaveLength(63);
    const text = fromUtf8(body({ proof: hashes.slice(1) }), 'body');
    const line = `${toBase64(new Uint8Array(32))}\n`;
    expectRefusal('malformed', () => parseAddCheckpoint(utf8(text.replace(line, line + line))));
  });

  const text = fromUtf8(good, 'body');
  it.each([
    ['no first line', text.replace('old 5\n', '')],
    ['another word', text.replace('old', 'Old')],
    ['two spaces', text.replace('old ', 'old  ')],
    ['a leading zero', text.replace('old 5', 'old 05')],
    ['a negative size', text.replace('old 5', 'old -5')],
    ['a short hash', text.replace(/\n[^\n]{44}\n/, `\n${toBase64(new Uint8Array(31))}\n`)],
    ['no empty line', text.replace('\n\nmonkeys', '\nmonkeys')],
    ['no checkpoint', text.slice(0, text.indexOf('monkeys'))],
    ['a carriage return', text.replace('\n', '\r\n')],
  ])('must be well formed: %s', (_, bad) => {
    expectRefusal('malformed', () => parseAddCheckpoint(utf8(bad)));
  });
});

it('the size in an answer 409 is one decimal line', () => {
  for (const bad of [
    '',
    '5',
    '05\n',
    '5\n\n',
    '5\n6\n',
    ' 5\n',
    'x\n',
    '18446744073709551616\n',
    '1'.repeat(40),
  ]) {
    expectRefusal('malformed', () => parseSize(utf8(bad)));
  }
});

it('cosignature lines stand alone', () => {
  const line = `— w.example ${toBase64(new Uint8Array(76))}\n`;
  expect(parseSignatureLines(utf8(line + line))).toHaveLength(2);
  for (const bad of [
    '',
    '\n',
    `${line}\n`,
    `\n${line}`,
    `${line}\n${line}`,
    line.trimEnd(),
    `x\n\n${line}`,
  ]) {
    expectRefusal('malformed', () => parseSignatureLines(utf8(bad)));
  }
});
