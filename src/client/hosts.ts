import { shape } from '../base/index.ts';
import type { JsonObject, Shape } from '../base/index.ts';
import { anyObject, read } from './read.ts';
import type { VerifierClient } from './verifier-client.ts';

/** What an invitation says about a host before it comes. */
export interface InvitationOrder {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly platform: string;
  readonly ekTemplate: string;
  /** hostId of the only TPM that may use it; null: any. */
  readonly ek: string | null;
  /** The enrolled host that may come again with another AK. */
  readonly host: string | null;
  readonly restartCounters: boolean;
  readonly needsApproval: boolean;
  /** Seconds; null lists the EK without a token. */
  readonly ttlSeconds: number | null;
}

const { boolean, decimal, hex32, integer, list, nullable, object, text } = shape;
const INVITED = object({
  token: nullable(text({ max: 64 })),
  expiresAt: nullable(text({ max: 32 })),
  url: text({ max: 512 }),
  caFingerprint: hex32,
  auditIndex: nullable(decimal),
});
export type Invited = ReturnType<typeof INVITED>;
const LABELS = shape.map(/^[^\0]{1,64}$/, text({ min: 0, max: 256 }), 256);
const HOST = object(
  {
    hostId: hex32,
    name: text(),
    labels: LABELS,
    platform: nullable(text()),
    state: text(),
    held: boolean,
    ekTemplate: text(),
    ekCertificate: nullable(text()),
    ak: text(),
    tpm: anyObject,
    admission: text(),
    invitedBy: nullable(text()),
    approvedBy: nullable(text()),
    enrolledAt: text(),
  },
  {
    auditIndex: nullable(decimal),
    // What a quarantine or a revocation ended.
    ended: integer(),
    executions: list(object({ executionId: text(), hostId: hex32 }), 1000),
    hosts: list(hex32, 100_000),
  },
);
export type HostView = ReturnType<typeof HOST>;
const HOSTS = object({ hosts: list(HOST, 1000), next: nullable(text()) });
const INVITATIONS = object({ invitations: list(anyObject, 1000), next: nullable(text()) });

/** Invites a host. The token in the answer is shown once and is a secret. */
export async function inviteHost(client: VerifierClient, order: InvitationOrder): Promise<Invited> {
  const body = { ...order, labels: { ...order.labels } };
  return read(INVITED, (await client.request('POST', '/v1/invitations', { body, expect: [201] })).json);
}

/** Listed EKs and invitations, page by page, without tokens. */
export async function* listInvitations(client: VerifierClient): AsyncGenerator<JsonObject> {
  for await (const { invitations } of pages(client, '/v1/invitations', INVITATIONS)) yield* invitations;
}

/** Withdraws an invitation that no host has come by. @param id of {@link listInvitations} */
export async function withdrawInvitation(client: VerifierClient, id: string): Promise<JsonObject> {
  return (await client.request('POST', `/v1/invitations/${encodeURIComponent(id)}/withdraw`)).json;
}

/** All hosts, page by page. */
export async function* listHosts(client: VerifierClient): AsyncGenerator<HostView> {
  for await (const { hosts } of pages(client, '/v1/hosts', HOSTS)) yield* hosts;
}

async function* pages<Page extends { readonly next: string | null }>(
  client: VerifierClient,
  path: string,
  page: Shape<Page>,
): AsyncGenerator<Page> {
  let next: string | null = '';
  while (next !== null) {
    const after: string = next;
    const query = after === '' ? '' : `?after=${encodeURIComponent(after)}`;
    const found = read(page, (await client.request('GET', `${path}${query}`)).json);
    yield found;
    // A page that doesn't lead on would be asked for without end.
    next = found.next !== null && found.next > after ? found.next : null;
  }
}

export async function showHost(client: VerifierClient, hostId: string): Promise<HostView> {
  return read(HOST, (await client.request('GET', hostPath(hostId))).json);
}

/** Lets a pending host in; under other terms than it came with where `terms` is given. */
export async function approveHost(
  client: VerifierClient,
  hostId: string,
  terms: Pick<InvitationOrder, 'name' | 'labels' | 'platform'> | null,
): Promise<HostView> {
  const body = { terms: terms === null ? null : { ...terms, labels: { ...terms.labels } } };
  return read(HOST, (await client.request('POST', `${hostPath(hostId)}/approve`, { body })).json);
}

/** What {@link labelHost} changes. */
export interface HostLabels {
  readonly labels: Readonly<Record<string, string | null>>;
  readonly platform: string | null;
}

/** Changes labels and platform: a null takes a label away, or leaves the platform as it is. */
export async function labelHost(
  client: VerifierClient,
  hostId: string,
  { labels, platform }: HostLabels,
): Promise<HostView> {
  const body = { labels: { ...labels }, platform };
  return read(HOST, (await client.request('POST', `${hostPath(hostId)}/labels`, { body })).json);
}

/** Quarantines, restores or revokes (for good) a host. */
export async function moveHost(
  client: VerifierClient,
  hostId: string,
  verb: 'quarantine' | 'restore' | 'revoke',
  reason: string,
): Promise<HostView> {
  const path = `${hostPath(hostId)}/${verb}`;
  return read(HOST, (await client.request('POST', path, { body: { reason } })).json);
}

const hostPath = (hostId: string): string => `/v1/hosts/${encodeURIComponent(hostId)}`;
