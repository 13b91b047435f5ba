import {
  closeSync,
  fsyncSync,
  lstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { homedir } from 'node:os';
import path from 'node:path';
import { refuse } from '../base/index.ts';
import { EMPTY_TRUST_STORE, formatTrustStore, parseTrustStore } from '../x509/index.ts';
import type { TrustStore } from '../x509/index.ts';
import { UsageError } from './errors.ts';

/** `$SEALGATE_HOME/trust.json`, else `trust.json` in the user's configuration directory. */
export function defaultTrustFile(environment: NodeJS.ProcessEnv = process.env): string {
  const home = environment['SEALGATE_HOME'];
  if (home) return path.join(home, 'trust.json');
  return path.join(
    environment['XDG_CONFIG_HOME'] ?? path.join(homedir(), '.config'),
    'sealgate',
    'trust.json',
  );
}

/**
 * Reads the trust file; one that doesn't exist is an empty store.
 * @throws Refusal `trust-file-mode` when others than its owner could have written it; what `parseTrustStore` throws
 */
export function readTrustFile(file: string): TrustStore {
  const status = lstatSync(file, { throwIfNoEntry: false });
  if (status === undefined) return EMPTY_TRUST_STORE;
  const owner = process.getuid?.();
  const mode = status.mode & 0o777;
  if (!status.isFile() || (mode & 0o077) !== 0 || (status.uid !== owner && status.uid !== 0)) {
    refuse('trust-file-mode', 'the trust file is not a file that only its owner can use', {
      file,
      mode: mode.toString(8),
      uid: status.uid,
    });
  }
  return parseTrustStore(new Uint8Array(readFileSync(file)));
}

/**
 * Changes the trust file: read, change, write beside it, sync, rename. The new file is the lock, so that two
 * operators at once can't lose each other's change.
 */
export function updateTrustFile(file: string, change: (store: TrustStore) => TrustStore): TrustStore {
  const next = `${file}.new`;
  const descriptor = create(next);
  try {
    const store = change(readTrustFile(file));
    writeSync(descriptor, formatTrustStore(store));
    fsyncSync(descriptor);
    renameSync(next, file);
    return store;
  } catch (error) {
    rmSync(next, { force: true });
    throw error;
  } finally {
    closeSync(descriptor);
  }
}

function create(file: string): number {
  try {
    mkdirSync(path.dirname(file), { recursive: true, mode: 0o700 });
    return openSync(file, 'wx', 0o600);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    const exists = error instanceof Error && 'code' in error && error.code === 'EEXIST';
    throw new UsageError(
      exists ? `another change is under way; if not, remove ${file}` : `can't write ${file}: ${reason}`,
    );
  }
}
