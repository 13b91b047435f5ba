import type { StoredRecord } from '../../audit/index.ts';
import type { JsonObject } from '../../base/index.ts';
import { Type } from '../../config/index.ts';
import { invite, listEk, parseInvitation, withdraw } from '../../enrollment/index.ts';
import type { Invitation } from '../../enrollment/index.ts';
import { requireNotForbidden } from '../administer.ts';
import { requireCommitted } from '../committed.ts';
import { AdminProblem } from '../problem.ts';
import { operatorOf, route } from '../route.ts';
import type { Route } from '../route.ts';
import type { Services } from '../services.ts';
import { closed, hex, labels, name, platform } from './host-terms.ts';

const ekTemplate = Type.Union(
  (['L-1', 'L-2', 'H-1', 'H-2', 'H-3', 'H-4', 'H-6', 'H-7'] as const).map((one) => Type.Literal(one)),
);

const INVITATION = Type.Object(
  {
    name,
    labels,
    platform,
    ekTemplate,
    ek: Type.Union([hex, Type.Null()]),
    host: Type.Union([hex, Type.Null()]),
    restartCounters: Type.Boolean(),
    needsApproval: Type.Boolean(),
    /** Null: the EK is listed, and needs no token. */
    ttlSeconds: Type.Union([Type.Integer({ minimum: 1, maximum: 3600 }), Type.Null()]),
  },
  closed,
);
/** Listed EKs, by their hash, and join tokens, by theirs. */
const KINDS = ['ek-list', 'join-token'] as const;
/** The last one of the page before: its kind and id. */
const PAGE = Type.Object(
  { after: Type.Optional(Type.String({ pattern: `^(${KINDS.join('|')})/[0-9a-f]{1,128}$` })) },
  closed,
);
/** Records in one answer. */
const PAGE_SIZE = 200;

/** What operators say of hosts before they come. */
export const INVITATION_ROUTES: readonly Route[] = [
  route({
    method: 'POST',
    url: '/v1/invitations',
    summary: 'Invite a host: a join token that works once, or an EK on the list',
    access: { who: 'operator', role: 'invite' },
    body: INVITATION,
    handle: async (call) => {
      const { services, body, now } = call;
      const { ttlSeconds, ...terms } = body;
      await requireNotForbidden(call, 'Invite', { kind: 'host', id: body.name });
      const context = { by: operatorOf(call).operator, now, epoch: services.epoch };
      const invited =
        ttlSeconds === null
          ? { token: null, change: listEk(terms, context) }
          : invite(terms, ttlSeconds * 1000, context, services.random);
      const { auditIndex = null } = requireCommitted(await services.ledger.commit(invited.change));
      const expiresAt = ttlSeconds === null ? null : new Date(now + ttlSeconds * 1000).toISOString();
      const { url } = services.config;
      return {
        status: 201,
        json: { token: invited.token, expiresAt, url, caFingerprint: services.caFingerprint, auditIndex },
      };
    },
  }),
  route({
    method: 'GET',
    url: '/v1/invitations',
    summary: 'Listed EKs and invitations, in pages; never tokens',
    access: { who: 'operator', role: 'any' },
    query: PAGE,
    handle: async ({ services, query }) => {
      const page = await pageAfter(query.after, services);
      const invitations = page.map((stored) => invitationJson(stored.id, parseInvitation(stored)));
      const last = page.length === PAGE_SIZE ? page.at(-1) : undefined;
      return { status: 200, json: { invitations, next: last ? `${last.kind}/${last.id}` : null } };
    },
  }),
  route({
    method: 'POST',
    url: '/v1/invitations/:id/withdraw',
    summary: 'Withdraw an invitation, or a listed EK, by which no host has come',
    access: { who: 'operator', role: 'invite' },
    params: Type.Object({ id: hex }, closed),
    handle: async (call) => {
      const { services, params } = call;
      const stored = await invitationOf(params.id, services);
      const { name: target } = parseInvitation(stored);
      await requireNotForbidden(call, 'Invite', { kind: 'host', id: target });
      const change = withdraw(stored, operatorOf(call).operator);
      const { auditIndex = null } = requireCommitted(await services.ledger.commit(change));
      const withdrawn = parseInvitation(await invitationOf(params.id, services));
      return { status: 200, json: { ...invitationJson(params.id, withdrawn), auditIndex } };
    },
  }),
];

/** A page of records, those of one kind after those of the other. @param after as {@link PAGE} has it */
async function pageAfter(
  after: string | undefined,
  { records }: Pick<Services, 'records'>,
): Promise<readonly StoredRecord[]> {
  const [begun, last] = after?.split('/') ?? [];
  const page: StoredRecord[] = [];
  for (const kind of KINDS) {
    if (begun !== undefined && kind < begun) continue;
    if (page.length === PAGE_SIZE) break;
    const terms = kind === begun && last !== undefined ? { after: last } : {};
    page.push(...(await records.list(kind, { limit: PAGE_SIZE - page.length, ...terms })));
  }
  return page;
}

async function invitationOf(id: string, { records }: Pick<Services, 'records'>): Promise<StoredRecord> {
  for (const kind of KINDS) {
    const found = await records.get({ kind, id });
    if (found !== undefined) return found;
  }
  throw new AdminProblem('not-found', 'no such invitation');
}

/** @param id hash of the token, or of the listed EK */
function invitationJson(
  id: string,
  { name, labels, platform, ek, host, state, invitedBy, expires, needsApproval }: Invitation,
): JsonObject {
  return {
    id,
    name,
    labels: { ...labels },
    platform,
    ek,
    host,
    state,
    needsApproval,
    invitedBy: invitedBy.name,
    expiresAt: expires === null ? null : new Date(expires).toISOString(),
  };
}
