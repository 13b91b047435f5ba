import { setTimeout as sleep } from 'node:timers/promises';
import {
  formatAddCheckpoint,
  formatNote,
  parseCheckpoint,
  parseSignatureLines,
  parseSize,
  proveConsistency,
  verifyQuorum,
  verifySignatures,
} from '../../audit/index.ts';
import type {
  NoteSignature,
  QuorumPolicy,
  TileReader,
  UnverifiedCheckpoint,
  VerifierKey,
} from '../../audit/index.ts';
import { Refusal, fromUtf8, refuse, utf8 } from '../../base/index.ts';
import type { Clock } from '../../base/index.ts';

/** What a witness answered. */
export interface WitnessReply {
  readonly status: number;
  readonly bytes: Uint8Array;
}

/** What asking witnesses needs. */
export interface WitnessingParts {
  /** Whom to ask (those with a URL), and the quorum that makes a checkpoint a published one. */
  readonly policy: QuorumPolicy;
  readonly tiles: TileReader;
  readonly ask: (url: string, body: Uint8Array) => Promise<WitnessReply>;
  /** Keeps a checkpoint that the quorum cosigned. */
  readonly keep: (size: bigint, checkpoint: string) => Promise<void>;
  readonly clock: Clock;
  /** Milliseconds that an answer waits. */
  readonly waitMs: number;
  readonly onError: (error: unknown) => void;
}

/** A checkpoint with the cosignatures that it has. */
export interface Cosigned extends UnverifiedCheckpoint {
  readonly text: string;
}

/** How asking one witness goes. */
export interface WitnessStanding {
  readonly name: string;
  /** Size of the newest checkpoint that it cosigned since the start; 0 before. */
  readonly size: bigint;
  readonly failures: number;
  /** Why the last request failed; undefined when it didn't. */
  readonly problem: string | undefined;
}

interface Witness {
  readonly key: VerifierKey;
  readonly url: string;
  /** What it cosigned last, as far as is known. */
  known: bigint;
  busy: boolean;
  failures: number;
  /** Failures in a row. */
  streak: number;
  retryAt: number;
  problem: string | undefined;
}

interface Waiter {
  readonly size: bigint;
  readonly enough: (checkpoint: UnverifiedCheckpoint) => boolean;
  readonly resolve: (found: Cosigned | undefined) => void;
}

const FIRST_PAUSE_MS = 1000;
const LONGEST_PAUSE_MS = 60_000;
/** A size that the witness names is tried once; then once more, in case another request came in between. */
const TRIES = 3;

/**
 * Asks the witnesses of this log to cosign its checkpoints, after the commit and never before. One round at a time asks
 * all of them about the same head, so that their cosignatures meet on one checkpoint; what was committed meanwhile is the
 * next round's. A witness that is away is left out for a while and asked again.
 */
export class Witnessing {
  readonly #parts: WitnessingParts;
  readonly #witnesses: readonly Witness[];
  #head: UnverifiedCheckpoint | undefined;
  /** The head of the round that runs or ran last, with the cosignatures so far. */
  #current: Cosigned | undefined;
  /** The newest that met the quorum. */
  #published: Cosigned | undefined;
  #rounds: Promise<void> | undefined;
  #retry: NodeJS.Timeout | undefined;
  #stopped = false;
  #waiters: Waiter[] = [];

  constructor(parts: WitnessingParts) {
    this.#parts = parts;
    this.#witnesses = parts.policy.witnesses.flatMap(({ key, url }) =>
      url === undefined
        ? []
        : [{ key, url, known: 0n, busy: false, failures: 0, streak: 0, retryAt: 0, problem: undefined }],
    );
  }

  /**
   * Begins with the stored head: asks once, so that a witness that has seen more than the store holds is heard.
   * @param kept the checkpoint that was kept last; it counts only when it is of this very head
   * @throws Refusal `log-behind` when a witness has cosigned a larger log, or another history of this one
   */
  async start(head: string, kept: string | undefined): Promise<void> {
    this.#head = parseCheckpoint(utf8(head));
    const before = kept === undefined ? undefined : parseCheckpoint(utf8(kept));
    if (before?.note.text === this.#head.note.text) {
      const by = verifySignatures(
        before.note,
        this.#witnesses.map(({ key }) => key),
      );
      this.#take(
        this.#head,
        by.map(({ signature }) => signature),
      );
    }
    const problems: unknown[] = [];
    // Also those that have cosigned this very head: they may have cosigned a later one since.
    await this.#round(this.#head, (error) => problems.push(error), true);
    const behind = problems.find(
      (error): error is Refusal => error instanceof Refusal && error.check === 'log-behind',
    );
    if (behind !== undefined) throw behind;
  }

  /** A checkpoint whose commit is durable. */
  note(checkpoint: string): void {
    this.#head = parseCheckpoint(utf8(checkpoint));
    this.#run();
  }

  /**
   * The newest checkpoint of at least `size` entries that is cosigned well enough; waits for it, but not longer than
   * configured and not for witnesses that have just failed.
   */
  async covering(
    size: bigint,
    enough: (checkpoint: UnverifiedCheckpoint) => boolean = this.#isPublished,
  ): Promise<Cosigned | undefined> {
    const found = this.#find(size, enough);
    if (found !== undefined || this.#stopped) return found;
    this.#run();
    if (this.#rounds === undefined) return undefined;
    return await new Promise((resolve) => {
      const waiter = { size, enough, resolve };
      this.#waiters.push(waiter);
      setTimeout(() => {
        this.#waiters = this.#waiters.filter((one) => one !== waiter);
        resolve(this.#find(size, enough));
      }, this.#parts.waitMs).unref();
    });
  }

  /** The signatures that there are for this head, whether they are enough or not. */
  cosignaturesOf(head: string): string {
    return this.#current?.note.text === parseCheckpoint(utf8(head)).note.text ? this.#current.text : head;
  }

  /** How it goes with each witness. */
  standing(): readonly WitnessStanding[] {
    return this.#witnesses.map(({ key, known, failures, problem }) => ({
      ...{ name: key.name, size: known, failures, problem },
    }));
  }

  /** Asks nobody any more. */
  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#retry);
    await this.#rounds;
  }

  readonly #isPublished = (checkpoint: UnverifiedCheckpoint): boolean =>
    meetsQuorum(checkpoint, this.#parts.policy);

  #find(size: bigint, enough: Waiter['enough']): Cosigned | undefined {
    return [this.#current, this.#published].find(
      (one): one is Cosigned => one !== undefined && one.claimed.size >= size && enough(one),
    );
  }

  #run(): void {
    if (this.#stopped || this.#rounds !== undefined) return;
    this.#rounds = this.#allRounds()
      .catch(this.#parts.onError)
      .finally(() => {
        this.#rounds = undefined;
        // A commit in the very moment in which the last round ended.
        if (this.#head !== undefined && this.#current?.note.text !== this.#head.note.text) this.#run();
      });
  }

  /** Rounds until every witness that can be asked has cosigned the newest head. */
  async #allRounds(): Promise<void> {
    for (let head = this.#head; head !== undefined && !this.#stopped; head = this.#head) {
      const asked = await this.#round(head, this.#parts.onError);
      if (head === this.#head || !asked) break;
    }
    this.#planRetry();
  }

  /** @returns false when nobody could be asked */
  async #round(
    head: UnverifiedCheckpoint,
    onError: (error: unknown) => void,
    again = false,
  ): Promise<boolean> {
    if (this.#current?.note.text !== head.note.text) this.#take(head, []);
    const now = this.#parts.clock.now();
    const asked = this.#witnesses.filter(
      (one) => !one.busy && one.retryAt <= now && (again || !hasCosigned(this.#current, one.key)),
    );
    const all = Promise.all(asked.map((witness) => this.#ask(witness, head, onError)));
    const ended = new AbortController();
    // A slow witness holds nobody up longer than an answer would wait; what it says later still counts.
    await Promise.race([
      all,
      sleep(this.#parts.waitMs, undefined, { ref: false, signal: ended.signal }).catch(() => undefined),
    ]);
    ended.abort();
    this.#settle(head.claimed.size);
    return asked.length > 0;
  }

  async #ask(witness: Witness, head: UnverifiedCheckpoint, onError: (error: unknown) => void): Promise<void> {
    witness.busy = true;
    try {
      const signature = await this.#cosignatureOf(witness, head);
      witness.known = head.claimed.size;
      Object.assign(witness, { streak: 0, retryAt: 0, problem: undefined });
      if (this.#current?.note.text === head.note.text)
        this.#take(head, [
          ...witnessSignatures(this.#current, this.#witnesses).filter((one) => !isOf(one, [witness])),
          signature,
        ]);
      this.#settle(-1n);
    } catch (error) {
      witness.failures++;
      const pause = Math.min(FIRST_PAUSE_MS * 2 ** witness.streak++, LONGEST_PAUSE_MS);
      witness.retryAt = this.#parts.clock.now() + pause;
      witness.problem = error instanceof Error ? error.message : String(error);
      onError(error);
    } finally {
      witness.busy = false;
    }
  }

  async #cosignatureOf(witness: Witness, head: UnverifiedCheckpoint): Promise<NoteSignature> {
    const { size } = head.claimed;
    const { name } = witness.key;
    let old = witness.known;
    for (let tries = 0; tries < TRIES; tries++) {
      const proof = old === 0n ? [] : await proveConsistency(old, size, this.#parts.tiles);
      const body = formatAddCheckpoint({ oldSize: old, proof, checkpoint: formatNote(head.note) });
      const { status, bytes } = await this.#parts.ask(witness.url, body);
      if (status === 200) return cosignature(bytes, head, witness.key);
      if (status === 422)
        refuse('log-behind', `the witness ${name} has cosigned another history of this log`, {
          witness: name,
        });
      if (status !== 409) break;
      old = parseSize(bytes);
      if (old > size)
        refuse('log-behind', `the witness ${name} has cosigned a larger log than this one`, {
          ...{ witness: name, cosigned: String(old), size: String(size) },
        });
    }
    return refuse('witness-answer', `the witness ${name} did not cosign`, { witness: name });
  }

  /** What cosignatures a head has now; a quorum makes it the published one. */
  #take({ claimed, note }: UnverifiedCheckpoint, cosignatures: readonly NoteSignature[]): void {
    const cosigned = {
      text: note.text,
      signatures: [...ownSignatures(note, this.#witnesses), ...cosignatures],
    };
    const text = fromUtf8(formatNote(cosigned), 'checkpoint');
    this.#current = { claimed, note: cosigned, text };
    if (cosignatures.length === 0 || !this.#isPublished(this.#current)) return;
    this.#published = this.#current;
    void this.#parts.keep(claimed.size, text).catch(this.#parts.onError);
  }

  /** Answers those who wait. @param ended size of the head whose round has ended; who waited for it hears no */
  #settle(ended: bigint): void {
    const waiting = this.#waiters;
    this.#waiters = [];
    for (const waiter of waiting) {
      const found = this.#find(waiter.size, waiter.enough);
      if (found !== undefined || ended >= waiter.size) waiter.resolve(found);
      else this.#waiters.push(waiter);
    }
  }

  #planRetry(): void {
    clearTimeout(this.#retry);
    const due = this.#witnesses
      .filter((one) => !hasCosigned(this.#current, one.key))
      .map((one) => one.retryAt);
    if (due.length === 0 || this.#stopped) return;
    const pause = Math.max(FIRST_PAUSE_MS, Math.min(...due) - this.#parts.clock.now());
    this.#retry = setTimeout(() => {
      this.#run();
    }, pause).unref();
  }
}

/** Whether a checkpoint meets a policy: of its logs and witnesses, no wrong signature among them. */
export function meetsQuorum(checkpoint: UnverifiedCheckpoint, policy: QuorumPolicy): boolean {
  try {
    verifyQuorum(checkpoint, policy);
    return true;
  } catch (error) {
    if (error instanceof Refusal) return false;
    throw error;
  }
}

function cosignature(bytes: Uint8Array, { note }: UnverifiedCheckpoint, key: VerifierKey): NoteSignature {
  const signatures = parseSignatureLines(bytes);
  const [verified] = verifySignatures({ text: note.text, signatures }, [key]);
  return (
    verified?.signature ??
    refuse('witness-answer', `the answer of ${key.name} is not signed by it`, { witness: key.name })
  );
}

const isOf = ({ name, id }: NoteSignature, witnesses: readonly { readonly key: VerifierKey }[]): boolean =>
  witnesses.some(({ key }) => key.name === name && key.id === id);

const ownSignatures = (
  { signatures }: UnverifiedCheckpoint['note'],
  witnesses: readonly { readonly key: VerifierKey }[],
): NoteSignature[] => signatures.filter((one) => !isOf(one, witnesses));

const witnessSignatures = (
  { note }: Cosigned,
  witnesses: readonly { readonly key: VerifierKey }[],
): NoteSignature[] => note.signatures.filter((one) => isOf(one, witnesses));

const hasCosigned = (checkpoint: Cosigned | undefined, key: VerifierKey): boolean =>
  checkpoint?.note.signatures.some((one) => isOf(one, [{ key }])) ?? false;
