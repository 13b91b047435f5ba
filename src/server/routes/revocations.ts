import type { RevocableKind } from '../../audit/index.ts';
import type { JsonObject } from '../../base/index.ts';
import { Type } from '../../config/index.ts';
import type { Operator } from '../../enrollment/index.ts';
import { ALIVE, revokedRecord } from '../../lifecycle/index.ts';
import { requireNotForbidden } from '../administer.ts';
import { requireCommitted } from '../committed.ts';
import { affectedJson, endDependents } from '../end-dependents.ts';
import type { EndedExecution } from '../end-dependents.ts';
import { AdminProblem } from '../problem.ts';
import { REVOCABLE_ID, revocationChange } from '../revocation.ts';
import type { RevocationOrder } from '../revocation.ts';
import { operatorOf, route } from '../route.ts';
import type { Call, Route } from '../route.ts';

const closed = { additionalProperties: false } as const;
// Object.keys gives text[]; these are the keys of a constant.
const KINDS = Object.keys(REVOCABLE_ID) as RevocableKind[];
const ORDER = Type.Object(
  {
    kind: Type.Union(KINDS.map((kind) => Type.Literal(kind))),
    id: Type.String({ minLength: 1, maxLength: 512 }),
    reason: Type.String({ minLength: 1, maxLength: 500 }),
  },
  closed,
);
const PAGE = Type.Object({ after: Type.Optional(Type.String({ maxLength: 600 })) }, closed);
const PAGE_SIZE = 200;

/** What is no longer believed: decided anew from here on, and what is being decided is denied at its commit. */
export const REVOCATION_ROUTES: readonly Route[] = [
  route({
    method: 'POST',
    url: '/v1/revocations',
    summary: 'Revoke a host, key, authority, artifact, signer, initiator, policy or execution',
    access: { who: 'operator', role: 'revoke' },
    body: ORDER,
    handle: async (call) => {
      const { services, body } = call;
      await requireNotForbidden(call, 'Revoke', body);
      const committed = await commitRevocation(call, operatorOf(call).operator);
      if (body.kind === 'ek-ca') services.revokedEkCas.add(body.id);
      const ended = [
        ...committed.own,
        ...(await endDependents({ kind: body.kind, id: body.id }, body.reason, services)),
      ];
      const { kind, id } = body;
      return {
        status: 201,
        json: { kind, id, state: 'revoked', ...affectedJson(ended), ...committed.proof },
      };
    },
  }),
  route({
    method: 'GET',
    url: '/v1/revocations',
    summary: 'What was revoked, in pages',
    access: { who: 'operator', role: 'any' },
    query: PAGE,
    handle: async ({ services, query: { after } }) => {
      const rows = await services.records.list('revoked', {
        limit: PAGE_SIZE,
        ...(after === undefined ? {} : { after }),
      });
      const revocations = rows.map(({ id, body, leaf }): JsonObject => {
        const at = id.indexOf('/');
        const { reason = null, by = null, at: time = null } = body;
        return { kind: id.slice(0, at), id: id.slice(at + 1), reason, by, at: time, auditIndex: leaf };
      });
      return {
        status: 200,
        json: { revocations, next: rows.length === PAGE_SIZE ? (rows.at(-1)?.id ?? null) : null },
      };
    },
  }),
];

/** An execution that is renewed at this very moment is read again. */
const TRIES = 8;

async function commitRevocation(
  { services, body, now }: Pick<Call<never, never, RevocationOrder>, 'services' | 'body' | 'now'>,
  by: Operator,
): Promise<{ readonly proof: JsonObject; readonly own: readonly EndedExecution[] }> {
  const { records, ledger, decisions } = services;
  for (let left = TRIES; ; left--) {
    if ((await records.get(revokedRecord(body))) !== undefined)
      throw new AdminProblem('conflict', 'it is revoked already');
    const before = body.kind === 'execution' ? await decisions.executions.get(body.id) : undefined;
    const committed = await ledger.commit(await revocationChange(body, by, services, now));
    if (committed.denied?.check === 'state-moved' && left > 1) continue;
    const proof = requireCommitted(committed);
    const alive = before !== undefined && ALIVE.has(before.body.state);
    return { proof, own: alive ? [{ executionId: body.id, hostId: before.body.hostId }] : [] };
  }
}
