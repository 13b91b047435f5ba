import { parseDsse } from '../artifact/index.ts';
import type { VerifierKey } from '../audit/index.ts';
import { refuse, utf8 } from '../base/index.ts';
import { logKeysOf, readKeyRing, readTrustBundles } from '../config/index.ts';
import { readTrustBundle } from '../policy/index.ts';
import type { Succession, TrustChain } from '../policy/index.ts';
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

/**
 * What the store of a closed log is checked with: keys that any published trust bundle had for it.
 * @throws Refusal `log-origin` for a log that no trust bundle closed; `trust-bundle-…`
 */
export function closedLogOf(
  { config, files }: FoundConfig,
  origin: string,
): { readonly keys: StoreKeys; readonly closed: Succession['closed'] } {
  const ring = readKeyRing(files);
  const { chain, current } = readTrustBundles(files, config, ring);
  const closed = current.succession.find((one) => one.closed.origin === origin)?.closed;
  const [key, ...more] = logKeysOfChain(chain).filter(({ name }) => name === origin);
  if (closed === undefined || key === undefined)
    return refuse('log-origin', 'no trust bundle says that this log was closed', { origin });
  const macKey = deriveKey(ring.secret('master'), 'record-mac');
  return { keys: { macKey, logKeys: [key, ...more] }, closed };
}

/** Log keys of every version of a verified chain. */
export const logKeysOfChain = (chain: TrustChain['chain']): readonly VerifierKey[] =>
  chain.flatMap((one) => readTrustBundle(parseDsse(utf8(JSON.stringify(one))).payload).log);

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
