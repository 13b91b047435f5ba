import { formatLogProof, proveInclusion } from '../audit/index.ts';
import { fromUtf8, utf8 } from '../base/index.ts';
import type { Services } from './services.ts';
import { AdminProblem } from './problem.ts';

/** The log's head as it was read. */
export async function readHead({
  store,
}: Pick<Services, 'store'>): Promise<{ readonly size: bigint; readonly checkpoint: string }> {
  const found = await store.head();
  if (found === undefined) throw new AdminProblem('not-found', 'the log has no entry yet');
  return { size: BigInt(found.size), checkpoint: found.checkpoint };
}

/**
 * The checkpoint that everybody is shown: the newest, and where the log has witnesses one that their quorum cosigned and
 * that is not older than the head is now. It waits a little for that; without a quorum the head is shown with the
 * cosignatures that it has, so that a log whose witnesses are away looks like what it is.
 */
export async function publishedHead(
  services: Pick<Services, 'store' | 'witnessing'>,
): Promise<{ readonly size: bigint; readonly checkpoint: string }> {
  const head = await readHead(services);
  if (services.witnessing === undefined) return head;
  const cosigned = await services.witnessing.covering(head.size);
  return cosigned === undefined
    ? { size: head.size, checkpoint: services.witnessing.cosignaturesOf(head.checkpoint) }
    : { size: cosigned.claimed.size, checkpoint: cosigned.text };
}

/** A tlog-proof of one entry in the checkpoint that is shown. */
export async function proofText(
  services: Pick<Services, 'store' | 'witnessing'>,
  index: bigint,
): Promise<string> {
  const { size, checkpoint } = await publishedHead(services);
  if (index >= size) throw new AdminProblem('not-found', `the log has ${String(size)} entries`);
  const hashes = await proveInclusion(index, size, services.store.tiles);
  return fromUtf8(formatLogProof({ index, hashes, checkpoint: utf8(checkpoint) }), 'proof');
}
