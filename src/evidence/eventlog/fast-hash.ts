import { hash } from 'node:crypto';
import type { HashName } from '../../tpm/index.ts';

/**
 * H(bytes) in lowercase hex. One-shot hashing to text costs about a third of `createHash` and allocates no buffer;
 * a log needs two or three hashes an event. What is compared here is public (a log and PCR values), so comparing
 * text in variable time gives nothing away.
 */
export function hexDigest(bank: HashName, bytes: Uint8Array | string): string {
  return hash(bank, bytes, 'hex');
}
