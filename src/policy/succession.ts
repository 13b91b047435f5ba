import type { Checkpoint } from '../audit/index.ts';
import { equalBytes, fromHex, refuse, shape } from '../base/index.ts';
import type { Fail } from '../base/index.ts';

const { decimal, list, object, sha256Text, text } = shape;

/** The most logs that a verifier may have closed. */
const MAX_SUCCESSIONS = 16;
const originText = text({ max: 255, pattern: /^[\x21-\x2a\x2c-\x7e]+$/, want: 'the origin of a log' });

/** `succession` of a trust bundle: the logs that were closed, the first one first, and what opened in place of each. */
export const successionShape = list(
  object({
    closed: object({ origin: originText, size: decimal, root: sha256Text }),
    kept: decimal,
    opened: object({ origin: originText, root: sha256Text }),
  }),
  MAX_SUCCESSIONS,
  1,
);

/**
 * One log that was closed because entries of it are lost, by what its authorities signed. `closed` is the newest tree head
 * of it that was known; `kept` how many of its entries its successor goes on from, so that who signs sees that all after
 * them are forgotten; `opened.root` the root of its successor's first entry alone.
 */
export type Succession = ReturnType<typeof successionShape>[number];

/**
 * Each log leads to the next one, none comes twice, and the last one is the log whose keys the bundle has.
 * @param origins names of the bundle's log keys
 */
export function requireOneLine(
  succession: readonly Succession[],
  origins: readonly string[],
  fail: Fail,
): void {
  const seen = new Set<string>();
  for (const [i, { closed, kept, opened }] of succession.entries()) {
    if (BigInt(kept) > BigInt(closed.size))
      fail(`trust.succession[${String(i)}].kept`, 'no more than the entries that the log was closed at');
    if (seen.size > 0 && succession[i - 1]?.opened.origin !== closed.origin)
      fail(`trust.succession[${String(i)}].closed.origin`, 'the log that opened before');
    seen.add(closed.origin);
    if (seen.has(opened.origin))
      fail(`trust.succession[${String(i)}].opened.origin`, 'a log that was not there before');
  }
  const last = succession.at(-1)?.opened.origin;
  if (last !== undefined && origins.some((origin) => origin !== last))
    fail('trust.log', 'keys of the log that opened last');
}

/** What of a trust bundle its succession is judged by. */
export interface LogLine {
  readonly succession: readonly Succession[];
  readonly log: readonly { readonly name: string }[];
}

/**
 * What a next version may change: logs are closed and opened, none is taken back, and of a closed one only more may become
 * known. Keys of another log come with a succession, and in no other way.
 * @throws Refusal `trust-bundle-chain`
 */
export function requireSucceeds(before: LogLine, next: LogLine): void {
  const changed = (origin: string): never =>
    refuse('trust-bundle-chain', 'what an earlier version says of a closed log is changed', { origin });
  for (const [i, { closed, kept, opened }] of before.succession.entries()) {
    const now = next.succession[i] ?? changed(closed.origin);
    if (now.kept !== kept) changed(closed.origin);
    const same = now.closed.size === closed.size && now.closed.root === closed.root;
    if (now.closed.origin !== closed.origin || now.opened.origin !== opened.origin) changed(closed.origin);
    if (now.opened.root !== opened.root) changed(closed.origin);
    if (!same && BigInt(now.closed.size) <= BigInt(closed.size)) changed(closed.origin);
  }
  const [from] = before.log;
  const added = next.succession[before.succession.length];
  if (added !== undefined && from !== undefined && added.closed.origin !== from.name) changed(from.name);
  const moved = next.log.find(({ name }) => !before.log.some((one) => one.name === name));
  if (moved !== undefined && added === undefined)
    refuse('trust-bundle-chain', 'keys of another log come without a succession', { origin: moved.name });
}

/**
 * Where to go on from with what is remembered of a log: from there, or where it was closed, from its successor's first
 * entry. So the successor that the authorities signed is the only one, and nothing that was seen of the log before may
 * be more than they say is lost.
 * @throws Refusal `log-succession` when the authorities closed the log at less than is remembered, or at another history
 */
export function goesOnFrom(
  remembered: Checkpoint,
  { succession }: { readonly succession: readonly Pick<Succession, 'closed' | 'opened'>[] },
): Checkpoint {
  let at = remembered;
  for (const { closed, opened } of succession) {
    if (closed.origin !== at.origin) continue;
    const [size, root] = [BigInt(closed.size), digestBytes(closed.root)];
    const sizes = { remembered: String(at.size), closed: closed.size, origin: at.origin };
    if (at.size > size)
      refuse('log-succession', 'the log was closed at fewer entries than this host has seen of it', sizes);
    if (at.size === size && !equalBytes(at.root, root))
      refuse('log-succession', 'the log was closed with another history than this host has seen', sizes);
    at = openedCheckpoint(opened);
  }
  return at;
}

/** A log that opened in place of another one, when it had its first entry only. */
export const openedCheckpoint = ({ origin, root }: Succession['opened']): Checkpoint => ({
  ...{ origin, size: 1n, root: digestBytes(root) },
});

/**
 * What a log that was closed says of itself is of the time before: whoever has its key since then can't make it longer. (A
 * shorter history of their own isn't noticed here: nothing but the last tree head is known.)
 * @throws Refusal `log-succession` for a checkpoint of a closed log with more entries than it was closed at, or as many
 * and others
 */
export function requireNotAfterClosing(
  { origin, size, root }: Checkpoint,
  { succession }: { readonly succession: readonly Pick<Succession, 'closed'>[] },
): void {
  const closed = succession.find((one) => one.closed.origin === origin)?.closed;
  if (closed === undefined) return;
  const sizes = { shown: String(size), closed: closed.size, origin };
  if (size > BigInt(closed.size))
    refuse('log-succession', 'the log was closed at fewer entries than this checkpoint has', sizes);
  if (size === BigInt(closed.size) && !equalBytes(root, digestBytes(closed.root)))
    refuse('log-succession', 'the log was closed with another history than this checkpoint has', sizes);
}

const digestBytes = (text: string): Uint8Array => fromHex(text.slice('sha256:'.length), 'digest');
