import type { Change, StoredRecord } from '../../audit/index.ts';
import type { JsonObject, JsonValue } from '../../base/index.ts';
import { Type } from '../../config/index.ts';
import {
  RECORD,
  approveHost,
  isHeld,
  labelHost,
  parseHost,
  quarantineHost,
  readHost,
  restoreHost,
  revokeHost,
} from '../../enrollment/index.ts';
import type { HostRecord, Operator, StoredHost } from '../../enrollment/index.ts';
import { requireNotForbidden } from '../administer.ts';
import { requireCommitted } from '../committed.ts';
import type { Services } from '../services.ts';
import { affectedJson, endOnHost } from '../end-dependents.ts';
import { AdminProblem } from '../problem.ts';
import { operatorOf, route } from '../route.ts';
import type { Reply, Route } from '../route.ts';
import { closed, hex, labels, name, platform } from './host-terms.ts';

const HOST_ID = Type.Object({ hostId: hex }, closed);
const PAGE = Type.Object({ after: Type.Optional(Type.String({ maxLength: 128 })) }, closed);
const REASON = Type.Object({ reason: Type.String({ minLength: 1, maxLength: 500 }) }, closed);

const TERMS = Type.Object(
  { terms: Type.Union([Type.Object({ name, labels, platform }, closed), Type.Null()]) },
  closed,
);
/** A null takes the label away; a null platform leaves it as it is. */
const LABELS = Type.Object(
  {
    labels: Type.Record(
      Type.String({ pattern: '^[a-z0-9][a-z0-9._/-]{0,62}$' }),
      Type.Union([Type.String({ maxLength: 128 }), Type.Null()]),
      closed,
    ),
    platform: Type.Union([platform, Type.Null()]),
  },
  closed,
);
/** Records in one answer. */
const PAGE_SIZE = 200;

/** What operators do with hosts. */
export const HOST_ROUTES: readonly Route[] = [
  route({
    method: 'GET',
    url: '/v1/hosts',
    summary: 'Hosts, in pages',
    access: { who: 'operator', role: 'any' },
    query: PAGE,
    handle: async ({ services, query }) => {
      const { after } = query;
      const rows = await services.records.list('host', {
        limit: PAGE_SIZE,
        ...(after === undefined ? {} : { after }),
      });
      const hosts = await Promise.all(rows.map((stored) => hostView(services, parseHost(stored))));
      return {
        status: 200,
        json: { hosts, next: rows.length === PAGE_SIZE ? (rows.at(-1)?.id ?? null) : null },
      };
    },
  }),
  route({
    method: 'GET',
    url: '/v1/hosts/:hostId',
    summary: 'One host',
    access: { who: 'operator', role: 'any' },
    params: HOST_ID,
    handle: async ({ services, params }) => ({
      status: 200,
      json: await hostView(services, await hostOf(services, params.hostId)),
    }),
  }),
  route({
    method: 'POST',
    url: '/v1/hosts/:hostId/approve',
    summary: 'Let a pending host in; not by who invited it',
    access: { who: 'operator', role: 'approve' },
    params: HOST_ID,
    body: TERMS,
    handle: async (call) => {
      await requireNotForbidden(call, 'Approve', { kind: 'host', id: call.params.hostId });
      return await change(call.services, call.params.hostId, (host) =>
        approveHost(host, operatorOf(call).operator, call.body.terms ?? undefined),
      );
    },
  }),
  route({
    method: 'POST',
    url: '/v1/hosts/:hostId/labels',
    summary: 'Change a host’s labels and platform, which decide what it may do: whoever may approve',
    access: { who: 'operator', role: 'approve' },
    params: HOST_ID,
    body: LABELS,
    handle: async (call) => {
      await requireNotForbidden(call, 'Label', { kind: 'host', id: call.params.hostId });
      return await change(call.services, call.params.hostId, (host) =>
        labelHost(host, labelled(host.host, call.body), operatorOf(call).operator),
      );
    },
  }),
  transition('Quarantine', 'Stop a host until it is looked at: what runs there ends', {
    act: (host, reason, by, held) =>
      quarantineHost(host, reason, { kind: 'operator', id: by.certificate }, held),
    then: endThere,
  }),
  transition('Restore', 'End a quarantine: the host attests at once', {
    act: restoreHost,
    then: (services, hostId) => {
      services.events.attest(hostId, 'restored');
      return Promise.resolve({});
    },
  }),
  transition('Revoke', 'End a host for good, and what runs there', {
    act: revokeHost,
    then: endThere,
  }),
];

/** A change of a host's state, and what is done once it is committed. */
interface Transition {
  readonly act: (host: StoredHost, reason: string, by: Operator, held: StoredRecord | undefined) => Change;
  readonly then: (services: Services, hostId: string, reason: string) => Promise<JsonObject>;
}

function transition(
  action: 'Quarantine' | 'Restore' | 'Revoke',
  summary: string,
  { act, then }: Transition,
): Route {
  return route({
    method: 'POST',
    url: `/v1/hosts/:hostId/${action.toLowerCase()}`,
    summary,
    access: { who: 'operator', role: 'revoke' },
    params: HOST_ID,
    body: REASON,
    handle: async (call) => {
      await requireNotForbidden(call, action, { kind: 'host', id: call.params.hostId });
      const { services, params, body } = call;
      const held = await services.records.get(RECORD.held(params.hostId));
      const { auditIndex } = await changeHost(services, params.hostId, (host) =>
        act(host, body.reason, operatorOf(call).operator, held),
      );
      const affected = await then(services, params.hostId, body.reason);
      const view = await hostView(services, await hostOf(services, params.hostId));
      return { status: 200, json: { ...view, ...affected, auditIndex } };
    },
  });
}

/** Nothing goes on there, nor below it: hosts are told at once. */
async function endThere(services: Services, hostId: string, reason: string): Promise<JsonObject> {
  return affectedJson(await endOnHost(hostId, reason, services));
}

async function change(
  services: Services,
  hostId: string,
  make: (host: StoredHost) => Change,
): Promise<Reply> {
  const { auditIndex } = await changeHost(services, hostId, make);
  const view = await hostView(services, await hostOf(services, hostId));
  return { status: 200, json: { ...view, auditIndex } };
}

async function changeHost(
  services: Services,
  hostId: string,
  make: (host: StoredHost) => Change,
): Promise<{ readonly auditIndex: JsonValue }> {
  const before = await hostOf(services, hostId);
  const { auditIndex = null } = requireCommitted(await services.ledger.commit(make(before)));
  return { auditIndex };
}

async function hostOf({ records }: Services, hostId: string): Promise<StoredHost> {
  const found = await readHost(records, hostId);
  if (found === undefined) throw new AdminProblem('not-found', 'no such host');
  return found;
}

/** Labels and platform as they are, with what was asked for. */
function labelled(
  { labels: before, platform }: HostRecord,
  order: { readonly labels: Readonly<Record<string, string | null>>; readonly platform: string | null },
): { readonly labels: Readonly<Record<string, string>>; readonly platform: string } {
  const merged = Object.entries({ ...before, ...order.labels });
  const next = order.platform ?? platform;
  if (next === null) throw new AdminProblem('conflict', 'the host has no platform yet: name one');
  const kept = merged.flatMap(([name, value]) => (value === null ? [] : [[name, value] as const]));
  return { labels: Object.fromEntries(kept), platform: next };
}

/** A host as operators see it. */
async function hostView({ records }: Services, stored: StoredHost): Promise<JsonObject> {
  const { hostId, name, labels, platform, state, ek, ak, tpm, admission } = stored.host;
  const quarantined = state === 'quarantined';
  const held = quarantined && isHeld(stored, await records.get(RECORD.held(hostId)));
  return {
    hostId,
    name,
    labels: { ...labels },
    platform,
    state,
    /** It comes back by its next attestation, without an operator. */
    held,
    ekTemplate: ek.template,
    ekCertificate: ek.certificate === null ? null : ek.certificate.fingerprint,
    ak: ak.name,
    tpm: { ...tpm },
    admission: admission.by,
    invitedBy: admission.invitedBy?.name ?? null,
    approvedBy: admission.approvedBy?.name ?? null,
    enrolledAt: new Date(admission.at).toISOString(),
  };
}
