import { formatNote, parseCheckpoint, signNote, verifyCheckpoint, verifySignatures } from '../audit/index.ts';
import type { NoteSigner } from '../audit/index.ts';
import { fromUtf8, utf8 } from '../base/index.ts';
import type { Database } from './schema.ts';

/** What the sequencer needs besides the store. The log key is used nowhere else. */
export interface SequencerKeys {
  readonly signer: NoteSigner;
  /** The key that is to follow it: both sign while hosts and auditors learn of it (rotation). */
  readonly successor?: NoteSigner;
  /** MAC key of rows that decide. */
  readonly macKey: Uint8Array;
}

/** The signed checkpoint of a head: by the log's key, and by the one that is to follow it. */
export function signHead(text: string, { signer, successor }: SequencerKeys): string {
  const signers = successor === undefined ? [signer] : [signer, successor];
  return fromUtf8(formatNote({ text, signatures: signers.map((one) => signNote(text, one)) }), 'checkpoint');
}

/**
 * Signs the stored head again when a key that signs now hasn't signed it, so that a rotation needs no new entry. The text
 * stays byte for byte: it is the same tree head, never a second one of its size.
 * @throws Refusal `log-signature`, `log-origin`, `malformed` for a head that none of the keys signed
 */
export async function signHeadAnew(db: Database, keys: SequencerKeys): Promise<void> {
  const row = await db.selectFrom('head').select('checkpoint').executeTakeFirst();
  if (row === undefined) return;
  const signing = [keys.signer.key, ...(keys.successor === undefined ? [] : [keys.successor.key])];
  const checkpoint = parseCheckpoint(utf8(row.checkpoint));
  verifyCheckpoint(checkpoint, signing);
  if (verifySignatures(checkpoint.note, signing).length === signing.length) return;
  await db
    .updateTable('head')
    .set({ checkpoint: signHead(checkpoint.note.text, keys) })
    .execute();
}
