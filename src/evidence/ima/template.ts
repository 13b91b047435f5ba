import { refuse } from '../../base/index.ts';

/** How the bytes of a field are read (kernel: security/integrity/ima/ima_template_lib.c). */
export type FieldKind =
  /** 20 bytes, SHA-1 (or zero-padded MD5). */
  | 'digest'
  /** `<algorithm>:\0` and the digest. */
  | 'digest-algo'
  /** `ima:` or `verity:`, then as `digest-algo`. */
  | 'digest-type-algo'
  /** As `digest-algo`, or nothing. */
  | 'optional-digest'
  /** A path or an event's name, ended by its one NUL. */
  | 'name'
  /** A string ended by its one NUL, or nothing. */
  | 'string'
  /** The xattr of a signature: nothing, type 3 or 6 (security.ima), or 5 (portable security.evm). */
  | 'signature'
  /** Nothing, or type 5. */
  | 'evm-signature'
  /** A buffer that the kernel measured (keys, command lines, critical data). */
  | 'buffer'
  | 'bytes'
  /** Little-endian integers, or nothing. */
  | 'uint16'
  | 'uint32'
  | 'uint32s';

/** Field names of `supported_fields`. A template with any other is refused: no digest covers the template's name. */
const FIELD_KINDS: Readonly<Record<string, FieldKind>> = {
  d: 'digest',
  n: 'name',
  'd-ng': 'digest-algo',
  'd-ngv2': 'digest-type-algo',
  'n-ng': 'name',
  sig: 'signature',
  buf: 'buffer',
  'd-modsig': 'optional-digest',
  modsig: 'bytes',
  evmsig: 'evm-signature',
  iuid: 'uint32',
  igid: 'uint32',
  imode: 'uint16',
  xattrnames: 'string',
  xattrlengths: 'uint32s',
  xattrvalues: 'bytes',
};

const NAMED: Readonly<Record<string, string>> = {
  ima: 'd|n',
  'ima-ng': 'd-ng|n-ng',
  'ima-ngv2': 'd-ngv2|n-ng',
  'ima-sig': 'd-ng|n-ng|sig',
  'ima-sigv2': 'd-ngv2|n-ng|sig',
  'ima-buf': 'd-ng|n-ng|buf',
  'ima-modsig': 'd-ng|n-ng|sig|d-modsig|modsig',
  'evm-sig': 'd-ng|n-ng|evmsig|xattrnames|xattrlengths|xattrvalues|iuid|igid|imode',
};

/** IMA_TEMPLATE_NUM_FIELDS_MAX */
const MAX_FIELDS = 15;
/** Longest template name that is read; the longest of the kernel's own has 72 bytes. */
export const MAX_TEMPLATE_NAME = 255;

/** A template: what the data of an entry consists of. */
export interface Template {
  readonly name: string;
  /** The first template: no field lengths, names padded to 256 bytes when hashed. */
  readonly legacy: boolean;
  readonly fields: readonly FieldKind[];
  /** Has a `buf` field: such entries measure buffers, not files. */
  readonly buffer: boolean;
}

/**
 * The template of a name: one of the kernel's own, or a custom format, field names separated by `|`
 * (`ima_template_fmt=`).
 * @throws Refusal `malformed` for anything else
 */
export function parseTemplate(name: string, offset: number): Template {
  const format = Object.hasOwn(NAMED, name) ? NAMED[name] : name;
  const fields = (format ?? '').split('|').map((field) => {
    const kind = Object.hasOwn(FIELD_KINDS, field) ? FIELD_KINDS[field] : undefined;
    return kind ?? unknown(name, offset);
  });
  if (fields.length > MAX_FIELDS) unknown(name, offset);
  return Object.freeze({
    name,
    legacy: name === 'ima',
    fields: Object.freeze(fields),
    buffer: fields.includes('buffer'),
  });
}

function unknown(name: string, offset: number): never {
  refuse('malformed', `IMA list: unknown template at offset ${String(offset)}`, {
    structure: 'IMA list',
    offset,
    template: name,
  });
}
