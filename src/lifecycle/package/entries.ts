import type { AuditLeaf, DecisionLeaf } from '../../audit/index.ts';
import { refuse } from '../../base/index.ts';
import type { PackageEntry } from './format.ts';

type Decision = Extract<AuditLeaf, { kind: 'decision' }>;

/** What became of an execution, as the entries of a package say it. */
export interface ToldOutcome {
  readonly state: string;
  /** Index of the entry that says so. */
  readonly index: string;
  readonly reportedBy: 'host' | 'verifier' | 'operator';
}

/**
 * Every entry of a package is about its execution: the decision, those above it, renewals, outcomes, how its hosts came
 * in, who published its policies, and revocations of what it rests on. Another execution's entry proves nothing here.
 * @param ids the execution's and its ancestors', root first; none for a denial
 * @throws Refusal `package-entry`
 */
export function requireRelated(
  entries: readonly PackageEntry[],
  decision: Decision,
  ids: readonly string[],
): void {
  const own = new Set(ids);
  const origins = entries.flatMap(({ leaf }) =>
    isOrigin(leaf) && leaf.executions.some((id) => own.has(id)) ? [leaf] : [],
  );
  const decisions = [decision, ...origins];
  const found = new Set(origins.flatMap(({ executions }) => executions));
  for (const id of ids)
    if (!found.has(id)) refuse('package-entry', 'the decision of an ancestor is missing', { id });
  for (const { leaf } of entries)
    if (!isRelated(leaf, decisions, own))
      refuse('package-entry', 'an entry is about something else', { index: leaf.index, kind: leaf.kind });
}

const isOrigin = (leaf: AuditLeaf): leaf is Decision =>
  leaf.kind === 'decision' && leaf.purpose === 'execution' && leaf.outcome === 'allow';

function isRelated(leaf: AuditLeaf, decisions: readonly DecisionLeaf[], ids: ReadonlySet<string>): boolean {
  switch (leaf.kind) {
    case 'decision':
      if (decisions.some((one) => one === leaf)) return true;
      if (leaf.purpose === 'execution') return false;
      return leaf.outcome === 'allow' && leaf.executions.some((id) => ids.has(id));
    case 'outcome':
      return ids.has(leaf.executionId);
    case 'enrollment':
      return decisions.some(({ hostId }) => hostId === leaf.hostId);
    case 'policy':
      return decisions.some(({ policy }) => policy?.digest === leaf.digest);
    case 'revocation':
      return decisions.some((one) => subjectsOf(one, ids).has(`${leaf.subject.kind} ${leaf.subject.id}`));
    default:
      return false;
  }
}

/** What a decision rests on, as revocations name it. */
function subjectsOf(decision: DecisionLeaf, ids: ReadonlySet<string>): ReadonlySet<string> {
  const { hostId, ak, artifact, initiator, policy, dependencies } = decision;
  const kinds: Readonly<Record<string, string>> = { 'ek-root': 'ek-ca', bundle: 'policy' };
  return new Set([
    ...[...ids].map((id) => `execution ${id}`),
    `host ${hostId}`,
    `ak ${ak}`,
    ...(artifact === null ? [] : [`artifact ${artifact.digest}`]),
    ...(initiator === null ? [] : [`initiator ${initiator.issuer}#${initiator.subject}`]),
    ...(policy === null ? [] : [`policy ${policy.digest}`]),
    ...dependencies.map(({ kind, id }) => `${kinds[kind] ?? kind} ${id}`),
  ]);
}

/** The last word on an execution; null while there is none. */
export function toldOutcome(
  entries: readonly PackageEntry[],
  executionId: string | null,
): ToldOutcome | null {
  let last: ToldOutcome | null = null;
  for (const { leaf } of entries) {
    if (leaf.kind === 'outcome' && leaf.executionId === executionId)
      last = { state: leaf.state, index: leaf.index, reportedBy: leaf.reportedBy };
    if (leaf.kind === 'revocation' && leaf.subject.kind === 'execution' && leaf.subject.id === executionId)
      last = { state: 'revoked', index: leaf.index, reportedBy: 'operator' };
  }
  return last;
}
