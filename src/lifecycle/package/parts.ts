import type { AuditLeaf } from '../../audit/index.ts';
import { fromUtf8, parseJson, refuse, shape } from '../../base/index.ts';
import type { Fail } from '../../base/index.ts';
import type { DecisionInputs } from '../repeat/decision-inputs.ts';
import type { EvidenceItem } from '../evidence-collection.ts';
import type { ClaimedPackage } from './format.ts';

type Decision = Extract<AuditLeaf, { kind: 'decision' }>;

/** The bodies of a package by what they are. */
export interface PackageParts {
  readonly inputs: DecisionInputs | null;
  readonly request: Uint8Array | null;
  readonly evidence: readonly Pick<EvidenceItem, 'name' | 'data'>[];
  readonly attestationResult: string | null;
  /** What the decision signed: one for an execution, those renewed for an attestation. */
  readonly authorizations: readonly string[];
  /** What other renewals of the package signed. */
  readonly renewed: readonly string[];
  /** Names of what is not there. */
  readonly missing: readonly string[];
}

/** A body that something in a package names, and as what. */
export interface NamedBody {
  readonly name: string;
  /** Hex. */
  readonly sha256: string;
}

/** Name of the attestation result among a leaf's evidence. */
export const RESULT = 'attestation-result';
const AUTHORIZATION = 'authorization';

const hex = (digest: string): string => digest.slice('sha256:'.length);

/**
 * Every body that a decision names, by what it is: what a package of it has. The request and earlier evidence are named
 * by the inputs.
 */
export function namedBodies(
  { digests, policy }: Decision,
  inputs: DecisionInputs | null,
): readonly NamedBody[] {
  return [
    ...(digests.inputs === null ? [] : [{ name: 'inputs', sha256: hex(digests.inputs) }]),
    ...(inputs === null ? [] : [{ name: 'request', sha256: inputs.received.request }]),
    ...digests.evidence.map(({ name, sha256 }) => ({
      name: name === RESULT ? name : `evidence/${name}`,
      sha256: hex(sha256),
    })),
    ...(digests.authorization === null ? [] : [{ name: AUTHORIZATION, sha256: hex(digests.authorization) }]),
    ...(policy === null ? [] : [{ name: 'policy', sha256: hex(policy.digest) }]),
    ...(inputs?.bodies.read ?? []).map((sha256) => ({ name: `earlier/${sha256}`, sha256 })),
  ];
}

/** The lists of authorizations that renewals signed, besides the decision itself. */
export function renewalBodies(leaves: readonly AuditLeaf[], decision: Decision): readonly NamedBody[] {
  return leaves.flatMap((leaf) => {
    if (leaf.kind !== 'decision' || leaf.purpose !== 'attestation' || leaf.index === decision.index)
      return [];
    const { authorization } = leaf.digests;
    return authorization === null ? [] : [{ name: `renewal/${leaf.index}`, sha256: hex(authorization) }];
  });
}

/**
 * Takes a package's bodies by what they are.
 * @throws Refusal `package-entry` for a body that nothing names, `malformed`
 */
export function requireReferenced(
  { bodies, manifests, entries }: ClaimedPackage,
  decision: Decision,
  inputs: DecisionInputs | null,
): PackageParts {
  const named = namedBodies(decision, inputs);
  const renewals = renewalBodies(
    entries.map(({ leaf }) => leaf),
    decision,
  );
  const known = new Set([...named, ...renewals].map(({ sha256 }) => sha256));
  for (const sha256 of bodies.keys())
    if (!known.has(sha256)) refuse('package-entry', 'a body that nothing in the package names', { sha256 });
  const dataOf = (name: string): Uint8Array | null => {
    const found = named.find((one) => one.name === name);
    return (found && bodies.get(found.sha256)) ?? null;
  };
  const result = dataOf(RESULT);
  return {
    inputs,
    request: dataOf('request'),
    evidence: named.flatMap(({ name, sha256 }) => {
      const data = bodies.get(sha256);
      return name.startsWith('evidence/') && data !== undefined
        ? [{ name: name.slice('evidence/'.length), data }]
        : [];
    }),
    attestationResult: result && fromUtf8(result, RESULT),
    authorizations: authorizationsOf(decision, dataOf(AUTHORIZATION)),
    renewed: renewals.flatMap(({ sha256 }) => {
      const data = bodies.get(sha256);
      return data === undefined ? [] : readList(data);
    }),
    missing: [
      // A leaf without inputs is of a decision that nobody can repeat.
      ...(decision.digests.inputs === null ? ['inputs'] : []),
      ...(inputs === null ? ['request'] : []),
      ...[...named, ...renewals].filter(({ sha256 }) => !bodies.has(sha256)).map(({ name }) => name),
      ...(decision.policy !== null && manifests.length === 0 ? ['policy-manifest'] : []),
    ],
  };
}

/** A token's text, or for an attestation the list of those that it renewed. */
function authorizationsOf({ purpose }: Decision, data: Uint8Array | null): readonly string[] {
  if (data === null) return [];
  return purpose === 'execution' ? [fromUtf8(data, AUTHORIZATION)] : readList(data);
}

const fail: Fail = (path, want) => refuse('package-form', `${path} is not ${want}`, { member: path });
const TOKENS = shape.list(shape.text({ max: 16_384 }), 256);

function readList(data: Uint8Array): readonly string[] {
  const limits = { maxBytes: 8 * 1024 * 1024, maxDepth: 2, maxValues: 1024 };
  return TOKENS(parseJson(data, 'renewed authorizations', limits), 'renewed', fail);
}
