import { parseJsonObject, refuse } from '../../base/index.ts';
import type { JsonObject } from '../../base/index.ts';
import { Type } from '../../config/index.ts';
import { BUNDLE_LIMITS } from '../../policy/index.ts';
import { requireNotForbidden } from '../administer.ts';
import { requireCommitted } from '../committed.ts';
import type { Services } from '../services.ts';
import { publishPolicy, stagePolicy } from '../policy/policy-desk.ts';
import type { PolicyStep } from '../policy/policy-desk.ts';
import {
  ACTIVE_POLICY,
  POLICY_VERSION,
  STAGED_POLICY,
  policyVersionRef,
  readBundleRecord,
  readPointer,
  readVersion,
} from '../policy/policy-records.ts';
import { AdminProblem } from '../problem.ts';
import { asJson, operatorOf, route } from '../route.ts';
import type { Route } from '../route.ts';

const closed = { additionalProperties: false } as const;
const DIGEST = Type.String({ pattern: '^sha256:[0-9a-f]{64}$', description: 'policyHash' });
const STAGE = Type.Object(
  {
    bundle: Type.Object({}, { description: 'The bundle, as policy build makes it.' }),
    manifest: Type.Object({}, { description: 'DSSE, as policy sign makes it.' }),
  },
  closed,
);
const VERSION = Type.String({ pattern: '^[1-9][0-9]{0,9}$', description: 'Version to end before.' });
const PAGE = Type.Object({ before: Type.Optional(VERSION) }, closed);
const PAGE_SIZE = 100;

/** Policy bundles: staged, published, shown. Who may publish is an operator's role; what, only authorities sign. */
export const POLICY_ROUTES: readonly Route[] = [
  route({
    method: 'POST',
    url: '/v1/policy/stage',
    summary: 'Stage a signed bundle: judged and kept, not active',
    access: { who: 'operator', role: 'policy' },
    body: STAGE,
    evidence: true,
    json: { maxDepth: BUNDLE_LIMITS.maxDepth + 2, maxValues: BUNDLE_LIMITS.maxValues },
    handle: async (call) => {
      const { services, body } = call;
      const { operator } = operatorOf(call);
      const { bundle, manifest } = asJson(body) as { bundle: JsonObject; manifest: JsonObject };
      const { desk } = services.governance;
      await requireNotForbidden(call, 'Stage', { kind: 'policy', id: 'staged' });
      return await commit(services, 201, await stagePolicy(desk, { bundle, manifest }, operator));
    },
  }),
  route({
    method: 'POST',
    url: '/v1/policy/publish',
    summary: 'Make the staged bundle the active one',
    access: { who: 'operator', role: 'policy' },
    body: Type.Object({ digest: DIGEST }, closed),
    handle: async (call) => {
      const { services, body } = call;
      const { operator } = operatorOf(call);
      await requireNotForbidden(call, 'Publish', { kind: 'policy', id: body.digest });
      return await commit(
        services,
        200,
        await publishPolicy(services.governance.desk, body.digest, operator),
      );
    },
  }),
  route({
    method: 'GET',
    url: '/v1/policy',
    summary: 'The active bundle’s signed manifest; operators also see what is staged',
    access: { who: 'operator-or-agent' },
    handle: async ({ services, caller }) => {
      const active = await described(services, ACTIVE_POLICY);
      const staged = caller.kind === 'operator' ? { staged: await described(services, STAGED_POLICY) } : {};
      return { status: 200, json: { active, ...staged } };
    },
  }),
  route({
    method: 'GET',
    url: '/v1/policy/staged',
    summary: 'How decisions since it was staged differ from what the staged bundle says to them',
    access: { who: 'operator', role: 'policy' },
    handle: async ({ services }) => ({ status: 200, json: { staged: await services.staged.report() } }),
  }),
  route({
    method: 'GET',
    url: '/v1/policy/history',
    summary: 'Bundles that were active, the newest first, in pages',
    access: { who: 'operator', role: 'any' },
    query: PAGE,
    handle: async ({ services, query }) =>
      await history(services, query.before === undefined ? Infinity : Number(query.before)),
  }),
  route({
    method: 'GET',
    url: '/v1/policy/bundles/:digest',
    summary: 'A bundle and its signed manifest',
    access: { who: 'operator', role: 'any' },
    params: Type.Object({ digest: DIGEST }, closed),
    handle: async ({ services, params: { digest } }) => {
      const stored = await readBundleRecord(services.records, digest);
      if (stored === undefined) throw new AdminProblem('not-found', 'no such bundle was staged here');
      const body = await services.store.body(digest.replace(/^sha256:/, ''));
      if (body === undefined) return refuse('policy-record', 'the bundle is not in the store', { digest });
      return {
        status: 200,
        json: {
          digest,
          version: stored.version,
          bundle: parseJsonObject(body, 'policy bundle', BUNDLE_LIMITS),
          manifest: stored.manifest,
        },
      };
    },
  }),
];

async function commit({ ledger }: Services, status: number, step: PolicyStep) {
  const { auditIndex = null } = requireCommitted(await ledger.commit(step.change));
  const { hash, version, previous, notBefore, notAfter } = step.manifest;
  const { authorities, warnings } = step;
  const facts = { digest: hash, version, previous, notBefore, notAfter };
  return {
    status,
    json: { ...facts, authorities: [...authorities], warnings: [...warnings], auditIndex },
  };
}

async function described(
  { records }: Services,
  ref: typeof ACTIVE_POLICY | typeof STAGED_POLICY,
): Promise<JsonObject | null> {
  const found = await readPointer(records, ref);
  const { digest = null } = found?.body ?? {};
  if (found === undefined || digest === null) return null;
  const { version, authorities } = found.body;
  const stored = await readBundleRecord(records, digest);
  if (stored === undefined) return refuse('policy-record', 'the bundle is not in the store', { digest });
  const { manifest, previous } = stored;
  return {
    digest,
    version,
    previous,
    authorities: [...authorities],
    manifest,
    auditIndex: found.record.leaf,
  };
}

/** Versions have no gap: each is the one before and one. */
async function history({ records }: Services, before: number) {
  const active = await readPointer(records, ACTIVE_POLICY);
  const newest = Math.min(active?.body.version ?? 0, before - 1);
  const first = Math.max(1, newest - PAGE_SIZE + 1);
  const rows = await records.list(POLICY_VERSION, {
    after: policyVersionRef(first - 1).id,
    limit: Math.max(0, newest - first + 1),
  });
  const policies = rows.toReversed().map((row) => {
    const { digest, version, previous, authorities, at, by } = readVersion(row);
    return { digest, version, previous, authorities: [...authorities], at, by, auditIndex: row.leaf };
  });
  return { status: 200, json: { policies, next: first > 1 ? String(first) : null } };
}
