import { leafBody } from '../../audit/index.ts';
import type { Change } from '../../audit/index.ts';
import { Type } from '../../config/index.ts';
import { requireNotForbidden } from '../administer.ts';
import { operatorRecord } from '../caller.ts';
import { requireCommitted } from '../committed.ts';
import { AdminProblem } from '../problem.ts';
import { operatorOf, route } from '../route.ts';
import type { Route } from '../route.ts';

const closed = { additionalProperties: false } as const;
const SERIAL = Type.Object({ serial: Type.String({ pattern: '^[0-9a-f]{2,40}$' }) }, closed);

/** Operators are certificates of the operator CA, which is elsewhere; what is kept here is who no longer counts. */
export const OPERATOR_ROUTES: readonly Route[] = [
  route({
    method: 'GET',
    url: '/v1/operators',
    summary: 'Revoked operator certificates, and who asks',
    access: { who: 'operator', role: 'any' },
    handle: async (call) => {
      const rows = await call.services.records.list('operator', { limit: 1000 });
      const revoked = rows.map(({ id, body }) => ({
        serial: id,
        reason: body['reason'] ?? null,
        at: body['at'] ?? null,
      }));
      const { operator, roles } = operatorOf(call);
      return {
        status: 200,
        json: { you: { name: operator.name, serial: operator.certificate, roles }, revoked },
      };
    },
  }),
  route({
    method: 'POST',
    url: '/v1/operators/:serial/revoke',
    summary: 'Revoke an operator’s certificate by its serial number',
    access: { who: 'operator', role: 'revoke' },
    params: SERIAL,
    body: Type.Object({ reason: Type.String({ minLength: 1, maxLength: 500 }) }, closed),
    handle: async (call) => {
      const { services, params, body, now } = call;
      const { operator } = operatorOf(call);
      await requireNotForbidden(call, 'Revoke', { kind: 'operator', id: params.serial });
      const ref = operatorRecord(params.serial);
      if ((await services.records.get(ref)) !== undefined)
        throw new AdminProblem('conflict', 'it is revoked already');
      const change: Change = {
        leaf: leafBody({
          v: 1,
          kind: 'operator',
          action: 'operator-revoke',
          target: params.serial,
          digest: null,
          by: { kind: 'operator', id: operator.certificate },
        }),
        preconditions: [{ ...ref, is: 'absent', check: 'state-moved', reason: 'it was revoked meanwhile' }],
        once: [],
        writes: [
          { ...ref, body: { state: 'revoked', reason: body.reason, at: new Date(now).toISOString() } },
        ],
        bodies: [],
      };
      const { auditIndex = null } = requireCommitted(await services.ledger.commit(change));
      return { status: 200, json: { serial: params.serial, state: 'revoked', auditIndex } };
    },
  }),
];
