import { fromBase64, refuse } from '../base/index.ts';
import { publicKeyFromSpki } from './keys.ts';
import type { PublicKey } from './keys.ts';
import { parseSshPublicLine } from './ssh-key.ts';

/** A public key as trust documents hold it: PEM `PUBLIC KEY`, or OpenSSH's one line. @throws Refusal */
export function parsePublicKey(text: string): PublicKey {
  const trimmed = text.trim();
  return trimmed.startsWith('-----')
    ? publicKeyFromSpki(pemBody(trimmed, 'PUBLIC KEY'))
    : parseSshPublicLine(trimmed);
}

/**
 * The DER inside exactly one PEM block with this label (RFC 7468, strict form), which may end with one line break.
 * @throws Refusal `malformed`
 */
export function pemBody(text: string, label: string): Uint8Array {
  const lines = text.replace(/\r?\n$/, '').split(/\r?\n/);
  const last = lines.pop();
  if (lines.shift() !== `-----BEGIN ${label}-----` || last !== `-----END ${label}-----`) {
    refuse('malformed', `PEM: not one ${label} block`);
  }
  if (lines.some((line) => line.length > 76)) refuse('malformed', 'PEM: line over 76 characters');
  return fromBase64(lines.join(''), `PEM ${label}`);
}
