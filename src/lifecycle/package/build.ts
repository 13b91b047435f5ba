import { parseLeaf } from '../../audit/index.ts';
import type { AuditLeaf } from '../../audit/index.ts';
import { utf8 } from '../../base/index.ts';
import type { JsonObject } from '../../base/index.ts';
import type { VerifiedTrustBundle } from '../../policy/index.ts';
import { parseDecisionInputs } from '../repeat/decision-inputs.ts';
import { MAX_PACKAGE_BODIES, PACKAGE_TYPE, formatPackage, packageBody } from './format.ts';
import { plainEnvelope } from './envelope.ts';
import { namedBodies, renewalBodies } from './parts.ts';
import { everyAuthority, signersOf } from './trust.ts';
import { madeBy } from './verify.ts';

type Decision = Extract<AuditLeaf, { kind: 'decision' }>;

/** Everything that goes into a package. */
export interface PackageSources {
  readonly decision: Decision;
  /** In the order of the log, each with its tlog-proof in one checkpoint. */
  readonly entries: readonly { readonly leaf: string; readonly proof: string }[];
  /** DSSE envelopes as they are kept, and as they were verified. */
  readonly trust: {
    readonly chain: readonly JsonObject[];
    readonly versions: readonly VerifiedTrustBundle[];
  };
  /** The signed manifest of the policy that decided; null where it is no longer kept. */
  readonly manifest: JsonObject | null;
  /** The execution's authorizations, root first; empty for a denial. */
  readonly chain: readonly string[];
  /** A kept body by hex SHA-256; undefined when it is not, or no longer, kept. */
  readonly body: (sha256: string) => Promise<Uint8Array | undefined>;
}

/**
 * Puts a package together. What is no longer kept is left out, and what doesn't fit, the largest first: whoever verifies
 * the package is told of both.
 * @returns its text
 */
export async function buildPackage(sources: PackageSources): Promise<string> {
  const { decision, trust } = sources;
  return formatPackage({
    v: 1,
    type: PACKAGE_TYPE,
    subject: {
      executionId: madeBy(decision),
      decision: decision.index,
    },
    entries: sources.entries,
    trust: trust.chain.map((envelope, i) => plainEnvelope(envelope, signersOf(trust.versions, i))),
    manifests:
      sources.manifest === null ? [] : [plainEnvelope(sources.manifest, everyAuthority(trust.versions))],
    chain: sources.chain,
    bodies: (await bodiesOf(sources)).map(packageBody).sort((a, b) => (a.sha256 < b.sha256 ? -1 : 1)),
  });
}

async function bodiesOf({ decision, entries, body }: PackageSources): Promise<readonly Uint8Array[]> {
  const { inputs: digest } = decision.digests;
  const inputs = digest === null ? undefined : await body(digest.slice('sha256:'.length));
  const leaves = entries.map(({ leaf }) => parseLeaf(utf8(leaf)));
  const named = [
    ...namedBodies(decision, inputs === undefined ? null : parseDecisionInputs(inputs)),
    ...renewalBodies(leaves, decision),
  ];
  const found: Uint8Array[] = [];
  for (const sha256 of new Set(named.map((one) => one.sha256))) {
    const data = await body(sha256);
    if (data !== undefined) found.push(data);
  }
  let total = 0;
  return found
    .sort((a, b) => a.length - b.length)
    .filter((data) => (total += data.length) <= MAX_PACKAGE_BODIES);
}
