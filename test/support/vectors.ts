import { readFileSync } from 'node:fs';
import path from 'node:path';
import type { Random } from '../../src/base/index.ts';

const DATA = path.resolve(import.meta.dirname, '../data');

/** A file of test/data as bytes. */
export function dataFile(name: string): Uint8Array {
  return new Uint8Array(readFileSync(path.join(DATA, name)));
}

/** A JSON file of test/data; its shape is the caller's claim, checked by the assertions made on it. */
export function dataJson(name: string): unknown {
  return JSON.parse(readFileSync(path.join(DATA, name), 'utf8'));
}

/** Randomness that was recorded: hands out the given pieces in order, each asked for with its own length. */
export function recordedRandom(...pieces: readonly Uint8Array[]): Random {
  const left = [...pieces];
  return {
    bytes(length) {
      const next = left.shift();
      if (next?.length !== length) {
        throw new Error(`asked for ${length} random bytes, recorded are ${next?.length ?? 'no more'}`);
      }
      return next;
    },
  };
}
