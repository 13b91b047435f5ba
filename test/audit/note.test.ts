import { generateKeyPairSync } from 'node:crypto';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { formatCheckpoint, parseCheckpoint, verifyCheckpoint } from '../../src/audit/checkpoint.ts';
import { formatNote, parseNote, signNote, verifySignatures } from '../../src/audit/note.ts';
import type { NoteSignature } from '../../src/audit/note.ts';
import { formatVkey, noteSigner, parseVkey, verifierKey } from '../../src/audit/verifier-key.ts';
import { fromUtf8, toBase64, utf8 } from '../../src/base/index.ts';
import { expectRefusal } from '../support/refusals.ts';
import { signerOf, testSigner } from './support/signers.ts';

const DATA = path.resolve(import.meta.dirname, '../data/tlog');
const read = (file: string): Uint8Array => new Uint8Array(readFileSync(path.join(DATA, file)));

interface Vectors {
  readonly notes: {
    name: string;
    vkeys: string[];
    note: string;
    expect: 'valid' | 'invalid';
    skey?: string;
  }[];
  readonly cosignatures: { name: string; vkeys: string[]; file: string; expect: 'valid' }[];
}
const vectors = JSON.parse(readFileSync(path.join(DATA, 'signed-note-vectors.json'), 'utf8')) as Vectors;

describe('signed notes of C2SP and golang.org/x/mod', () => {
  it.each(vectors.notes)('$name is $expect', ({ vkeys, note, expect: want }) => {
    const keys = vkeys.map((vkey) => parseVkey(vkey));
    expect(keys.map((key) => formatVkey(key))).toEqual(vkeys);
    const parsed = parseNote(utf8(note));
    expect(fromUtf8(formatNote(parsed), 'note')).toBe(note);
    // "No trusted key" is an empty answer, which the caller refuses; a wrong signature is refused at once.
    const verified = (): number => verifySignatures(parsed, keys).length;
    if (want === 'valid') expect(verified()).toBe(1);
    else if (note.includes('massage')) expectRefusal('log-signature', verified);
    else expect(verified()).toBe(0);
  });

  it('we sign as golang.org/x/mod does', () => {
    const { skey = '', note } = vectors.notes.find(({ name }) => name === 'go-sumdb-peter')!;
    const seed = new Uint8Array(Buffer.from(skey.split('+').slice(4).join('+'), 'base64')).slice(1);
    const { text } = parseNote(utf8(note));
    const signature = signNote(text, signerOf('PeterNeumann', seed));
    expect(fromUtf8(formatNote({ text, signatures: [signature] }), 'note')).toBe(note);
  });
});

describe('cosignatures', () => {
  it.each(vectors.cosignatures)('$name is valid', ({ vkeys, file }) => {
    const [key] = vkeys.map((vkey) => parseVkey(vkey));
    const checkpoint = parseCheckpoint(read(file));
    const [verified] = verifySignatures(checkpoint.note, [key!]);
    expect(verified?.key.name).toBe(key!.name);
    expect(verified?.time).toBeGreaterThan(1_700_000_000n);
    // The time is signed too.
    const signatures = checkpoint.note.signatures.map((signature) => ({
      ...signature,
      bytes: signature.bytes.with(7, signature.bytes[7]! ^ 1),
    }));
    expectRefusal('log-signature', () => verifySignatures({ ...checkpoint.note, signatures }, [key!]));
  });

  it('an RFC 6962 signature of a log is no signature that we know', () => {
    const { note } = parseCheckpoint(read('skylight-tree/tree/checkpoint'));
    expect(
      verifySignatures(note, [verifierKey('rome2026h1.example.org', 'note', new Uint8Array(32))]),
    ).toEqual([]);
  });

  it('have a time below 2^63, and plain signatures none', () => {
    const witness = testSigner('witness.example', 1, 'cosignature');
    expect(() => signNote('x\n', witness)).toThrow(TypeError);
    expect(() => signNote('x\n', testSigner('log.example', 1), 0n)).toThrow(TypeError);
    expect(() => signNote('x\n', witness, 1n << 63n)).toThrow(RangeError);
    const good = signNote('x\n', witness, (1n << 63n) - 1n);
    expect(verifySignatures({ text: 'x\n', signatures: [good] }, [witness.key])[0]?.time).toBe(
      (1n << 63n) - 1n,
    );
    for (const bytes of [
      good.bytes.with(0, 0x80),
      good.bytes.slice(0, 71),
      new Uint8Array(73),
      new Uint8Array(5),
    ]) {
      expectRefusal('log-signature', () =>
        verifySignatures({ text: 'x\n', signatures: [{ ...good, bytes }] }, [witness.key]),
      );
    }
  });

  it('of one use never pass for the other', () => {
    const log = testSigner('a.example', 1);
    const witness = testSigner('a.example', 1, 'cosignature');
    expect(log.key.id).not.toBe(witness.key.id);
    const signature = { ...signNote('x\n', log), id: witness.key.id };
    expectRefusal('log-signature', () =>
      verifySignatures({ text: 'x\n', signatures: [signature] }, [witness.key]),
    );
  });
});

describe('signatures on a note', () => {
  const text = 'text\n';
  const signers = Array.from({ length: 20 }, (_, i) => testSigner(`signer${i}.example`, i + 1));
  const signatures = signers.map((signer) => signNote(text, signer));
  const note = { text, signatures };

  it('may be many', () => {
    const parsed = parseNote(formatNote(note));
    expect(
      verifySignatures(
        parsed,
        signers.map(({ key }) => key),
      ),
    ).toHaveLength(20);
    const many = Array.from({ length: 65 }, () => signatures[0]!);
    expect(parseNote(formatNote({ text, signatures: many.slice(1) })).signatures).toHaveLength(64);
    expectRefusal('malformed', () => parseNote(formatNote({ text, signatures: many })));
  });

  it('of unknown keys are ignored, also with the name or the id of a known one', () => {
    const [known, other] = signers;
    const strange: NoteSignature[] = [
      { name: known!.key.name, id: '00000000', bytes: new Uint8Array(64) },
      { name: 'elsewhere.example', id: known!.key.id, bytes: new Uint8Array(64) },
      signNote(text, other!),
    ];
    const keys = [known!.key];
    expect(verifySignatures({ text, signatures: strange }, keys)).toEqual([]);
    expect(verifySignatures({ text, signatures: [...strange, signatures[0]!] }, keys)).toHaveLength(1);
  });

  it('of a known key that are wrong refuse the note, beside however many right ones', () => {
    const keys = signers.map(({ key }) => key);
    const wrong = { ...signatures[3]!, bytes: signatures[4]!.bytes };
    expectRefusal('log-signature', () =>
      verifySignatures({ text, signatures: [...signatures, wrong] }, keys),
    );
  });

  it('count once for each key', () => {
    const twice = [signatures[0]!, signatures[0]!];
    expect(verifySignatures({ text, signatures: twice }, [signers[0]!.key])).toHaveLength(1);
  });

  it.each([
    ['nothing', ''],
    ['no signature', 'text\n\n'],
    ['no empty line', 'text\n— a.example AAAAAAA=\n'],
    ['no text', '\n— a.example AAAAAAA=\n'],
    ['a line that is no signature', 'text\n\n- a.example AAAAAAA=\n'],
    ['text after the signatures', 'text\n\n— a.example AAAAAAA=\nx\n'],
    ['no newline at the end', 'text\n\n— a.example AAAAAAA='],
    ['no name', 'text\n\n—  AAAAAAA=\n'],
    ['a plus in the name', 'text\n\n— a+b AAAAAAA=\n'],
    ['a space of Unicode in the name', 'text\n\n— a\u2003b AAAAAAA=\n'],
    ['no base64', 'text\n\n— a.example AAAAAAA\n'],
    ['base64 with stray bits', 'text\n\n— a.example AAAAAAB=\n'],
    ['a key id and nothing else', 'text\n\n— a.example AAAAAA==\n'],
    ['a tab', 'te\txt\n\n— a.example AAAAAAA=\n'],
    ['a carriage return', 'text\r\n\n— a.example AAAAAAA=\n'],
  ])('must be well formed: %s', (_, bad) => {
    const { detail } = expectRefusal('malformed', () => parseNote(utf8(bad)));
    expect(detail['offset']).toBeTypeOf('number');
  });

  it('must be UTF-8 and not too long', () => {
    expectRefusal('malformed', () => parseNote(Uint8Array.of(0xff, 0x0a)));
    expectRefusal('malformed', () => parseNote(new Uint8Array(200_000).fill(0x61)));
    // The offset counts bytes, not characters.
    const { detail } = expectRefusal('malformed', () => parseNote(utf8('ä\n\nx\n')));
    expect(detail['offset']).toBe(4);
    expect(() => formatNote({ text: 'x', signatures: [] })).toThrow(TypeError);
  });

  it('a text may hold empty lines and signature lines', () => {
    const inner = fromUtf8(formatNote({ text: 'inner\n', signatures: [signatures[0]!] }), 'note');
    const outer = { text: inner, signatures: [signNote(inner, signers[1]!)] };
    expect(parseNote(formatNote(outer))).toEqual(outer);
  });
});

describe('verifier keys', () => {
  const { key } = testSigner('log.example/a', 7);
  const vkey = formatVkey(key);
  it('have one spelling', () => {
    expect(parseVkey(vkey)).toEqual(key);
    const material = (type: number, length = 32): string =>
      toBase64(Uint8Array.of(type, ...new Uint8Array(length)));
    for (const bad of [
      '',
      'log.example',
      `${vkey}+`,
      vkey.replace('log', 'lug'),
      vkey.replace(key.id, 'ffffffff'),
      `+${vkey}`,
      vkey.replace(key.id, key.id.slice(1)),
      vkey.replace(key.id, key.id.toUpperCase()).replace(/\+[0-9A-F]{8}\+/, '+ABCDEF01+'),
      vkey.slice(0, -1),
      `${vkey}=`,
      `log.example+${key.id}+${material(2)}`,
      `log.example+${key.id}+${material(1, 31)}`,
      `log.example+${key.id}+${material(1, 33)}`,
      `log.example+${key.id}+`,
      `lo g.example+${vkey.slice(14)}`,
    ])
      expectRefusal('malformed', () => parseVkey(bad));
  });

  it('are refused by the program where they can’t be', () => {
    expect(() => verifierKey('a b', 'note', new Uint8Array(32))).toThrow(TypeError);
    expect(() => verifierKey('a', 'note', new Uint8Array(31))).toThrow(RangeError);
    expect(() =>
      noteSigner('a', 'note', generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey),
    ).toThrow(TypeError);
  });
});

describe('checkpoints', () => {
  const VKEY = 'example.com/log/testdata+33d7b496+AeHTu4Q3hEIMHNqc6fASMsq3rKNx280NI+oO5xCFkkSx';

  it('of a tessera log verify at every size', () => {
    for (let size = 0; size <= 15; size++) {
      const bytes = read(`tessera-log/log/checkpoint.${size}`);
      const checkpoint = parseCheckpoint(bytes);
      expect(checkpoint.claimed.size).toBe(BigInt(size));
      expect(verifyCheckpoint(checkpoint, [parseVkey(VKEY)])).toHaveLength(1);
      expect(formatCheckpoint(checkpoint.claimed)).toBe(checkpoint.note.text);
      expect(formatNote(checkpoint.note)).toEqual(bytes);
    }
  });

  const root = toBase64(new Uint8Array(32).fill(9));
  const signer = testSigner('log.example', 3);
  const sign = (text: string): Uint8Array => formatNote({ text, signatures: [signNote(text, signer)] });

  it.each([
    ['only an origin', 'log.example\n'],
    ['no origin', `\n1\n${root}\n`],
    ['no root', 'log.example\n1\n'],
    ['a leading zero', `log.example\n01\n${root}\n`],
    ['a sign', `log.example\n+1\n${root}\n`],
    ['2^64 entries', `log.example\n18446744073709551616\n${root}\n`],
    ['a short root', `log.example\n1\n${toBase64(new Uint8Array(31))}\n`],
    ['a root in base64url', `log.example\n1\n${root.replace('=', '')}\n`],
    ['an extension line', `log.example\n1\n${root}\nextension\n`],
    ['an empty tree with a root', `log.example\n0\n${root}\n`],
  ])('are refused with %s', (_, text) => {
    expectRefusal('malformed', () => parseCheckpoint(sign(text)));
  });

  it('hold sizes beyond 2^53', () => {
    const text = `log.example\n18446744073709551615\n${root}\n`;
    expect(parseCheckpoint(sign(text)).claimed.size).toBe((1n << 64n) - 1n);
    expect(() => formatCheckpoint({ origin: 'a', size: 1n << 64n, root: new Uint8Array(32) })).toThrow(
      RangeError,
    );
    expect(() => formatCheckpoint({ origin: 'a', size: 1n, root: new Uint8Array(31) })).toThrow(RangeError);
    expect(() => formatCheckpoint({ origin: 'a\nb', size: 1n, root: new Uint8Array(32) })).toThrow(TypeError);
  });

  it('are believed only with a signature of a key of that log', () => {
    const checkpoint = parseCheckpoint(sign(`log.example\n1\n${root}\n`));
    verifyCheckpoint(checkpoint, [signer.key]);
    expectRefusal('log-origin', () => verifyCheckpoint(checkpoint, []));
    expectRefusal('log-origin', () => verifyCheckpoint(checkpoint, [testSigner('other.example', 3).key]));
    expectRefusal('log-origin', () =>
      verifyCheckpoint(checkpoint, [testSigner('log.example', 3, 'cosignature').key]),
    );
    expectRefusal('log-signature', () => verifyCheckpoint(checkpoint, [testSigner('log.example', 4).key]));
    const other = parseCheckpoint(sign(`log.example\n2\n${root}\n`));
    const mixed = {
      claimed: other.claimed,
      note: { text: other.note.text, signatures: checkpoint.note.signatures },
    };
    expectRefusal('log-signature', () => verifyCheckpoint(mixed, [signer.key]));
  });
});
