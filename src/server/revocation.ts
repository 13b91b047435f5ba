import { leafBody } from '../audit/index.ts';
import type { Change, RevocableKind } from '../audit/index.ts';
import { refuse } from '../base/index.ts';
import { readHost, revokeHost } from '../enrollment/index.ts';
import type { Operator } from '../enrollment/index.ts';
import { ALIVE, revokeExecution, revokedRecord } from '../lifecycle/index.ts';
import type { Services } from './services.ts';
import { executionsOf } from './decision-records.ts';

/** What an operator takes back. */
export interface RevocationOrder {
  readonly kind: RevocableKind;
  readonly id: string;
  readonly reason: string;
}

/** The forms of ids, by kind; a mistyped id would be a revocation of nothing. */
export const REVOCABLE_ID: Readonly<Record<RevocableKind, RegExp>> = {
  host: /^[0-9a-f]{64}$/,
  ak: /^(?:[0-9a-f]{2}){34,66}$/,
  'ek-ca': /^[0-9a-f]{64}$/,
  artifact: /^sha256:[0-9a-f]{64}$/,
  signer: /^[\x21-\x7e]{1,256}$/,
  initiator: /^[\x21-\x7e]{1,512}$/,
  authority: /^[\x21-\x7e]{1,128}$/,
  policy: /^sha256:[0-9a-f]{64}$/,
  execution: /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/,
};

/**
 * The change that revokes something: its record, which denies at its commit whatever is being decided and rests on it,
 * and the state of what has one (a host, an execution).
 * @param now Unix ms
 * @throws Refusal `revocation-subject`, `host-revoked`
 */
export async function revocationChange(
  { kind, id, reason }: RevocationOrder,
  by: Operator,
  { records }: Pick<Services, 'records'>,
  now: number,
): Promise<Change> {
  if (!REVOCABLE_ID[kind].test(id)) refuse('revocation-subject', `this is not the id of a ${kind}`);
  const actor = { kind: 'operator' as const, id: by.certificate };
  const own: Change = {
    leaf: leafBody({ v: 1, kind: 'revocation', subject: { kind, id }, reason, by: actor }),
    preconditions: [],
    once: [],
    writes: [],
    bodies: [],
  };
  const state = await stateChange({ kind, id, reason }, by, { records });
  const ref = revokedRecord({ kind, id });
  const at = new Date(now).toISOString();
  return {
    ...own,
    preconditions: [
      { ...ref, is: 'absent', check: 'state-moved', reason: 'it was revoked already' },
      ...(state?.preconditions ?? []),
    ],
    ...(state?.budgets === undefined ? {} : { budgets: state.budgets }),
    writes: [...(state?.writes ?? []), { ...ref, body: { v: 1, reason, by: by.certificate, at } }],
  };
}

/** What a revocation changes besides its own record; undefined for what has no state here. */
async function stateChange(
  { kind, id, reason }: RevocationOrder,
  by: Operator,
  { records }: Pick<Services, 'records'>,
): Promise<Change | undefined> {
  if (kind === 'host') {
    const stored = await readHost(records, id);
    return stored === undefined || stored.host.state === 'revoked'
      ? undefined
      : revokeHost(stored, reason, by);
  }
  if (kind === 'execution') {
    const found = await executionsOf(records).get(id);
    if (found === undefined) return refuse('revocation-subject', 'no such execution was allowed here');
    const actor = { kind: 'operator' as const, id: by.certificate };
    return ALIVE.has(found.body.state)
      ? revokeExecution({ executionId: id, ...found }, reason, actor)
      : undefined;
  }
  return undefined;
}
