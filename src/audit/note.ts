import { Reader, Writer, refuse, toBase64, toHex, utf8 } from '../base/index.ts';
import { LineReader } from './lines.ts';
import { isKeyName, keyLabel, verifiesEd25519 } from './verifier-key.ts';
import type { NoteSigner, VerifierKey } from './verifier-key.ts';

/** A note and its signatures as received (c2sp.org/signed-note): nothing is known about either yet. */
export interface SignedNote {
  /** Ends with a newline. */
  readonly text: string;
  readonly signatures: readonly NoteSignature[];
}

/** One signature line. */
export interface NoteSignature {
  readonly name: string;
  /** 8 hex digits. */
  readonly id: string;
  /** What follows the key id; its form depends on the key's use. */
  readonly bytes: Uint8Array;
}

/** A signature that a known key made over the note. */
export interface VerifiedSignature {
  readonly key: VerifierKey;
  readonly signature: NoteSignature;
  /** Seconds since 1970 at which a witness says that it cosigned; null for plain signatures. */
  readonly time: bigint | null;
}

/** Bytes of a note: 16 post-quantum signatures, which others may have added, come to 110 000. */
export const MAX_NOTE = 128 * 1024;
const MAX_SIGNATURES = 64;
const DASH = '—';
/** A cosignature's time is below 2^63 (c2sp.org/tlog-cosignature). */
const TIME_LIMIT = 1n << 63n;

/** Reads a signed note: text, empty line, 1 to 64 signature lines. @throws Refusal `malformed` */
export function parseNote(bytes: Uint8Array, structure = 'signed note'): SignedNote {
  const lines = new LineReader(bytes, structure, MAX_NOTE);
  const text = lines.body();
  return { text, signatures: readSignatures(lines) };
}

/** Reads signature lines alone, as witnesses answer with them. @throws Refusal `malformed` */
export function parseSignatureLines(bytes: Uint8Array): NoteSignature[] {
  return readSignatures(new LineReader(bytes, 'cosignatures', MAX_NOTE));
}

function readSignatures(lines: LineReader): NoteSignature[] {
  const signatures: NoteSignature[] = [];
  do {
    if (signatures.length === MAX_SIGNATURES) lines.malformed(`over ${String(MAX_SIGNATURES)} signatures`);
    signatures.push(parseSignature(lines));
  } while (!lines.done);
  return signatures;
}

function parseSignature(lines: LineReader): NoteSignature {
  const line = lines.field(DASH);
  const space = line.indexOf(' ');
  const name = line.slice(0, space);
  if (space === -1 || !isKeyName(name)) lines.malformed('not a key name and a signature');
  const reader = new Reader(lines.base64(line.slice(space + 1)), 'note signature');
  if (reader.remaining < 5) lines.malformed('the signature is too short');
  return { name, id: toHex(reader.bytes(4)), bytes: reader.rest() };
}

/** The note as it is stored and sent. */
export function formatNote({ text, signatures }: SignedNote): Uint8Array {
  if (!text.endsWith('\n')) throw new TypeError('the text of a note ends with a newline');
  return utf8(`${text}\n${formatSignatureLines(signatures)}`);
}

/** Signature lines alone: what a witness answers. */
export function formatSignatureLines(signatures: readonly NoteSignature[]): string {
  return signatures
    .map(({ name, id, bytes }) => {
      const encoded = toBase64(Uint8Array.of(...Buffer.from(id, 'hex'), ...bytes));
      return `${DASH} ${name} ${encoded}\n`;
    })
    .join('');
}

/** Signs the text of a note (type 0x01), or cosigns it as seen at `time`, in seconds since 1970 (type 0x04). */
export function signNote(text: string, signer: NoteSigner, time: bigint | null = null): NoteSignature {
  const { name, id, use } = signer.key;
  if ((use === 'cosignature') !== (time !== null))
    throw new TypeError('cosignatures, and only they, have a time');
  if (time === null) return { name, id, bytes: signer.sign(utf8(text)) };
  if (time < 0n || time >= TIME_LIMIT) throw new RangeError('the time of a cosignature is below 2^63');
  const signature = signer.sign(cosigned(text, time));
  return { name, id, bytes: new Writer().u64(time).bytes(signature).finish() };
}

/** What a witness signs (c2sp.org/tlog-cosignature, "Ed25519 signed message"). */
function cosigned(text: string, time: bigint): Uint8Array {
  return utf8(`cosignature/v1\ntime ${String(time)}\n${text}`);
}

/**
 * Verifies the signatures of the given keys. Those of unknown keys are ignored, also when they share name or id with
 * a known one; a key that signed twice counts once; **a wrong signature of a known key refuses the whole note**.
 * The answer may be empty: the caller says how many it needs.
 * @throws Refusal `log-signature`
 */
export function verifySignatures(note: SignedNote, keys: readonly VerifierKey[]): VerifiedSignature[] {
  const verified = new Map<string, VerifiedSignature>();
  for (const signature of note.signatures) {
    for (const key of keys) {
      if (key.name !== signature.name || key.id !== signature.id) continue;
      const time = verifiedTime(note.text, signature, key);
      if (!verified.has(keyLabel(key))) verified.set(keyLabel(key), { key, signature, time });
    }
  }
  return [...verified.values()];
}

function verifiedTime(text: string, signature: NoteSignature, key: VerifierKey): bigint | null {
  const reader = new Reader(signature.bytes, 'note signature');
  const wrong = (): never =>
    refuse('log-signature', `the signature of ${keyLabel(key)} does not verify`, { key: keyLabel(key) });
  if (key.use === 'note') return verifiesEd25519(key, utf8(text), reader.rest()) ? null : wrong();
  if (reader.remaining !== 72) return wrong();
  const time = reader.u64();
  return time < TIME_LIMIT && verifiesEd25519(key, cosigned(text, time), reader.rest()) ? time : wrong();
}
