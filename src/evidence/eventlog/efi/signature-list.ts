import { Reader, refuse } from '../../../base/index.ts';
import { readGuid } from './guid.ts';

/** EFI_SIGNATURE_DATA: who added an entry, and the entry. */
export interface SignatureEntry {
  readonly owner: string;
  readonly data: Uint8Array;
}

/** The entries of EFI_SIGNATURE_LISTs by kind. */
export interface SignatureDatabase {
  /** DER certificates (EFI_CERT_X509_GUID). */
  readonly certificates: readonly SignatureEntry[];
  /** SHA-256 digests (EFI_CERT_SHA256_GUID). */
  readonly hashes: readonly SignatureEntry[];
  /** Other kinds, e.g. digests of certificates: counted, given no meaning. */
  readonly others: readonly SignatureEntry[];
}

const X509 = 'a5c059a1-94e4-4aa7-87b5-ab155c2bf072';
const SHA256 = 'c1c41626-504c-4092-aca9-41f936934328';
const LIST_HEADER = 28;
const OWNER = 16;

/** Size of SignatureData without its owner, where UEFI 2.10 §32.4.1 fixes it. */
const FIXED_SIZES: Readonly<Record<string, number>> = {
  [SHA256]: 32,
  '826ca512-cf10-4ac9-b187-be01496631bd': 20, // EFI_CERT_SHA1_GUID
  '0b6e5233-a65c-44c9-9407-d9ab83bfc8bd': 28, // EFI_CERT_SHA224_GUID
  'ff3e5307-9fd0-48c9-85f1-8ad56c701e01': 48, // EFI_CERT_SHA384_GUID
  '093e0fae-a6c4-4f50-9f1b-d41e2b89c19a': 64, // EFI_CERT_SHA512_GUID
  '3bd2a492-96c0-4079-b420-fcf98ef103ed': 48, // EFI_CERT_X509_SHA256_GUID: digest and EFI_TIME
  '7076876e-80c2-4ee6-aad2-28b349a6865b': 64, // EFI_CERT_X509_SHA384_GUID
  '446dbf63-2502-4cda-bcfa-2465d2b0fe9d': 80, // EFI_CERT_X509_SHA512_GUID
  '3c5766e8-269c-4e34-aa14-ed776e85b3b6': 256, // EFI_CERT_RSA2048_GUID
};

/**
 * Parses a variable like PK, KEK, db, dbx: EFI_SIGNATURE_LISTs that fill it exactly. Each: type GUID, ListSize u32,
 * HeaderSize u32, SignatureSize u32, header, entries of SignatureSize.
 *
 * The header's bytes are skipped: reading them as entries let anybody choose db hashes (CVE-2026-12681).
 * @throws Refusal `f7`
 */
export function parseSignatureLists(bytes: Uint8Array): SignatureDatabase {
  const reader = new Reader(bytes, 'EFI_SIGNATURE_LIST');
  const certificates: SignatureEntry[] = [];
  const hashes: SignatureEntry[] = [];
  const others: SignatureEntry[] = [];
  while (reader.remaining > 0) {
    const { type, entries } = readList(reader);
    (type === X509 ? certificates : type === SHA256 ? hashes : others).push(...entries);
  }
  return { certificates, hashes, others };
}

function readList(reader: Reader): { type: string; entries: SignatureEntry[] } {
  if (reader.remaining < LIST_HEADER) broken('shorter than its header');
  const type = readGuid(reader);
  const listSize = reader.u32le();
  const headerSize = reader.u32le();
  const signatureSize = reader.u32le();
  const body = listSize - LIST_HEADER;
  if (body < 0 || body > reader.remaining) broken(`SignatureListSize ${String(listSize)}`);
  if (headerSize > body) broken(`SignatureHeaderSize ${String(headerSize)}`);
  const fixed = FIXED_SIZES[type];
  if (fixed === undefined ? signatureSize <= OWNER : signatureSize !== OWNER + fixed)
    broken(`SignatureSize ${String(signatureSize)} for ${type}`);
  if ((body - headerSize) % signatureSize !== 0) broken('a part of an entry is left over');
  reader.bytes(headerSize);
  const entries: SignatureEntry[] = [];
  for (let left = body - headerSize; left > 0; left -= signatureSize) {
    entries.push({ owner: readGuid(reader), data: reader.bytes(signatureSize - OWNER) });
  }
  return { type, entries };
}

function broken(reason: string): never {
  return refuse('f7', `EFI_SIGNATURE_LIST: ${reason}`, { structure: 'EFI_SIGNATURE_LIST' });
}
