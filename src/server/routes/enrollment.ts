import type { TString } from 'typebox';
import { fromUtf8 } from '../../base/index.ts';
import { Type } from '../../config/index.ts';
import {
  activateEnrollment,
  beginEnrollment,
  encodeOffer,
  issueAgentCertificate,
  pollEnrollment,
} from '../../enrollment/index.ts';
import type { HostRecord } from '../../enrollment/index.ts';
import { toPem } from '../../x509/index.ts';
import { requireCommitted } from '../committed.ts';
import type { Services } from '../services.ts';
import { proofText } from '../log-proof-text.ts';
import { AdminProblem } from '../problem.ts';
import { asJson, route } from '../route.ts';
import type { Reply, Route } from '../route.ts';

const closed = { additionalProperties: false } as const;
const text = (maxLength: number): TString => Type.String({ minLength: 1, maxLength });
const ID = Type.Object({ enrollmentId: Type.String({ pattern: '^[0-9a-f-]{36}$' }) }, closed);
const certificate = text(22_000);

const REQUEST = Type.Object(
  {
    v: Type.Literal(1),
    name: text(63),
    token: Type.Optional(text(64)),
    ekCertificate: Type.Optional(certificate),
    ekChain: Type.Optional(Type.Array(certificate, { maxItems: 8 })),
    ekPublic: text(6000),
    akPublic: text(6000),
    agentPublic: text(256),
  },
  closed,
);
const ACTIVATION = Type.Object(
  {
    secret: text(64),
    attest: text(6000),
    signature: text(6000),
    pcrs: Type.Record(
      Type.String({ pattern: '^sha(?:1|256|384|512)$' }),
      Type.Record(Type.String({ pattern: '^[0-9]{1,2}$' }), text(128)),
      closed,
    ),
  },
  closed,
);
const POLL = Type.Object({ secret: text(64) }, closed);

/** How a host comes in: it has no certificate yet, so anyone may ask; token, TPM and operator decide. */
export const ENROLLMENT_ROUTES: readonly Route[] = [
  route({
    method: 'POST',
    url: '/v1/enrollments',
    summary: 'Begin an enrollment: a credential challenge for EK and AK',
    access: { who: 'anyone' },
    body: REQUEST,
    handle: async ({ services, body }) => ({
      status: 201,
      json: encodeOffer(await beginEnrollment(services.desk, asJson(body))),
    }),
  }),
  route({
    method: 'POST',
    url: '/v1/enrollments/:enrollmentId/activate',
    summary: 'Answer the challenge with the activated secret and a quote',
    access: { who: 'anyone' },
    params: ID,
    body: ACTIVATION,
    handle: async ({ services, params, body, now }) => {
      const enrolled = await activateEnrollment(services.desk, params.enrollmentId, asJson(body));
      const proof = requireCommitted(enrolled.committed ?? { ok: false });
      if (enrolled.host === null) throw new AdminProblem('conflict', 'the host was not enrolled');
      return answer(services, enrolled.host, now, proof);
    },
  }),
  route({
    method: 'POST',
    url: '/v1/enrollments/:enrollmentId/poll',
    summary: 'Ask whether an operator has approved the host',
    access: { who: 'anyone' },
    params: ID,
    body: POLL,
    handle: async ({ services, params, body, now }) => {
      const host = await pollEnrollment(services.desk, params.enrollmentId, asJson(body));
      return answer(services, host, now, await enrollmentProof(services, host));
    },
  }),
];

/** An active host gets its certificate; every other only hears its state and id. */
function answer(
  { agentIssuer, random, trust }: Services,
  host: HostRecord,
  now: number,
  proof: Readonly<Record<string, unknown>>,
): Reply {
  const { hostId, state } = host;
  if (state !== 'active') return { status: 202, json: { state, hostId } };
  const issued = issueAgentCertificate(host, agentIssuer, now, random);
  const { leaf = null, proof: text = null } = proof as { leaf?: string | null; proof?: string | null };
  return {
    status: 200,
    json: {
      state,
      hostId,
      agentCertificatePem: toPem(issued),
      trustBundles: [...trust.chain],
      leaf,
      proof: text,
    },
  };
}

/** The leaf that wrote the host's record as it stands, with a proof in the newest checkpoint. */
async function enrollmentProof(
  services: Services,
  { hostId }: HostRecord,
): Promise<Readonly<Record<string, unknown>>> {
  const stored = await services.records.get({ kind: 'host', id: hostId });
  const [leaf] = stored === undefined ? [] : await services.store.leaves(Number(stored.leaf), 1);
  if (stored === undefined || leaf === undefined) return {};
  return { leaf: fromUtf8(leaf, 'leaf'), proof: await proofText(services, BigInt(stored.leaf)) };
}
