import { proveInclusion } from '../../audit/index.ts';
import { fromUtf8, toBase64 } from '../../base/index.ts';
import type { JsonObject } from '../../base/index.ts';
import { Type } from '../../config/index.ts';
import { LISTED_BY, MAX_PAGE, isOrigin, isRenewal, resultDigest } from '../../lineage/index.ts';
import type { LineagePage, LineageQuestion } from '../../lineage/index.ts';
import { parseLeaf } from '../../audit/index.ts';
import type { Services } from '../services.ts';
import { readHead } from '../log-proof-text.ts';
import { AdminProblem } from '../problem.ts';
import { route } from '../route.ts';
import type { Route } from '../route.ts';

const closed = { additionalProperties: false } as const;
const DECIMAL = Type.String({ pattern: '^(?:0|[1-9][0-9]{0,15})$' });
const SIZE = Type.Optional(DECIMAL);
const ID = Type.Object(
  { executionId: Type.String({ pattern: '^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$' }) },
  closed,
);
const PAGING = { size: SIZE, after: Type.Optional(DECIMAL), limit: Type.Optional(DECIMAL) };
const WALK = Type.Object({ direction: Type.Enum(['ancestors', 'descendants']), ...PAGING }, closed);
const LIST = Type.Object(
  {
    id: Type.String({ minLength: 1, maxLength: 1100 }),
    by: Type.Optional(Type.Enum([...LISTED_BY])),
    ...PAGING,
  },
  closed,
);

interface PageQuery {
  readonly size?: string;
  readonly after?: string;
  readonly limit?: string;
}

/** Lineage: entries of the log with their proofs, found by an index that nobody need believe. */
export const LINEAGE_ROUTES: readonly Route[] = [
  route({
    method: 'GET',
    url: '/v1/lineage/:executionId',
    summary:
      'An execution with its ancestors, or with its descendants in pages: log entries and their proofs',
    access: { who: 'operator', role: 'audit' },
    params: ID,
    query: WALK,
    handle: async ({ services, params, query }) => {
      const { executionId } = params;
      return await answer(services, query, (paging) =>
        query.direction === 'ancestors'
          ? { ask: 'ancestors', executionId, size: paging.size }
          : { ask: 'descendants', executionId, ...paging },
      );
    },
  }),
  route({
    method: 'GET',
    url: '/v1/lineage',
    summary: 'Executions that rest on something, in pages: log entries and their proofs',
    access: { who: 'operator', role: 'audit' },
    query: LIST,
    handle: async ({ services, query }) =>
      await answer(services, query, (paging) => ({
        ask: 'list',
        kinds: query.by === undefined ? [] : [query.by],
        id: query.id,
        ...paging,
      })),
  }),
];

/** Answers in the tree of the size that was asked for, so that pages of one answer are proved in one checkpoint. */
async function answer(
  services: Services,
  { size, after, limit }: PageQuery,
  question: (paging: { size: number; after: number | null; limit: number }) => LineageQuestion,
): Promise<{ readonly status: 200; readonly json: JsonObject }> {
  const head = await readHead(services);
  const asked = size === undefined ? head.size : BigInt(size);
  if (asked > head.size) throw new AdminProblem('not-found', `the log has ${String(head.size)} entries`);
  const query = question({
    size: Number(asked),
    after: after === undefined ? null : Number(after),
    limit: limit === undefined ? MAX_PAGE : Number(limit),
  });
  const page = await services.store.lineage(query);
  const first = after === undefined && query.ask !== 'list';
  if (first && page.found.length === 0)
    throw new AdminProblem('not-found', 'the log knows no such execution');
  return { status: 200, json: await pageJson(services, page, asked) };
}

async function pageJson({ store }: Services, page: LineagePage, size: bigint): Promise<JsonObject> {
  const entries: JsonObject[] = [];
  for (const { position, data } of page.entries) {
    const proof = await proveInclusion(BigInt(position), size, store.tiles);
    entries.push({ index: String(position), leaf: fromUtf8(data, 'leaf'), proof: proof.map(toBase64) });
  }
  return {
    size: String(size),
    found: page.found.map(({ decision, because }) => ({
      decision: String(decision),
      because: String(because),
    })),
    entries,
    results: await resultsOf(store, page),
    next: page.next === null ? null : String(page.next),
  };
}

/** Attestation results that are still kept, by the index of the decision or renewal that names them. */
async function resultsOf(store: Services['store'], { found, entries }: LineagePage): Promise<JsonObject> {
  const decisions = new Set(found.map(({ decision }) => decision));
  const results: Record<string, string> = {};
  for (const { position, data } of entries) {
    const leaf = parseLeaf(data);
    const isTold = isOrigin(leaf) ? decisions.has(position) : isRenewal(leaf);
    if (leaf.kind !== 'decision' || !isTold) continue;
    const digest = resultDigest(leaf);
    const body = digest === undefined ? undefined : await store.body(digest.slice('sha256:'.length));
    if (body !== undefined) results[String(position)] = fromUtf8(body, 'attestation result');
  }
  return results;
}
