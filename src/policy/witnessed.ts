import { parseQuorumPolicy } from '../audit/index.ts';
import type { QuorumPolicy } from '../audit/index.ts';
import { Refusal, utf8 } from '../base/index.ts';
import type { Fail } from '../base/index.ts';
import type { WitnessedDocument } from './bundle-shape.ts';

/** The answers for which policy demands a witnessed checkpoint. */
export interface WitnessedActions {
  readonly quorum: QuorumPolicy;
  readonly actions: readonly WitnessedDocument['actions'][number][];
  /** Names of artifacts; null: all of them. */
  readonly artifacts: readonly string[] | null;
}

/** An answer, as far as it decides whether policy demands witnesses for it. */
export interface AnsweredAction {
  readonly action: 'execution' | 'attestation';
  /** Name of the artifact of an execution. */
  readonly artifact: string | null;
}

/** Reads a bundle's or manifest's `witnessed`; null when there is none. @throws what `fail` throws */
export function readWitnessed(
  document: WitnessedDocument | undefined,
  path: string,
  fail: Fail,
): WitnessedActions | null {
  if (document === undefined) return null;
  const { policy, actions, artifacts = null } = document;
  let quorum: QuorumPolicy;
  try {
    quorum = parseQuorumPolicy(utf8(policy));
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    return fail(`${path}.policy`, `a tlog-policy (${error.reason})`);
  }
  // A demand that nobody has to meet would only look like one.
  if (quorum.quorum === null) fail(`${path}.policy`, 'a tlog-policy with a quorum');
  return { quorum, actions, artifacts };
}

/** The quorum that policy demands for an answer; null: none. */
export function demandedQuorum(
  witnessed: WitnessedActions | null,
  { action, artifact }: AnsweredAction,
): QuorumPolicy | null {
  if (witnessed?.actions.includes(action) !== true) return null;
  if (action === 'execution' && witnessed.artifacts !== null)
    return artifact !== null && witnessed.artifacts.includes(artifact) ? witnessed.quorum : null;
  return witnessed.quorum;
}
