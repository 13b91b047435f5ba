import { createPrivateKey } from 'node:crypto';
import {
  EMPTY_EDGE,
  appendLeaves,
  encodeBundle,
  formatAddCheckpoint,
  formatCheckpoint,
  formatLogProof,
  formatNote,
  formatVkey,
  leafHash,
  noteSigner,
  parseAddCheckpoint,
  parseBundle,
  parseLeaf,
  parseLogProof,
  parseNote,
  parseQuorumPolicy,
  parseTilePath,
  parseVkey,
  proveAppended,
  signNote,
  tilePath,
  verifyLogProof,
  verifySignatures,
} from '../../src/audit/index.ts';
import { canonicalJson, equalBytes, utf8 } from '../../src/base/index.ts';
import type { JsonObject } from '../../src/base/index.ts';
import type { FuzzTarget } from '../fuzz.ts';

const seedKey = (byte: number): ReturnType<typeof createPrivateKey> =>
  createPrivateKey({
    key: Buffer.concat([Buffer.from('302e020100300506032b657004220420', 'hex'), Buffer.alloc(32, byte)]),
    format: 'der',
    type: 'pkcs8',
  });
const log = noteSigner('log.example', 'note', seedKey(1));
const witness = noteSigner('w.example', 'cosignature', seedKey(2));

const hashes = Array.from({ length: 11 }, (_, i) => leafHash(utf8(String(i))));
const { root } = appendLeaves(EMPTY_EDGE, hashes);
const text = formatCheckpoint({ origin: 'log.example', size: 11n, root });
const checkpoint = formatNote({
  text,
  signatures: [signNote(text, log), signNote(text, witness, 1_790_000_000n)],
});
const proofs = proveAppended(EMPTY_EDGE, hashes).map((proof, i) =>
  formatLogProof({
    index: BigInt(i),
    hashes: proof,
    checkpoint,
    ...(i % 2 === 0 ? { extra: utf8('extra') } : {}),
  }),
);
const policy = utf8(
  `# logs\nlog ${formatVkey(log.key)} https://log.example\nwitness w ${formatVkey(witness.key)}\n` +
    'group g 1 w\ngroup h all g\nquorum h\n',
);

/** What is accepted must be what writing it again gives: one text for one meaning. */
function requireSame(bytes: Uint8Array, again: Uint8Array): void {
  if (!equalBytes(bytes, again)) throw new Error('accepted, but not canonical');
}

export const targets: Record<string, FuzzTarget> = {
  'log-proof': {
    seeds: () => proofs,
    run: (input) => {
      const proof = parseLogProof(input);
      requireSame(input, formatLogProof(proof));
      const leaf = hashes[Number(proof.index)];
      if (leaf === undefined) return;
      verifyLogProof(proof, { logKeys: [log.key], leafHash: leaf, quorum: parseQuorumPolicy(policy) });
      // Only what was signed verifies: index, path and head can't have moved.
      if (proof.claimed.size !== 11n || !equalBytes(proof.claimed.root, root))
        throw new Error('a forged head');
    },
  },
  note: {
    seeds: () => [checkpoint, formatNote({ text: 'a\n\nb\n', signatures: [signNote('a\n\nb\n', log)] })],
    run: (input) => {
      const note = parseNote(input);
      requireSame(input, formatNote(note));
      verifySignatures(note, [log.key, witness.key]);
    },
  },
  'add-checkpoint': {
    seeds: () => [
      formatAddCheckpoint({ oldSize: 0n, proof: [], checkpoint }),
      formatAddCheckpoint({ oldSize: 4n, proof: hashes.slice(0, 3), checkpoint }),
    ],
    run: (input) => {
      requireSame(input, formatAddCheckpoint(parseAddCheckpoint(input)));
    },
  },
  'quorum-policy': {
    seeds: () => [policy, utf8('quorum none\n')],
    run: (input) => {
      parseQuorumPolicy(input);
    },
  },
  vkey: {
    seeds: () => [utf8(formatVkey(log.key)), utf8(formatVkey(witness.key))],
    run: (input) => {
      const vkey = Buffer.from(input).toString('latin1');
      if (formatVkey(parseVkey(vkey)) !== vkey) throw new Error('accepted, but not canonical');
    },
  },
  'entry-bundle': {
    seeds: () => [encodeBundle([utf8('a'), new Uint8Array(), new Uint8Array(300)])],
    run: (input) => {
      requireSame(input, encodeBundle(parseBundle(input, 3)));
    },
  },
  'tile-path': {
    seeds: () => ['tile/0/x001/x234/067', 'tile/63/000.p/255', 'tile/7/999'].map((path) => utf8(path)),
    run: (input) => {
      const path = Buffer.from(input).toString('latin1');
      const parsed = parseTilePath(path);
      if (parsed !== undefined && 'level' in parsed && tilePath(parsed) !== path)
        throw new Error('not canonical');
    },
  },
  'audit-leaf': {
    seeds: () => leafSeeds().map((leaf) => utf8(canonicalJson(leaf))),
    run: (input) => {
      const leaf = parseLeaf(input);
      // Leaves consist of JSON values; their interfaces have no index signature.
      requireSame(input, utf8(canonicalJson(leaf as unknown as JsonObject)));
    },
  },
};

function leafSeeds(): Parameters<typeof canonicalJson>[0][] {
  const sha = `sha256:${'0'.repeat(64)}`;
  const place = { epoch: 'e1', index: '7', time: '2026-11-22T20:00:00.000Z', v: 1 };
  const by = { id: '01', kind: 'operator' };
  return [
    { ...place, by, kind: 'operator', action: 'invite', target: 'web-1', digest: null },
    { ...place, by, kind: 'revocation', reason: 'lost', subject: { kind: 'signer', id: sha } },
    { ...place, kind: 'opening', origin: 'log.example', previous: null },
    {
      ...place,
      kind: 'denial-summary',
      from: place.time,
      to: place.time,
      counts: [{ stage: 'request', code: 'malformed-request', check: 'malformed', count: 3 }],
    },
  ];
}
