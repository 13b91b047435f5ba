import { leafBody } from '../audit/index.ts';
import type { Change, LeafActor, OutcomeLeaf } from '../audit/index.ts';
import { verifyOutcomeReport } from '../authorization/index.ts';
import type { OutcomeReport } from '../authorization/index.ts';
import { refuse } from '../base/index.ts';
import { unchanged } from './stages/authorization-stage.ts';
import { ALIVE, EXECUTION, HOST_EXECUTIONS, executionBody } from './execution-record.ts';
import type { ExecutionRecord, ExecutionState } from './execution-record.ts';
import type { Caller, DecisionDeps, RecordVersion, Revocable } from './ports.ts';
import { workloadKey } from './workload-key.ts';

/** An execution as it was read. */
export interface StoredExecution {
  readonly executionId: string;
  readonly record: RecordVersion;
  readonly body: ExecutionRecord;
}

/** A report that was verified, and the change that it makes. */
export interface Outcome {
  readonly state: ExecutionState;
  /** True when the gateway could not open what was sealed to its own session: somebody else did, or broke it. */
  readonly releaseLost: boolean;
  readonly change: Change;
}

/** What a gateway reports when its own unseal failed. */
export const RELEASE_LOST = 'release-lost';

/**
 * Reads a gateway's report. It is the host's word, by the key that the execution was authorized for: only the host that
 * runs it may bring it, only the workload key makes it, and an execution that has ended stays as it is.
 * @throws Refusal `execution-unknown`, `caller-host`, `execution-ended`, `outcome-form`, `holder_binding_failed`
 */
export async function reportOutcome(
  executionId: string,
  event: OutcomeReport['event'],
  proof: string,
  caller: Caller,
  deps: Pick<DecisionDeps, 'executions' | 'trustDomain'>,
): Promise<Outcome> {
  const stored = await deps.executions.get(executionId);
  if (stored === undefined) return refuse('execution-unknown', 'no such execution was allowed here');
  const found = { executionId, ...stored };
  const { body } = found;
  if (body.hostId !== caller.hostId) refuse('caller-host', 'the execution is on another host');
  const expected = { aud: deps.trustDomain, executionId, event };
  const report = await verifyOutcomeReport(proof, expected, workloadKey(body.workloadPublic));
  if (body.state === 'revoked' && body.exit === null && event === 'ended') return acknowledged(found, report);
  requireAlive(body);
  if (event === 'started' && body.state !== 'issued')
    refuse('execution-ended', 'that it started was reported before', { state: body.state });
  const releaseLost = event === 'ended' && report.reason === RELEASE_LOST;
  const state = event === 'started' ? 'running' : report.reason === undefined ? 'ended' : 'failed';
  const next = { ...body, state, exit: exitOf(report), reason: report.reason ?? null } as const;
  const leafState = releaseLost ? RELEASE_LOST : state;
  return {
    state,
    releaseLost,
    change: outcomeChange(found, next, { state: leafState, by: 'host', reason: next.reason }),
  };
}

/**
 * The host's word that a revoked execution has ended there: it stays revoked, and how it ended is in the log. Once: an
 * end without status and signal says nothing.
 * @throws Refusal `outcome-form`
 */
function acknowledged(execution: StoredExecution, report: OutcomeReport): Outcome {
  const exit = exitOf(report);
  if (exit === null) return refuse('outcome-form', 'how the revoked execution ended is not said');
  const { reason } = execution.body;
  const change = outcomeChange(
    execution,
    { ...execution.body, exit },
    { state: 'revoked', by: 'host', reason },
  );
  return { state: 'revoked', releaseLost: false, change };
}

/** @throws Refusal `execution-ended` */
function requireAlive({ state }: ExecutionRecord): void {
  if (!ALIVE.has(state)) refuse('execution-ended', `the execution is ${state}`, { state });
}

function exitOf({ status, signal }: OutcomeReport): ExecutionRecord['exit'] {
  if (status !== undefined) return { status };
  return signal === undefined ? null : { signal };
}

/** How the verifier ends an execution. */
export type VerifierEnd =
  | { readonly state: 'lost' | 'expired'; readonly reason: string | null }
  /** It may not go on, by the revocation of something that it rests on, or by what its host is found to be. */
  | { readonly state: 'revoked'; readonly reason: string; readonly by: Revocable };

/**
 * The change by which the verifier ends an execution: `lost` or `expired` when the last authorization ran out without
 * a report, `revoked` when it may not go on.
 * @throws Refusal `execution-ended`
 */
export function endExecution(execution: StoredExecution, end: VerifierEnd): Change {
  requireAlive(execution.body);
  const { state, reason } = end;
  const revokedBy = end.state === 'revoked' ? end.by : null;
  const next = { ...execution.body, state, reason, revokedBy };
  return outcomeChange(execution, next, { state, by: 'verifier', reason });
}

/** The state of an execution whose last authorization ran out; undefined while it hasn't. @param now Unix ms */
export function ranOut({ state, expires }: ExecutionRecord, now: number): 'lost' | 'expired' | undefined {
  if (!ALIVE.has(state) || now < expires * 1000 + REPORT_GRACE_MS) return undefined;
  return state === 'running' ? 'lost' : 'expired';
}

/** A report that was sent in time may arrive this much later: ms. */
const REPORT_GRACE_MS = 60_000;

interface Told {
  readonly state: OutcomeLeaf['state'];
  readonly by: OutcomeLeaf['reportedBy'];
  readonly reason: string | null;
}

function outcomeChange(execution: StoredExecution, next: ExecutionRecord, told: Told): Change {
  const { executionId, body } = execution;
  const leaf = leafBody({
    v: 1,
    kind: 'outcome',
    executionId,
    hostId: body.hostId,
    state: told.state,
    reportedBy: told.by,
    exit: next.exit,
    reason: told.reason,
  });
  return { leaf, ...transition(execution, next) };
}

/** What every change of an execution's state has: what it expects, what it writes, and the host's budget. */
function transition(
  { executionId, record, body }: StoredExecution,
  next: ExecutionRecord,
): Omit<Change, 'leaf'> {
  // What had ended before gave its place back then.
  const ended = ALIVE.has(body.state) && !ALIVE.has(next.state);
  const reason = 'the execution changed meanwhile';
  return {
    preconditions: [unchanged(record, 'state-moved', reason)],
    once: [],
    budgets: ended
      ? [{ kind: HOST_EXECUTIONS, id: body.hostId, add: -1, limit: 0, check: 'host-executions', reason }]
      : [],
    writes: [{ kind: EXECUTION, id: executionId, body: executionBody(next) }],
    bodies: [],
  };
}

/**
 * Revoking an execution: the leaf is the revocation's own. From its commit on nothing below it is renewed or started,
 * since each decision looks at every ancestor; what runs there is ended next.
 * @throws Refusal `execution-ended`
 */
export function revokeExecution(execution: StoredExecution, reason: string, by: LeafActor): Change {
  requireAlive(execution.body);
  const subject = { kind: 'execution' as const, id: execution.executionId };
  return {
    leaf: leafBody({ v: 1, kind: 'revocation', subject, reason, by }),
    ...transition(execution, { ...execution.body, state: 'revoked', reason, revokedBy: subject }),
  };
}
