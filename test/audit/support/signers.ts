import { createPrivateKey } from 'node:crypto';
import { noteSigner } from '../../../src/audit/verifier-key.ts';
import type { KeyUse, NoteSigner } from '../../../src/audit/verifier-key.ts';

/** A signer whose Ed25519 seed is one repeated byte. */
export function testSigner(name: string, seed: number, use: KeyUse = 'note'): NoteSigner {
  return signerOf(name, new Uint8Array(32).fill(seed), use);
}

/** A signer from an Ed25519 seed. */
export function signerOf(name: string, seed: Uint8Array, use: KeyUse = 'note'): NoteSigner {
  // RFC 8410: PKCS #8 of an Ed25519 key is this prefix and the seed.
  const der = Buffer.concat([Buffer.from('302e020100300506032b657004220420', 'hex'), seed]);
  return noteSigner(name, use, createPrivateKey({ key: der, format: 'der', type: 'pkcs8' }));
}
