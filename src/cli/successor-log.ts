import { copyFileSync, existsSync, linkSync, renameSync, rmSync } from 'node:fs';
import type { KeyObject } from 'node:crypto';
import path from 'node:path';
import { formatVkey, leafHash, noteSigner } from '../audit/index.ts';
import type { OpeningLeaf, VerifierKey } from '../audit/index.ts';
import { refuse, toHex } from '../base/index.ts';
import type { JsonObject } from '../base/index.ts';
import {
  logOrigin,
  makeKey,
  nextDocument,
  readKeyRing,
  readTrustBundles,
  writeNewFile,
} from '../config/index.ts';
import { trustBundleBytes } from '../policy/index.ts';
import type { TrustBundle, TrustBundleDocument } from '../policy/index.ts';
import { CLOSED_MARK, writeHighWater } from '../server/high-water.ts';
import { successorChanges } from '../server/succession.ts';
import { beginLog, openSqlite, readContent, replaceStore, syncPath } from '../store/index.ts';
import type { SoundCopy } from '../store/index.ts';
import { systemClock } from './clock.ts';
import type { FoundConfig } from './config-file.ts';
import { UsageError } from './errors.ts';
import type { KnownLog } from './lost-entries.ts';

/** What the operator ordered. */
export interface SuccessorOrder {
  readonly origin: string;
  /** Where the trust bundle that names it goes. */
  readonly output: string;
  readonly hostsReturn: boolean;
}

/** An order that can be carried out. */
export interface SuccessorPlan extends SuccessorOrder {
  readonly trust: TrustBundle;
}

/** @throws UsageError; Refusal `key-rotation`, `trust-bundle-…` */
export function planSuccessor({ config, files }: FoundConfig, order: SuccessorOrder): SuccessorPlan {
  const { origin, output } = order;
  if (!/^[A-Za-z0-9][A-Za-z0-9._/-]{0,254}$/.test(origin))
    throw new UsageError(`${origin} is no origin of a log`);
  if (origin === logOrigin(config))
    throw new UsageError(
      `${origin} is the log that is to be closed: log.origin is changed after this command`,
    );
  if (existsSync(output)) throw new UsageError(`${output} exists: nothing was written`);
  const ring = readKeyRing(files);
  if (ring.successor('log') !== undefined)
    refuse('key-rotation', 'the log’s key is being rotated: finish that, or take keys/log.next.key away');
  const trust = readTrustBundles(files, config, ring).current;
  if (trust.succession.some(({ closed }) => closed.origin === origin))
    throw new UsageError(`${origin} was closed already: a log is never opened again`);
  return { ...order, trust };
}

/** What is at hand when a successor is made: a checked copy in a private directory. */
export interface SuccessorParts {
  readonly found: FoundConfig;
  readonly macKey: Uint8Array;
  readonly epoch: string;
  readonly file: string;
  readonly copy: SoundCopy;
  readonly known: KnownLog;
  readonly lost: readonly string[];
}

/** A successor that was made in the copy, and what else has to be put in place with it. */
export interface Successor {
  readonly key: { readonly pem: string; readonly key: KeyObject };
  readonly checkpoint: string;
  readonly previous: NonNullable<OpeningLeaf['previous']>;
  readonly trustBundle: Uint8Array;
  readonly version: number;
  /** Hosts that were quarantined. */
  readonly hosts: number;
  /** Executions that end with the log. */
  readonly executions: number;
  /** The copy as it was. */
  readonly closed: string;
}

/** Closes the log of a copy and opens its successor in it. Nothing outside the copy's directory is touched. */
export async function makeSuccessor(plan: SuccessorPlan, parts: SuccessorParts): Promise<Successor> {
  const { file, macKey, epoch, found } = parts;
  const closed = `${file}.closed`;
  copyFileSync(file, closed);
  const key = makeKey('log');
  const signer = noteSigner(plan.origin, 'note', key.key);
  const previous = closingOf(parts);
  const db = openSqlite(file, 'DELETE');
  try {
    const content = await readContent(db, macKey);
    const changes = successorChanges(content, {
      ...{ origin: plan.origin, previous, replica: found.config.replica, hostsReturn: plan.hostsReturn },
    });
    const clock = { now: () => Math.max(systemClock.now(), content.time) };
    const { checkpoint, first } = await beginLog(db, { keys: { signer, macKey }, clock, epoch, changes });
    const document = successorDocument(plan, signer.key, { previous, first });
    return {
      ...{ key, checkpoint, previous, closed, trustBundle: trustBundleBytes(document) },
      version: document.version,
      hosts: changes.filter(({ leaf }) => leaf['kind'] === 'transition').length,
      executions: content.records.filter(({ kind }) => kind === 'execution').length,
    };
  } finally {
    await db.destroy();
  }
}

/** The trust bundle that names the successor, by its key and its first entry. */
function successorDocument(
  { trust, origin }: SuccessorPlan,
  key: VerifierKey,
  { previous, first }: Pick<Successor, 'previous'> & { readonly first: Uint8Array },
): TrustBundleDocument {
  const closed = { origin: previous.origin, size: previous.size, root: previous.root };
  const opened = { origin, root: `sha256:${toHex(leafHash(first))}` };
  const succession = [...trust.succession, { closed, kept: previous.kept, opened }];
  return { ...nextDocument(trust), log: [formatVkey(key)], succession };
}

/** The newest head of the closed log that is known, and what is lost up to it at the least. */
function closingOf({ copy, known, lost }: SuccessorParts): Successor['previous'] {
  const { origin, size, root } = copy.head;
  const backup = { source: 'backup' as const, head: { origin, size, root } };
  const newest = known.heads.reduce<Pick<KnownLog['heads'][number], 'source' | 'head'>>(
    (most, one) => (one.head.size > most.head.size ? one : most),
    backup,
  );
  return {
    origin,
    size: String(newest.head.size),
    root: `sha256:${toHex(newest.head.root)}`,
    source: newest.source,
    kept: String(size),
    gap: lost.join('; ').slice(0, 1900).toWellFormed(),
  };
}

/**
 * Puts a successor in the place of the store, with its key and its high-water mark. Whatever of it a crash leaves out,
 * `serve` refuses, and the same restore can be done again: the mark of the closed log stays beside the new one.
 * @returns names of what was put aside
 */
export async function installSuccessor(
  successor: Successor,
  plan: SuccessorPlan,
  { found: { files }, file }: Pick<SuccessorParts, 'found' | 'file'>,
): Promise<{ readonly closed: string; readonly replaced: string | null }> {
  const stamp = new Date(systemClock.now()).toISOString().replace(/[-:.]/g, '');
  const closed = `${files.store}.closed-${stamp}`;
  const nextKey = path.join(files.keys, 'log.successor.key');
  rmSync(nextKey, { force: true });
  writeNewFile(nextKey, successor.key.pem, 0o600);
  writeNewFile(plan.output, successor.trustBundle, 0o644);
  syncPath(successor.closed);
  linkSync(successor.closed, closed);
  if (existsSync(files.highWater)) linkSync(files.highWater, `${files.highWater}${CLOSED_MARK}${stamp}`);
  const aside = `${files.store}.replaced-${stamp}`;
  const replaced = replaceStore(file, files.store, aside) ? aside : null;
  await writeHighWater(files.highWater, successor.checkpoint);
  // Last, and in one step: from here on nobody can sign the closed log any more.
  renameSync(nextKey, files.key('log'));
  syncPath(files.keys);
  return { closed, replaced };
}

/** What the operator has to know and do now. */
export function successorAnswer(
  { previous, checkpoint, version, hosts, executions }: Successor,
  plan: SuccessorPlan,
  places: { readonly store: string; readonly closed: string; readonly replaced: string | null },
): JsonObject & { readonly warnings: readonly string[] } {
  return {
    ...{ origin: plan.origin, checkpoint, hosts, executions, store: places.store },
    closed: { ...previous, store: places.closed },
    replaced: places.replaced,
    trustBundle: { file: plan.output, version },
    warnings: [
      'what was revoked, quarantined, rotated or published in the entries that are lost is not known: do it again',
      plan.hostsReturn
        ? 'every host is quarantined until it attests: revoke what was revoked before, or use --hold-hosts'
        : 'every host is quarantined until host restore',
    ],
    next: [
      `set log.origin to ${plan.origin} in the configuration`,
      `sealgate trust-bundle sign ${plan.output} --key AUTHORITY.key (as many authorities as the threshold)`,
      `sealgate trust-bundle publish ${plan.output}.dsse.json`,
      'start the verifier; auditors: audit verify --successor, with the new log key in their profiles',
    ],
  };
}
