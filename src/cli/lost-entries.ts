import { existsSync, readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { parseCheckpoint, verifyCheckpoint } from '../audit/index.ts';
import type { Checkpoint, ClosedBy, VerifierKey } from '../audit/index.ts';
import { Refusal, equalBytes } from '../base/index.ts';
import { CLOSED_MARK, readHighWater, requireContinues } from '../server/high-water.ts';
import type { LogHead } from '../server/high-water.ts';
import type { StoredHead } from '../store/index.ts';
import { readInput } from './input.ts';

/** A tree head of this installation's log that was signed, and who remembers it. */
export interface KnownHead {
  readonly source: ClosedBy;
  /** For people. */
  readonly where: string;
  readonly head: Checkpoint;
}

/** What an installation remembers of its log, besides a copy that is to be put in its place. */
export interface KnownLog {
  readonly heads: readonly KnownHead[];
  /** The high-water file's; undefined where there is none, null where nobody can believe it. */
  readonly mark: Checkpoint | undefined | null;
  /** Why it may know less than there was. */
  readonly doubts: readonly string[];
}

/** Where to look. */
export interface KnownPlaces {
  readonly highWaterFile: string;
  readonly stored: StoredHead;
  readonly logKeys: readonly VerifierKey[];
  /** Checkpoints that hosts, auditors or witnesses have. */
  readonly checkpoints?: readonly string[];
}

/**
 * Reads everything that says how long the log was, once.
 * @throws Refusal `log-signature`, `log-origin`, `malformed` for a checkpoint that was named
 */
export function readKnown({ highWaterFile, stored, logKeys, checkpoints = [] }: KnownPlaces): KnownLog {
  const heads: KnownHead[] = [];
  const doubts: string[] = [];
  const { mark, doubt } = readMark(highWaterFile, logKeys);
  if (doubt !== undefined) doubts.push(doubt);
  if (stored.state === 'unreadable')
    doubts.push(`how long the log of the store in place is can’t be read: ${stored.reason}`);
  if (mark) heads.push({ source: 'high-water', where: 'the high-water file', head: mark });
  for (const head of earlierMarks(highWaterFile, logKeys))
    heads.push({ source: 'high-water', where: 'an earlier high-water file', head });
  if (stored.state === 'signed')
    heads.push({ source: 'store', where: 'the store in place', head: stored.head });
  for (const file of checkpoints) {
    const checkpoint = parseCheckpoint(readInput(file, 'checkpoint', 128 * 1024));
    verifyCheckpoint(checkpoint, logKeys);
    heads.push({ source: 'checkpoint', where: path.basename(file), head: checkpoint.claimed });
  }
  // Silence is no proof: a machine that remembers nothing would take any backup for the newest.
  if (mark === undefined && stored.state === 'none')
    doubts.push(
      'nothing here remembers how long the log was: there is neither a high-water file nor a store',
    );
  return { heads, mark, doubts };
}

function readMark(
  file: string,
  logKeys: readonly VerifierKey[],
): { readonly mark: KnownLog['mark']; readonly doubt?: string } {
  try {
    return { mark: readHighWater(file, logKeys) };
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    return { mark: null, doubt: `the high-water file can’t be believed: ${error.reason}` };
  }
}

/** Marks that a closing which didn't come to its end put aside; those of logs that were closed before are another's. */
function earlierMarks(file: string, logKeys: readonly VerifierKey[]): Checkpoint[] {
  const [directory, prefix] = [path.dirname(file), `${path.basename(file)}${CLOSED_MARK}`];
  return (existsSync(directory) ? readdirSync(directory) : [])
    .filter((name) => name.startsWith(prefix))
    .flatMap((name) => {
      try {
        const checkpoint = parseCheckpoint(new Uint8Array(readFileSync(path.join(directory, name))));
        verifyCheckpoint(checkpoint, logKeys);
        return [checkpoint.claimed];
      } catch (error) {
        if (error instanceof Refusal) return [];
        throw error;
      }
    });
}

/** What a copy lacks of what is known. */
export interface LostEntries {
  /** Why entries that were answered may be missing; empty when it has all that is known here. */
  readonly lost: readonly string[];
  /** Those that the copy contradicts, or that contradict each other: it may be no earlier moment of that log. */
  readonly forked: readonly string[];
}

/** Compares a copy with all that is known. */
export async function lostEntries(copy: LogHead, { heads, doubts }: KnownLog): Promise<LostEntries> {
  const lost = [...doubts];
  const forked = [...histories(heads)];
  for (const { head, where } of heads) {
    if (await hasAllOf(copy, head)) continue;
    const sizes = `${where} has ${String(head.size)} entries, the backup ${String(copy.size)}`;
    if (copy.size >= head.size) forked.push(`${sizes}, of another history`);
    else lost.push(sizes);
  }
  return { lost: [...lost, ...forked], forked };
}

/** Heads of one size and of different roots: the copy may have neither, and still no log has both. */
function histories(heads: readonly KnownHead[]): readonly string[] {
  const first = new Map<bigint, KnownHead>();
  return heads.flatMap((one) => {
    const { head, where } = one;
    const other = first.get(head.size) ?? one;
    first.set(head.size, other);
    if (equalBytes(head.root, other.head.root)) return [];
    const size = String(head.size);
    return [
      `${other.where} and ${where} have ${size} entries each, of two histories: the log’s key signed both`,
    ];
  });
}

/** What a copy may have forgotten as a witness of other logs. Cosigning adds no entry: that none is lost says nothing of it. */
export function witnessWarnings({
  witnessed,
  stored,
}: {
  readonly witnessed: number;
  readonly stored: StoredHead;
}): readonly string[] {
  const inPlace = stored.state === 'unreadable' || (stored.state === 'signed' && stored.witnessed > 0);
  return witnessed > 0 || inPlace
    ? ['as a witness this verifier may have cosigned newer heads of other logs: exchange its witness key']
    : [];
}

/** Evidence that was left out of a copy. */
export function droppedWarnings({ dropped }: { readonly dropped: readonly string[] }): readonly string[] {
  return dropped.map((sha256) => `evidence was damaged and is left out: sha256:${sha256}`);
}

async function hasAllOf(copy: LogHead, known: Checkpoint): Promise<boolean> {
  try {
    await requireContinues(copy, known);
    return true;
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    return false;
  }
}
