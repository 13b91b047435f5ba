import { logKeysOf, readKeyRing } from '../config/index.ts';
import { deriveKey } from '../store/index.ts';
import type { StoreKeys } from '../store/index.ts';
import { systemClock } from './clock.ts';
import type { FoundConfig } from './config-file.ts';
import type { CommandContext } from './context.ts';

/** What this installation's store is checked with. @throws Refusal `key-file` */
export function storeKeysOf({ config, files }: FoundConfig): StoreKeys {
  const ring = readKeyRing(files);
  return { macKey: deriveKey(ring.secret('master'), 'record-mac'), logKeys: logKeysOf(ring, config) };
}

/** Says on stderr, once a second, how many of something have been looked at. */
export function progressOf({ io }: CommandContext, what: string): (count: number) => void {
  let last = systemClock.now();
  return (count) => {
    const now = systemClock.now();
    if (now - last < 1000) return;
    last = now;
    io.stderr(`${String(count)} ${what}\n`);
  };
}
