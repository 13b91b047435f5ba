import { LIMITS, fromBase64, fromUtf8, refuse, toBase64 } from '../base/index.ts';

const BEGIN = '-----BEGIN CERTIFICATE-----';
const END = '-----END CERTIFICATE-----';

/** True when the bytes look like PEM of any kind (RFC 7468). */
export function isPem(bytes: Uint8Array): boolean {
  return Buffer.from(bytes).includes('-----BEGIN ');
}

/**
 * The certificates of a PEM file as DER, in file order. Text between the blocks is explanatory and skipped; what
 * a block holds is strict base64.
 * @param max blocks; a longer file is refused
 * @throws Refusal `malformed` on an unfinished block, on another kind of block and when there is none;
 * `x509-too-large` on too many or too large blocks
 */
export function parsePem(bytes: Uint8Array, max: number = LIMITS.chainLength): readonly Uint8Array[] {
  const text = fromUtf8(bytes, 'PEM');
  const blocks: Uint8Array[] = [];
  let at = text.indexOf('-----BEGIN ');
  while (at >= 0) {
    if (blocks.length >= max) refuse('x509-too-large', `more than ${String(max)} certificates`, { max });
    const end = text.indexOf(END, at);
    if (!text.startsWith(BEGIN, at) || end < 0)
      refuse('malformed', 'PEM: not a CERTIFICATE block', { structure: 'PEM' });
    const body = text.slice(at + BEGIN.length, end);
    if (body.length > 2 * LIMITS.certificate)
      refuse('x509-too-large', 'PEM block is too large', { bytes: body.length });
    blocks.push(fromBase64(body.replace(/[\r\n \t]/g, ''), 'PEM'));
    at = text.indexOf('-----BEGIN ', end + END.length);
  }
  if (blocks.length === 0) refuse('malformed', 'PEM: no CERTIFICATE block', { structure: 'PEM' });
  return blocks;
}

/** One certificate as PEM with 64-character lines. */
export function toPem(certificate: Uint8Array): string {
  return `${BEGIN}\n${toBase64(certificate).replace(/(.{64})(?=.)/g, '$1\n')}\n${END}\n`;
}
