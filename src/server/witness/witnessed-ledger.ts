import { formatLogProof, parseCheckpoint, proveInclusion } from '../../audit/index.ts';
import type { Change, Committed, Ledger, QuorumPolicy, TileReader } from '../../audit/index.ts';
import { fromUtf8, refuse, utf8 } from '../../base/index.ts';
import { meetsQuorum } from './witnessing.ts';
import type { Witnessing } from './witnessing.ts';

/** What answers need whose checkpoint has to be cosigned. */
export interface WitnessedLedgerParts {
  readonly ledger: Ledger;
  /** Undefined when no witness is configured. */
  readonly witnessing: Witnessing | undefined;
  readonly tiles: TileReader;
  /** The quorums that whoever gets the answer will ask for; none: it is answered as it was committed. */
  readonly quorums: (change: Change) => Promise<readonly QuorumPolicy[]>;
}

/**
 * A ledger whose allows are answered with a cosigned checkpoint where hosts will ask for one. What was committed stays
 * committed: when the quorum isn't there in time the leaf is in the log and nothing of what it promised has left.
 */
export function witnessedLedger(parts: WitnessedLedgerParts): Ledger {
  return {
    commit: async (change) => {
      const committed = await parts.ledger.commit(change);
      if (!committed.ok || committed.leaf === undefined) return committed;
      const quorums = await parts.quorums(change);
      return quorums.length === 0 ? committed : await cosigned(committed, quorums, parts);
    },
  };
}

/** @throws Refusal `witness-quorum` */
async function cosigned(
  committed: Committed,
  quorums: readonly QuorumPolicy[],
  { witnessing, tiles }: WitnessedLedgerParts,
): Promise<Committed> {
  const { checkpoint = '', index = '0' } = committed;
  const { size } = parseCheckpoint(utf8(checkpoint)).claimed;
  const found = await witnessing?.covering(size, (one) =>
    quorums.every((quorum) => meetsQuorum(one, quorum)),
  );
  if (found === undefined)
    return refuse('witness-quorum', 'too few witnesses cosigned the checkpoint of this decision in time', {
      auditIndex: index,
      configured: witnessing !== undefined,
    });
  const hashes = await proveInclusion(BigInt(index), found.claimed.size, tiles);
  const proof = formatLogProof({ index: BigInt(index), hashes, checkpoint: utf8(found.text) });
  return { ...committed, checkpoint: found.text, proof: fromUtf8(proof, 'proof') };
}
