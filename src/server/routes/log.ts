import type { TString } from 'typebox';
import { leafHash, parseTilePath, proveConsistency } from '../../audit/index.ts';
import type { BundleId, TileId } from '../../audit/index.ts';
import { fromUtf8, toBase64 } from '../../base/index.ts';
import { Type } from '../../config/index.ts';
import type { Access } from '../caller.ts';
import type { Services } from '../services.ts';
import { proofText, publishedHead, readHead } from '../log-proof-text.ts';
import { AdminProblem } from '../problem.ts';
import { route } from '../route.ts';
import type { Reply, Route } from '../route.ts';

const ANYONE: Access = { who: 'anyone' };
const rest = Type.Object({ '*': Type.String({ maxLength: 256 }) }, { additionalProperties: false });
const decimal = (description: string): TString =>
  Type.String({ pattern: '^(?:0|[1-9][0-9]{0,15})$', description });
/** Full tiles never change; partial ones are replaced (c2sp.org/tlog-tiles, "HTTP"). */
const FOREVER = 'max-age=31536000, immutable';

/** The audit log over HTTP: C2SP tlog-tiles, and proofs made for who has no tiles at hand. */
export function logRoutes(entries: 'auditors' | 'public'): readonly Route[] {
  return [
    route({
      method: 'GET',
      url: '/checkpoint',
      summary: 'The log’s newest signed checkpoint (C2SP tlog-checkpoint)',
      access: ANYONE,
      handle: async ({ services }) => text((await publishedHead(services)).checkpoint),
    }),
    route({
      method: 'GET',
      url: '/tile/entries/*',
      summary: 'An entry bundle of the log (C2SP tlog-tiles)',
      access: entries === 'public' ? ANYONE : { who: 'operator', role: 'audit' },
      params: rest,
      handle: async ({ services, params }) => await bundle(services, `tile/entries/${params['*']}`),
    }),
    route({
      method: 'GET',
      url: '/tile/*',
      summary: 'A hash tile of the log (C2SP tlog-tiles)',
      access: ANYONE,
      params: rest,
      handle: async ({ services, params }) => await tile(services, `tile/${params['*']}`),
    }),
    route({
      method: 'GET',
      url: '/v1/log/proof/:index',
      summary: 'A tlog-proof of an entry in the newest checkpoint',
      access: ANYONE,
      params: Type.Object({ index: decimal('Index of the entry.') }, { additionalProperties: false }),
      handle: async ({ services, params }) => text(await proofText(services, BigInt(params.index))),
    }),
    route({
      method: 'GET',
      url: '/v1/log/consistency',
      summary: 'A consistency proof from an earlier size to the newest checkpoint',
      access: ANYONE,
      query: Type.Object(
        { from: decimal('Size of the earlier checkpoint.') },
        { additionalProperties: false },
      ),
      handle: async ({ services, query }) => await consistency(services, BigInt(query.from)),
    }),
    route({
      method: 'GET',
      url: '/v1/log/entries/:index',
      summary: 'One entry of the log, and its leaf hash',
      access: entries === 'public' ? ANYONE : { who: 'operator', role: 'audit' },
      params: Type.Object({ index: decimal('Index of the entry.') }, { additionalProperties: false }),
      handle: async ({ services, params }) => await entry(services, BigInt(params.index)),
    }),
  ];
}

const text = (data: string): Reply => ({
  status: 200,
  type: 'text/plain; charset=utf-8',
  data,
  cache: 'no-cache',
});

async function tile(services: Services, path: string): Promise<Reply> {
  const id = parseTilePath(path);
  if (id === undefined || !('level' in id)) throw new AdminProblem('not-found', 'not the path of a tile');
  requireThere(id, (await readHead(services)).size >> BigInt(8 * id.level));
  const [data = new Uint8Array()] = await services.store.tiles.readTiles([id]);
  return bytes(data, id);
}

async function bundle(services: Services, path: string): Promise<Reply> {
  const id = parseTilePath(path);
  if (id === undefined || 'level' in id)
    throw new AdminProblem('not-found', 'not the path of an entry bundle');
  requireThere(id, (await readHead(services)).size);
  return bytes(await services.store.entryBundle(Number(id.index), id.width), id);
}

/** @param count hashes or entries that there are at this level */
function requireThere({ index, width }: BundleId, count: bigint): void {
  if (index * 256n + BigInt(width) > count)
    throw new AdminProblem('not-found', 'the log is not that large yet');
}

function bytes(data: Uint8Array, { width }: TileId | BundleId): Reply {
  return {
    status: 200,
    type: 'application/octet-stream',
    data,
    cache: width === 256 ? FOREVER : 'max-age=3600',
  };
}

async function consistency(services: Services, from: bigint): Promise<Reply> {
  const { size, checkpoint } = await publishedHead(services);
  if (from === 0n || from > size)
    throw new AdminProblem('not-found', `no proof from ${String(from)} to ${String(size)}`);
  const hashes = await proveConsistency(from, size, services.store.tiles);
  return { status: 200, json: { from: String(from), checkpoint, proof: hashes.map(toBase64) } };
}

async function entry(services: Services, index: bigint): Promise<Reply> {
  const { size } = await readHead(services);
  const [leaf] = index < size ? await services.store.leaves(Number(index), 1) : [];
  if (leaf === undefined) throw new AdminProblem('not-found', `the log has ${String(size)} entries`);
  return {
    status: 200,
    json: { index: String(index), leaf: fromUtf8(leaf, 'leaf'), leafHash: toBase64(leafHash(leaf)) },
  };
}
