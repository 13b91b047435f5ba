import { readFileSync } from 'node:fs';
import path from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { formatCheckpoint, parseCheckpoint } from '../../src/audit/checkpoint.ts';
import { leafHash } from '../../src/audit/hash.ts';
import { formatLogProof, parseLogProof, verifyLogProof } from '../../src/audit/log-proof.ts';
import { formatNote, parseNote, signNote } from '../../src/audit/note.ts';
import { proveConsistency, proveInclusion } from '../../src/audit/prove.ts';
import { parseQuorumPolicy } from '../../src/audit/quorum.ts';
import { bundlePath, encodeBundle, parseBundle, tilePath } from '../../src/audit/tiles.ts';
import { formatVkey, parseVkey } from '../../src/audit/verifier-key.ts';
import { verifyConsistency } from '../../src/audit/verify.ts';
import { fromUtf8, toBase64, utf8 } from '../../src/base/index.ts';
import type { Refusal } from '../../src/base/index.ts';
import { expectRefusal } from '../support/refusals.ts';
import { MemoryLog, entry, logOf } from './support/log.ts';
import { testSigner } from './support/signers.ts';

const DATA = path.resolve(import.meta.dirname, '../data/tlog/tessera-log/log');
const read = (file: string): Uint8Array => new Uint8Array(readFileSync(path.join(DATA, file)));
const VKEY = 'example.com/log/testdata+33d7b496+AeHTu4Q3hEIMHNqc6fASMsq3rKNx280NI+oO5xCFkkSx';

describe('a tessera log', () => {
  const bundle = (size: number): Uint8Array[] =>
    parseBundle(read(bundlePath({ index: 0n, width: size })), size);

  it('has the tiles, bundles and roots that we make of its entries', () => {
    const entries = bundle(15);
    const log = new MemoryLog();
    for (let size = 1; size <= 15; size++) {
      log.append([entries[size - 1]!]);
      expect(parseCheckpoint(read(`checkpoint.${size}`)).claimed.root).toEqual(log.root);
      const width = { index: 0n, width: size };
      expect(read(tilePath({ level: 0, ...width }))).toEqual(log.tiles.get('tile/0/000'));
      expect(encodeBundle(entries.slice(0, size))).toEqual(read(bundlePath(width)));
    }
  });

  it('gives proofs that verify, from its own tiles', async () => {
    const tiles = {
      readTiles: (ids: Parameters<typeof tilePath>[0][]) =>
        Promise.resolve(ids.map((id) => read(tilePath(id)))),
    };
    for (let size = 1; size <= 15; size++) {
      const checkpoint = read(`checkpoint.${size}`);
      for (let index = 0; index < size; index++) {
        const hashes = await proveInclusion(BigInt(index), BigInt(size), tiles);
        const proof = parseLogProof(formatLogProof({ index: BigInt(index), hashes, checkpoint }));
        const leaf = leafHash(bundle(size)[index]!);
        expect(verifyLogProof(proof, { logKeys: [parseVkey(VKEY)], leafHash: leaf })).toEqual([]);
      }
      const { root: oldRoot, size: oldSize } = parseCheckpoint(checkpoint).claimed;
      const proof = await proveConsistency(oldSize, 15n, tiles);
      verifyConsistency({
        oldSize,
        oldRoot,
        size: 15n,
        root: parseCheckpoint(read('checkpoint.15')).claimed.root,
        proof,
      });
    }
  });

  it('has bundles of exactly the entries asked for', () => {
    const bytes = read('tile/entries/000.p/5');
    expectRefusal('log-tile', () => parseBundle(bytes, 6));
    expectRefusal('malformed', () => parseBundle(bytes, 4));
    expectRefusal('malformed', () => parseBundle(bytes.slice(0, -1), 5));
    expectRefusal('malformed', () => parseBundle(new Uint8Array([...bytes, 0]), 5));
    expect(() => encodeBundle([])).toThrow(RangeError);
    expect(() => encodeBundle(Array.from({ length: 257 }, () => new Uint8Array()))).toThrow(RangeError);
    expect(() => encodeBundle([new Uint8Array(65_536)])).toThrow(RangeError);
    expect(parseBundle(encodeBundle([new Uint8Array(65_535), new Uint8Array()]), 2)[0]).toHaveLength(65_535);
  });
});

describe('a tlog-proof', () => {
  const signer = testSigner('log.example', 1);
  const witnesses = [2, 3, 4].map((seed) => testSigner(`w${seed}.example`, seed, 'cosignature'));
  let text: string;
  let checkpoint: Uint8Array;
  const leaf = leafHash(entry(77));
  beforeAll(async () => {
    const log = logOf(100);
    const body = formatCheckpoint({ origin: 'log.example', size: 100n, root: log.root });
    const signatures = [
      signNote(body, signer),
      ...witnesses.slice(0, 2).map((w) => signNote(body, w, 1_790_000_000n)),
    ];
    checkpoint = formatNote({ text: body, signatures });
    text = fromUtf8(
      formatLogProof({ index: 77n, hashes: await proveInclusion(77n, 100n, log), checkpoint }),
      'proof',
    );
  });

  it('is read as it was written, with and without extra data', () => {
    for (const extra of [undefined, new Uint8Array(), Uint8Array.of(1, 2, 3)]) {
      const { index, hashes } = parseLogProof(utf8(text));
      const bytes = formatLogProof({ index, hashes, checkpoint, ...(extra === undefined ? {} : { extra }) });
      const parsed = parseLogProof(bytes);
      expect(parsed.extra).toEqual(extra);
      expect(formatLogProof(parsed)).toEqual(bytes);
      expect(verifyLogProof(parsed, { logKeys: [signer.key], leafHash: leaf })).toEqual([]);
    }
  });

  it('says what could not be checked', () => {
    const proof = parseLogProof(utf8(text));
    expect(verifyLogProof(proof, {})).toEqual(['log-signature', 'log-inclusion']);
    expect(verifyLogProof(proof, { leafHash: leaf })).toEqual(['log-signature']);
    expect(verifyLogProof(proof, { logKeys: [signer.key] })).toEqual(['log-inclusion']);
  });

  it('is refused with every check that fails', () => {
    const proof = parseLogProof(utf8(text));
    expectRefusal('log-inclusion', () => verifyLogProof(proof, { leafHash: leafHash(entry(78)) }));
    expectRefusal('log-signature', () =>
      verifyLogProof(proof, { logKeys: [testSigner('log.example', 9).key] }),
    );
    expectRefusal('log-origin', () => verifyLogProof(proof, { logKeys: [testSigner('lag.example', 1).key] }));
    const { failures } = expectRefusal('log-signature', () =>
      verifyLogProof(proof, { logKeys: [testSigner('log.example', 9).key], leafHash: leafHash(entry(78)) }),
    );
    expect(failures.map(({ check }: Refusal) => check)).toEqual(['log-signature', 'log-inclusion']);
  });

  it('has the form that index and size ask for', () => {
    const cases: [string, string][] = [
      ['malformed', ''],
      ['malformed', text.replace('v1', 'v2')],
      ['malformed', text.replace('index 77', 'index 077')],
      ['malformed', text.replace('index 77', 'index')],
      ['malformed', text.replace('index 77\n', '')],
      ['malformed', text.replace('index 77', `extra !\nindex 77`)],
      ['malformed', text.replace('index 77', `index 77\nextra AAAA`)],
      ['malformed', text.replace('index 77', `extra AAAA\nextra AAAA\nindex 77`)],
      ['malformed', text.replace('\n\nlog.example', '\nlog.example')],
      ['malformed', text.slice(0, -1)],
      ['malformed', `${text}\n`],
      ['malformed', text.replaceAll('\n', '\r\n')],
      ['log-inclusion', text.replace('index 77', 'index 100')],
      ['log-inclusion', text.replace('index 77', 'index 18446744073709551615')],
      ['log-inclusion', text.replace(/\n[^\n]{44}\n/, '\n')],
      ['log-inclusion', text.replace(/\n[^\n]{44}\n/, (line) => line + line.slice(1))],
      ['log-inclusion', text.replace('index 77', 'index 99')],
      ['malformed', text.replace(/\n[^\n]{44}\n/, (line) => line + line.slice(1).repeat(64))],
    ];
    for (const [check, bad] of cases) expectRefusal(check, () => parseLogProof(utf8(bad)));
    expectRefusal('malformed', () => parseLogProof(new Uint8Array(300_000)));
  });

  it('is refused whatever character of it changes', () => {
    const refusedAt = (i: number, character: string): boolean => {
      const changed = text.slice(0, i) + character + text.slice(i + 1);
      try {
        verifyLogProof(parseLogProof(utf8(changed)), {
          logKeys: [signer.key, ...witnesses.map(({ key }) => key)],
          leafHash: leaf,
        });
        return false;
      } catch {
        return true;
      }
    };
    // Up to the end of the log's own signature: whose the others are, nobody said.
    const end = text.indexOf('— w2.example');
    for (let i = 0; i < end; i++) {
      const character = text[i] === 'A' ? 'B' : 'A';
      expect(refusedAt(i, character), `${i}: ${JSON.stringify(text.slice(i, i + 10))}`).toBe(true);
    }
  });

  describe('with a quorum of witnesses', () => {
    const policy = (...lines: string[]): ReturnType<typeof parseQuorumPolicy> =>
      parseQuorumPolicy(
        utf8(
          [
            `log ${formatVkey(signer.key)}`,
            ...witnesses.map((w, i) => `witness w${i} ${formatVkey(w.key)}`),
            ...lines,
            '',
          ].join('\n'),
        ),
      );

    it.each([
      ['none', 'quorum none'],
      ['one', 'quorum w0'],
      ['any', 'group g any w0 w2\nquorum g'],
      ['two of three', 'group g 2 w0 w1 w2\nquorum g'],
      ['all of two', 'group g all w0 w1\nquorum g'],
      ['nested', 'group a any w0 w2\ngroup b all w1\ngroup c all a b\nquorum c'],
    ])('is accepted: %s', (_, lines) => {
      verifyLogProof(parseLogProof(utf8(text)), { leafHash: leaf, quorum: policy(lines) });
    });

    it.each([
      ['the one that is missing', 'quorum w2'],
      ['three', 'group g all w0 w1 w2\nquorum g'],
      ['nested', 'group a any w0 w1\ngroup b all w2\ngroup c all a b\nquorum c'],
    ])('is refused: %s', (_, lines) => {
      expectRefusal('log-witnesses', () =>
        verifyLogProof(parseLogProof(utf8(text)), { leafHash: leaf, quorum: policy(lines) }),
      );
    });

    it('is refused when a witness’s signature is wrong, or the log is another one', () => {
      const { text: body, signatures } = parseNote(checkpoint);
      const wrong = signatures.map((s, i) =>
        i === 2 ? { ...s, bytes: s.bytes.with(20, s.bytes[20]! ^ 1) } : s,
      );
      const proof = parseLogProof(utf8(text));
      const bad = { ...proof, note: { text: body, signatures: wrong } };
      expectRefusal('log-signature', () => verifyLogProof(bad, { quorum: policy('quorum w0') }));
      const other = parseQuorumPolicy(
        utf8(`log ${formatVkey(testSigner('b.example', 1).key)}\nquorum none\n`),
      );
      expectRefusal('log-origin', () => verifyLogProof(proof, { quorum: other }));
    });
  });
});

describe('a quorum policy', () => {
  const key = (i: number, use: 'note' | 'cosignature' = 'cosignature'): string =>
    formatVkey(testSigner(`k${i}.example`, i, use).key);

  it('may have comments, blank lines, tabs, URLs and names that are not ASCII', () => {
    const policy = parseQuorumPolicy(
      utf8(
        `# a comment\n\n \t# another\n\tlog\t${key(1, 'note')}  https://log.example/ \nwitness K\u212a ${key(2)} https://w.example\nquorum K\u212a\n`,
      ),
    );
    expect(policy.logs[0]).toMatchObject({ url: 'https://log.example/', key: { name: 'k1.example' } });
    expect(policy.quorum).toMatchObject({ kind: 'witness', key: { name: 'k2.example' } });
  });

  it('of a key whose name is not ASCII keeps the name', () => {
    const vkey = formatVkey(testSigner('zürich.example', 5, 'cosignature').key);
    expect(parseQuorumPolicy(utf8(`witness z ${vkey}\nquorum z\n`)).witnesses[0]?.key.name).toBe(
      'zürich.example',
    );
  });

  it('may be of 32 logs, witnesses and groups', () => {
    const lines = Array.from(
      { length: 32 },
      (_, i) => `log ${key(i + 100, 'note')}\nwitness w${i} ${key(i)}\n`,
    );
    const groups = Array.from({ length: 32 }, (_, i) => `group g${i} any w${i}\n`);
    const text = `${lines.join('')}${groups.join('')}quorum g31\n`;
    expect(parseQuorumPolicy(utf8(text)).witnesses).toHaveLength(32);
  });

  it.each([
    ['nothing', ''],
    ['no quorum', `witness a ${key(1)}\n`],
    ['two quorums', `quorum none\nquorum none\n`],
    ['an undefined quorum', `quorum a\n`],
    ['a quorum before its name', `quorum a\nwitness a ${key(1)}\n`],
    ['a quorum of two', `witness a ${key(1)}\nwitness b ${key(2)}\nquorum a b\n`],
    ['no newline at the end', `quorum none`],
    ['a carriage return', `quorum none\r\n`],
    ['another keyword', `vitness a ${key(1)}\nquorum none\n`],
    ['a witness without key', `witness a\nquorum none\n`],
    ['a witness with more', `witness a ${key(1)} url more\nquorum none\n`],
    ['a log with more', `log ${key(1, 'note')} url more\nquorum none\n`],
    ['a log without key', `log\nquorum none\n`],
    ['a log with a witness’s key', `log ${key(1)}\nquorum none\n`],
    ['a witness with a log’s key', `witness a ${key(1, 'note')}\nquorum none\n`],
    ['a broken key', `witness a ${key(1).slice(1)}\nquorum none\n`],
    ['a witness key twice', `witness a ${key(1)}\nwitness b ${key(1)}\nquorum none\n`],
    [
      'the same key under another name',
      `witness a ${key(1)}\nwitness b ${formatVkey(testSigner('other', 1, 'cosignature').key)}\nquorum none\n`,
    ],
    ['a log twice', `log ${key(1, 'note')}\nlog ${key(1, 'note')}\nquorum none\n`],
    ['a name twice', `witness a ${key(1)}\nwitness a ${key(2)}\nquorum none\n`],
    ['a group named as a witness', `witness a ${key(1)}\ngroup a any a\nquorum none\n`],
    ['the name none', `witness none ${key(1)}\nquorum none\n`],
    ['none as a member', `group g any none\nquorum g\n`],
    ['a group without members', `group g any\nquorum g\n`],
    ['a group without anything', `group g\nquorum g\n`],
    ['a group of undefined names', `group g any a\nquorum g\n`],
    ['a member in two groups', `witness a ${key(1)}\ngroup g any a\ngroup h any a\nquorum g\n`],
    ['a member twice', `witness a ${key(1)}\ngroup g any a a\nquorum g\n`],
    ['a threshold of 0', `witness a ${key(1)}\ngroup g 0 a\nquorum g\n`],
    ['a threshold above the members', `witness a ${key(1)}\ngroup g 2 a\nquorum g\n`],
    ['a threshold that is no number', `witness a ${key(1)}\ngroup g constructor a\nquorum g\n`],
    ['a threshold with a zero before it', `witness a ${key(1)}\ngroup g 01 a\nquorum g\n`],
  ])('is refused with %s', (_, text) => {
    expectRefusal('malformed', () => parseQuorumPolicy(utf8(text)));
  });

  it('has bounds', () => {
    expectRefusal('malformed', () => parseQuorumPolicy(new Uint8Array(300_000).fill(0x0a)));
    const groups = Array.from({ length: 513 }, (_, i) => `group g${i} any ${i === 0 ? 'w' : `g${i - 1}`}\n`);
    expectRefusal('malformed', () =>
      parseQuorumPolicy(utf8(`witness w ${key(1)}\n${groups.join('')}quorum w\n`)),
    );
    expect(toBase64(new Uint8Array())).toBe('');
  });
});
