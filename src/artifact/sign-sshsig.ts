import { Reader, concat, refuse } from '../base/index.ts';
import { makeSignature } from './sign.ts';
import type { SigningKey } from './sign.ts';
import { sshStrings, toMpint } from './ssh-key.ts';
import { encodeSshSignature, sshSignedData } from './sshsig.ts';

/**
 * An armored SSHSIG over content with this SHA-256 digest. SHA-256, so that a verifier who knows the artifact's digest
 * only can check it (`ssh-keygen` writes SHA-512 unless told `-O hashalg=sha256`).
 */
export function signSshsig(sha256: Uint8Array, key: SigningKey, namespace: string): string {
  const data = sshSignedData(namespace, 'sha256', sha256);
  return encodeSshSignature(sshPublicBlob(key), namespace, 'sha256', sshSignature(key, data));
}

function sshSignature(key: SigningKey, data: Uint8Array): Uint8Array {
  switch (key.publicKey.type) {
    case 'ed25519':
      return sshStrings('ssh-ed25519', makeSignature(key, { algorithm: 'ed25519', hash: 'sha512' }, data));
    case 'ecdsa-p256': {
      const pair = new Reader(
        makeSignature(key, { algorithm: 'ecdsa-p256', hash: 'sha256', encoding: 'ieee-p1363' }, data),
        'ECDSA signature',
      );
      return sshStrings('ecdsa-sha2-nistp256', sshStrings(toMpint(pair.bytes(32)), toMpint(pair.bytes(32))));
    }
    case 'rsa':
      if (key.privateKey.asymmetricKeyType === 'rsa-pss') {
        refuse('artifact-key', 'this key is for RSASSA-PSS only, which OpenSSH does not have');
      }
      // OpenSSH has no RSASSA-PSS (RFC 8332): the same key signs with PKCS #1 v1.5 and SHA-512 here.
      return sshStrings('rsa-sha2-512', makeSignature(key, { algorithm: 'rsa-pkcs1', hash: 'sha512' }, data));
  }
}

/** The key in SSH wire format (RFC 4253 §6.6, RFC 5656 §3.1, RFC 8709 §4). */
export function sshPublicBlob(key: SigningKey): Uint8Array {
  const jwk = key.publicKey.key.export({ format: 'jwk' });
  const number = (text: unknown): Uint8Array =>
    typeof text === 'string'
      ? new Uint8Array(Buffer.from(text, 'base64url'))
      : refuse('artifact-key', 'incomplete key');
  switch (key.publicKey.type) {
    case 'ed25519':
      return sshStrings('ssh-ed25519', number(jwk.x));
    case 'ecdsa-p256':
      return sshStrings(
        'ecdsa-sha2-nistp256',
        'nistp256',
        concat([new Uint8Array([4]), number(jwk.x), number(jwk.y)]),
      );
    case 'rsa':
      return sshStrings('ssh-rsa', toMpint(number(jwk.e)), toMpint(number(jwk.n)));
  }
}
