import type { Change } from '../../audit/index.ts';
import type { JsonObject } from '../../base/index.ts';
import { Type } from '../../config/index.ts';
import { quarantineHost, readHost } from '../../enrollment/index.ts';
import {
  EXECUTION,
  RELEASE_LOST,
  decideExecution,
  judgeExecution,
  parseExecutionRecord,
  reportOutcome,
} from '../../lifecycle/index.ts';
import type { Outcome } from '../../lifecycle/index.ts';
import { lifecycleCaller } from '../agent-call.ts';
import { requireCommitted } from '../committed.ts';
import type { Services } from '../services.ts';
import { requireAllowed } from '../decided.ts';
import { endDependents, endOnHost } from '../end-dependents.ts';
import { executionJson } from '../execution-json.ts';
import type { Metrics } from '../metrics.ts';
import { AdminProblem } from '../problem.ts';
import { asJson, route } from '../route.ts';
import type { Reply, Route } from '../route.ts';

const closed = { additionalProperties: false } as const;
const ID = Type.Object(
  { executionId: Type.String({ pattern: '^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$' }) },
  closed,
);
/** The lifecycle reads it: closed, typed and bounded (docs/PROTOCOL.md); here it is an object with these members. */
const object = Type.Object({}, { additionalProperties: true });
const SUBMISSION = Type.Object({ request: object, proofs: object, evidence: object }, closed);
const REPORT = Type.Object({ proof: Type.String({ minLength: 1, maxLength: 4096 }) }, closed);
const QUERY = Type.Object(
  {
    after: Type.Optional(Type.String({ maxLength: 64 })),
    host: Type.Optional(Type.String({ pattern: '^[0-9a-f]{64}$' })),
  },
  closed,
);
/** Executions in one answer, and records that are looked at for it. */
const PAGE_SIZE = 200;
const MOST_READ = 2000;

/** Executions: asked for, reported, looked at. */
export function executionRoutes(metrics: Metrics): readonly Route[] {
  return [
    route({
      method: 'POST',
      url: '/v1/executions',
      summary: 'Ask to execute an artifact: verified, decided, logged; credentials sealed to the host’s TPM',
      access: { who: 'agent', standing: 'active' },
      body: SUBMISSION,
      evidence: true,
      handle: async (call) => {
        const { staged, hostLedger } = call.services;
        const [body, caller] = [asJson(call.body), lifecycleCaller(call)];
        const decided = await metrics.decision('execution', () =>
          staged.decide({
            ...{ purpose: 'execution', caller, body },
            decide: (deps) => decideExecution(body, caller, deps, hostLedger),
            judge: (deps) => judgeExecution(body, caller, deps),
          }),
        );
        const answer = requireAllowed(decided);
        return { status: 201, json: { ...answer } as unknown as JsonObject };
      },
    }),
    report('started', 'An execution has begun, as its gateway reports'),
    report('ended', 'An execution has ended, as its gateway reports'),
    route({
      method: 'GET',
      url: '/v1/executions',
      summary: 'Executions, in pages; of one host, if it is named',
      access: { who: 'operator', role: 'any' },
      query: QUERY,
      handle: async ({ services, query }) => ({ status: 200, json: await page(services, query) }),
    }),
    route({
      method: 'GET',
      url: '/v1/executions/:executionId',
      summary: 'One execution',
      access: { who: 'operator', role: 'any' },
      params: ID,
      handle: async ({ services, params }) => {
        const found = await services.decisions.executions.get(params.executionId);
        if (found === undefined) throw new AdminProblem('not-found', 'no such execution');
        return { status: 200, json: executionJson(params.executionId, found.body) };
      },
    }),
  ];
}

function report(event: 'started' | 'ended', summary: string): Route {
  return route({
    method: 'POST',
    url: `/v1/executions/:executionId/${event}`,
    summary,
    access: { who: 'agent', standing: 'attestation' },
    params: ID,
    body: REPORT,
    handle: async (call) => {
      const { services, params, body } = call;
      const { executionId } = params;
      const outcome = await commitOutcome(executionId, event, body.proof, call);
      // What it started on other hosts has lost what it was allowed under; on its own host its gateway ended it first.
      if (event === 'ended')
        await endDependents({ kind: 'execution', id: executionId }, 'what started it has ended', services);
      if (outcome.releaseLost) await endOnHost(lifecycleCaller(call).hostId, RELEASE_LOST, services);
      return ok({ executionId, state: outcome.state, ...outcome.committed });
    },
  });
}

/** A host that changes at this very moment is read again. */
const TRIES = 4;

/** With an opening that was lost, the host is quarantined in the same change: nothing is released to it in between. */
async function commitOutcome(
  executionId: string,
  event: 'started' | 'ended',
  proof: string,
  call: Parameters<typeof lifecycleCaller>[0] & { readonly services: Services },
): Promise<Pick<Outcome, 'state' | 'releaseLost'> & { readonly committed: JsonObject }> {
  const { services } = call;
  const caller = lifecycleCaller(call);
  for (let left = TRIES; ; left--) {
    const { state, releaseLost, change } = await reportOutcome(
      executionId,
      event,
      proof,
      caller,
      services.decisions,
    );
    const whole = releaseLost ? await withQuarantine(change, caller.hostId, services) : change;
    const committed = await services.ledger.commit(whole);
    if (releaseLost && committed.denied?.check === 'state-moved' && left > 1) continue;
    return { state, releaseLost, committed: requireCommitted(committed) };
  }
}

const ok = (json: JsonObject): Reply => ({ status: 200, json });

/**
 * What was sealed to a session of the gateway's own did not open there: somebody with the TPM took its one opening, so
 * the host is looked at before anything more is released to it. The leaf `release-lost` is the transition's, too.
 */
async function withQuarantine(
  change: Change,
  hostId: string,
  { records, config }: Services,
): Promise<Change> {
  const stored = await readHost(records, hostId);
  if (stored?.host.state !== 'active') return change;
  const actor = { kind: 'verifier', id: config.replica } as const;
  const { preconditions, writes } = quarantineHost(stored, RELEASE_LOST, actor);
  return {
    ...change,
    preconditions: [...change.preconditions, ...preconditions],
    writes: [...change.writes, ...writes],
  };
}

async function page(
  { records }: Services,
  { after, host }: { readonly after?: string; readonly host?: string },
): Promise<JsonObject> {
  const executions: JsonObject[] = [];
  let last = after;
  for (let looked = 0; looked < MOST_READ && executions.length < PAGE_SIZE; looked += PAGE_SIZE) {
    const rows = await records.list(EXECUTION, {
      limit: PAGE_SIZE,
      ...(last === undefined ? {} : { after: last }),
    });
    for (const { id, body } of rows) {
      const record = parseExecutionRecord(body);
      last = id;
      if (host === undefined || record.hostId === host) executions.push(executionJson(id, record));
      if (executions.length === PAGE_SIZE) break;
    }
    if (rows.length < PAGE_SIZE) return { executions, next: null };
  }
  return { executions, next: last ?? null };
}
