import { toHex } from '../base/index.ts';
import type { DerReader, DerValue } from './der.ts';
import { TAG } from './der.ts';
import { ascii, nameFrom } from './name.ts';
import type { Name } from './name.ts';

/** One GeneralName (RFC 5280 §4.2.1.6). */
export type GeneralName =
  | { readonly type: 'dns' | 'email' | 'uri' | 'ip'; readonly value: string }
  | { readonly type: 'directory'; readonly name: Name }
  /** otherName, x400Address, ediPartyName, registeredID: kept for display, matched by nothing. */
  | { readonly type: 'other'; readonly tag: number; readonly value: string };

const MAX_NAMES = 256;

/** Reads GeneralNames ::= SEQUENCE SIZE (1..MAX) OF GeneralName. */
export function readGeneralNames(reader: DerReader): readonly GeneralName[] {
  const names: GeneralName[] = [];
  const list = reader.sequence('GeneralNames');
  do {
    if (names.length >= MAX_NAMES) list.malformed('too many names');
    names.push(Object.freeze(generalName(list.any(), list)));
  } while (!list.atEnd);
  reader.end();
  return Object.freeze(names);
}

function generalName(value: DerValue, list: DerReader): GeneralName {
  switch (value.tag) {
    case 0x81:
      return { type: 'email', value: plain(value, list) };
    case 0x82:
      return { type: 'dns', value: plain(value, list) };
    case 0x86:
      return { type: 'uri', value: plain(value, list) };
    case 0x87:
      return { type: 'ip', value: ipText(value.content, list) };
    case 0xa4:
      return { type: 'directory', name: directoryName(value, list) };
    case 0xa0:
    case 0xa3:
    case 0xa5:
    case 0x88:
      return { type: 'other', tag: value.tag, value: toHex(value.raw) };
    default:
      return list.malformed(`GeneralName with tag 0x${value.tag.toString(16)}`);
  }
}

/** IA5String; a NUL or line feed inside a host name has only ever been an attack. */
function plain({ content }: DerValue, list: DerReader): string {
  const text = ascii(content, 'GeneralName');
  // eslint-disable-next-line no-control-regex -- control characters are what is looked for
  if (/[\u0000-\u001f\u007f]/.test(text)) list.malformed('control character in a name');
  return text;
}

/** directoryName is EXPLICIT, since Name is a CHOICE (X.680 §31.2.7). */
function directoryName(value: DerValue, list: DerReader): Name {
  const wrapper = list.inside(value, 'directoryName');
  const inner = wrapper.value(TAG.sequence, 'Name');
  wrapper.end();
  return nameFrom(inner, wrapper.inside(inner, 'Name'));
}

function ipText(bytes: Uint8Array, list: DerReader): string {
  if (bytes.length === 4) return [...bytes].join('.');
  if (bytes.length !== 16) list.malformed('iPAddress is neither 4 nor 16 bytes');
  return toHex(bytes).replace(/(.{4})(?=.)/g, '$1:');
}
