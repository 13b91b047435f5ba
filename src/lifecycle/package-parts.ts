import type { AuditLeaf } from '../audit/index.ts';
import { fromUtf8, refuse } from '../base/index.ts';
import type { DecisionInputs } from './decision-inputs.ts';
import type { EvidenceItem } from './evidence-collection.ts';
import type { ClaimedPackage } from './package-format.ts';

type Decision = Extract<AuditLeaf, { kind: 'decision' }>;

/** The bodies of a decision by what they are. */
export interface PackageParts {
  readonly inputs: DecisionInputs | null;
  readonly request: Uint8Array | null;
  readonly evidence: readonly Pick<EvidenceItem, 'name' | 'data'>[];
  readonly attestationResult: string | null;
  readonly authorization: string | null;
  /** Names of what is not there. */
  readonly missing: readonly string[];
}

/** A body that the decision names, and as what. */
export interface NamedBody {
  readonly name: string;
  /** Hex. */
  readonly sha256: string;
}

/** Name of the attestation result among a leaf's evidence. */
export const RESULT = 'attestation-result';

/**
 * Every body that a decision names, by what it is: what a package of it has. The request and earlier evidence are named
 * by the inputs.
 */
export function namedBodies(
  { digests, policy }: Decision,
  inputs: DecisionInputs | null,
): readonly NamedBody[] {
  const hex = (digest: string): string => digest.slice('sha256:'.length);
  return [
    ...(digests.inputs === null ? [] : [{ name: 'inputs', sha256: hex(digests.inputs) }]),
    ...(inputs === null ? [] : [{ name: 'request', sha256: inputs.received.request }]),
    ...digests.evidence.map(({ name, sha256 }) => ({
      name: name === RESULT ? name : `evidence/${name}`,
      sha256: hex(sha256),
    })),
    ...(digests.authorization === null
      ? []
      : [{ name: 'authorization', sha256: hex(digests.authorization) }]),
    ...(policy === null ? [] : [{ name: 'policy', sha256: hex(policy.digest) }]),
    ...(inputs?.bodies.read ?? []).map((sha256) => ({ name: `earlier/${sha256}`, sha256 })),
  ];
}

/**
 * Takes a package's bodies by what they are.
 * @throws Refusal `package-entry` for a body that the decision doesn't name
 */
export function requireReferenced(
  { bodies, manifests }: ClaimedPackage,
  decision: Decision,
  inputs: DecisionInputs | null,
): PackageParts {
  const named = namedBodies(decision, inputs);
  const known = new Set(named.map(({ sha256 }) => sha256));
  for (const sha256 of bodies.keys())
    if (!known.has(sha256)) refuse('package-entry', 'a body that the decision doesn’t name', { sha256 });
  const dataOf = (name: string): Uint8Array | null => {
    const found = named.find((one) => one.name === name);
    return (found && bodies.get(found.sha256)) ?? null;
  };
  const textOf = (name: string): string | null => {
    const data = dataOf(name);
    return data === null ? null : fromUtf8(data, name);
  };
  return {
    inputs,
    request: dataOf('request'),
    evidence: named.flatMap(({ name, sha256 }) => {
      const data = bodies.get(sha256);
      return name.startsWith('evidence/') && data !== undefined
        ? [{ name: name.slice('evidence/'.length), data }]
        : [];
    }),
    attestationResult: textOf(RESULT),
    authorization: textOf('authorization'),
    missing: [
      // A leaf without inputs is of a decision that nobody can repeat.
      ...(decision.digests.inputs === null ? ['inputs'] : []),
      ...(inputs === null ? ['request'] : []),
      ...named.filter(({ sha256 }) => !bodies.has(sha256)).map(({ name }) => name),
      ...(decision.policy !== null && manifests.length === 0 ? ['policy-manifest'] : []),
    ],
  };
}
