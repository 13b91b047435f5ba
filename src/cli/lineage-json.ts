import { formatLogProof, formatNote } from '../audit/index.ts';
import { fromUtf8, toHex } from '../base/index.ts';
import type { JsonObject } from '../base/index.ts';
import { environmentText, graphOf, resultDigest, resultOf } from '../lineage/index.ts';
import type { ExecutionView } from '../lineage/index.ts';
import type { LineageReading } from './lineage-reader.ts';

/** The answer for programs: executions, the graph, and every entry with a proof that `verify proof` checks. */
export function lineageJson(reading: LineageReading): JsonObject {
  const { checkpoint, found, known, next, unchecked } = reading;
  const { origin, size, root } = checkpoint.claimed;
  const graph = graphOf(found.map(({ view }) => view));
  return {
    checkpoint: { origin, size: String(size), root: toHex(root) },
    unchecked: [...unchecked],
    executions: found.map(({ view, because }) => executionJson(view, because, known)),
    graph: {
      nodes: [...graph.nodes].map(([key, node]) => ({ key, ...node })),
      edges: graph.edges.map((edge) => ({ ...edge })),
    },
    entries: entriesJson(reading),
    next: next === null ? null : String(next),
  };
}

/** Every entry by its index, with its tlog-proof. */
function entriesJson(reading: LineageReading): JsonObject {
  const sorted = [...reading.entries].sort(([a], [b]) => Number(a) - Number(b));
  return Object.fromEntries(
    sorted.map(([index, { data }]) => [
      index,
      { leaf: fromUtf8(data, 'leaf'), proof: proofText(reading, index) },
    ]),
  );
}

/** tlog-proof text of an entry of the answer (c2sp.org/tlog-proof). */
export function proofText({ checkpoint, entries }: LineageReading, index: string): string {
  const entry = entries.get(index);
  if (entry === undefined) throw new RangeError(`no entry ${index} in the answer`);
  const note = formatNote(checkpoint.note);
  return fromUtf8(
    formatLogProof({ index: BigInt(index), hashes: entry.proof, checkpoint: note }),
    'tlog-proof',
  );
}

/** One execution, with the entries that say so. */
export function executionJson(
  view: ExecutionView,
  because: string,
  known: ReadonlyMap<string, ExecutionView>,
): JsonObject {
  const { decision, renewal, outcomes, revocations, enrollment, publication, appraised, reappraised } = view;
  const { initiator, policy, artifact, digests } = decision;
  const of = (kind: string): string[] =>
    decision.dependencies.filter((one) => one.kind === kind).map(({ id }) => id);
  return {
    ...{ executionId: view.executionId, state: view.state, entry: decision.index, because },
    ...{ time: decision.time, parent: decision.parent, root: rootOf(view, known) },
    initiator: initiator && { issuer: initiator.issuer, subject: initiator.subject },
    host: { hostId: decision.hostId, name: enrollment?.name ?? null, entry: enrollment?.index ?? null },
    artifact: artifact && { ...artifact, signers: of('signer') },
    policy: policy && {
      ...{ digest: policy.digest, version: policy.version, deciding: [...policy.deciding] },
      ...{ authorities: of('authority'), entry: publication?.index ?? null },
    },
    environment: {
      ...{ status: environmentText(appraised), vector: appraised?.vector ?? null, result: resultOf(view) },
      ...{ ak: decision.ak, ekRoots: of('ek-root'), referenceValues: of('reference-values') },
      boot: { ...decision.boot },
    },
    authorization: digests.authorization,
    renewal: renewal && {
      ...{ entry: renewal.index, time: renewal.time, policy: renewal.policy?.digest ?? null },
      environment: {
        ...{ status: environmentText(reappraised), vector: reappraised?.vector ?? null },
        result: resultDigest(renewal) ?? null,
      },
    },
    outcomes: outcomes.map(({ index, state, reportedBy, exit, time }) => ({
      ...{ entry: index, state, reportedBy, time },
      exit: exit && { ...exit },
    })),
    revocations: revocations.map(({ index, subject, reason, time }) => ({
      ...{ entry: index, reason, time },
      subject: { ...subject },
    })),
  };
}

/** The execution that a chain begins with, as far up as it is in the answer; null when that isn't its end. */
export function rootOf(view: ExecutionView, known: ReadonlyMap<string, ExecutionView>): string | null {
  let last = view;
  for (let above = known.get(last.decision.parent ?? ''); above !== undefined;) {
    last = above;
    above = known.get(last.decision.parent ?? '');
  }
  return last.decision.parent === null ? last.executionId : null;
}
