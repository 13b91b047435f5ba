import { createCipheriv } from 'node:crypto';
import {
  canonicalJson,
  fromBase64url,
  parseJsonObject,
  refuse,
  toBase64url,
  utf8,
} from '../../base/index.ts';
import type { JsonObject, Random } from '../../base/index.ts';
import { isHeaderOf, protectedHeader } from './binding.ts';
import type { SealedBinding } from './binding.ts';

/** The largest compact JWE of credentials, in characters. */
export const MAX_JWE = 1024 * 1024;
/** The largest protected header in bytes: a renewal names each of its executions. */
const MAX_HEADER = 64 * 1024;

/**
 * Encrypts credentials as a compact JWE (RFC 7516), `dir` with A256GCM; the header names what they are for.
 * @param key 32 fresh bytes: used for this one message
 * @param random draws the IV
 * @throws RangeError when the result would be too large to be accepted
 */
export function encryptCredentials(
  credentials: JsonObject,
  key: Uint8Array,
  binding: SealedBinding,
  random: Random,
): string {
  const members = { ...protectedHeader(binding), alg: 'dir', enc: 'A256GCM' };
  const header = toBase64url(utf8(JSON.stringify(members)));
  // 96 bits of IV and 128 of tag (RFC 7518 §5.3); the header is authenticated as it is sent (RFC 7516 §5.1).
  const iv = random.bytes(12);
  const cipher = createCipheriv('aes-256-gcm', key, iv, { authTagLength: 16 });
  cipher.setAAD(Buffer.from(header, 'ascii'));
  const text = Buffer.concat([cipher.update(utf8(canonicalJson(credentials))), cipher.final()]);
  // Between header and IV is the encrypted key, which `dir` doesn't have.
  const jwe = [header, '', ...[iv, text, cipher.getAuthTag()].map(toBase64url)].join('.');
  if (jwe.length > MAX_JWE) throw new RangeError(`credentials of ${String(jwe.length)} characters`);
  return jwe;
}

/**
 * Decrypts what {@link encryptCredentials} gave, with the key that the TPM unsealed.
 * @throws Refusal `malformed`; `sealed-credentials` when the header names something else or decryption fails
 */
export async function decryptCredentials(
  jwe: string,
  key: Uint8Array,
  binding: SealedBinding,
): Promise<JsonObject> {
  requireHeader(jwe, binding);
  if (key.length !== 32) refuse('sealed-credentials', `the unsealed key has ${String(key.length)} bytes`);
  const plaintext = await decrypt(jwe, key);
  return parseJsonObject(plaintext, 'credentials', { maxBytes: MAX_JWE, maxDepth: 16, maxValues: 10_000 });
}

/**
 * The protected header must say exactly what the host asked for; it is authenticated when the JWE decrypts.
 * @throws Refusal `malformed`, `sealed-credentials`
 */
export function requireHeader(jwe: string, binding: SealedBinding): void {
  if (!isHeaderOf(headerOf(jwe), binding)) {
    refuse('sealed-credentials', 'the credentials are for another execution, request or authorization');
  }
}

/** The protected header of a well-formed compact JWE: five parts in strict base64url (jose drops unused bits). */
function headerOf(jwe: string): JsonObject {
  if (jwe.length > MAX_JWE)
    refuse('malformed', `JWE: ${String(jwe.length)} characters`, { structure: 'JWE' });
  const [header, ...others] = jwe.split('.', 6).map((part) => fromBase64url(part, 'JWE'));
  if (header === undefined || others.length !== 4)
    refuse('malformed', 'JWE: not five parts', { structure: 'JWE' });
  return parseJsonObject(header, 'JWE header', { maxBytes: MAX_HEADER, maxDepth: 4, maxValues: 2000 });
}

async function decrypt(jwe: string, key: Uint8Array): Promise<Uint8Array> {
  // Only a host decrypts. Outside of what is caught: a library that isn't there is no wrong key.
  const { compactDecrypt } = await import('jose');
  try {
    const options = { keyManagementAlgorithms: ['dir'], contentEncryptionAlgorithms: ['A256GCM'] };
    return (await compactDecrypt(jwe, key, options)).plaintext;
  } catch {
    // No detail: which byte was wrong is nobody's business.
    return refuse('sealed-credentials', 'the credentials do not decrypt with the unsealed key');
  }
}
