import { noteSigner } from '../audit/index.ts';
import type { VerifierKey } from '../audit/index.ts';
import type { KeyRing } from './installation.ts';
import { logOrigin } from './verifier-files.ts';
import type { VerifierConfig } from './verifier-schema.ts';

/** Public keys that sign checkpoints now: the log's, and while it is rotated the one that is to follow. */
export function logKeysOf(ring: KeyRing, config: VerifierConfig): readonly [VerifierKey, ...VerifierKey[]] {
  const origin = logOrigin(config);
  const key = noteSigner(origin, 'note', ring.privateKey('log')).key;
  const next = ring.successor('log');
  return next === undefined ? [key] : [key, noteSigner(origin, 'note', next).key];
}
