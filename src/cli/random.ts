import { randomBytes } from 'node:crypto';
import type { Random } from '../base/index.ts';

/** The machine's randomness: the command line is a composition root. */
export const systemRandom: Random = { bytes: (length) => new Uint8Array(randomBytes(length)) };
