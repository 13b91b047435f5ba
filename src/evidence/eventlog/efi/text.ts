import { toHex } from '../../../base/index.ts';

const PRINTABLE_ASCII = /^[\x20-\x7e]*$/;

/**
 * UTF-16LE as firmware writes it. Lone surrogates become \u{…}: dropping them would let text be forged, and keeping them
 * would break whoever signs or hashes the text as UTF-8.
 */
export function utf16(bytes: Uint8Array): string {
  const text = view(bytes).toString('utf16le');
  if (text.isWellFormed()) return text;
  return text.replace(/\p{Cs}/gu, (unit) => `\\u{${unit.charCodeAt(0).toString(16)}}`);
}

/** Strict printable ASCII with at most one NUL at the end, else undefined. */
export function asciiText(bytes: Uint8Array): string | undefined {
  const text = view(bytes).toString('latin1').replace(/\0$/, '');
  return PRINTABLE_ASCII.test(text) ? text : undefined;
}

/** UTF-8, or latin1 with every byte above 0x7e as \xNN where it isn't: two different byte strings never look alike. */
export function bootLoaderText(bytes: Uint8Array): string {
  const buffer = view(bytes);
  const text = buffer.toString('utf8');
  if (Buffer.byteLength(text) === bytes.length && !text.includes('\u{fffd}')) return text;
  return buffer.toString('latin1').replace(/[\\\x7f-\xff]/g, (c) => `\\x${c.charCodeAt(0).toString(16)}`);
}

/**
 * The text of data that is nothing but text: ASCII with tabs and line breaks, or UTF-16LE of printable characters that
 * are at least half Latin (so that ASCII isn't read as Chinese), with or without its NUL. Undefined for anything
 * else, the empty string included.
 */
export function plainText(bytes: Uint8Array): string | undefined {
  const ascii = view(bytes).toString('latin1').replace(/\0$/, '');
  if (/^[\t\n\r\x20-\x7e]*$/.test(ascii)) return ascii === '' ? undefined : ascii;
  if (bytes.length % 2 !== 0) return undefined;
  const text = utf16(bytes).replace(/\0+$/, '');
  if (text === '' || !/^[\x20-\x7e\u00a0-\ud7ff]+$/.test(text)) return undefined;
  return 2 * text.replace(/[^\x20-\u00ff]/g, '').length >= text.length ? text : undefined;
}

/** At most `limit` bytes as hex, with a mark when there are more. */
export function shortHex(bytes: Uint8Array, limit = 64): string {
  if (bytes.length <= limit) return toHex(bytes);
  return `${view(bytes).toString('hex', 0, limit)}…`;
}

/** A Buffer over the same bytes: its decoders are native, and no copy is made. */
function view(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
