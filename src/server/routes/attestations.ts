import type { JsonObject } from '../../base/index.ts';
import { Type } from '../../config/index.ts';
import { decideAttestation, judgeAttestation } from '../../lifecycle/index.ts';
import { lifecycleCaller } from '../agent-call.ts';
import { afterAttestation } from '../after-attestation.ts';
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
        const { staged, hostLedger } = call.services;
        const { hostId } = call.params;
        const [body, caller] = [asJson(call.body), lifecycleCaller(call)];
        const decided = await metrics.decision('attestation', () =>
          staged.decide({
            ...{ purpose: 'attestation', caller, body },
            decide: (deps) => decideAttestation(body, hostId, caller, deps, hostLedger),
            judge: (deps) => judgeAttestation({ body, hostId, caller }, deps),
          }),
        );
        await afterAttestation(decided, hostId, call.services);
        const answer = requireAllowed(decided);
        return { status: 200, json: { ...answer } as unknown as JsonObject };
      },
    }),
  ];
}
