import type { Checkpoint, VerifierKey } from '../audit/index.ts';
import { Refusal } from '../base/index.ts';
import { readHighWater, requireContinues } from '../server/high-water.ts';
import type { LogHead } from '../server/high-water.ts';
import type { StoredHead } from '../store/index.ts';

/** What an installation remembers of its log, besides a copy that is to be put in its place. */
export interface KnownLog {
  readonly highWaterFile: string;
  readonly stored: StoredHead;
  readonly logKeys: readonly VerifierKey[];
}

/** Why a copy may lack entries that were answered; empty when it has all that is known here. */
export async function lostEntries(copy: LogHead, known: KnownLog): Promise<readonly string[]> {
  const { highWaterFile, stored, logKeys } = known;
  const lost: string[] = [];
  let remembered: Checkpoint | undefined;
  try {
    remembered = readHighWater(highWaterFile, logKeys);
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    lost.push(`the high-water file can’t be believed: ${error.reason}`);
  }
  if (stored.state === 'unreadable')
    lost.push(`how long the log of the store in place is can’t be read: ${stored.reason}`);
  if (remembered !== undefined) lost.push(...(await missing(copy, remembered, 'the high-water file')));
  if (stored.state === 'signed') lost.push(...(await missing(copy, stored.head, 'the store in place')));
  // Silence is no proof: a machine that remembers nothing would take any backup for the newest.
  if (lost.length === 0 && remembered === undefined && stored.state === 'none')
    lost.push('nothing here remembers how long the log was: there is neither a high-water file nor a store');
  return lost;
}

async function missing(copy: LogHead, known: Checkpoint, where: string): Promise<readonly string[]> {
  try {
    await requireContinues(copy, known);
    return [];
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    const sizes = `${where} has ${String(known.size)} entries, the backup ${String(copy.size)}`;
    return [copy.size < known.size ? sizes : `${sizes}, of another history`];
  }
}
