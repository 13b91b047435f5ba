import type { JsonObject } from '../base/index.ts';
import type { ExecutionView } from './view.ts';

const PRODUCER = 'https://sealgate.dev/';
const SPEC = 'https://openlineage.io/spec';
const BASE = { _producer: PRODUCER, _schemaURL: `${SPEC}/2-0-2/OpenLineage.json#/$defs/RunFacet` };

/** What an outcome is in OpenLineage; the others happen while a run goes on. */
const EVENT: Readonly<Record<string, string>> = {
  ended: 'COMPLETE',
  failed: 'FAIL',
  'release-lost': 'FAIL',
  lost: 'ABORT',
  expired: 'ABORT',
  revoked: 'ABORT',
};

/**
 * Executions as OpenLineage run events (2-0-2), in the order of the log: START when it began (as the host reports, else
 * when it was allowed), then COMPLETE, FAIL or ABORT. A job is an artifact, in the namespace of this verifier's log.
 * @param known executions by id: parents and roots are named with their jobs
 */
export function openLineageEvents(
  executions: readonly ExecutionView[],
  known: ReadonlyMap<string, ExecutionView>,
  origin: string,
): readonly JsonObject[] {
  return executions
    .flatMap((view) => eventsOf(view, { known, namespace: origin }))
    .sort((a, b) => Number(a.index) - Number(b.index))
    .map(({ event }) => event);
}

interface Context {
  readonly known: ReadonlyMap<string, ExecutionView>;
  readonly namespace: string;
}

function eventsOf(view: ExecutionView, context: Context): { index: string; event: JsonObject }[] {
  const { decision, outcomes } = view;
  const begin = outcomes.find(({ state }) => state === 'running') ?? decision;
  const end = outcomes.find(({ state }) => EVENT[state] !== undefined);
  const event = (eventType: string, { time, index }: { time: string; index: string }) => ({
    index,
    event: {
      ...{ eventType, eventTime: time, producer: PRODUCER },
      schemaURL: `${SPEC}/2-0-2/OpenLineage.json#/$defs/RunEvent`,
      run: { runId: view.executionId, facets: facetsOf(view, context, index) },
      ...{ job: jobOf(view, context), inputs: inputsOf(view, context), outputs: [] },
    },
  });
  return [event('START', begin), ...(end === undefined ? [] : [event(EVENT[end.state] ?? 'OTHER', end)])];
}

const jobOf = ({ decision, executionId }: ExecutionView, { namespace }: Context): JsonObject => ({
  namespace,
  name: (decision.artifact?.name ?? executionId).toWellFormed(),
});

const inputsOf = ({ decision: { artifact } }: ExecutionView, { namespace }: Context): JsonObject[] =>
  artifact === null ? [] : [{ namespace, name: artifact.digest }];

function facetsOf(view: ExecutionView, context: Context, entry: string): JsonObject {
  const { decision } = view;
  const parent = decision.parent === null ? undefined : context.known.get(decision.parent);
  const own: JsonObject = {
    sealgate_decision: {
      ...BASE,
      ...{ entry: decision.index, reportedBy: entry === decision.index ? 'verifier' : 'host' },
      ...{ hostId: decision.hostId, policy: decision.policy?.digest ?? null },
      authorization: decision.digests.authorization,
    },
  };
  if (parent === undefined) return own;
  const named = (one: ExecutionView): JsonObject => ({
    run: { runId: one.executionId },
    job: jobOf(one, context),
  });
  const facet = {
    _producer: PRODUCER,
    _schemaURL: `${SPEC}/facets/1-1-0/ParentRunFacet.json#/$defs/ParentRunFacet`,
    ...named(parent),
    root: named(rootOf(parent, context.known)),
  };
  return { ...own, parent: facet };
}

/** As far up as executions are known; parents come first in the log, so this ends. */
function rootOf(view: ExecutionView, known: ReadonlyMap<string, ExecutionView>): ExecutionView {
  const above = view.decision.parent === null ? undefined : known.get(view.decision.parent);
  const earlier = above !== undefined && Number(above.decision.index) < Number(view.decision.index);
  return earlier ? rootOf(above, known) : view;
}
