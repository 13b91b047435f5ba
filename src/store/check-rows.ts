import type { Findings } from './findings.ts';
import type { Head, StoreName } from './head.ts';
import { Journal } from './journal.ts';
import type { NewestVersions } from './journal.ts';
import { checkRowMac } from './record-mac.ts';
import type { Database, RecordsTable } from './schema.ts';
import { StoreMemory } from './store-memory.ts';

const PAGE = 1000;

/** What rows are checked against. */
export interface RowsQuestion {
  readonly macKey: Uint8Array;
  readonly name: StoreName;
  /** Entries of the log. */
  readonly entries: number;
}

/**
 * Every row that decides: written by this verifier, by a leaf that is in the log, and the version that was written last;
 * and none is missing.
 * @returns how many records there are
 */
export async function checkRows(
  db: Database,
  question: RowsQuestion,
  findings: Findings,
  onProgress: (rows: number) => void,
): Promise<number> {
  const { macKey, name, entries } = question;
  let stale: readonly ('records' | 'once')[] = [];
  let head: Head | undefined;
  await findings.of(async () => {
    ({ stale, head } = await StoreMemory.inspect(db, macKey, name));
  });
  const versions = head && (await new Journal(macKey).newest(db, head.chain));
  if (head !== undefined && versions === undefined)
    findings.add(
      'store-head',
      'the journal of writes is not the one of the head: it can’t say which rows are old',
    );
  const before = findings.list.length;
  const count = await checkEach(db, question, versions, findings, (rows) => {
    onProgress(entries + rows);
  });
  // The digests have the last word: they cover every row, the journal only says which one it is.
  if (stale.includes('records') && findings.list.length === before)
    findings.add('record-stale', 'the records are not those that were written last');
  if (stale.includes('once'))
    findings.add('record-stale', 'ids that work once were taken away, added or changed');
  return count;
}

async function checkEach(
  db: Database,
  { macKey, entries }: RowsQuestion,
  versions: NewestVersions | undefined,
  findings: Findings,
  onProgress: (rows: number) => void,
): Promise<number> {
  const missing = new Map(versions);
  let count = 0;
  let last = { kind: '', id: '' };
  for (;;) {
    const rows = await pageAfter(db, last);
    for (const row of rows) {
      const { mac, ...sealed } = row;
      const named = `${row.kind} ${row.id}`;
      await findings.of(() => {
        checkRowMac(macKey, sealed, Uint8Array.from(mac));
      });
      if (Number(row.leaf) >= entries)
        findings.add('log-root', `${named} names entry ${row.leaf}, which is not there`);
      const newest = versions?.get(`${row.kind}\0${row.id}`);
      missing.delete(`${row.kind}\0${row.id}`);
      if (versions !== undefined && newest !== row.version)
        findings.add(
          'record-stale',
          newest === undefined
            ? `${named} was never written`
            : `${named} is version ${String(row.version)}, version ${String(newest)} was written last`,
        );
    }
    count += rows.length;
    onProgress(count);
    const end = rows.at(-1);
    if (end === undefined) break;
    last = end;
  }
  for (const [key, version] of missing)
    findings.add(
      'record-stale',
      `${key.replace('\0', ' ')} is missing, version ${String(version)} was written last`,
    );
  return count;
}

async function pageAfter(
  db: Database,
  { kind, id }: { readonly kind: string; readonly id: string },
): Promise<readonly RecordsTable[]> {
  return await db
    .selectFrom('records')
    .selectAll()
    .where((eb) => eb.or([eb('kind', '>', kind), eb.and([eb('kind', '=', kind), eb('id', '>', id)])]))
    .orderBy('kind')
    .orderBy('id')
    .limit(PAGE)
    .execute();
}
