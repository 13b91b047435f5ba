import type { JsonObject } from '../base/index.ts';
import { readHost } from '../enrollment/index.ts';
import type { ExecutionRecord, Revocable } from '../lifecycle/index.ts';
import type { Services } from './services.ts';

/** An execution that was ended, and where. */
export interface EndedExecution {
  readonly executionId: string;
  readonly hostId: string;
}

/** Executions in one answer; the log has all of them. */
const LISTED = 1000;

/** What a revocation ended, as operators see it. */
export function affectedJson(ended: readonly EndedExecution[]): JsonObject {
  return {
    ended: ended.length,
    executions: ended.slice(0, LISTED).map(({ executionId, hostId }) => ({ executionId, hostId })),
    hosts: [...new Set(ended.map(({ hostId }) => hostId))].sort(),
  };
}

type Parts = Pick<Services, 'live' | 'ledger'>;

/** One that is renewed at the same moment is read again; after the revocation's commit nothing is renewed for long. */
const ROUNDS = 16;

/**
 * Ends every execution that rests on something that is no longer believed, on all hosts, with everything below it. Call
 * it after the commit that says so: from then on nothing that rests on it is allowed or renewed, so that what is found
 * here is all there is. What could not be ended ends with its authorization.
 */
export async function endDependents(
  subject: Revocable,
  reason: string,
  { live, ledger }: Parts,
): Promise<readonly EndedExecution[]> {
  const ended: EndedExecution[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const ids = live.restingOn(subject);
    if (ids.length === 0) break;
    ended.push(...(await live.end(ids, ledger, () => ({ state: 'revoked', reason, by: subject }))));
  }
  // What moved while what is above it ended is found by that alone.
  if (subject.kind !== 'execution') ended.push(...(await endBelow(idsOf(ended), reason, { live, ledger })));
  return ended;
}

const idsOf = (ended: readonly EndedExecution[]): readonly string[] =>
  ended.map(({ executionId }) => executionId);

/** Ends what runs on a host that is not what it should be, and everything below it, wherever that is. */
export async function endOnHost(
  hostId: string,
  reason: string,
  parts: Parts,
): Promise<readonly EndedExecution[]> {
  return await endDependents({ kind: 'host', id: hostId }, reason, parts);
}

/** Ends what is below executions that have ended: on their own host their gateway ends it, elsewhere nobody else does. */
async function endBelow(
  executionIds: readonly string[],
  reason: string,
  parts: Parts,
): Promise<readonly EndedExecution[]> {
  const ended: EndedExecution[] = [];
  for (const id of parts.live.above(executionIds))
    ended.push(...(await endDependents({ kind: 'execution', id }, reason, parts)));
  return ended;
}

/**
 * Ends what was started in an earlier boot of a host that has attested in a new one, and everything below it: nothing of
 * it can run there.
 */
export async function endEarlierBoots(
  hostId: string,
  boot: ExecutionRecord['boot'],
  parts: Parts,
): Promise<void> {
  const { live, ledger } = parts;
  const reason = 'the host was restarted';
  const ended = await live.end(live.onHost(hostId, boot), ledger, () => ({ state: 'lost', reason }));
  await endBelow(idsOf(ended), 'what started it was lost', parts);
}

/**
 * Ends what is below the executions that an attestation denied. A host may name any: only those count whose records say
 * that they were ended.
 */
export async function endBelowDenied(
  named: readonly string[],
  parts: Parts & Pick<Services, 'decisions'>,
): Promise<void> {
  for (const id of parts.live.above(named)) {
    const found = await parts.decisions.executions.get(id);
    if (found?.body.state === 'revoked') await endBelow([id], 'what started it may not go on', parts);
  }
}

/**
 * After a start: what was revoked, or quarantined, when a verifier was stopped before it had ended everything that
 * rested on it.
 */
export async function endLeftovers(parts: Parts & Pick<Services, 'records' | 'decisions'>): Promise<void> {
  const { live, records, decisions } = parts;
  for (const subject of await decisions.revocations.revokedOf(live.subjects()))
    await endDependents(subject, 'it was revoked', parts);
  for (const hostId of live.hosts()) {
    const state = (await readHost(records, hostId))?.host.state;
    if (state !== 'active') await endOnHost(hostId, `the host is ${state ?? 'unknown'}`, parts);
  }
}
