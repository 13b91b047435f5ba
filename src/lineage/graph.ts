import type { Appraised } from './appraised.ts';
import { resultDigest } from './appraised.ts';
import { initiatorId } from './keys.ts';
import type { ExecutionView } from './view.ts';

/** What a lineage is made of. */
export type NodeKind =
  | 'execution'
  | 'authorization'
  | 'initiator'
  | 'issuer'
  | 'host'
  | 'artifact'
  | 'signer'
  | 'policy'
  | 'authority'
  | 'evidence'
  | 'reference-values'
  | 'ek-root'
  | 'ak'
  | 'build';

/** How one thing is tied to another: from the dependent to what it depends on. */
export type Relation =
  | 'child-of'
  | 'authorized-by'
  | 'initiated-by'
  | 'vouched-by'
  | 'ran-on'
  | 'executed'
  | 'signed-by'
  | 'decided-by'
  | 'appraised-by'
  | 'appraised-against'
  | 'attested-by'
  | 'certified-by'
  | 'verified-by';

export interface GraphNode {
  readonly kind: NodeKind;
  readonly id: string;
  /** For people; foreign text. */
  readonly label: string;
  /** Index of the entry that names it first. */
  readonly leaf: string;
}

export interface GraphEdge {
  readonly from: string;
  readonly to: string;
  readonly relation: Relation;
  /** Index of the entry that says so first. */
  readonly leaf: string;
}

/** Nodes by their key, `KIND ID`, and edges between keys; both in the order of the log. */
export interface LineageGraph {
  readonly nodes: ReadonlyMap<string, GraphNode>;
  readonly edges: readonly GraphEdge[];
}

/** A node's key. */
export const nodeKey = (kind: NodeKind, id: string): string => `${kind} ${id}`;

/** The graph of executions: a function of the entries that their views were made from. */
export function graphOf(executions: readonly ExecutionView[]): LineageGraph {
  const builder = new GraphBuilder();
  for (const one of executions) addExecution(builder, one);
  return builder.graph();
}

class GraphBuilder {
  readonly #nodes = new Map<string, GraphNode>();
  readonly #edges = new Map<string, GraphEdge>();

  /** @returns the node's key */
  node(kind: NodeKind, id: string, leaf: string, label = id): string {
    const key = nodeKey(kind, id);
    if (!this.#nodes.has(key)) this.#nodes.set(key, { kind, id, label, leaf });
    return key;
  }

  edge(from: string, relation: Relation, to: string, leaf: string): void {
    const key = `${from}\0${relation}\0${to}`;
    if (!this.#edges.has(key)) this.#edges.set(key, { from, to, relation, leaf });
  }

  graph(): LineageGraph {
    return { nodes: this.#nodes, edges: [...this.#edges.values()] };
  }
}

function addExecution(
  builder: GraphBuilder,
  { decision, renewal, executionId, enrollment }: ExecutionView,
): void {
  const { index: leaf, artifact, initiator, parent, digests, hostId } = decision;
  const self = builder.node('execution', executionId, leaf, artifact?.name ?? executionId);
  const tie = (relation: Relation, kind: NodeKind, id: string, label?: string): string => {
    const key = builder.node(kind, id, leaf, label);
    builder.edge(self, relation, key, leaf);
    return key;
  };
  if (parent !== null) builder.edge(self, 'child-of', nodeKey('execution', parent), leaf);
  if (digests.authorization !== null) tie('authorized-by', 'authorization', digests.authorization);
  if (initiator !== null) {
    const who = tie('initiated-by', 'initiator', initiatorId(initiator), initiator.subject);
    builder.edge(who, 'vouched-by', builder.node('issuer', initiator.issuer, leaf), leaf);
  }
  const host = tie('ran-on', 'host', hostId, enrollment?.name);
  for (const { name, sha256 } of digests.evidence) tie('appraised-by', 'evidence', sha256, name);
  const program = artifact === null ? self : tie('executed', 'artifact', artifact.digest, artifact.name);
  addVerdict(builder, self, { host, program, decision });
  if (renewal !== null) addVerdict(builder, self, { host, program: self, decision: renewal });
}

/** What a decision or a renewal rests on. */
function addVerdict(
  builder: GraphBuilder,
  self: string,
  {
    host,
    program,
    decision,
  }: {
    host: string;
    program: string;
    decision: Pick<ExecutionView['decision'], 'policy' | 'dependencies' | 'ak' | 'index'>;
  },
): void {
  const { policy, dependencies, ak, index: leaf } = decision;
  const bundle =
    policy === null
      ? self
      : builder.node('policy', policy.digest, leaf, `policy version ${String(policy.version)}`);
  if (policy !== null) builder.edge(self, 'decided-by', bundle, leaf);
  const key = builder.node('ak', ak, leaf);
  builder.edge(host, 'attested-by', key, leaf);
  for (const { kind, id } of dependencies) {
    switch (kind) {
      case 'authority':
        builder.edge(bundle, 'signed-by', builder.node('authority', id, leaf), leaf);
        break;
      case 'signer':
        builder.edge(program, 'signed-by', builder.node('signer', id, leaf), leaf);
        break;
      case 'ek-root':
        builder.edge(host, 'certified-by', builder.node('ek-root', id, leaf), leaf);
        break;
      case 'reference-values':
        builder.edge(self, 'appraised-against', builder.node('reference-values', id, leaf), leaf);
        break;
      case 'build':
        builder.edge(self, 'verified-by', builder.node('build', id, leaf), leaf);
        break;
      default:
      // The issuer is there with its initiator, AK and bundle are there by themselves.
    }
  }
}

/** AR4SI's names of tiers (draft-ietf-rats-ar4si). */
const TIERS: Readonly<Record<number, string>> = {
  0: 'none',
  2: 'affirming',
  32: 'warning',
  96: 'contraindicated',
};

/** What an environment was found to be, in a word; `not kept` when only the result's digest is left. */
export function environmentText(appraised: Appraised | null): string {
  if (appraised === null) return 'not kept';
  return TIERS[appraised.status] ?? `unknown (${String(appraised.status)})`;
}

/** Digest of the attestation result, for who kept it. */
export const resultOf = ({ decision }: ExecutionView): string | null => resultDigest(decision) ?? null;
