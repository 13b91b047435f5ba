import { randomBytes } from 'node:crypto';
import type { Random } from '../../src/base/index.ts';

/** The machine's randomness as the port that pure code takes. */
export const systemRandom: Random = { bytes: (length) => new Uint8Array(randomBytes(length)) };
