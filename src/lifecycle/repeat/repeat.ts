import { COMMIT_CHECKS } from '../../audit/index.ts';
import type { AuditLeaf, Change, DecisionLeaf, LeafPlace } from '../../audit/index.ts';
import { canonicalJson, fromHex, isJsonObject, parseJsonObject, refuse } from '../../base/index.ts';
import type { JsonObject, JsonValue } from '../../base/index.ts';
import { prepareAttestation } from '../attest.ts';
import { prepareSubmission } from '../decide.ts';
import { inputsBytes } from './decision-inputs.ts';
import type { DecisionInputs } from './decision-inputs.ts';
import { keptBody } from '../decision-leaf.ts';
import { evidenceCollection } from '../evidence-collection.ts';
import type { EvidenceItem } from '../evidence-collection.ts';
import { parseKeptRequest } from '../execution-request.ts';
import type { CommittedAnswer, Prepared } from '../prepared.ts';
import { repeatDeps } from './repeat-deps.ts';
import type { RepeatMaterial } from './repeat-deps.ts';
import type { Submission } from '../stages/request-stage.ts';

/** What came, as it was kept. */
export interface KeptSubmission {
  /** The request with its salts. */
  readonly request: Uint8Array;
  readonly evidence: readonly Pick<EvidenceItem, 'name' | 'data'>[];
}

/** A decision that was made again, with the same result to the byte. */
export interface Repeated {
  readonly outcome: 'allow' | 'deny';
  /** What a repetition can't show, by name (docs/PACKAGE.md). */
  readonly unchecked: readonly string[];
}

/** Members of a decision's leaf that the ledger adds. */
type Decision = Extract<AuditLeaf, { kind: 'decision' }>;

/**
 * Makes a decision, on an execution or on an attestation, again, offline, by the very stages that made it, and compares what comes out with
 * the log byte for byte: outcome, check and reason, every digest (so request, evidence, authorization and attestation
 * result), grants and serials, dependencies. PROTOCOL 11, invariant 13.
 *
 * Not repeated, since no one has what it takes: the sealed object (its key was random and is gone), for which the
 * leaf's digest is taken; the MAC of the nonce; a token of an initiator, for which its verified claims are taken; what
 * only the commit could see.
 * @throws Refusal `decision-repeat` when anything differs; `decision-inputs`, `request-form`
 */
export async function repeatDecision(
  leaf: Decision,
  kept: KeptSubmission,
  material: RepeatMaterial,
): Promise<Repeated> {
  requireSame(material.inputs, leaf, kept);
  const { prepared, token } = await prepareAgain(leaf, kept, material);
  const atCommit = wasDeniedAtCommit(leaf);
  requireEqual(repeatedLeaf(leaf, prepared, atCommit), bodyOf(leaf));
  return {
    outcome: leaf.outcome,
    unchecked: [
      'challenge-mac',
      ...(leaf.digests.sealed === null ? [] : ['sealed-object']),
      ...(token ? ['initiator-token'] : []),
      ...(atCommit ? ['commit-state'] : []),
    ],
  };
}

/** The stages, run again. */
async function prepareAgain(
  leaf: Decision,
  kept: KeptSubmission,
  material: RepeatMaterial,
): Promise<{ readonly prepared: Prepared<CommittedAnswer>; readonly token: boolean }> {
  const { inputs } = material;
  const deps = repeatDeps(material);
  if (inputs.purpose === 'attestation') {
    const body = {
      request: parseJsonObject(kept.request, 'kept request', KEPT_LIMITS),
      proofs: inputs.received.proofs,
      evidence: evidenceCollection(kept.evidence, inputs.received.imaFirst),
    };
    const { prepared } = await prepareAttestation(body, leaf.hostId, inputs.caller, deps);
    return { prepared, token: false };
  }
  const { submission, token } = readKept(leaf, kept, inputs);
  return { prepared: await prepareSubmission(() => submission, inputs.caller, deps), token };
}

/** @throws Refusal `decision-repeat` */
function requireSame(
  inputs: DecisionInputs,
  { digests, index }: Decision,
  { request }: KeptSubmission,
): void {
  if (`sha256:${keptBody(inputsBytes(inputs)).sha256}` !== digests.inputs)
    refuse('decision-repeat', 'the inputs are those of another decision', { index });
  if (keptBody(request).sha256 !== inputs.received.request)
    refuse('decision-repeat', 'the request is that of another decision', { index });
}

const KEPT_LIMITS = { maxBytes: 64 * 1024 * 1024, maxDepth: 8 };

/** The submission as it came, but for a token: that is its digest now, and the request's own digest the leaf's. */
export function readKept(
  { digests }: DecisionLeaf,
  { request: bytes, evidence }: KeptSubmission,
  { received }: DecisionInputs,
): { readonly submission: Submission; readonly token: boolean } {
  const { request: value } = parseJsonObject(bytes, 'kept request', KEPT_LIMITS);
  if (value === undefined || !isJsonObject(value))
    return refuse('decision-repeat', 'the kept request is none');
  const initiator = tokenDigest(value['initiator']);
  const request = { ...parseKeptRequest({ ...value, initiator: null }), initiator };
  const [workload = null, parent = null, ofInitiator = null, ...more] = received.proofs;
  if (workload === null || more.length > 0)
    return refuse('decision-repeat', 'not the proofs of an execution');
  return {
    submission: {
      request,
      proofs: { workload, parent, initiator: ofInitiator },
      evidence: evidenceCollection(evidence, received.imaFirst),
      ...(initiator === null ? {} : { digest: fromHex(digests.request.slice('sha256:'.length)) }),
    },
    token: initiator !== null,
  };
}

function tokenDigest(value: JsonValue | undefined): string | null {
  if (value === null) return null;
  return typeof value === 'string' && /^sha256:[0-9a-f]{64}$/.test(value)
    ? value
    : refuse('decision-repeat', 'the kept request has no digest of its token');
}

/** What the log would have of the repeated decision. @throws Refusal `decision-repeat` */
function repeatedLeaf(leaf: Decision, prepared: Prepared<CommittedAnswer>, atCommit: boolean): JsonObject {
  const { change } = prepared;
  if (change === undefined) {
    const detail = prepared.outcome === 'deny' ? { check: prepared.denial.check } : {};
    return refuse('decision-repeat', 'repeated, the decision leaves no leaf', detail);
  }
  if (atCommit) return deniedAtCommit(leaf, change);
  if (prepared.outcome === 'deny') return change.leaf;
  // The object was sealed under keys of that moment: its digest is what the log says.
  return withSealed(change.leaf, leaf.digests.sealed);
}

/** A commit's denial says check and reason; a stage's says its stage, too. */
const wasDeniedAtCommit = ({ denial }: Decision): boolean =>
  denial !== undefined && denial.stage === undefined && COMMIT_CHECKS.has(denial.check);

/** What the stages prepared for the case that the commit says no. @throws Refusal `decision-repeat` */
function deniedAtCommit({ denial }: Decision, { denialLeaf }: Change): JsonObject {
  if (denial === undefined || denialLeaf === undefined)
    return refuse('decision-repeat', 'repeated, the decision has no denial');
  return { ...denialLeaf, denial: { check: denial.check, reason: denial.reason } };
}

function withSealed(made: JsonObject, sealed: string | null): JsonObject {
  const digests = made['digests'];
  if (digests === undefined || !isJsonObject(digests) || (digests['sealed'] === null) !== (sealed === null))
    return refuse('decision-repeat', 'repeated, the decision seals something else', {});
  return { ...made, digests: { ...digests, sealed } };
}

const PLACE: ReadonlySet<string> = new Set<keyof LeafPlace>(['index', 'time', 'epoch']);

/** The leaf without what the ledger added. */
function bodyOf(leaf: Decision): JsonObject {
  const members = Object.entries(leaf).filter(([name]) => !PLACE.has(name));
  // It was read from JSON; interfaces just have no index signature.
  return Object.fromEntries(members);
}

/** Byte for byte. @throws Refusal `decision-repeat`, naming what differs */
function requireEqual(made: JsonObject, logged: JsonObject): void {
  if (canonicalJson(made) === canonicalJson(logged)) return;
  refuse('decision-repeat', 'repeated, the decision is another one', {
    differs: differences(made, logged, ''),
  });
}

/** Paths of members that differ, two levels deep: for who looks for the reason. */
function differences(made: JsonObject, logged: JsonObject, path: string): string[] {
  const names = [...new Set([...Object.keys(made), ...Object.keys(logged)])].sort();
  return names.flatMap((name) => {
    const [a, b] = [made[name], logged[name]];
    if (a !== undefined && b !== undefined && canonicalJson(a) === canonicalJson(b)) return [];
    if (path === '' && a !== undefined && b !== undefined && isJsonObject(a) && isJsonObject(b))
      return differences(a, b, `${name}.`);
    return [`${path}${name}`];
  });
}
