import Type from 'typebox';
import type { JsonObject } from '../../base/index.ts';
import { decideAttestation } from '../../lifecycle/index.ts';
import type { AttestationAnswer } from '../../lifecycle/index.ts';
import { parseClaims } from '../../authorization/index.ts';
import { fromBase64url } from '../../base/index.ts';
import { lifecycleCaller } from '../agent-call.ts';
import type { Services } from '../compose.ts';
import { requireAllowed } from '../decided.ts';
import type { Metrics } from '../metrics.ts';
import { asJson, route } from '../route.ts';
import type { Route } from '../route.ts';

const closed = { additionalProperties: false } as const;
const HOST_ID = Type.Object({ hostId: Type.String({ pattern: '^[0-9a-f]{64}$' }) }, closed);
/** The lifecycle reads it: closed, typed and bounded (docs/PROTOCOL.md). */
const object = Type.Object({}, { additionalProperties: true });
const SUBMISSION = Type.Object(
  {
    request: object,
    proofs: Type.Array(Type.String({ maxLength: 4096 }), { maxItems: 256 }),
    evidence: object,
  },
  closed,
);

/** What a host is now, again and again; executions go on by it. */
export function attestationRoutes(metrics: Metrics): readonly Route[] {
  return [
    route({
      method: 'POST',
      url: '/v1/hosts/:hostId/attestations',
      summary: 'Attest a host: renews its executions’ authorizations and credentials, and its certificate',
      access: { who: 'agent', standing: 'attestation' },
      params: HOST_ID,
      body: SUBMISSION,
      evidence: true,
      handle: async (call) => {
        const { decisions, ledger } = call.services;
        const { hostId } = call.params;
        const decided = await metrics.decision('attestation', () =>
          decideAttestation(asJson(call.body), hostId, lifecycleCaller(call), decisions, ledger),
        );
        const answer = requireAllowed(decided);
        noteRenewals(call.services, answer);
        return { status: 200, json: { ...answer } as unknown as JsonObject };
      },
    }),
  ];
}

/** The list of live executions learns when the renewed authorizations end. */
function noteRenewals({ live }: Services, { authorizations }: AttestationAnswer): void {
  for (const token of authorizations) {
    const { client_id, exp } = parseClaims(fromBase64url(token.split('.')[1] ?? '', 'authorization'));
    live.note(client_id, exp);
  }
}
