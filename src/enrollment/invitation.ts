import { createHash } from 'node:crypto';
import { leafBody } from '../audit/index.ts';
import type { Change, RecordRef, StoredRecord } from '../audit/ledger.ts';
import type { Fail, JsonObject, Random, Shape } from '../base/index.ts';
import { jcsSha256, refuse, shape, toBase64url, toHex, utf8 } from '../base/index.ts';
import { EK_TEMPLATES } from '../tpm/index.ts';
import type { EkTemplateName } from '../tpm/index.ts';
import { RECORD, hostName, labelMap, operatorActor, operatorShape, platformName } from './kinds.ts';
import type { Operator } from './kinds.ts';

/** What an operator says about a host before it comes: everything that the host itself may not say. */
export interface InvitationTerms {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly platform: string;
  /** The one EK that a TPM may come with: one of its several would be another host. */
  readonly ekTemplate: EkTemplateName;
  /** Only the TPM whose EK has this hash (hostId), with or without a certificate. */
  readonly ek: string | null;
  /** `--for`: the enrolled host that may come with another AK. */
  readonly host: string | null;
  /** With `host`: its TPM was cleared by its operator, so counters begin anew. */
  readonly restartCounters: boolean;
  /** Another operator has to approve the host when it has come. */
  readonly needsApproval: boolean;
}

/** An invitation as it is kept, under the hash of its join token or under the hash of a listed EK. */
export interface Invitation extends InvitationTerms {
  readonly v: 1;
  readonly invitedBy: Operator;
  /** Unix ms; null for a listed EK. */
  readonly expires: number | null;
  /** The store's epoch: invitations of an earlier life of the store are void. */
  readonly epoch: string;
  readonly state: 'open' | 'used' | 'withdrawn';
}

/** Longest time that a join token works, in milliseconds. */
export const MAX_TOKEN_TTL_MS = 3_600_000;
const TOKEN_BYTES = 32;

const templates = EK_TEMPLATES.map(({ name }) => name);
const { boolean, hex32, integer, literal, nullable, object, oneOf, text } = shape;

const TERMS = {
  name: hostName,
  labels: labelMap,
  platform: platformName,
  ekTemplate: oneOf(...templates),
  ek: nullable(hex32),
  host: nullable(hex32),
  restartCounters: boolean,
  needsApproval: boolean,
} as const;
const TERMS_SHAPE: Shape<InvitationTerms> = object(TERMS);
const INVITATION: Shape<Invitation> = object({
  v: literal(1),
  ...TERMS,
  invitedBy: operatorShape,
  expires: nullable(integer()),
  epoch: text({ max: 128 }),
  state: oneOf('open', 'used', 'withdrawn'),
});

/** Who invites, when, and in which epoch of the store. */
export interface InvitationContext {
  readonly by: Operator;
  /** Unix ms. */
  readonly now: number;
  readonly epoch: string;
}

/**
 * Makes a join token (32 random bytes, base64url) and the change that remembers its hash and terms. The token is shown
 * to the operator once; it opens one enrollment.
 * @param ttl milliseconds, up to {@link MAX_TOKEN_TTL_MS}
 * @throws Refusal `enroll-invitation`
 */
export function invite(
  terms: InvitationTerms,
  ttl: number,
  { by, now, epoch }: InvitationContext,
  random: Random,
): { readonly token: string; readonly change: Change } {
  if (!Number.isSafeInteger(ttl) || ttl < 1000 || ttl > MAX_TOKEN_TTL_MS)
    failTerms('ttl', 'from one second to one hour');
  const checked = checkTerms(terms);
  const token = toBase64url(random.bytes(TOKEN_BYTES));
  const body = { v: 1, ...checked, invitedBy: by, expires: now + ttl, epoch, state: 'open' } as const;
  return { token, change: newInvitation(RECORD.token(tokenHash(token)), body, 'host-invite') };
}

/**
 * Lists an EK by its hash: the TPM that has it needs no token and no certificate; that it is the operator's own is the
 * operator's word.
 * @throws Refusal `enroll-invitation`
 */
export function listEk(terms: InvitationTerms, { by, epoch }: InvitationContext): Change {
  const checked = checkTerms(terms);
  if (checked.ek === null) return failTerms('ek', 'the hash of an EK');
  const body = { v: 1, ...checked, invitedBy: by, expires: null, epoch, state: 'open' } as const;
  return newInvitation(RECORD.ekList(checked.ek), body, 'ek-list-add');
}

/**
 * Takes an invitation or a listed EK back that no host has come by.
 * @throws Refusal `invitation-state`
 */
export function withdraw(stored: StoredRecord, by: Operator): Change {
  const open = parseInvitation(stored);
  if (open.state !== 'open')
    refuse('invitation-state', `the invitation is ${open.state}, so nothing can be withdrawn`);
  const body: Invitation = { ...open, state: 'withdrawn' };
  return {
    leaf: operatorLeaf('host-invite-withdraw', body, by),
    preconditions: [
      {
        kind: stored.kind,
        id: stored.id,
        is: 'version',
        version: stored.version,
        check: 'state-moved',
        reason: 'the invitation was used or withdrawn meanwhile',
      },
    ],
    once: [],
    writes: [{ kind: stored.kind, id: stored.id, body: asJson(body) }],
    bodies: [],
  };
}

/**
 * What is kept of a token, in hex. Looking it up by this hash compares in constant time as far as the token goes:
 * nobody who doesn't have it can choose a prefix of its hash.
 */
export function tokenHash(token: string): string {
  return toHex(createHash('sha256').update('sealgate/join-token/v1\0').update(utf8(token)).digest());
}

/** A stored invitation. @throws Refusal `host-record` when it isn't one */
export function parseInvitation({ body }: StoredRecord): Invitation {
  return INVITATION(body, 'invitation', (path, want) => refuse('host-record', `${path} is not ${want}`));
}

/** The invitation as a record's body. */
export function asJson(invitation: Invitation): JsonObject {
  // Consists of JSON values only; interfaces just have no index signature.
  return { ...invitation, labels: { ...invitation.labels }, invitedBy: { ...invitation.invitedBy } };
}

const failTerms: Fail = (path, want) =>
  refuse('enroll-invitation', `${path} is not ${want}`, { member: path });

function checkTerms(terms: InvitationTerms): InvitationTerms {
  const checked = TERMS_SHAPE({ ...terms, labels: { ...terms.labels } }, 'invitation', failTerms);
  if (checked.host === null && checked.restartCounters)
    failTerms('restartCounters', 'without a host to enroll again');
  // The host keeps the state that it has: approval is for those that come first.
  if (checked.host !== null && checked.needsApproval) failTerms('needsApproval', 'for a new host only');
  if (checked.host !== null && checked.ek !== null && checked.ek !== checked.host)
    failTerms('ek', 'the EK of the host to enroll again');
  return checked;
}

function newInvitation(ref: RecordRef, body: Invitation, action: string): Change {
  const name =
    body.host === null
      ? [
          {
            ...RECORD.name(body.name),
            is: 'absent',
            check: 'enroll-name-taken',
            reason: 'a host has this name',
          } as const,
        ]
      : [];
  return {
    leaf: operatorLeaf(action, body, body.invitedBy),
    preconditions: name,
    once: [],
    writes: [{ ...ref, body: asJson(body) }],
    bodies: [],
  };
}

function operatorLeaf(action: string, body: Invitation, by: Operator): JsonObject {
  const digest = `sha256:${toHex(jcsSha256(asJson(body)))}`;
  return leafBody({ v: 1, kind: 'operator', action, target: body.name, digest, by: operatorActor(by) });
}
