/** Faults besides a kill: a full disk, and a clock that was set forward and back. */
import { execFile } from 'node:child_process';
import path from 'node:path';
import { promisify } from 'node:util';
import { leafBody, noteSigner, parseLeaf } from '../../src/audit/index.ts';
import { fromBase64url } from '../../src/base/index.ts';
import { findConfig } from '../../src/cli/config-file.ts';
import { VerifierRefusal } from '../../src/client/index.ts';
import { logOrigin, readKeyRing } from '../../src/config/index.ts';
import { deriveKey, openSqlite, openStore } from '../../src/store/index.ts';
import { TRUST_DOMAIN, textOf } from '../bench/lib/bench-verifier.ts';
import type { BenchHost, BenchVerifier } from '../bench/lib/bench-verifier.ts';
import { executionBody } from '../bench/lib/software-agent.ts';

export type Fault = 'kill' | 'disk' | 'clock';

/** What happens in which round, again and again; each round ends with a kill. */
export const FAULTS: readonly Fault[] = ['kill', 'disk', 'kill', 'clock', 'kill'];

const FULL_MS = 400;
const RECOVERY_MS = 30_000;
const AHEAD_MS = 120_000;

/** What a load has come to. */
interface Progress {
  readonly released: readonly unknown[];
  readonly refused: readonly unknown[];
}

/**
 * No file of the verifier's process may grow beyond 64 KiB for a while, so that the write of a commit fails as on a full
 * disk (setrlimit(2); Node ignores SIGXFSZ, write(2) answers EFBIG). Then there is room again, and it has to go on.
 * @throws Error when it was not refused while the disk was full, or did not go on afterwards
 */
export async function fullDisk(verifier: BenchVerifier, load: Progress): Promise<void> {
  const limit = async (bytes: string): Promise<void> => {
    await promisify(execFile)('prlimit', ['--pid', String(verifier.pid), `--fsize=${bytes}:`]);
  };
  await limit('65536');
  try {
    await until(() => load.refused.length > 0, 'nothing was refused while the disk was full');
    await new Promise((resolve) => setTimeout(resolve, FULL_MS));
  } finally {
    await limit('unlimited');
  }
  const before = load.released.length;
  await until(() => load.released.length > before, 'nothing was released when there was room again');
}

/** A host and the nonce of a challenge that it was given. */
export interface OpenChallenge {
  readonly host: BenchHost;
  readonly nonce: string;
}

/** A challenge that is not answered yet. */
export async function openChallenge([host]: readonly BenchHost[]): Promise<OpenChallenge> {
  if (host === undefined) throw new Error('there are no hosts');
  return { host, nonce: await challengeOf(host) };
}

/**
 * Writes what the verifier would have written while its clock was two minutes ahead: an entry by the store's own code,
 * over the same files and with the same keys. For the process that starts next, the clock was set back.
 */
export async function clockWasAhead(verifier: BenchVerifier): Promise<void> {
  const { config, files } = findConfig(path.join(verifier.directory, 'sealgate.yaml'));
  const ring = readKeyRing(files);
  const signer = noteSigner(logOrigin(config), 'note', ring.privateKey('log'));
  const keys = { signer, macKey: deriveKey(ring.secret('master'), 'record-mac') };
  // Ahead of the log too, which an earlier round may have set ahead.
  let from = Date.now();
  const clock = { now: () => from + AHEAD_MS };
  const store = await openStore(openSqlite(files.store), keys, clock, 'none');
  try {
    const [newest] = await store.leaves(Number((await store.head())?.size ?? 1) - 1, 1);
    if (newest !== undefined) from = Math.max(from, Date.parse(parseLeaf(newest).time));
    const leaf = leafBody({
      ...{ v: 1, kind: 'operator', action: 'clock', target: 'ahead', digest: null },
      by: { kind: 'verifier', id: 'faults' },
    });
    await store.commit([{ leaf, preconditions: [], once: [], writes: [], bodies: [] }]);
  } finally {
    await store.close();
  }
}

/**
 * The verifier's time is not before its newest entry: a challenge of before has ended, a new one is decided, and its leaf is
 * not older.
 * @throws Error that names what doesn't hold
 */
export async function timeGoesOn(
  verifier: BenchVerifier,
  hosts: readonly BenchHost[],
  { host, nonce }: OpenChallenge,
): Promise<void> {
  const late = await ask(verifier, host, nonce).then(
    () => 'released',
    (error: unknown) => (error instanceof VerifierRefusal ? error.denial.check : String(error)),
  );
  if (late !== 'nonce-expired') throw new Error(`a challenge of before the clock went ahead: ${late}`);
  const [next = host] = hosts;
  const { time } = parseLeaf(await ask(verifier, next, await challengeOf(next)));
  if (Date.parse(time) < Date.now() + AHEAD_MS / 2)
    throw new Error(`a leaf is of ${time}: the log went back`);
}

async function challengeOf({ client }: BenchHost): Promise<string> {
  const { json } = await client.request('POST', '/v1/challenges', { body: { v: 1, purpose: 'execution' } });
  return textOf(json, 'nonce');
}

/** Asks for an execution. @returns its leaf */
async function ask(
  { policyHash, signer }: BenchVerifier,
  { host, client }: BenchHost,
  nonce: string,
): Promise<Uint8Array> {
  const body = await executionBody(host, {
    ...{ trustDomain: TRUST_DOMAIN, nonce, policyHash, logSize: '1', envelope: signer.envelope },
  });
  const { json } = await client.request('POST', '/v1/executions', { body });
  return fromBase64url(textOf(json, 'leaf'), 'leaf');
}

async function until(holds: () => boolean, otherwise: string): Promise<void> {
  const end = performance.now() + RECOVERY_MS;
  while (!holds()) {
    if (performance.now() > end) throw new Error(otherwise);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
