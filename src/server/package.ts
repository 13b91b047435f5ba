import { formatLogProof, parseLeaf, proveInclusion } from '../audit/index.ts';
import type { AuditLeaf } from '../audit/index.ts';
import { fromUtf8, utf8 } from '../base/index.ts';
import { EXECUTION, buildPackage, parseExecutionRecord } from '../lifecycle/index.ts';
import { openFirstTrustBundle, openNextTrustBundle } from '../policy/index.ts';
import type { VerifiedTrustBundle } from '../policy/index.ts';
import type { Services } from './services.ts';
import { readHead } from './log-proof-text.ts';
import { readBundleRecord } from './policy/policy-records.ts';
import { AdminProblem } from './problem.ts';

type PackageServices = Pick<Services, 'store' | 'records' | 'trust' | 'decisions'>;
type Decision = Extract<AuditLeaf, { kind: 'decision' }>;

/** An entry of the log and its position. */
interface Entry {
  readonly position: number;
  readonly data: Uint8Array;
}

/** The package of an execution: everything that its decision rests on, as far as it is still kept. */
export async function executionPackage(services: PackageServices, executionId: string): Promise<string> {
  const record = await services.records.get({ kind: EXECUTION, id: executionId });
  if (record === undefined) throw new AdminProblem('not-found', 'no such execution');
  const { size } = await readHead(services);
  // The index of lineage says where to look; what is found is entries of the log, and they are proved.
  const { entries, found } = await services.store.lineage({
    ask: 'ancestors',
    executionId,
    size: Number(size),
  });
  const [own] = found;
  const entry = entries.find(({ position }) => position === own?.decision);
  if (entry === undefined) throw new AdminProblem('not-found', 'the log has no decision of this execution');
  const { chain } = parseExecutionRecord(record.body);
  return await packageOf(services, readDecision(entry.data), entries, chain);
}

/** The package of one decision by its place in the log: that is how denials and attestations are found. */
export async function decisionPackage(services: PackageServices, position: bigint): Promise<string> {
  const { size } = await readHead(services);
  const [data] = position < size ? await services.store.leaves(Number(position), 1) : [];
  if (data === undefined) throw new AdminProblem('not-found', `the log has ${String(size)} entries`);
  const decision = readDecision(data);
  const [executionId = ''] = decision.executions;
  if (decision.outcome === 'allow' && decision.purpose === 'execution')
    return await executionPackage(services, executionId);
  return await packageOf(services, decision, [{ position: Number(position), data }], []);
}

/** @throws AdminProblem `not-found` for what is no decision */
function readDecision(data: Uint8Array): Decision {
  const leaf = parseLeaf(data);
  if (leaf.kind === 'decision') return leaf;
  throw new AdminProblem('not-found', 'this entry of the log is no decision');
}

async function packageOf(
  services: PackageServices,
  decision: Decision,
  entries: readonly Entry[],
  chain: readonly string[],
): Promise<string> {
  const { policy } = decision;
  const stored = policy === null ? undefined : await readBundleRecord(services.records, policy.digest);
  return await buildPackage({
    decision,
    entries: await proved(services, entries),
    trust: { chain: services.trust.chain, versions: versionsOf(services) },
    manifest: stored?.manifest ?? null,
    chain,
    body: (sha256) => services.decisions.bodies.get(sha256),
  });
}

/** Each entry with its proof, all in the newest checkpoint. */
async function proved(
  services: PackageServices,
  entries: readonly Entry[],
): Promise<readonly { readonly leaf: string; readonly proof: string }[]> {
  const { size, checkpoint } = await readHead(services);
  const out = [];
  for (const { position, data } of entries) {
    const index = BigInt(position);
    const hashes = await proveInclusion(index, size, services.store.tiles);
    const proof = formatLogProof({ index, hashes, checkpoint: utf8(checkpoint) });
    out.push({ leaf: fromUtf8(data, 'leaf'), proof: fromUtf8(proof, 'proof') });
  }
  return out;
}

function versionsOf({ trust }: PackageServices): readonly VerifiedTrustBundle[] {
  const versions: VerifiedTrustBundle[] = [];
  for (const envelope of trust.chain) {
    const bytes = utf8(JSON.stringify(envelope));
    const before = versions.at(-1);
    versions.push(
      before === undefined
        ? openFirstTrustBundle(bytes, trust.current.trustDomain)
        : openNextTrustBundle(before, bytes),
    );
  }
  return versions;
}
