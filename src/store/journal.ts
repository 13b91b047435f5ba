import { createHmac } from 'node:crypto';
import type { RecordRef } from '../audit/ledger.ts';
import { Writer, equalBytes, fromUtf8, parseJson, utf8 } from '../base/index.ts';
import { EMPTY_CHAIN } from './head.ts';
import { prepared } from './prepared.ts';
import { deriveKey } from './record-mac.ts';
import type { Database } from './schema.ts';

/** Newest version of a record, by `kind\0id`. */
export type NewestVersions = ReadonlyMap<string, number>;

/** One record that a leaf's change wrote. */
export interface JournalWrite extends RecordRef {
  readonly version: number;
}

const insert = prepared((db: Database, position: number, data: Uint8Array) =>
  db.insertInto('journal').values({ position, data }),
);
const page = prepared((db: Database, after: number) =>
  db.selectFrom('journal').selectAll().where('position', '>', after).orderBy('position').limit(1000),
);

/**
 * Which leaf's change wrote which version of which record. The digests in the head say that rows are not what was
 * written; this says which. It is a chain of MACs whose newest value is in the head, so a part of it that is changed or
 * taken away is noticed as well.
 */
export class Journal {
  readonly #key: Uint8Array;

  /** @param macKey key of the row MACs */
  constructor(macKey: Uint8Array) {
    this.#key = deriveKey(macKey, 'record-journal');
  }

  /** Notes what a leaf's change wrote. @returns the chain's new value */
  async append(
    db: Database,
    chain: Uint8Array,
    position: number,
    writes: readonly JournalWrite[],
  ): Promise<Uint8Array> {
    if (writes.length === 0) return chain;
    const data = utf8(JSON.stringify(writes.map(({ kind, id, version }) => [kind, id, version])));
    await insert(db, position, data);
    return this.#next(chain, position, data);
  }

  /**
   * The newest version of every record, read from the first note to the last.
   * @returns undefined when the journal is not the one that leads to this value
   */
  async newest(db: Database, chain: Uint8Array): Promise<NewestVersions | undefined> {
    const versions = new Map<string, number>();
    let value = EMPTY_CHAIN;
    for (let after = -1; ;) {
      const { rows } = await page(db, after);
      for (const { position, data: bytes } of rows) {
        const data = Uint8Array.from(bytes);
        value = this.#next(value, position, data);
        for (const { kind, id, version } of parseWrites(data)) versions.set(`${kind}\0${id}`, version);
      }
      const last = rows.at(-1);
      if (last === undefined) return equalBytes(value, chain) ? versions : undefined;
      after = last.position;
    }
  }

  #next(chain: Uint8Array, position: number, data: Uint8Array): Uint8Array {
    const bytes = new Writer().sized16(chain).u64(BigInt(position)).bytes(data).finish();
    return new Uint8Array(createHmac('sha256', this.#key).update(bytes).digest());
  }
}

/** Nothing is believed of it before the chain's end was compared; until then it only must not throw. */
function parseWrites(data: Uint8Array): JournalWrite[] {
  let list: unknown;
  try {
    list = parseJson(utf8(fromUtf8(data, 'journal')), 'journal', { maxBytes: 8 * 1024 * 1024 });
  } catch {
    return [];
  }
  if (!Array.isArray(list)) return [];
  return list.flatMap((one: unknown) => {
    const [kind, id, version] = Array.isArray(one) ? (one as readonly unknown[]) : [];
    const holds = typeof kind === 'string' && typeof id === 'string' && typeof version === 'number';
    return holds ? [{ kind, id, version }] : [];
  });
}
