import { LIMITS, Reader, Refusal, fromBase64, fromUtf8, refuse } from '../base/index.ts';
import {
  importAttestationKey,
  importBareKey,
  importSizedAttestationKey,
  inForm,
  isSerializedPcrs,
  keyFromSpki,
  parsePcrValues,
  parsePlainPcrs,
  parseSerializedPcrs,
} from '../tpm/index.ts';
import type { AttestationKey, ClaimedPcrs, PcrSelection } from '../tpm/index.ts';
import { readInput } from './input.ts';

/** A file with PCR values is at most two banks' dumps or JSON with white space. */
export const MAX_PCR_FILE = 64 * 1024;

/** A TPM structure from a file: e1 before anything is parsed. @throws UsageError when it can't be opened */
export function readStructure(file: string, structure: string): Uint8Array {
  return inForm('e1', () => readInput(file, structure, LIMITS.tpmStructure));
}

/** True for a TPM2B: its u16 size is exactly what follows. */
export function isSized(bytes: Uint8Array): boolean {
  return bytes.length >= 2 && new Reader(bytes, 'TPM2B').u16() === bytes.length - 2;
}

/**
 * An attestation key: TPM2B_PUBLIC or TPMT_PUBLIC, and with `allowSpki` also a SubjectPublicKeyInfo in DER or PEM.
 * @throws Refusal `e4` when it doesn't parse, `e6` for kinds of keys that TPMs don't have
 */
export function decodeKey(bytes: Uint8Array, allowSpki: boolean): AttestationKey {
  const spki = inForm('e4', () => spkiIn(bytes));
  if (spki === undefined)
    return isSized(bytes) ? importSizedAttestationKey(bytes) : importAttestationKey(bytes);
  if (!allowSpki) {
    return refuse('e4', 'the key is a bare public key, not a TPM’s public area; --allow-spki accepts it', {
      structure: 'TPMT_PUBLIC',
    });
  }
  return importBareKey(inForm('e4', () => keyFromSpki(spki)));
}

/**
 * PCR values in any of the formats that `--pcrs` takes: JSON, and both of `tpm2_quote -o`.
 * @param selection of the quote; undefined when that can't be read, and then nor can values without a selection
 * @throws Refusal `malformed`
 */
export function decodePcrs(bytes: Uint8Array, selection: PcrSelection | undefined): ClaimedPcrs {
  if (looksLikeJson(bytes)) return parsePcrValues(bytes);
  if (isSerializedPcrs(bytes)) return parseSerializedPcrs(bytes);
  return parsePlainPcrs(bytes, selection ?? []);
}

const PEM = /^-----BEGIN PUBLIC KEY-----\r?\n([A-Za-z0-9+/=\r\n]+)-----END PUBLIC KEY-----\s*$/;
/** DER SEQUENCE; as a TPM2B's size it would be over every limit, as a TPM_ALG_ID unknown. */
const SEQUENCE = 0x30;

/** The DER of a SubjectPublicKeyInfo when the bytes are one, or PEM with one. */
function spkiIn(bytes: Uint8Array): Uint8Array | undefined {
  if (bytes[0] === SEQUENCE) return bytes;
  if (!startsWith(bytes, '-----BEGIN')) return undefined;
  const body = PEM.exec(fromUtf8(bytes, 'PEM'))?.[1];
  if (body === undefined) return refuse('malformed', 'PEM: not one PUBLIC KEY', { structure: 'PEM' });
  return fromBase64(body.replace(/[\r\n]/g, ''), 'PEM');
}

function startsWith(bytes: Uint8Array, text: string): boolean {
  return Buffer.from(bytes.slice(0, text.length)).toString('latin1') === text;
}

/** A digest may begin like JSON; random bytes that are UTF-8 as a whole don't occur. */
function looksLikeJson(bytes: Uint8Array): boolean {
  try {
    return fromUtf8(bytes, 'PCR values').trimStart().startsWith('{');
  } catch (error) {
    if (error instanceof Refusal) return false;
    throw error;
  }
}
