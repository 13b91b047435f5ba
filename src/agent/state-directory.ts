import {
  closeSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs';
import path from 'node:path';
import { refuse } from '../base/index.ts';
import { checkSecretDirectory, readSecretFile } from '../config/index.ts';

/** Where a host keeps what it knows about its verifier. */
export const DEFAULT_STATE = '/var/lib/sealgate';

/** The files of a state directory; each is 0600. */
export const STATE_FILES = {
  identity: 'identity.json',
  akAuth: 'ak.auth',
  agentKey: 'agent.key',
  agentCertificate: 'agent.pem',
  trustBundles: 'trust-bundles.json',
  checkpoint: 'checkpoint',
  policySeen: 'policy-seen.json',
  policyManifest: 'policy-manifest.json',
  evidenceSeen: 'evidence-seen.json',
  pending: 'enrollment.json',
} as const;

/** Trust bundles are the largest. */
const MAX_FILE = 4 * 1024 * 1024;

/**
 * A directory 0700 of files 0600 that belong to this user or root. Each file is replaced as a whole: whoever reads sees
 * the old content or the new one, also after a crash.
 */
export class StateDirectory {
  readonly path: string;

  private constructor(directory: string) {
    this.path = path.resolve(directory);
  }

  /**
   * One that is there, with every file's mode judged.
   * @throws Refusal `agent-not-enrolled` when it isn't there; `agent-state-access` when it is somebody else's;
   *   `secret-file` when others can use it
   */
  static open(directory: string): StateDirectory {
    if (!isThere(directory))
      refuse('agent-not-enrolled', 'there is no state directory: this host is not enrolled', { directory });
    checkSecretDirectory(directory);
    const state = new StateDirectory(directory);
    for (const name of Object.values(STATE_FILES)) state.read(name);
    return state;
  }

  /** One that is there, or a new one. @throws Refusal `secret-file` */
  static create(directory: string): StateDirectory {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    return StateDirectory.open(directory);
  }

  /** Path of a file that is not one of {@link STATE_FILES}: locks, directories of runs. */
  at(name: string): string {
    return path.join(this.path, name);
  }

  /** A file's content; undefined when it isn't there. @throws Refusal `secret-file` */
  read(name: string): Uint8Array | undefined {
    const file = this.at(name);
    return isThere(file) ? readSecretFile(file, MAX_FILE) : undefined;
  }

  /** Writes a file as a whole; it is on disk when this returns. */
  write(name: string, content: string | Uint8Array): void {
    const file = this.at(name);
    const next = `${file}.${String(process.pid)}.new`;
    rmSync(next, { force: true });
    const descriptor = openSync(next, 'wx', 0o600);
    try {
      const bytes = Buffer.from(content);
      for (let at = 0; at < bytes.length;) at += writeSync(descriptor, bytes, at);
      fsyncSync(descriptor);
    } finally {
      closeSync(descriptor);
    }
    renameSync(next, file);
    syncDirectory(this.path);
  }

  remove(name: string): void {
    rmSync(this.at(name), { force: true });
    syncDirectory(this.path);
  }

  /** Removes what a crash left of {@link write}. */
  tidy(): void {
    for (const name of readdirSync(this.path))
      if (name.endsWith('.new')) rmSync(this.at(name), { force: true });
  }
}

/**
 * Only what is missing is missing: what this user may not look at belongs to somebody else, and is no host that isn't
 * enrolled.
 * @throws Refusal `agent-state-access`
 */
function isThere(file: string): boolean {
  try {
    return statSync(file, { throwIfNoEntry: false }) !== undefined;
  } catch (error) {
    const reason = error instanceof Error && 'code' in error ? String(error.code) : 'unknown';
    return refuse('agent-state-access', `this user can't use the host’s state (${reason})`, { file });
  }
}

/** A rename is on disk when its directory is. */
function syncDirectory(directory: string): void {
  const descriptor = openSync(directory, 'r');
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}
