import { leafBody } from '../audit/index.ts';
import type { HostState, LeafActor } from '../audit/index.ts';
import type { Change, Precondition, StoredRecord } from '../audit/ledger.ts';
import type { Fail } from '../base/index.ts';
import { jcsSha256, refuse, shape, toHex } from '../base/index.ts';
import { hostBody } from './host-record.ts';
import type { HostRecord, StoredHost } from './host-record.ts';
import { RECORD, hostName, labelMap, operatorActor, platformName, sameOperator } from './kinds.ts';
import type { Operator } from './kinds.ts';

/** The ways from each state: pending → active ⇄ quarantined → revoked, and nothing comes back from revoked. */
const WAYS: Readonly<Record<HostState, readonly HostState[]>> = {
  pending: ['active', 'revoked'],
  active: ['quarantined', 'revoked'],
  quarantined: ['active', 'revoked'],
  revoked: [],
};

/** What an operator gives a host: its name and platform are never the host's own claim. */
export interface HostTerms {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly platform: string;
}

const fail: Fail = (path, want) => refuse('enroll-invitation', `${path} is not ${want}`, { member: path });
const TERMS = shape.object({ name: hostName, labels: labelMap, platform: platformName });

/**
 * Lets a pending host in. Who invited it doesn't approve it: with one stolen certificate nobody gets a host in.
 * @param terms for a host that came without an invitation; else the invitation's stand
 * @throws Refusal `host-state`, `approve-own`, `enroll-invitation`
 */
export function approveHost(stored: StoredHost, by: Operator, terms?: HostTerms): Change {
  const { host } = stored;
  if (host.state !== 'pending') refuse('host-state', `the host is ${host.state}, not pending`);
  const { invitedBy } = host.admission;
  if (invitedBy !== null && sameOperator(invitedBy, by))
    refuse('approve-own', 'who invited a host doesn’t approve it', { operator: by.certificate });
  const given = termsFor(host, terms);
  const approved: HostRecord = {
    ...host,
    ...given,
    admission: { ...host.admission, approvedBy: by },
  };
  const change = transition({ ...stored, host: approved }, 'active', 'approved', operatorActor(by));
  if (invitedBy !== null) return change;
  const free: Precondition = {
    ...RECORD.name(given.name),
    is: 'absent',
    check: 'enroll-name-taken',
    reason: 'a host has this name',
  };
  return {
    ...change,
    preconditions: [...change.preconditions, free],
    writes: [...change.writes, { ...RECORD.name(given.name), body: { hostId: host.hostId } }],
  };
}

/**
 * Stops a host until it is looked at: it may attest, nothing is released to it. One that {@link holdHost} holds is
 * stopped as well: its generation moves, so that it doesn't come back by itself.
 * @param held the record of {@link holdHost}
 * @throws Refusal `host-state`, `host-revoked`
 */
export function quarantineHost(
  stored: StoredHost,
  reason: string,
  by: LeafActor,
  held?: Pick<StoredRecord, 'body'>,
): Change {
  return isHeld(stored, held)
    ? moved(stored, 'quarantined', reason, by)
    : transition(stored, 'quarantined', reason, by);
}

/** Whether a host would come back by its next attestation. @param held the record of {@link holdHost} */
export function isHeld({ host }: StoredHost, held: Pick<StoredRecord, 'body'> | undefined): boolean {
  return host.state === 'quarantined' && held?.body['generation'] === host.generation;
}

/** Ends a quarantine. @throws Refusal `host-state`, `host-revoked` */
export function restoreHost(stored: StoredHost, reason: string, by: Operator): Change {
  if (stored.host.state === 'pending') refuse('host-state', 'a pending host is approved, not restored');
  return transition(stored, 'active', reason, operatorActor(by));
}

/**
 * Quarantines a host until it attests again, when entries of the log are lost: what is known of it may be old.
 * @param terms `returns` false: until an operator says so; `held`: the record of when the host was held before
 */
export function holdHost(
  stored: StoredHost,
  reason: string,
  by: LeafActor,
  { returns = true, held }: { readonly returns?: boolean; readonly held?: Pick<StoredRecord, 'body'> } = {},
): Change {
  const change = quarantineHost(stored, reason, by, held);
  const body = { v: 1, generation: stored.host.generation + 1 };
  return returns
    ? { ...change, writes: [...change.writes, { ...RECORD.held(stored.host.hostId), body }] }
    : change;
}

/**
 * Ends such a quarantine by an attestation that was accepted: its TPM's counters are above the last known then.
 * @param held the record of {@link holdHost}
 * @returns undefined for a host that is quarantined for another reason, or was changed since: that takes an operator
 */
export function returnHost(
  stored: StoredHost,
  held: StoredRecord | undefined,
  by: LeafActor,
): Change | undefined {
  if (!isHeld(stored, held)) return undefined;
  return transition(stored, 'active', 'attested by counters above the last known', by);
}

/** Ends a host for good: its EK, AK and agent key never come in again. @throws Refusal `host-revoked` */
export function revokeHost(stored: StoredHost, reason: string, by: Operator): Change {
  return transition(stored, 'revoked', reason, operatorActor(by));
}

/** Gives a host other labels and another platform. @throws Refusal `host-state`, `host-revoked`, `enroll-invitation` */
export function labelHost(stored: StoredHost, terms: Omit<HostTerms, 'name'>, by: Operator): Change {
  const { host } = stored;
  if (host.state === 'revoked') refuse('host-revoked', 'the host was revoked');
  if (host.state === 'pending') refuse('host-state', 'a pending host gets its labels with the approval');
  const { labels, platform } = termsFor({ ...host, ...terms }, { ...terms, name: host.name });
  const digest = `sha256:${toHex(jcsSha256({ labels, platform }))}`;
  const leaf = leafBody({
    v: 1,
    kind: 'operator',
    action: 'host-label',
    target: host.hostId,
    digest,
    by: operatorActor(by),
  });
  return changed(stored, { ...host, labels, platform }, leaf);
}

function transition(stored: StoredHost, to: HostState, reason: string, by: LeafActor): Change {
  const { host } = stored;
  const from = host.state;
  if (from === 'revoked') refuse('host-revoked', 'the host was revoked, which is final for its EK');
  if (!WAYS[from].includes(to)) refuse('host-state', `a host that is ${from} doesn’t become ${to}`);
  return moved(stored, to, reason, by);
}

function moved(stored: StoredHost, to: HostState, reason: string, by: LeafActor): Change {
  const { host } = stored;
  const leaf = leafBody({ v: 1, kind: 'transition', hostId: host.hostId, from: host.state, to, reason, by });
  return changed(stored, { ...host, state: to }, leaf);
}

/** Whatever was prepared from the host as it was is void afterwards: version and generation moved. */
function changed({ host: { hostId }, version }: StoredHost, next: HostRecord, leaf: Change['leaf']): Change {
  const ref = RECORD.host(hostId);
  const reason = 'the host was changed meanwhile';
  return {
    leaf,
    preconditions: [{ ...ref, is: 'version', version, check: 'state-moved', reason }],
    once: [],
    writes: [{ ...ref, body: hostBody({ ...next, generation: next.generation + 1 }) }],
    bodies: [],
  };
}

function termsFor(host: HostRecord, terms: HostTerms | undefined): HostTerms {
  const { name, labels, platform } = terms ?? host;
  const checked = TERMS({ name, labels: { ...labels }, platform }, 'host', fail);
  // An invited host's name is reserved already, and the approval is of what was invited.
  if (host.admission.invitedBy !== null && checked.name !== host.name) fail('host.name', 'the invited name');
  return checked;
}
