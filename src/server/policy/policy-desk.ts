import { leafBody } from '../../audit/index.ts';
import type { Change, Ledger, PolicyLeaf, Precondition, Records } from '../../audit/index.ts';
import { canonicalJson, equalBytes, refuse, utf8 } from '../../base/index.ts';
import type { Clock, JsonObject } from '../../base/index.ts';
import type { Operator } from '../../enrollment/index.ts';
import type { Revocations } from '../../lifecycle/index.ts';
import { manifestBytes, parseManifest, requireSuccessor, verifyManifest } from '../../policy/index.ts';
import type {
  Authorities,
  ManifestTrust,
  PolicyHighWater,
  PolicyManifest,
  PolicyParser,
  VerifiedManifest,
} from '../../policy/index.ts';
import type { ActivePolicies } from './active-policy.ts';
import {
  ACTIVE_POLICY,
  STAGED_POLICY,
  policyBundleRef,
  policyVersionRef,
  readBundleRecord,
  readPointer,
} from './policy-records.ts';
import type { Found, PolicyPointer } from './policy-records.ts';
import { AdminProblem } from '../problem.ts';

/** What staging and publishing need. */
export interface PolicyDesk {
  readonly records: Records;
  readonly ledger: Ledger;
  readonly clock: Clock;
  readonly trust: Omit<ManifestTrust, 'highest'>;
  readonly revocations: Pick<Revocations, 'revokedOf'>;
  readonly parser: PolicyParser;
  readonly policies: Pick<ActivePolicies, 'load'>;
}

/** A change to commit, and what it makes of which bundle. */
export interface PolicyStep {
  readonly change: Change;
  readonly manifest: PolicyManifest;
  readonly authorities: readonly string[];
  readonly warnings: readonly string[];
}

/** Bundles are kept as long as the log. */
const FOR_EVER = Number.MAX_SAFE_INTEGER;

/**
 * Prepares to stage a bundle. What the authorities didn't sign isn't even examined; what they signed is, in a worker,
 * so that a bundle that couldn't decide never gets near the one that does.
 * @throws Refusal `policy-signatures`, `policy-expired`, `policy-rollback`, `policy-history`, `policy-bundle-hash`,
 *   `policy-manifest`, `policy-revoked`, `policy-examination` and others of src/policy
 */
export async function stagePolicy(
  desk: PolicyDesk,
  { bundle, manifest }: { readonly bundle: JsonObject; readonly manifest: JsonObject },
  by: Operator,
): Promise<PolicyStep> {
  const active = await readPointer(desk.records, ACTIVE_POLICY);
  const staged = await readPointer(desk.records, STAGED_POLICY);
  const verified = await judgeManifest(desk, manifest, active);
  const bytes = utf8(canonicalJson(bundle));
  const examined = await desk.parser.examine(bytes);
  if (examined.hash !== verified.manifest.hash)
    refuse('policy-bundle-hash', 'the bundle is not the one that the authorities signed', {
      hash: examined.hash,
    });
  const made = parseManifest(utf8(canonicalJson(examined.manifest)));
  if (!equalBytes(manifestBytes(made), manifestBytes(verified.manifest)))
    refuse('policy-manifest', 'the manifest says something else than its bundle');
  const { hash, version, previous } = verified.manifest;
  const change: Change = {
    leaf: leafOf('stage', verified, by),
    preconditions: [unmoved(active, ACTIVE_POLICY), unmoved(staged, STAGED_POLICY)],
    once: [],
    writes: [
      { ...STAGED_POLICY, body: pointer(hash, version, verified.signers) },
      {
        ...policyBundleRef(hash),
        body: { v: 1, version, previous, manifest, authorities: [...verified.signers] },
      },
    ],
    bodies: [{ sha256: hash.replace(/^sha256:/, ''), data: bytes, keepUntil: FOR_EVER }],
  };
  const { warnings } = examined;
  return { change, manifest: verified.manifest, authorities: verified.signers, warnings };
}

/**
 * Prepares to publish the staged bundle: signatures, window and place in the history are judged again, and the bundle is
 * loaded as decisions will load it, before anything is committed.
 * @param digest policyHash of the staged bundle: what the operator looked at, not what somebody staged since
 * @throws AdminProblem `conflict` when another bundle is staged; Refusal as {@link stagePolicy}
 */
export async function publishPolicy(desk: PolicyDesk, digest: string, by: Operator): Promise<PolicyStep> {
  const active = await readPointer(desk.records, ACTIVE_POLICY);
  const staged = await readPointer(desk.records, STAGED_POLICY);
  if (staged?.body.digest !== digest)
    throw new AdminProblem('conflict', 'this bundle is not the one that is staged');
  const stored = await readBundleRecord(desk.records, digest);
  if (stored === undefined)
    return refuse('policy-record', 'the staged bundle is not in the store', { digest });
  const verified = await judgeManifest(desk, stored.manifest, active);
  const { bundle } = await desk.policies.load(digest);
  const { hash, version, previous } = verified.manifest;
  if (hash !== digest || bundle.hash !== digest || bundle.version !== version)
    refuse('policy-record', 'the staged bundle is not the one of its record', { digest });
  const entry = { digest, version, previous, authorities: [...verified.signers] };
  const at = new Date(desk.clock.now()).toISOString();
  const change: Change = {
    leaf: leafOf('publish', verified, by),
    preconditions: [
      unmoved(active, ACTIVE_POLICY),
      unmoved(staged, STAGED_POLICY),
      { ...policyVersionRef(version), is: 'absent', ...MOVED },
    ],
    once: [],
    writes: [
      { ...ACTIVE_POLICY, body: pointer(digest, version, verified.signers) },
      { ...STAGED_POLICY, body: pointer(null, 0, []) },
      { ...policyVersionRef(version), body: { v: 1, ...entry, at, by: by.name } },
    ],
    bodies: [],
  };
  return { change, manifest: verified.manifest, authorities: verified.signers, warnings: [] };
}

/** Signed by authorities that still count, in time, the next one after the active bundle. */
async function judgeManifest(
  desk: PolicyDesk,
  manifest: JsonObject,
  active: Found<PolicyPointer> | undefined,
): Promise<VerifiedManifest> {
  const highest = highWaterOf(active);
  const authorities = await standing(desk, desk.trust.authorities);
  const verified = verifyManifest(
    utf8(JSON.stringify(manifest)),
    { ...desk.trust, authorities, highest },
    desk.clock,
  );
  requireSuccessor(verified, highest);
  const [revoked] = await desk.revocations.revokedOf([{ kind: 'policy', id: verified.manifest.hash }]);
  if (revoked !== undefined)
    refuse('policy-revoked', 'this bundle was revoked', { digest: verified.manifest.hash });
  return verified;
}

/** Authorities without those that were revoked; the threshold stays. */
async function standing({ revocations }: PolicyDesk, { keys, threshold }: Authorities): Promise<Authorities> {
  const subjects = keys.map(({ key }) => ({ kind: 'authority' as const, id: key.fingerprint }));
  const gone = new Set((await revocations.revokedOf(subjects)).map(({ id }) => id));
  const left = keys.filter(({ key }) => !gone.has(key.fingerprint));
  if (left.length < threshold)
    refuse('policy-revoked', 'fewer authorities are left than must sign', { left: left.length, threshold });
  return { threshold, keys: left };
}

function highWaterOf(active: Found<PolicyPointer> | undefined): PolicyHighWater | undefined {
  if (active === undefined) return undefined;
  const { digest, version } = active.body;
  return digest === null ? refuse('policy-record', 'the active policy is none') : { version, hash: digest };
}

const MOVED = { check: 'policy-moved', reason: 'another bundle was staged or published meanwhile' } as const;

function unmoved(
  found: Found<PolicyPointer> | undefined,
  ref: typeof ACTIVE_POLICY | typeof STAGED_POLICY,
): Precondition {
  return found === undefined
    ? { ...ref, is: 'absent', ...MOVED }
    : { ...ref, is: 'version', version: found.record.version, ...MOVED };
}

function pointer(digest: string | null, version: number, authorities: readonly string[]): JsonObject {
  return { v: 1, digest, version, authorities: [...authorities] };
}

function leafOf(action: PolicyLeaf['action'], verified: VerifiedManifest, by: Operator): JsonObject {
  const { hash, version, previous } = verified.manifest;
  return leafBody({
    v: 1,
    kind: 'policy',
    action,
    digest: hash,
    version,
    previous,
    authorities: verified.signers,
    by: { kind: 'operator', id: by.certificate },
  });
}
