import type { Reader } from '../../base/index.ts';
import { KERNEL_HASHES, KERNEL_SHA1 } from './kernel-hashes.ts';
import type { KernelHash } from './kernel-hashes.ts';
import type { FieldKind, Template } from './template.ts';

/** Where a part of an entry lies in its batch; `at` is -1 when the entry doesn't have it. */
export interface Span {
  at: number;
  length: number;
}

/**
 * One entry's fields as positions in the batch. The object is written again for each entry: lists have a million of
 * them, and objects cost more than the parsing.
 */
export interface EntryFields {
  /** What the digest is of: the file's content (`ima`) or its fs-verity descriptor. */
  digestType: 'ima' | 'verity';
  algorithm: KernelHash;
  readonly digest: Span;
  /** Path or name of the event, without its NUL. */
  readonly name: Span;
  /** security.ima xattr. */
  readonly signature: Span;
  readonly buffer: Span;
}

/** Fields that {@link readFields} can write to. */
export function newFields(): EntryFields {
  const none = (): Span => ({ at: -1, length: 0 });
  return {
    digestType: 'ima',
    algorithm: KERNEL_SHA1,
    digest: none(),
    name: none(),
    signature: none(),
    buffer: none(),
  };
}

/** `name:\0` as bytes, for each algorithm. */
const PREFIXES: readonly Uint8Array[] = KERNEL_HASHES.map(({ name }) => Buffer.from(`${name}:\0`, 'latin1'));
const TYPES = (['ima', 'verity'] as const).map((type) => ({
  type,
  prefix: Buffer.from(`${type}:`, 'latin1'),
}));
/** sha256 and sha512 first: nearly every entry has one of them. */
const SEARCH = [4, 6, ...KERNEL_HASHES.keys()];

/**
 * Reads an entry's template data: exactly the template's fields, each in its form.
 * @param reader over `batch`, at the first byte of the data
 * @param batch the bytes that the reader reads
 * @param end position in the batch where the data ends
 * @param violation true when the kernel recorded a violation: such digests are zeros, of 20 bytes on old kernels
 * @throws Refusal `malformed` with the offset
 */
export function readFields(
  reader: Reader,
  batch: Uint8Array,
  end: number,
  template: Template,
  violation: boolean,
  out: EntryFields,
): void {
  out.digest.at = out.name.at = out.signature.at = out.buffer.at = -1;
  out.digest.length = out.name.length = out.signature.length = out.buffer.length = 0;
  out.digestType = 'ima';
  for (const kind of template.fields) {
    const length = template.legacy && kind === 'digest' ? KERNEL_SHA1.size : reader.u32le();
    const at = batch.length - reader.remaining;
    if (length > end - at) reader.malformed('a field is longer than its entry');
    reader.skip(length);
    FIELD_READERS[kind](reader, batch, at, length, out, { legacy: template.legacy, violation });
  }
  if (batch.length - reader.remaining !== end) reader.malformed('data after the last field');
}

interface Context {
  readonly legacy: boolean;
  readonly violation: boolean;
}
type FieldReader = (
  reader: Reader,
  batch: Uint8Array,
  at: number,
  length: number,
  out: EntryFields,
  context: Context,
) => void;

const FIELD_READERS: Readonly<Record<FieldKind, FieldReader>> = {
  digest: (reader, _batch, at, length, out) => {
    if (length !== KERNEL_SHA1.size) reader.malformed(`digest of ${String(length)} bytes`);
    // A template may carry the digest twice; the form that names its algorithm wins.
    if (out.digest.at === -1) setDigest(out, KERNEL_SHA1, at, length);
  },
  'digest-algo': (reader, batch, at, length, out, { violation }) => {
    readDigest(reader, batch, at, length, out, violation);
  },
  'digest-type-algo': (reader, batch, at, length, out, { violation }) => {
    const found = TYPES.find(({ prefix }) => startsWith(batch, at, length, prefix));
    if (found === undefined) return reader.malformed('digest of unknown type');
    out.digestType = found.type;
    readDigest(reader, batch, at + found.prefix.length, length - found.prefix.length, out, violation);
  },
  'optional-digest': (reader, batch, at, length, _out, { violation }) => {
    // The digest of the content without its appended signature: form is checked, nothing is concluded from it.
    if (length !== 0) readDigest(reader, batch, at, length, SCRATCH, violation);
  },
  name: (reader, batch, at, length, out, { legacy }) => {
    // The first template has no NUL, and hashes the name in 256 bytes, so that 255 remain for it.
    if (legacy && length > MAX_LEGACY_NAME) reader.malformed('name over 255 bytes');
    out.name.at = at;
    out.name.length = legacy ? plain(reader, batch, at, length) : terminated(reader, batch, at, length);
  },
  string: (reader, batch, at, length) => {
    if (length !== 0) terminated(reader, batch, at, length);
  },
  signature: (reader, batch, at, length, out) => {
    // ima_eventsig_init writes EVM_IMA_XATTR_DIGSIG, IMA_VERITY_DIGSIG or, for want of both, the portable signature
    // of security.evm. This also tells `sig` from a key in `buf`, which look alike in `ima-sig` and `ima-buf`: no
    // digest covers the template's name.
    if (length !== 0 && !SIGNATURE_TYPES.has(batch[at] ?? 0)) reader.malformed('signature of unknown type');
    out.signature.at = length === 0 ? -1 : at;
    out.signature.length = length;
  },
  'evm-signature': (reader, batch, at, length) => {
    if (length !== 0 && batch[at] !== EVM_PORTABLE) reader.malformed('EVM signature of unknown type');
  },
  buffer: (_reader, _batch, at, length, out) => {
    out.buffer.at = at;
    out.buffer.length = length;
  },
  bytes: () => undefined,
  uint16: (reader, _batch, _at, length) => {
    if (length !== 0 && length !== 2) reader.malformed(`integer of ${String(length)} bytes`);
  },
  uint32: (reader, _batch, _at, length) => {
    if (length !== 0 && length !== 4) reader.malformed(`integer of ${String(length)} bytes`);
  },
  uint32s: (reader, _batch, _at, length) => {
    if (length % 4 !== 0) reader.malformed('lengths that are not whole integers');
  },
};

/** `enum evm_ima_xattr_type`. */
const EVM_PORTABLE = 5;
const SIGNATURE_TYPES: ReadonlySet<number> = new Set([3, EVM_PORTABLE, 6]);
const MAX_LEGACY_NAME = 255;
const SCRATCH = newFields();

function setDigest(out: EntryFields, algorithm: KernelHash, at: number, length: number): void {
  out.algorithm = algorithm;
  out.digest.at = at;
  out.digest.length = length;
}

function readDigest(
  reader: Reader,
  batch: Uint8Array,
  at: number,
  length: number,
  out: EntryFields,
  violation: boolean,
): void {
  for (const id of SEARCH) {
    const prefix = PREFIXES[id];
    const algorithm = KERNEL_HASHES[id];
    if (prefix === undefined || algorithm === undefined || !startsWith(batch, at, length, prefix)) continue;
    const size = length - prefix.length;
    if (size !== algorithm.size && !(violation && size === KERNEL_SHA1.size)) {
      reader.malformed(`${algorithm.name} digest of ${String(size)} bytes`);
    }
    setDigest(out, algorithm, at + prefix.length, size);
    return;
  }
  reader.malformed('unknown hash algorithm');
}

function startsWith(batch: Uint8Array, at: number, length: number, prefix: Uint8Array): boolean {
  if (length < prefix.length) return false;
  for (let i = 0; i < prefix.length; i++) if (batch[at + i] !== prefix[i]) return false;
  return true;
}

/** Length without the NUL; the string must end with its only one (tss c3b7237c read past a name without). */
function terminated(reader: Reader, batch: Uint8Array, at: number, length: number): number {
  if (length === 0 || batch.indexOf(0, at) !== at + length - 1) reader.malformed('name not ended by one NUL');
  return length - 1;
}

function plain(reader: Reader, batch: Uint8Array, at: number, length: number): number {
  const nul = batch.indexOf(0, at);
  if (nul !== -1 && nul < at + length) reader.malformed('name with a NUL');
  return length;
}
