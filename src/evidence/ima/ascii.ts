import { LIMITS, concat, fromHex, refuse } from '../../base/index.ts';
import { parseTemplate } from './template.ts';
import type { FieldKind } from './template.ts';

/** True for a list in the kernel's ascii form: it begins with a decimal PCR index, the binary one with a byte below 24. */
export function isAsciiList(bytes: Uint8Array): boolean {
  return /^ ?[0-9]/.test(String.fromCharCode(bytes[0] ?? 0, bytes[1] ?? 0));
}

/**
 * The binary list that an ascii list shows (`ascii_runtime_measurements`). It is good for a look, never for evidence:
 * file names are printed raw, so one that holds a line feed can forge whole lines. Only the binary list has lengths.
 * @throws Refusal `malformed` with the offset of the line
 */
export function asciiToBinary(bytes: Uint8Array): Uint8Array {
  if (bytes.length > LIMITS.imaList)
    refuse('malformed', 'IMA ascii list: too large', { structure: STRUCTURE });
  // One UTF-16 unit per byte: names are bytes.
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1');
  const entries: Uint8Array[] = [];
  for (let at = 0; at < text.length;) {
    const feed = text.indexOf('\n', at);
    const end = feed === -1 ? text.length : feed;
    entries.push(entryOf(text.slice(at, end), at));
    at = end + 1;
  }
  return concat(entries);
}

const STRUCTURE = 'IMA ascii list';
/** PCR, SHA-1 of the template data, template, and what the template's fields print. */
const LINE = /^ ?([0-9]{1,2}) ([0-9a-f]{40}) ([^ ]{1,255})(?: (.*))?$/s;

function entryOf(line: string, offset: number): Uint8Array {
  const parts = LINE.exec(line);
  if (parts === null) return malformed(offset, 'not a measurement');
  const [, pcr = '', sha1 = '', name = '', rest = ''] = parts;
  const template = parseTemplate(name, offset);
  const printed = rest === '' ? [] : rest.split(' ');
  if (printed.length > template.fields.length) malformed(offset, 'more fields than the template has');
  const fields = template.fields.map((kind, i) => {
    const value = FIELD_WRITERS[kind](printed[i] ?? '', offset);
    if (!template.legacy) return concat([u32(value.length), value]);
    // The first template has neither a length before its digest nor a NUL behind its name.
    return kind === 'digest' ? value : concat([u32(value.length - 1), value.slice(0, -1)]);
  });
  const data = concat(fields);
  const header = [u32(Number(pcr)), fromHex(sha1), u32(name.length), latin1(name)];
  return concat([...header, ...(template.legacy ? [] : [u32(data.length)]), data]);
}

type FieldWriter = (printed: string, offset: number) => Uint8Array;

const FIELD_WRITERS: Readonly<Record<FieldKind, FieldWriter>> = {
  digest: hex,
  'digest-algo': digest,
  'digest-type-algo': digest,
  'optional-digest': (printed, offset) => (printed === '' ? new Uint8Array() : digest(printed, offset)),
  name: (printed) => latin1(`${printed}\0`),
  string: (printed) => latin1(printed === '' ? '' : `${printed}\0`),
  signature: hex,
  'evm-signature': hex,
  buffer: hex,
  bytes: hex,
  uint16: (printed, offset) => integer(printed, 2, offset),
  uint32: (printed, offset) => integer(printed, 4, offset),
  uint32s: hex,
};

/** `sha256:…` or `ima:sha256:…`: the text before the last colon is followed by a NUL that isn't printed. */
function digest(printed: string, offset: number): Uint8Array {
  const colon = printed.lastIndexOf(':') + 1;
  if (colon === 0) malformed(offset, 'digest without its algorithm');
  return concat([latin1(`${printed.slice(0, colon)}\0`), hex(printed.slice(colon), offset)]);
}

function hex(printed: string, offset: number): Uint8Array {
  if (printed.length % 2 !== 0 || !/^[0-9a-f]*$/.test(printed)) malformed(offset, 'not hexadecimal');
  return fromHex(printed, STRUCTURE);
}

function integer(printed: string, size: 2 | 4, offset: number): Uint8Array {
  if (printed === '') return new Uint8Array();
  const value = Number(printed);
  if (!/^[0-9]{1,10}$/.test(printed) || value >= 2 ** (8 * size)) malformed(offset, 'not an integer');
  return u32(value).slice(0, size);
}

function u32(value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, value, true);
  return bytes;
}

function latin1(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text, 'latin1'));
}

function malformed(offset: number, reason: string): never {
  refuse('malformed', `${STRUCTURE}: ${reason} in the line at offset ${String(offset)}`, {
    structure: STRUCTURE,
    offset,
  });
}

/**
 * A list that came as evidence. The ascii form is refused unless the caller asks for it by name, and then everything
 * that it gives is worth as much as its file names are trusted.
 * @throws Refusal `ima-ascii`, `malformed`
 */
export function evidenceList(bytes: Uint8Array, allowAscii = false): Uint8Array {
  if (!isAsciiList(bytes)) return bytes;
  if (!allowAscii) refuse('ima-ascii', 'the ascii list can be forged by a file name; send the binary list');
  return asciiToBinary(bytes);
}
