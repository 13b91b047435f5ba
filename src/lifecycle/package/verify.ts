import { leafHash, verifyLogProof } from '../../audit/index.ts';
import type { AuditLeaf, UnverifiedLogProof } from '../../audit/index.ts';
import {
  AUTHORIZATION_TYPE,
  CLAIMS_LIMITS,
  MAX_DEPTH,
  MAX_LIFETIME_SECONDS,
  examineChain,
  parseClaims,
  verifyJws,
} from '../../authorization/index.ts';
import type { AuthorizationClaims } from '../../authorization/index.ts';
import { equalBytes, fromBase64url, refuse } from '../../base/index.ts';
import type { CedarLoader } from '../../policy/index.ts';
import { parseDecisionInputs } from '../repeat/decision-inputs.ts';
import type { DecisionInputs } from '../repeat/decision-inputs.ts';
import { textDigest } from '../decision-leaf.ts';
import { requireRelated, toldOutcome } from './entries.ts';
import type { ToldOutcome } from './entries.ts';
import { parsePackage } from './format.ts';
import type { ClaimedPackage } from './format.ts';
import { openPackagePolicy, requireManifests } from './policy.ts';
import { requireReferenced } from './parts.ts';
import type { PackageParts } from './parts.ts';
import { everyKey, judgeCheckpoint, openPackageTrust, packageLogKeys, repeatTrust } from './trust.ts';
import type { PackagePins, PackageTrust } from './trust.ts';
import { repeatDecision } from '../repeat/repeat.ts';
import type { KeptSubmission } from '../repeat/repeat.ts';
import type { RepeatMaterial } from '../repeat/repeat-deps.ts';

type Decision = Extract<AuditLeaf, { kind: 'decision' }>;

/** What a package proved. */
export interface PackageReport {
  readonly executionId: string | null;
  /** Index of the decision's leaf. */
  readonly decision: string;
  readonly purpose: Decision['purpose'];
  readonly outcome: 'allow' | 'deny';
  /** Check that denied; null for an allow. */
  readonly check: string | null;
  /** What became of it, as far as the package tells; null for a denial, and while nothing was reported. */
  readonly state: ToldOutcome | null;
  readonly log: { readonly origin: string; readonly size: string };
  readonly trust: { readonly trustDomain: string; readonly version: number; readonly pinned: boolean };
  readonly entries: readonly {
    readonly index: string;
    readonly time: string;
    readonly kind: AuditLeaf['kind'];
  }[];
  /** Whether the decision was made again, to the same bytes. */
  readonly repeated: boolean;
  /** What is not there: deleted after its retention time, or left out. */
  readonly missing: readonly string[];
  /** What could not be verified (docs/PACKAGE.md). */
  readonly unchecked: readonly string[];
}

/**
 * Verifies an execution package with nothing else at hand: form, trust bundles, the log's signature and the inclusion
 * of every entry, digests of everything that the decision's leaf names, signatures of policy, attestation result and
 * authorizations, and the decision itself, made again to the same bytes (quote, logs, appraisal, artifact signatures
 * and policy with it). What is missing is said; what is there is verified, all of it.
 * @throws Refusal `package-…`, `decision-repeat`, `log-…`, and those of everything that is verified
 */
export async function verifyPackage(
  bytes: Uint8Array,
  pins: PackagePins,
  load: CedarLoader,
): Promise<PackageReport> {
  return (await openPackage(bytes, pins, load)).report;
}

/** A package that verified, and what its decision was repeated from. */
export interface OpenedPackage {
  readonly report: PackageReport;
  readonly decision: Decision;
  /** Null where something that it takes is missing. */
  readonly repeatable: { readonly kept: KeptSubmission; readonly material: RepeatMaterial } | null;
}

/** As {@link verifyPackage}, for who goes on with what is in it. */
export async function openPackage(
  bytes: Uint8Array,
  pins: PackagePins,
  load: CedarLoader,
): Promise<OpenedPackage> {
  const claimed = parsePackage(bytes);
  const trust = openPackageTrust(claimed.trust, pins);
  const { checkpoint, witnessed, currentKey } = verifyEntries(claimed, trust, pins);
  const decision = decisionOf(claimed);
  const parts = requireReferenced(claimed, decision, inputsOf(claimed, decision));
  requireManifests(claimed, decision, trust);
  await verifyResult(parts, trust);
  await verifySigned(parts, trust);
  const chained = await verifyChain(claimed, decision, parts, trust);
  const repeatable = repeatableOf(claimed, decision, parts, trust, load);
  const repeated =
    repeatable === null ? null : await repeatDecision(decision, repeatable.kept, repeatable.material);
  const report: PackageReport = {
    ...subjectOf(claimed, decision),
    state: toldOutcome(claimed.entries, claimed.subject.executionId),
    log: { origin: checkpoint.claimed.origin, size: String(checkpoint.claimed.size) },
    trust: {
      trustDomain: trust.newest.trustDomain,
      version: trust.newest.version,
      pinned: pins.trustBundle !== undefined,
    },
    entries: claimed.entries.map(({ leaf: { index, time, kind } }) => ({ index, time, kind })),
    repeated: repeated !== null,
    missing: parts.missing,
    unchecked: [
      // Whoever made the package chose its entries: one may have been left out, and the log went on afterwards.
      'other-entries',
      'state',
      ...(pins.trustBundle === undefined ? ['trust-bundle'] : []),
      ...(trust.newest.witnesses !== null && !witnessed ? ['witnesses'] : []),
      ...(currentKey ? [] : ['log-key']),
      ...chained,
      ...(repeated?.unchecked ?? ['decision']),
    ],
  };
  return { report, decision, repeatable };
}

/** Each entry is in the log, all in one checkpoint. */
function verifyEntries(
  { entries }: ClaimedPackage,
  trust: PackageTrust,
  pins: PackagePins,
): { readonly checkpoint: UnverifiedLogProof; readonly witnessed: boolean; readonly currentKey: boolean } {
  const [first] = entries;
  if (first === undefined) return refuse('package-entry', 'a package without an entry');
  const { proof: checkpoint } = first;
  const judged = judgeCheckpoint(checkpoint, trust, pins);
  const logKeys = packageLogKeys(trust, pins);
  for (const { bytes, proof } of entries) {
    if (!equalBytes(proof.checkpoint, checkpoint.checkpoint))
      refuse('package-entry', 'entries are proved in different checkpoints');
    if (proof.extra !== undefined)
      refuse('package-entry', 'a proof carries something that nobody authenticates');
    verifyLogProof(proof, { logKeys, leafHash: leafHash(bytes) });
  }
  return { checkpoint, ...judged };
}

/** The execution that a decision made; null for a denial, and for an attestation. */
export function madeBy({ outcome, purpose, executions }: Decision): string | null {
  return outcome === 'allow' && purpose === 'execution' ? (executions[0] ?? null) : null;
}

/** The decision that the package is about. @throws Refusal `package-entry` */
function decisionOf({ entries, subject }: ClaimedPackage): Decision {
  const leaf = entries.find((entry) => entry.leaf.index === subject.decision)?.leaf;
  if (leaf?.kind !== 'decision')
    return refuse('package-entry', 'the package has not the decision that it is about');
  const executionId = madeBy(leaf);
  if (subject.executionId !== executionId)
    refuse('package-entry', 'the decision is on another execution', { executionId });
  return leaf;
}

function subjectOf(
  { subject }: ClaimedPackage,
  { purpose, outcome, denial }: Decision,
): Pick<PackageReport, 'executionId' | 'decision' | 'purpose' | 'outcome' | 'check'> {
  return {
    executionId: subject.executionId,
    decision: subject.decision,
    purpose,
    outcome,
    check: denial?.check ?? null,
  };
}

function inputsOf({ bodies }: ClaimedPackage, { digests }: Decision): DecisionInputs | null {
  const bytes = digests.inputs === null ? undefined : bodies.get(digests.inputs.slice('sha256:'.length));
  return bytes === undefined ? null : parseDecisionInputs(bytes);
}

/** The attestation result is the verifier's. */
async function verifyResult({ attestationResult }: PackageParts, trust: PackageTrust): Promise<void> {
  if (attestationResult === null) return;
  await verifyJws(attestationResult, 'eat+jwt', everyKey(trust, 'ear'), 64 * 1024);
}

/**
 * Every authorization that the decision and the renewals signed is the verifier's. A repetition takes signatures as they
 * were made, and the chain has the newest authorizations only: without this nobody would look at the others'.
 */
async function verifySigned({ authorizations, renewed }: PackageParts, trust: PackageTrust): Promise<void> {
  const keys = everyKey(trust, 'authorization');
  for (const token of [...authorizations, ...renewed])
    await verifyJws(token, AUTHORIZATION_TYPE, keys, CLAIMS_LIMITS.maxBytes);
}

/**
 * The authorization as it is now, with everything above it: each signed by the verifier, none wider than the one before,
 * at the time when the last was issued.
 * @returns what could not be verified of it
 * @throws Refusal `package-entry` and those of `examineChain`
 */
async function verifyChain(
  { chain, entries, subject }: ClaimedPackage,
  decision: Decision,
  { renewed }: PackageParts,
  trust: PackageTrust,
): Promise<readonly string[]> {
  const last = chain.at(-1);
  if ((last === undefined) !== (subject.executionId === null))
    refuse('package-entry', 'an execution comes with its authorization, and nothing else does');
  if (last === undefined) {
    requireRelated(entries, decision, []);
    return [];
  }
  const { trustDomain, issuer } = trust.newest;
  const { claims, ancestors } = await examineChain(
    chain,
    {
      keys: everyKey(trust, 'authorization'),
      ...{ issuer, trustDomain },
      audience: { hostsOf: trustDomain },
      // What became of it is in the entries; here it is judged as of when it was issued.
      status: () => 'valid',
      ceilings: { depth: MAX_DEPTH, lifetime: MAX_LIFETIME_SECONDS, scopes: [] },
    },
    claimsOf(last).iat,
  );
  const links = [...ancestors, claims];
  requireOurs(links, decision, subject.executionId);
  requireRelated(
    entries,
    decision,
    links.map((link) => link.client_id),
  );
  const logged = new Set([
    ...entries.flatMap(({ leaf }) => authorizationOf(leaf)),
    ...renewed.map((token) => textDigest(token)),
  ]);
  return chain.every((token) => logged.has(textDigest(token))) ? [] : ['authorization-in-log'];
}

const claimsOf = (token: string): AuthorizationClaims =>
  parseClaims(fromBase64url(token.split('.')[1] ?? '', 'authorization'));

function requireOurs(links: readonly AuthorizationClaims[], { parent }: Decision, id: string | null): void {
  const own = links.at(-1);
  if (own?.client_id !== id || (links.at(-2)?.client_id ?? null) !== parent)
    refuse('package-entry', 'the authorizations are of another execution');
}

const authorizationOf = (leaf: AuditLeaf): readonly string[] =>
  leaf.kind === 'decision' && leaf.digests.authorization !== null ? [leaf.digests.authorization] : [];

/** What the decision is repeated from; null where something is missing. */
function repeatableOf(
  claimed: ClaimedPackage,
  decision: Decision,
  parts: PackageParts,
  trust: PackageTrust,
  load: CedarLoader,
): OpenedPackage['repeatable'] {
  const { inputs, request, evidence } = parts;
  if (inputs === null || request === null || parts.missing.length > 0) return null;
  const then =
    trust.versions.find(({ digest }) => digest === inputs.trust) ??
    refuse('package-trust', 'the trust bundle of the decision is not in the chain', { digest: inputs.trust });
  return {
    kept: { request, evidence },
    material: {
      inputs,
      policy: openPackagePolicy(claimed, decision, then, load),
      trust: repeatTrust(then),
      signed:
        parts.attestationResult === null
          ? null
          : { attestationResult: parts.attestationResult, authorizations: parts.authorizations },
      body: (sha256) => claimed.bodies.get(sha256),
    },
  };
}
