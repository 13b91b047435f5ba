import { formatLogProof, proveInclusion } from '../audit/index.ts';
import { fromUtf8, utf8 } from '../base/index.ts';
import type { Services } from './compose.ts';
import { AdminProblem } from './problem.ts';

/** The log's head as it was read. */
export async function readHead({
  store,
}: Pick<Services, 'store'>): Promise<{ readonly size: bigint; readonly checkpoint: string }> {
  const found = await store.head();
  if (found === undefined) throw new AdminProblem('not-found', 'the log has no entry yet');
  return { size: BigInt(found.size), checkpoint: found.checkpoint };
}

/** A tlog-proof of one entry in the newest checkpoint. */
export async function proofText(services: Pick<Services, 'store'>, index: bigint): Promise<string> {
  const { size, checkpoint } = await readHead(services);
  if (index >= size) throw new AdminProblem('not-found', `the log has ${String(size)} entries`);
  const hashes = await proveInclusion(index, size, services.store.tiles);
  return fromUtf8(formatLogProof({ index, hashes, checkpoint: utf8(checkpoint) }), 'proof');
}
