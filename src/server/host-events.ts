import { PassThrough } from 'node:stream';
import type { Readable } from 'node:stream';
import type { JsonObject } from '../base/index.ts';
import { TOLD_MS } from './live-executions.ts';
import type { RevocationListener, RevokedExecution } from './live-executions.ts';

/** A comment this often shows both sides that the other one is there. */
export const HEARTBEAT_MS = 15_000;
/** A stream ends after this time, and whoever comes back is judged anew. */
const LONGEST_MS = 3_600_000;
/** Bytes that may wait for a host that reads slowly; one that lets more pile up comes back and resumes. */
const MAX_WAITING = 256 * 1024;

interface Open {
  readonly stream: PassThrough;
  readonly end: NodeJS.Timeout;
}

/**
 * Events for hosts (docs/PROTOCOL.md, "Events"): what was revoked of what they run. One stream a host, the newest wins.
 * Nothing of them has a state of its own: what a host missed is found in the records of its executions, by the index of
 * the leaf that ended them.
 */
export class HostEvents implements RevocationListener {
  readonly #streams = new Map<string, Open>();
  /** Revoked, not yet acknowledged, and not yet run out. */
  readonly #revoked = new Map<string, RevokedExecution[]>();
  readonly #beat: NodeJS.Timeout;
  #closed = false;

  constructor() {
    this.#beat = setInterval(() => {
      for (const { stream } of this.#streams.values()) write(stream, ': heartbeat\n\n');
    }, HEARTBEAT_MS).unref();
  }

  /** Hosts that are listening. */
  get size(): number {
    return this.#streams.size;
  }

  /** An execution of the host was revoked; in the order of leaves. */
  revoked(one: RevokedExecution): void {
    const known = this.#revoked.get(one.hostId) ?? [];
    // Who reads all records again tells of all of them again.
    if (known.some(({ executionId, leaf }) => executionId === one.executionId && leaf === one.leaf)) return;
    this.#revoked.set(one.hostId, [...known, one]);
    const open = this.#streams.get(one.hostId);
    if (open !== undefined) write(open.stream, revokedEvent([one]));
  }

  acknowledged(hostId: string, executionId: string): void {
    const left = (this.#revoked.get(hostId) ?? []).filter((one) => one.executionId !== executionId);
    if (left.length === 0) this.#revoked.delete(hostId);
    else this.#revoked.set(hostId, left);
  }

  /** Asks a host to attest at once: an operator let it come back. */
  attest(hostId: string, reason: string): void {
    const open = this.#streams.get(hostId);
    if (open !== undefined) write(open.stream, eventText('attest', { v: 1, reason }));
  }

  /**
   * Opens the one stream of a host; the one before ends. What was revoked after the given leaf comes first. An index
   * from the future is none: a host that claims to know more than there is gets everything.
   * @param lastEventId of the last event that the host has seen; null: none
   * @param size of the log
   */
  open(hostId: string, lastEventId: bigint | null, size: bigint): Readable {
    this.#end(hostId);
    const stream = new PassThrough({ highWaterMark: MAX_WAITING });
    const end = setTimeout(() => stream.end(), LONGEST_MS).unref();
    const open: Open = { stream, end };
    stream.once('close', () => {
      clearTimeout(end);
      if (this.#streams.get(hostId) === open) this.#streams.delete(hostId);
    });
    stream.on('error', () => undefined);
    if (this.#closed) {
      stream.end();
      return stream;
    }
    this.#streams.set(hostId, open);
    const after = lastEventId !== null && lastEventId < size ? lastEventId : -1n;
    const missed = (this.#revoked.get(hostId) ?? []).filter(({ leaf }) => leaf > after);
    // At once, whatever its size: nobody could have read any of it yet, and who is cut off here would be so forever.
    stream.write([': sealgate host events\n\n', ...groupByLeaf(missed).map(revokedEvent)].join(''));
    return stream;
  }

  /** Forgets what has run out: a gateway ended it by itself. @param now Unix ms */
  forget(now: number): void {
    for (const [hostId, list] of this.#revoked) {
      const left = list.filter(({ expires }) => expires * 1000 + TOLD_MS > now);
      if (left.length === 0) this.#revoked.delete(hostId);
      else this.#revoked.set(hostId, left);
    }
  }

  /** Ends every stream; who comes now gets one that ends at once. */
  close(): void {
    this.#closed = true;
    clearInterval(this.#beat);
    for (const hostId of this.#streams.keys()) this.#end(hostId);
  }

  #end(hostId: string): void {
    const open = this.#streams.get(hostId);
    this.#streams.delete(hostId);
    open?.stream.end();
  }
}

/** Whoever doesn't read is cut off: what it missed it gets when it comes back. */
function write(stream: PassThrough, text: string): void {
  if (stream.writableEnded || stream.destroyed) return;
  if (stream.readableLength + stream.writableLength > MAX_WAITING) stream.destroy();
  else stream.write(text);
}

function groupByLeaf(revoked: readonly RevokedExecution[]): readonly (readonly RevokedExecution[])[] {
  const groups = new Map<bigint, RevokedExecution[]>();
  for (const one of [...revoked].sort((a, b) => (a.leaf < b.leaf ? -1 : a.leaf > b.leaf ? 1 : 0)))
    groups.set(one.leaf, [...(groups.get(one.leaf) ?? []), one]);
  return [...groups.values()];
}

/** All of one leaf. */
function revokedEvent(of: readonly RevokedExecution[]): string {
  const [first] = of;
  if (first === undefined) return '';
  const { by, reason, leaf } = first;
  const executions = of.map(({ executionId }) => executionId);
  return eventText('revoked', { v: 1, executions, kind: by.kind, id: by.id, reason }, leaf);
}

/** JSON has no line break, so that one `data` line is the whole of it. */
function eventText(event: string, data: JsonObject, id?: bigint): string {
  const named = id === undefined ? '' : `id: ${String(id)}\n`;
  return `${named}event: ${event}\ndata: ${JSON.stringify(data)}\n\n`;
}
