import { leafBody, leafHash, parseLeaf } from '../audit/index.ts';
import type { Change, LeafActor, OpeningLeaf } from '../audit/index.ts';
import { jcsSha256, refuse, toHex } from '../base/index.ts';
import type { JsonObject } from '../base/index.ts';
import { RECORD, holdHost, isHeld, parseHost } from '../enrollment/index.ts';
import { CHILDREN, EXECUTION, HOST_EXECUTIONS } from '../lifecycle/index.ts';
import type { TrustBundle } from '../policy/index.ts';
import type { StoreContent } from '../store/index.ts';

/** A log that is to open in place of one whose newest entries are lost. */
export interface SuccessorTerms {
  readonly origin: string;
  readonly previous: NonNullable<OpeningLeaf['previous']>;
  /** Who says so in the entries. */
  readonly replica: string;
  /** False: hosts stay quarantined until an operator restores each. */
  readonly hostsReturn: boolean;
}

const { kind: HELD } = RECORD.held('');

/** Rows that go over with one entry. */
const BATCH = 2000;

/**
 * What no successor knows: executions end with the log that they were allowed in. Lost entries may have revoked them,
 * renewed them or given them children, so nothing of them goes on; and a host counts its executions anew. Nor do hosts
 * come back by what an earlier log allowed: those that it held are held anew, by the terms of this one.
 */
const ENDS_WITH_ITS_LOG: ReadonlySet<string> = new Set([EXECUTION, CHILDREN, HOST_EXECUTIONS, HELD]);

/**
 * The first changes of a successor: its opening; what the restored store knew, each batch with an entry that names its
 * digest; and every host that is active, or would be by its next attestation, quarantined.
 */
export function successorChanges(content: StoreContent, terms: SuccessorTerms): readonly Change[] {
  const { origin, previous } = terms;
  const by: LeafActor = { kind: 'verifier', id: terms.replica };
  const records = content.records.filter(({ kind }) => !ENDS_WITH_ITS_LOG.has(kind));
  return [
    plain(leafBody({ v: 1, kind: 'opening', origin, previous })),
    ...batches(records).map((writes) => ({ ...plain(takenOver('records', writes, by)), writes })),
    ...batches(content.once).map((rows) => ({
      ...plain(takenOver('ids', rows, by)),
      once: rows.map((row) => ({ ...row, check: 'replay-nonce' as const, reason: 'an id comes twice' })),
    })),
    ...heldHosts(content.records, by, terms.hostsReturn),
  ];
}

const plain = (leaf: JsonObject): Change => ({ leaf, preconditions: [], once: [], writes: [], bodies: [] });

function batches<T>(rows: readonly T[]): readonly (readonly T[])[] {
  return Array.from({ length: Math.ceil(rows.length / BATCH) }, (_, i) =>
    rows.slice(i * BATCH, (i + 1) * BATCH),
  );
}

/** Its digest is of rows as they are stored: secrets are encrypted there. */
function takenOver(what: string, rows: readonly object[], by: LeafActor): JsonObject {
  const digest = `sha256:${toHex(jcsSha256(rows.map((row) => ({ ...row }))))}`;
  const [action, target] = [`${what}-taken-over`, String(rows.length)];
  return leafBody({ v: 1, kind: 'operator', action, target, digest, by });
}

/** What a record is after it was taken over. */
const TAKEN_OVER = { version: 1, leaf: '0' };

function heldHosts(records: StoreContent['records'], by: LeafActor, hostsReturn: boolean): readonly Change[] {
  const reason = 'entries of the log are lost';
  const heldBefore = new Map(records.filter(({ kind }) => kind === HELD).map((row) => [row.id, row]));
  return records
    .filter(({ kind }) => kind === 'host')
    .map((row) => parseHost({ ...row, ...TAKEN_OVER }))
    .map((stored) => ({ stored, held: heldBefore.get(stored.host.hostId) }))
    .filter(({ stored, held }) => stored.host.state === 'active' || isHeld(stored, held))
    .map(({ stored, held }) =>
      holdHost(stored, reason, by, { returns: hostsReturn, ...(held === undefined ? {} : { held }) }),
    );
}

/**
 * A log that goes on from a closed one is the one that the authorities named, by its first entry; and who was named a
 * successor has it. So who holds this verifier's keys and disk alone can't begin again with less.
 * @param first the log's first entry; undefined for a store without one
 * @throws Refusal `log-successor`
 */
export function requireNamedLog(trust: Pick<TrustBundle, 'succession'>, first: Uint8Array | undefined): void {
  const named = trust.succession.at(-1);
  const leaf = first === undefined ? undefined : parseLeaf(first);
  const opening = leaf?.kind === 'opening' ? leaf : undefined;
  const previous = opening?.previous ?? null;
  if (named === undefined && previous === null) return;
  const no = (reason: string): never => refuse('log-successor', reason, { origin: opening?.origin ?? null });
  if (named === undefined) return no('the log goes on from a closed one, and no trust bundle says so');
  if (first === undefined || opening === undefined || previous === null)
    return no('the trust bundle names a log that goes on from a closed one, and the store has another');
  const root = `sha256:${toHex(leafHash(first))}`;
  if (named.opened.root !== root || named.opened.origin !== opening.origin)
    no('the log is not the one that the trust bundle names as the closed one’s successor');
  const { origin, size, kept } = previous;
  if (named.kept !== kept)
    no('the trust bundle says that another number of the closed log’s entries is kept than the log does');
  if (named.closed.origin !== origin || BigInt(named.closed.size) < BigInt(size))
    no('the trust bundle closes another log than this one goes on from, or at fewer entries');
}
