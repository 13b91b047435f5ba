import { createHash, createPublicKey, sign, verify } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { Reader, fromBase64, fromBase64url, refuse, toBase64, toBase64url, utf8 } from '../base/index.ts';

/**
 * What a key signs (c2sp.org/signed-note, "Signature types"): `note` is type 0x01, Ed25519 over the note's text;
 * `cosignature` is type 0x04, a witness's Ed25519 over time and text (c2sp.org/tlog-cosignature).
 */
export type KeyUse = 'note' | 'cosignature';

const TYPE_BYTES = { note: 0x01, cosignature: 0x04 } as const;
const ED25519_KEY_SIZE = 32;

/** A public key under its name: what a log or witness is known by. Made by {@link verifierKey} and {@link parseVkey}. */
export interface VerifierKey {
  readonly name: string;
  readonly use: KeyUse;
  /** Ed25519, 32 bytes. */
  readonly publicKey: Uint8Array;
  /** First four bytes of SHA-256(name ‖ newline ‖ type ‖ key), as 8 hex digits; tells keys apart, proves nothing. */
  readonly id: string;
}

/** A key pair's private half, bound to name and use. */
export interface NoteSigner {
  readonly key: VerifierKey;
  /** Raw Ed25519 signature over exactly these bytes. */
  readonly sign: (message: Uint8Array) => Uint8Array;
}

/** True for names that signature lines can hold: not empty, no space of Unicode, no plus. */
export function isKeyName(name: string): boolean {
  // eslint-disable-next-line no-control-regex -- control characters are what notes forbid
  return name !== '' && !/[\p{White_Space}+\u0000-\u001f]/u.test(name) && name.isWellFormed();
}

/** @throws TypeError for a name that can't be one, RangeError for a key of another size */
export function verifierKey(name: string, use: KeyUse, publicKey: Uint8Array): VerifierKey {
  if (!isKeyName(name)) throw new TypeError(`not a key name: ${JSON.stringify(name)}`);
  if (publicKey.length !== ED25519_KEY_SIZE) throw new RangeError('an Ed25519 key is 32 bytes long');
  const id = createHash('sha256')
    .update(utf8(`${name}\n`))
    .update(Uint8Array.of(TYPE_BYTES[use]))
    .update(publicKey)
    .digest('hex')
    .slice(0, 8);
  return { name, use, publicKey, id };
}

/** `name+id+base64(type ‖ key)`: how keys are written in policies and on command lines. */
export function formatVkey({ name, use, publicKey, id }: VerifierKey): string {
  return `${name}+${id}+${toBase64(Uint8Array.of(TYPE_BYTES[use], ...publicKey))}`;
}

/** Reads a vkey; its id must be the key's own. @throws Refusal `malformed`, also for other signature types */
export function parseVkey(vkey: string): VerifierKey {
  const [, name, id, material] = /^([^+]*)\+([0-9a-f]{8})\+(.*)$/s.exec(vkey) ?? [];
  if (name === undefined || id === undefined || material === undefined || !isKeyName(name)) {
    return refuse('malformed', 'vkey: not NAME+ID+KEY', { structure: 'vkey' });
  }
  const reader = new Reader(fromBase64(material, 'vkey'), 'vkey');
  const use = keyUse(reader.u8()) ?? reader.malformed('unknown signature type');
  const key = verifierKey(name, use, reader.bytes(ED25519_KEY_SIZE));
  reader.end();
  if (key.id !== id) reader.malformed('the id is not that of name and key');
  return key;
}

function keyUse(type: number): KeyUse | undefined {
  if (type === TYPE_BYTES.note) return 'note';
  return type === TYPE_BYTES.cosignature ? 'cosignature' : undefined;
}

/** A signer from an Ed25519 private key. @throws TypeError for a key of another kind */
export function noteSigner(name: string, use: KeyUse, privateKey: KeyObject): NoteSigner {
  if (privateKey.type !== 'private' || privateKey.asymmetricKeyType !== 'ed25519') {
    throw new TypeError('logs and witnesses sign with Ed25519 private keys');
  }
  const { x } = createPublicKey(privateKey).export({ format: 'jwk' });
  const key = verifierKey(name, use, fromBase64url(x ?? '', 'Ed25519 key'));
  return { key, sign: (message) => new Uint8Array(sign(null, message, privateKey)) };
}

/** Verifies a raw Ed25519 signature (64 bytes) over exactly these bytes. */
export function verifiesEd25519(key: VerifierKey, message: Uint8Array, signature: Uint8Array): boolean {
  if (signature.length !== 64) return false;
  const jwk = { kty: 'OKP', crv: 'Ed25519', x: toBase64url(key.publicKey) };
  return verify(null, message, createPublicKey({ key: jwk, format: 'jwk' }), signature);
}

/** A key as people read it: name and id. */
export function keyLabel(key: Pick<VerifierKey, 'name' | 'id'>): string {
  return `${key.name}+${key.id}`;
}
