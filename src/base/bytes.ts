import { timingSafeEqual } from 'node:crypto';
import { refuse } from './refusal.ts';

/** Constant-time comparison (for equal lengths; the length itself is not secret). */
export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && timingSafeEqual(a, b);
}

/** UTF-8 bytes of a string; lone surrogates are a programming error and throw. */
export function utf8(text: string): Uint8Array {
  if (!text.isWellFormed()) throw new TypeError('text has a lone surrogate');
  return ENCODER.encode(text);
}

const ENCODER = new TextEncoder();

/** Strict UTF-8 decoding: no replacement characters, no byte order mark removed. */
export function fromUtf8(bytes: Uint8Array, structure: string): string {
  try {
    return DECODER.decode(bytes);
  } catch {
    return refuse('malformed', `${structure}: not UTF-8`, { structure });
  }
}

const DECODER = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Lowercase hex. */
export function toHex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex');
}

/** Strict hex: even length, only 0-9 a-f A-F. @throws Refusal `malformed` */
export function fromHex(text: string, structure = 'hex'): Uint8Array {
  if (text.length % 2 !== 0 || !/^[0-9a-fA-F]*$/.test(text)) {
    refuse('malformed', `${structure}: not hexadecimal`, { structure });
  }
  return new Uint8Array(Buffer.from(text, 'hex'));
}

/** base64url without padding (RFC 4648 §5). */
export function toBase64url(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64url');
}

/**
 * Strict base64url: no padding, no white space, no other alphabet, unused bits zero (Node drops all of these
 * silently). @throws Refusal `malformed`
 */
export function fromBase64url(text: string, structure = 'base64url'): Uint8Array {
  return strictBase64(text, 'base64url', structure);
}

/** Standard base64 with padding (RFC 4648 §4). */
export function toBase64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64');
}

/** Strict standard base64, padding required; accepted only if encoding it again gives the same text. */
export function fromBase64(text: string, structure = 'base64'): Uint8Array {
  return strictBase64(text, 'base64', structure);
}

function strictBase64(text: string, alphabet: 'base64' | 'base64url', structure: string): Uint8Array {
  const bytes = Buffer.from(text, alphabet);
  if (bytes.toString(alphabet) !== text)
    refuse('malformed', `${structure}: not strict ${alphabet}`, { structure });
  return new Uint8Array(bytes);
}
