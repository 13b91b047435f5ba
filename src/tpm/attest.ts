import { LIMITS, Reader, Writer, refuse } from '../base/index.ts';
import { hashId, readHash } from './algorithms.ts';
import type { HashName } from './algorithms.ts';
import { readClockInfo, readTimeInfo, readYesNo, writeClockInfo, writeTimeInfo } from './clock-info.ts';
import type { ClockInfo, TimeInfo } from './clock-info.ts';
import { TPM_GENERATED, TPM_ST } from './constants.ts';
import { encodePcrSelection, readPcrSelection } from './pcr-selection.ts';
import type { PcrSelection } from './pcr-selection.ts';

/** TPMU_ATTEST: what is attested (TPM 2.0 Part 2 §10.12). */
export type Attested =
  | { readonly type: 'quote'; readonly pcrSelection: PcrSelection; readonly pcrDigest: Uint8Array }
  | { readonly type: 'certify'; readonly name: Uint8Array; readonly qualifiedName: Uint8Array }
  | { readonly type: 'creation'; readonly objectName: Uint8Array; readonly creationHash: Uint8Array }
  | { readonly type: 'time'; readonly time: TimeInfo; readonly firmwareVersion: bigint }
  | {
      readonly type: 'nv';
      readonly indexName: Uint8Array;
      readonly offset: number;
      readonly contents: Uint8Array;
    }
  | { readonly type: 'nv-digest'; readonly indexName: Uint8Array; readonly nvDigest: Uint8Array }
  | {
      readonly type: 'command-audit';
      readonly auditCounter: bigint;
      readonly digestAlg: HashName;
      readonly auditDigest: Uint8Array;
      readonly commandDigest: Uint8Array;
    }
  | { readonly type: 'session-audit'; readonly exclusive: boolean; readonly sessionDigest: Uint8Array };

/** TPMS_ATTEST (TPM 2.0 Part 2 §10.12.12), without its magic, which is checked. */
export interface Attest<Body extends Attested = Attested> {
  /** Qualified name of the key that signs. */
  readonly qualifiedSigner: Uint8Array;
  /** The caller's qualifyingData: a nonce, or a digest over one. */
  readonly extraData: Uint8Array;
  readonly clockInfo: ClockInfo;
  readonly firmwareVersion: bigint;
  readonly attested: Body;
}

/** TPMS_ATTEST of TPM2_Quote. */
export type QuoteAttest = Attest<Extract<Attested, { readonly type: 'quote' }>>;

const TYPE_IDS: Readonly<Record<Attested['type'], number>> = {
  nv: TPM_ST.ATTEST_NV,
  'command-audit': TPM_ST.ATTEST_COMMAND_AUDIT,
  'session-audit': TPM_ST.ATTEST_SESSION_AUDIT,
  certify: TPM_ST.ATTEST_CERTIFY,
  quote: TPM_ST.ATTEST_QUOTE,
  time: TPM_ST.ATTEST_TIME,
  creation: TPM_ST.ATTEST_CREATION,
  'nv-digest': TPM_ST.ATTEST_NV_DIGEST,
};
const TYPES = new Map(
  Object.entries(TYPE_IDS).map(([type, id]) => [id, type as Attested['type']]), // a constant's own keys
);

/** TPM2B_NAME: at most an algorithm and a SHA-512 digest. */
const MAX_NAME = 66;
/** TPM2B_DATA (qualifyingData): at most sizeof(TPMT_HA). */
const MAX_DATA = 66;
const MAX_DIGEST = 64;
/** TPM2B_MAX_NV_BUFFER of the reference implementation. */
const MAX_NV_BUFFER = 2048;

/** The first six bytes of a TPMS_ATTEST. */
export interface AttestHeader {
  readonly magic: number;
  readonly type: number;
}

/** Who made a TPMS_ATTEST and what it says to be, before anything else of it is read. */
export function attestHeader(bytes: Uint8Array): AttestHeader {
  const reader = new Reader(bytes, 'TPMS_ATTEST');
  return { magic: reader.u32(), type: reader.u16() };
}

/**
 * e13: the structure was made inside a TPM. A restricted key signs foreign data only if it does **not** begin with
 * TPM_GENERATED_VALUE, so without this check it would vouch for anything (CVE-2024-29038, CVE-2024-29040).
 */
export function requireTpmGenerated(magic: number): void {
  if (magic !== TPM_GENERATED) {
    refuse('e13', 'the signed structure was not made by a TPM (magic is not TPM_GENERATED_VALUE)', {
      magic: magic.toString(16).padStart(8, '0'),
    });
  }
}

/**
 * A TPMS_ATTEST; encoding it gives the received bytes again.
 * @throws Refusal `e13` when it is not TPM-generated, `malformed` with the offset otherwise
 */
export function parseAttest(bytes: Uint8Array): Attest {
  if (bytes.length > LIMITS.tpmStructure) {
    refuse('malformed', `TPMS_ATTEST: ${String(bytes.length)} bytes`, { structure: 'TPMS_ATTEST' });
  }
  requireTpmGenerated(attestHeader(bytes).magic);
  return parseAnyMagic(bytes);
}

/** A TPMS_ATTEST whatever its magic: only to tell a forged structure from bytes that are none. */
export function parseAnyMagic(bytes: Uint8Array): Attest {
  const reader = new Reader(bytes, 'TPMS_ATTEST');
  reader.u32(); // magic
  const id = reader.u16();
  const type = TYPES.get(id);
  if (type === undefined) return reader.malformed(`unknown attestation type 0x${id.toString(16)}`);
  const attest: Attest = {
    qualifiedSigner: reader.sized16(MAX_NAME),
    extraData: reader.sized16(MAX_DATA),
    clockInfo: readClockInfo(reader),
    firmwareVersion: reader.u64(),
    attested: readAttested(reader, type),
  };
  reader.end();
  return attest;
}

/** The TPMS_ATTEST's bytes. */
export function encodeAttest(attest: Attest): Uint8Array {
  const writer = new Writer()
    .u32(TPM_GENERATED)
    .u16(TYPE_IDS[attest.attested.type])
    .sized16(attest.qualifiedSigner)
    .sized16(attest.extraData);
  writeClockInfo(writer, attest.clockInfo);
  writeAttested(writer.u64(attest.firmwareVersion), attest.attested);
  return writer.finish();
}

/** True for the attestation of TPM2_Quote. */
export function isQuote(attest: Attest): attest is QuoteAttest {
  return attest.attested.type === 'quote';
}

function readAttested(reader: Reader, type: Attested['type']): Attested {
  switch (type) {
    case 'quote':
      return { type, pcrSelection: readPcrSelection(reader), pcrDigest: reader.sized16(MAX_DIGEST) };
    case 'certify':
      return { type, name: reader.sized16(MAX_NAME), qualifiedName: reader.sized16(MAX_NAME) };
    case 'creation':
      return { type, objectName: reader.sized16(MAX_NAME), creationHash: reader.sized16(MAX_DIGEST) };
    case 'time':
      return { type, time: readTimeInfo(reader), firmwareVersion: reader.u64() };
    case 'nv':
      return {
        type,
        indexName: reader.sized16(MAX_NAME),
        offset: reader.u16(),
        contents: reader.sized16(MAX_NV_BUFFER),
      };
    case 'nv-digest':
      return { type, indexName: reader.sized16(MAX_NAME), nvDigest: reader.sized16(MAX_DIGEST) };
    case 'command-audit':
      return {
        type,
        auditCounter: reader.u64(),
        digestAlg: readHash(reader),
        auditDigest: reader.sized16(MAX_DIGEST),
        commandDigest: reader.sized16(MAX_DIGEST),
      };
    case 'session-audit':
      return { type, exclusive: readYesNo(reader), sessionDigest: reader.sized16(MAX_DIGEST) };
  }
}

function writeAttested(writer: Writer, body: Attested): void {
  switch (body.type) {
    case 'quote':
      writer.bytes(encodePcrSelection(body.pcrSelection)).sized16(body.pcrDigest);
      return;
    case 'certify':
      writer.sized16(body.name).sized16(body.qualifiedName);
      return;
    case 'creation':
      writer.sized16(body.objectName).sized16(body.creationHash);
      return;
    case 'time':
      writeTimeInfo(writer, body.time);
      writer.u64(body.firmwareVersion);
      return;
    case 'nv':
      writer.sized16(body.indexName).u16(body.offset).sized16(body.contents);
      return;
    case 'nv-digest':
      writer.sized16(body.indexName).sized16(body.nvDigest);
      return;
    case 'command-audit':
      writer.u64(body.auditCounter).u16(hashId(body.digestAlg));
      writer.sized16(body.auditDigest).sized16(body.commandDigest);
      return;
    case 'session-audit':
      writer.u8(body.exclusive ? 1 : 0).sized16(body.sessionDigest);
  }
}
