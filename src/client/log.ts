import { parseCheckpoint, parseLogProof, tilePath, bundlePath } from '../audit/index.ts';
import type { BundleId, TileId, UnverifiedCheckpoint, UnverifiedLogProof } from '../audit/index.ts';
import { fromBase64, refuse, shape, utf8 } from '../base/index.ts';
import type { VerifierClient } from './verifier-client.ts';
import { read } from './read.ts';

/*
 * The public log (C2SP tlog-tiles). What comes back is well formed and nothing more; `sealgate/audit` verifies it.
 */

/** The log's newest checkpoint, unverified. */
export async function fetchCheckpoint(client: VerifierClient): Promise<UnverifiedCheckpoint> {
  return parseCheckpoint((await client.request('GET', '/checkpoint')).bytes);
}

/** tlog-proof of an entry in the newest checkpoint: its text, and as parsed. */
export async function fetchLogProof(
  client: VerifierClient,
  index: bigint,
): Promise<{ readonly text: string; readonly proof: UnverifiedLogProof }> {
  const { text, bytes } = await client.request('GET', `/v1/log/proof/${String(index)}`);
  const proof = parseLogProof(bytes);
  if (proof.index !== index)
    refuse('verifier-answer', 'the proof is of another entry', {
      asked: String(index),
      got: String(proof.index),
    });
  return { text, proof };
}

/** The newest checkpoint, and the hashes that prove that an earlier size is a part of it. */
export async function fetchConsistency(
  client: VerifierClient,
  from: bigint,
): Promise<{ readonly checkpoint: UnverifiedCheckpoint; readonly proof: readonly Uint8Array[] }> {
  const answer = await client.request('GET', `/v1/log/consistency?from=${String(from)}`);
  const body = read(CONSISTENCY, answer.json);
  return {
    checkpoint: parseCheckpoint(utf8(body.checkpoint)),
    proof: body.proof.map((hash) => fromBase64(hash, 'consistency proof')),
  };
}

/** One entry, as text. Needs an auditor where entries aren't public. */
export async function fetchEntry(client: VerifierClient, index: bigint): Promise<string> {
  const body = read(ENTRY, (await client.request('GET', `/v1/log/entries/${String(index)}`)).json);
  if (body.index !== String(index))
    refuse('verifier-answer', 'the entry is another one', { asked: String(index), got: body.index });
  return body.leaf;
}

/** Hashes of a tile: 32 bytes each. */
export async function fetchTile(client: VerifierClient, tile: TileId): Promise<Uint8Array> {
  const { bytes } = await client.request('GET', `/${tilePath(tile)}`);
  if (bytes.length !== tile.width * 32) refuse('verifier-answer', 'the tile has another size');
  return bytes;
}

/** An entry bundle: up to 256 entries. Needs an auditor where entries aren't public. */
export async function fetchBundle(client: VerifierClient, bundle: BundleId): Promise<Uint8Array> {
  return (await client.request('GET', `/${bundlePath(bundle)}`, { maxBytes: BUNDLE_BYTES })).bytes;
}

/** 256 entries of the largest size. */
const BUNDLE_BYTES = 32 * 1024 * 1024;
const { list, object, text, decimal } = shape;
const CONSISTENCY = object({
  from: decimal,
  checkpoint: text({ max: 256 * 1024 }),
  proof: list(text({ min: 44, max: 44 }), 64),
});
const ENTRY = object({ index: decimal, leaf: text({ max: 65_536 }), leafHash: text({ min: 44, max: 44 }) });
