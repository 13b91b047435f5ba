import type {
  AuditLeaf,
  EnrollmentLeaf,
  LeafPlace,
  OutcomeLeaf,
  PolicyLeaf,
  RevocationLeaf,
} from '../audit/index.ts';
import type { Appraised } from './appraised.ts';
import { initiatorId, isOrigin, isRenewal } from './keys.ts';
import type { Origin, Renewal } from './keys.ts';
import { executionOf } from './reason.ts';

/** One execution with everything that entries say of it. */
export interface ExecutionView {
  readonly executionId: string;
  readonly decision: Origin;
  /** The newest renewal among the entries. */
  readonly renewal: Renewal | null;
  readonly outcomes: readonly (OutcomeLeaf & LeafPlace)[];
  /** Of the execution, or of what its decision rests on; also later ones. */
  readonly revocations: readonly (RevocationLeaf & LeafPlace)[];
  /** How its host came in. */
  readonly enrollment: (EnrollmentLeaf & LeafPlace) | null;
  /** How its policy became the active one. */
  readonly publication: (PolicyLeaf & LeafPlace) | null;
  /** What its environment was found to be; null when the result isn't kept any more. */
  readonly appraised: Appraised | null;
  /** What it was found to be at the newest renewal; null without one, or when its result isn't kept any more. */
  readonly reappraised: Appraised | null;
  /** `issued`, or as it was reported last. */
  readonly state: string;
}

/**
 * What entries say, execution by execution, in the order of the log: a function of the entries alone (and of the results
 * that they name), whatever the order in which they come.
 * @param results by the index of the entry that names them
 */
export function viewExecutions(
  leaves: Iterable<AuditLeaf>,
  results: ReadonlyMap<string, Appraised> = new Map(),
): readonly ExecutionView[] {
  const ordered = [...leaves].sort((a, b) => Number(a.index) - Number(b.index));
  const seen = new Set<string>();
  const origins = ordered.filter(isOrigin).filter((one) => {
    const first = !seen.has(executionOf(one));
    seen.add(executionOf(one));
    return first;
  });
  const context: Context = {
    renewals: lastBy(ordered.filter(isRenewal), ({ executions }) => executions),
    outcomes: groupBy(ordered.filter(isOutcome), ({ executionId }) => executionId),
    revocations: ordered.filter(isRevocation),
    enrollments: groupBy(ordered.filter(isAdmission), ({ hostId }) => hostId),
    publications: groupBy(ordered.filter(isPublication), ({ digest }) => digest),
    results,
  };
  return origins.map((origin) => viewOf(origin, context));
}

type Placed<L> = L & LeafPlace;
type Groups<L> = ReadonlyMap<string, readonly Placed<L>[]>;

interface Context {
  readonly renewals: ReadonlyMap<string, Renewal>;
  readonly outcomes: Groups<OutcomeLeaf>;
  readonly revocations: readonly Placed<RevocationLeaf>[];
  readonly enrollments: Groups<EnrollmentLeaf>;
  readonly publications: Groups<PolicyLeaf>;
  readonly results: ReadonlyMap<string, Appraised>;
}

const isOutcome = (leaf: AuditLeaf): leaf is Placed<OutcomeLeaf> => leaf.kind === 'outcome';
const isRevocation = (leaf: AuditLeaf): leaf is Placed<RevocationLeaf> => leaf.kind === 'revocation';
const isAdmission = (leaf: AuditLeaf): leaf is Placed<EnrollmentLeaf> =>
  leaf.kind === 'enrollment' && leaf.outcome === 'allow';
const isPublication = (leaf: AuditLeaf): leaf is Placed<PolicyLeaf> =>
  leaf.kind === 'policy' && leaf.action === 'publish';

function viewOf(decision: Origin, context: Context): ExecutionView {
  const executionId = executionOf(decision);
  const before = ({ index }: AuditLeaf): boolean => Number(index) < Number(decision.index);
  const outcomes = context.outcomes.get(executionId) ?? [];
  const revocations = context.revocations.filter(({ subject }) => concerns(subject, executionId, decision));
  const revoked = revocations.some(({ subject }) => subject.kind === 'execution');
  const renewal = context.renewals.get(executionId) ?? null;
  return {
    ...{ executionId, decision, renewal, outcomes, revocations },
    enrollment: context.enrollments.get(decision.hostId)?.findLast(before) ?? null,
    publication: context.publications.get(decision.policy?.digest ?? '')?.findLast(before) ?? null,
    appraised: context.results.get(decision.index) ?? null,
    reappraised: context.results.get(renewal?.index ?? '') ?? null,
    state: outcomes.at(-1)?.state ?? (revoked ? 'revoked' : 'issued'),
  };
}

/** True when what was revoked is the execution or something that its decision rests on. */
function concerns({ kind, id }: RevocationLeaf['subject'], executionId: string, decision: Origin): boolean {
  switch (kind) {
    case 'execution':
      return id === executionId;
    case 'host':
      return id === decision.hostId;
    case 'ak':
      return id === decision.ak;
    case 'artifact':
      return id === decision.artifact?.digest;
    case 'initiator':
      return decision.initiator !== null && id === initiatorId(decision.initiator);
    case 'policy':
      return id === decision.policy?.digest;
    default:
      return decision.dependencies.some(
        (one) => one.id === id && (one.kind === kind || (kind === 'ek-ca' && one.kind === 'ek-root')),
      );
  }
}

function lastBy<T>(items: readonly T[], keys: (item: T) => readonly string[]): ReadonlyMap<string, T> {
  return new Map(items.flatMap((item) => keys(item).map((key) => [key, item] as const)));
}

function groupBy<T>(items: readonly T[], keyOf: (item: T) => string): ReadonlyMap<string, readonly T[]> {
  const groups = new Map<string, T[]>();
  for (const item of items) {
    const key = keyOf(item);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [item]);
    else group.push(item);
  }
  return groups;
}
