import { createHash } from 'node:crypto';
import { checkSealed } from '../../src/credential/index.ts';
import type { OwnTerms, ReleaseBinding, SealTerms } from '../../src/credential/index.ts';
import type { SealedObject } from '../../src/tpm/index.ts';
import { eccStorageKey } from '../support/software-tpm.ts';

export const sha256 = (text: string): Uint8Array =>
  new Uint8Array(createHash('sha256').update(text).digest());

/** An EK as template L-2 has it, with its private half. */
export const ek = eccStorageKey('P-256', { nameAlg: 'sha256', keyBits: 128 });

export const release: ReleaseBinding = {
  kind: 'release',
  executionId: '019a9e2c-7b1e-7c3d-8f20-1234567890ab',
  requestDigest: sha256('request'),
  jti: 'authorization-1',
};

export const credentials = { svid: 'certificate and key', secrets: { token: 'hunter2' } };

/** What the verifier seals to: one host, quoted with PCRs 0–10, 14 and 23 of the SHA-256 bank. */
export const terms: SealTerms = {
  binding: release,
  ek: ek.area,
  nonceTpm: sha256('nonceTPM'),
  quoted: { clock: 1_000_000n, resetCount: 7, restartCount: 1 },
  quotedPcr: (bank, index) =>
    bank === 'sha256' && (index <= 10 || index === 14 || index === 23) ? sha256(`pcr ${index}`) : undefined,
  pcrSelection: [{ bank: 'sha256', pcrs: [0, 1, 2, 3, 4, 5, 6, 7, 14, 23] }],
  expiration: 30,
};

/** What the host knows of the same release. */
export const own: OwnTerms = {
  binding: release,
  nonceTpm: terms.nonceTpm,
  quoted: terms.quoted,
  quotedPcr: terms.quotedPcr,
};

export const check = (sealed: Parameters<typeof checkSealed>[0]): SealedObject => checkSealed(sealed, own);
