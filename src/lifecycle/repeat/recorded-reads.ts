import { Refusal } from '../../base/index.ts';
import type { FailedRead } from './decision-inputs.ts';
import type { Revocable, Revocations } from '../ports.ts';

type Read<T> = { readonly value: T } | { readonly error: unknown };

/** Reads that are made once: a second one in the same decision sees what the first one saw. */
export class Reads<T> {
  readonly #made = new Map<string, Promise<Read<T>>>();
  readonly #failed: FailedRead[];
  readonly #port: string;
  readonly #read: (key: string) => T | Promise<T>;
  readonly values = new Map<string, T>();

  constructor(port: string, failed: FailedRead[], read: (key: string) => T | Promise<T>) {
    this.#port = port;
    this.#failed = failed;
    this.#read = read;
  }

  async get(key: string): Promise<T> {
    let made = this.#made.get(key);
    if (made === undefined) this.#made.set(key, (made = this.#make(key)));
    const read = await made;
    if ('error' in read) throw read.error;
    return read.value;
  }

  async #make(key: string): Promise<Read<T>> {
    try {
      const value = await this.#read(key);
      this.values.set(key, value);
      return { value };
    } catch (error) {
      this.#failed.push(failedRead(key === '' ? this.#port : `${this.#port}/${key}`, error));
      return { error };
    }
  }

  /** By key, sorted: the order of reads is no input. */
  sorted<U>(each: (key: string, value: T) => U): readonly U[] {
    return [...this.values].sort(([a], [b]) => (a < b ? -1 : 1)).map(([key, value]) => each(key, value));
  }

  /** What was read, of a port that is asked once. */
  first(): T | undefined {
    const [first] = this.values.values();
    return first;
  }

  /** What was read under the one key of a port that has only one. */
  only(): T | undefined {
    return this.values.get('');
  }
}

/** What was asked about revocations: each subject once, in batches as the stages ask. */
export class RevokedReads {
  readonly #revocations: Revocations;
  readonly #failed: FailedRead[];
  readonly #asked = new Map<string, { readonly subject: Revocable; readonly revoked: boolean }>();

  constructor(revocations: Revocations, failed: FailedRead[]) {
    this.#revocations = revocations;
    this.#failed = failed;
  }

  async get(subjects: readonly Revocable[]): Promise<readonly Revocable[]> {
    const unknown = subjects.filter((subject) => !this.#asked.has(keyOf(subject)));
    if (unknown.length > 0) {
      try {
        const found = new Set((await this.#revocations.revokedOf(unknown)).map(keyOf));
        // Asked for twice at one time, the first answer counts: somebody went on by it, and the commit looks again.
        for (const subject of unknown.filter((one) => !this.#asked.has(keyOf(one))))
          this.#asked.set(keyOf(subject), { subject, revoked: found.has(keyOf(subject)) });
      } catch (error) {
        this.#failed.push(failedRead(`revoked/${unknown.map(keyOf).join()}`.slice(0, 512), error));
        throw error;
      }
    }
    return subjects.filter((subject) => this.#asked.get(keyOf(subject))?.revoked === true);
  }

  /** Of those that were asked for, the ones that were, or were not, revoked; sorted by kind and id. */
  of({ revoked: wanted }: { readonly revoked: boolean }): readonly Revocable[] {
    return [...this.#asked]
      .filter(([, { revoked }]) => revoked === wanted)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(
        ([
          ,
          {
            subject: { kind, id },
          },
        ]) => ({ kind, id }),
      );
  }
}

const keyOf = ({ kind, id }: Revocable): string => `${kind}/${id}`;

/** A read that threw, as it is kept. */
export function failedRead(read: string, error: unknown): FailedRead {
  if (!(error instanceof Refusal)) return { read, refusal: null };
  return { read, refusal: { check: error.check, reason: error.reason, detail: error.detail } };
}
