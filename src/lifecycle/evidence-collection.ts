import { hash } from 'node:crypto';
import {
  LIMITS,
  fromBase64url,
  fromUtf8,
  parseJsonObject,
  refuse,
  shape,
  toBase64url,
} from '../base/index.ts';
import type { Fail, JsonObject, JsonValue, Shape } from '../base/index.ts';
import { parsePcrValues } from '../tpm/index.ts';
import type { ClaimedPcrs } from '../tpm/index.ts';

/** Type of the collection (RFC draft-ietf-rats-msg-wrap, CMW). */
export const EVIDENCE_TYPE = 'tag:sealgate.dev,2026:evidence';
/** CMW indicator: this record is evidence. */
const EVIDENCE_INDICATOR = 4;

/** One piece of evidence as it came: what the log names by its digest. */
export interface EvidenceItem {
  readonly name: string;
  /** Hex, of `data`. */
  readonly sha256: string;
  readonly data: Uint8Array;
}

/** Evidence taken apart; nothing of it is believed. */
export interface ClaimedEvidence {
  /** TPMS_ATTEST. */
  readonly attest: Uint8Array;
  /** TPMT_SIGNATURE. */
  readonly signature: Uint8Array;
  readonly pcrs: ClaimedPcrs;
  readonly eventLog: Uint8Array | undefined;
  readonly ima: { readonly list: Uint8Array; readonly firstEntry: number } | undefined;
  /** Manifest of an artifact that is a tree. */
  readonly tree: Uint8Array | undefined;
  /** In the order of their names. */
  readonly items: readonly EvidenceItem[];
}

/** The records: media type and the most bytes that each may decode to. */
const MEDIA = {
  quote: { type: 'application/vnd.sealgate.quote+json', max: 4 * LIMITS.tpmStructure },
  pcrs: { type: 'application/vnd.sealgate.pcrs+json', max: 64 * 1024 },
  'uefi-log': { type: 'application/vnd.sealgate.uefi-log', max: LIMITS.eventLog },
  'ima-log': { type: 'application/vnd.sealgate.ima-log', max: LIMITS.imaList },
  'tree-manifest': { type: 'application/vnd.sealgate.tree-manifest', max: 64 * 1024 * 1024 },
} as const;
type EvidenceName = keyof typeof MEDIA;

const fail: Fail = (path, want) => refuse('evidence-form', `${path} is not ${want}`, { member: path });

/** A record: its media type's parameters and its bytes; the text's length is looked at before it is decoded. */
interface CmwRecord {
  readonly parameters: string;
  readonly data: Uint8Array;
}

function record(name: EvidenceName): Shape<CmwRecord> {
  const { type, max } = MEDIA[name];
  return (value, path, no) => {
    if (!Array.isArray(value) || value.length !== 3)
      return no(path, 'a CMW record of media type, data, indicator');
    const [mediaType, data, indicator] = value as readonly JsonValue[];
    if (typeof mediaType !== 'string' || mediaType.split(';', 1)[0] !== type)
      return no(`${path}[0]`, `the media type ${type}`);
    if (indicator !== EVIDENCE_INDICATOR) return no(`${path}[2]`, String(EVIDENCE_INDICATOR));
    if (typeof data !== 'string' || data.length > Math.ceil((max * 4) / 3))
      return no(`${path}[1]`, `base64url of at most ${String(max)} bytes`);
    return { parameters: mediaType.slice(type.length), data: fromBase64url(data, path) };
  };
}

const COLLECTION = shape.object(
  { __cmwc_t: shape.oneOf(EVIDENCE_TYPE), quote: record('quote'), pcrs: record('pcrs') },
  {
    'uefi-log': record('uefi-log'),
    'ima-log': record('ima-log'),
    'tree-manifest': record('tree-manifest'),
  },
);

const bytes = shape.base64url(Math.ceil((LIMITS.tpmStructure * 4) / 3));
const QUOTE = shape.object({ attest: bytes, signature: bytes });

/**
 * Reads a CMW collection of evidence (docs/PROTOCOL.md): closed, each item bounded before it is decoded.
 * @throws Refusal `evidence-form`, `malformed`
 */
export function parseEvidence(collection: JsonObject): ClaimedEvidence {
  const records = recordsOf(COLLECTION(collection, 'evidence', fail));
  const limits = { maxBytes: MEDIA.quote.max, maxDepth: 2, maxValues: 8 };
  const quote = QUOTE(parseJsonObject(records.quote.data, 'quote', limits), 'evidence.quote', fail);
  const pcrs = parsePcrValues(records.pcrs.data);
  const ima = records['ima-log'];
  for (const [name, { parameters }] of Object.entries(records)) {
    if (name !== 'ima-log' && parameters !== '') fail(`evidence.${name}[0]`, 'without parameters');
  }
  return {
    attest: fromBase64url(quote.attest, 'attest'),
    signature: fromBase64url(quote.signature, 'signature'),
    pcrs,
    eventLog: records['uefi-log']?.data,
    ima: ima && { list: ima.data, firstEntry: firstEntry(ima.parameters) },
    tree: records['tree-manifest']?.data,
    items: Object.entries(records)
      .map(([name, { data }]) => ({ name, sha256: sha256(data), data }))
      .sort((a, b) => (a.name < b.name ? -1 : 1)),
  };
}

/**
 * The collection that items came in, from items that were kept: what {@link parseEvidence} reads as the same evidence.
 * @param imaFirst first entry of the IMA list
 * @throws Refusal `evidence-form` for an item of an unknown name
 */
export function evidenceCollection(
  items: readonly Pick<EvidenceItem, 'name' | 'data'>[],
  imaFirst: number | null,
): JsonObject {
  const records = items.map(({ name, data }) => {
    if (!isEvidenceName(name)) return fail(`evidence.${name}`, 'a known item');
    const offset =
      name === 'ima-log' && imaFirst !== null && imaFirst > 0 ? `;offset=${String(imaFirst)}` : '';
    return [name, [`${MEDIA[name].type}${offset}`, toBase64url(data), EVIDENCE_INDICATOR]] as const;
  });
  return { __cmwc_t: EVIDENCE_TYPE, ...Object.fromEntries(records) };
}

const isEvidenceName = (name: string): name is EvidenceName => Object.hasOwn(MEDIA, name);

/** The records without the collection's type. */
function recordsOf(collection: ReturnType<typeof COLLECTION>): Omit<typeof collection, '__cmwc_t'> {
  const { quote, pcrs } = collection;
  const optional = (['uefi-log', 'ima-log', 'tree-manifest'] as const).flatMap((name) => {
    const found = collection[name];
    return found === undefined ? [] : [[name, found] as const];
  });
  return { quote, pcrs, ...Object.fromEntries(optional) };
}

/** `;offset=N`: number of the list's first entry; absent: the whole list. */
function firstEntry(parameters: string): number {
  if (parameters === '') return 0;
  const [, digits] = /^;offset=([1-9][0-9]{0,9})$/.exec(parameters) ?? [];
  return digits === undefined ? fail('evidence.ima-log[0]', 'a media type with ;offset=N') : Number(digits);
}

const TREE_FORM = 'sealgate-tree/v1\0';
/** Five fields a file, and room for directories and links beside 4 096 files. */
const MAX_TREE_FIELDS = 65_536;

function countNuls(bytes: Uint8Array): number {
  let count = 0;
  for (let at = bytes.indexOf(0); at !== -1 && count <= MAX_TREE_FIELDS; at = bytes.indexOf(0, at + 1))
    count++;
  return count;
}

/**
 * SHA-256 (hex) of the regular files of a tree's manifest (docs/ARTIFACTS.md), whose own digest was compared with the
 * artifact's by the caller.
 * @throws Refusal `evidence-form`
 */
export function treeFileDigests(manifest: Uint8Array): ReadonlySet<string> {
  // What is not a manifest is refused before it is taken apart, and one with too many fields after counting them.
  const form = fromUtf8(manifest.slice(0, TREE_FORM.length), 'tree manifest');
  if (form !== TREE_FORM || countNuls(manifest) > MAX_TREE_FIELDS)
    fail('evidence.tree-manifest', 'a tree manifest');
  const fields = fromUtf8(manifest, 'tree manifest').split('\0');
  const magic = fields.shift();
  if (magic !== 'sealgate-tree/v1' || fields.pop() !== '') fail('evidence.tree-manifest', 'a tree manifest');
  const digests = new Set<string>();
  const width: Readonly<Record<string, number>> = { dir: 3, file: 5, link: 3 };
  for (let at = 0; at < fields.length;) {
    const kind = fields[at] ?? '';
    const size = Object.hasOwn(width, kind) ? (width[kind] ?? 0) : 0;
    if (size === 0 || at + size > fields.length) fail('evidence.tree-manifest', 'made of known records');
    if (kind === 'file') digests.add(shape.hex32(fields[at + 3] ?? '', 'evidence.tree-manifest', fail));
    at += size;
  }
  return digests;
}

const sha256 = (data: Uint8Array): string => hash('sha256', data, 'hex');
