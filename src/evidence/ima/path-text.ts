import { refuse } from '../../base/index.ts';

/**
 * Paths in measurements are bytes: any but NUL, not necessarily UTF-8. Inside, a path is a "byte string" (one UTF-16
 * unit per byte), which makes cheap map keys. In JSON it is text: UTF-8 where it is UTF-8, `\xNN` for each byte that
 * isn't, `\\` for a backslash, so that the two forms convert without loss.
 */
export function pathText(bytes: string): string {
  const buffer = Buffer.from(bytes, 'latin1');
  const text = buffer.toString('utf8');
  if (!bytes.includes('\\') && !text.includes('\ufffd')) return text;
  let out = '';
  for (let at = 0; at < buffer.length;) {
    const length = utf8Length(buffer, at);
    const part = buffer.toString('utf8', at, at + Math.max(length, 1));
    if (length === 0) out += `\\x${buffer.toString('hex', at, at + 1)}`;
    else out += part === '\\' ? '\\\\' : part;
    at += Math.max(length, 1);
  }
  return out;
}

/**
 * The byte string of a path's text.
 * @throws Refusal `malformed` for an escape other than `\\` and `\xNN`
 */
export function pathBytes(text: string): string {
  if (!text.isWellFormed()) refuse('malformed', 'path: lone surrogate', { structure: 'path' });
  return text
    .split(/(\\(?:\\|x[0-9a-fA-F]{2})|\\)/)
    .map((part, i) => (i % 2 === 0 ? Buffer.from(part, 'utf8').toString('latin1') : unescape(part)))
    .join('');
}

function unescape(escape: string): string {
  if (escape === '\\\\') return '\\';
  if (escape.length === 4) return String.fromCharCode(Number.parseInt(escape.slice(2), 16));
  return refuse('malformed', 'path: unknown escape', { structure: 'path' });
}

/** Bytes of the UTF-8 sequence at `at`; 0 when there is none. Overlong forms and surrogates are none. */
function utf8Length(buffer: Buffer, at: number): number {
  const first = buffer[at] ?? 0;
  const length =
    first < 0x80 ? 1 : first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : first < 0xf5 ? 4 : 0;
  if (length === 0 || at + length > buffer.length) return 0;
  const text = buffer.toString('utf8', at, at + length);
  return Buffer.byteLength(text, 'utf8') === length && !text.startsWith('\ufffd')
    ? length
    : realReplacement(buffer, at);
}

/** U+FFFD itself (EF BF BD) may be part of a name. */
function realReplacement(buffer: Buffer, at: number): number {
  return buffer.toString('hex', at, at + 3) === 'efbfbd' ? 3 : 0;
}
