import type { CompiledQuery, DatabaseConnection, Driver, QueryResult } from 'kysely';
import { Kysely, SqliteAdapter, SqliteIntrospector, SqliteQueryCompiler } from 'kysely';
import { openDatabase } from './database.ts';
import type { SqliteDatabase } from './database.ts';
import type { Schema } from './schema.ts';

/**
 * Opens the embedded store: write-ahead log, every commit synced to disk before it is answered.
 * SQLite is synchronous: use it in a worker thread or a test.
 * @param file an absolute path, or `:memory:`
 * @param journal `DELETE` leaves one file without others beside it, and needs it alone: SQLITE_BUSY otherwise
 */
export function openSqlite(file: string, journal: 'WAL' | 'DELETE' = 'WAL'): Kysely<Schema> {
  const database = openDatabase(file);
  try {
    database.exec(
      `PRAGMA trusted_schema = OFF; PRAGMA journal_mode = ${journal}; PRAGMA synchronous = FULL; ` +
        // Pages of 4 KiB; as a rule they are put in their places between commits (tidy-wal.ts).
        'PRAGMA foreign_keys = ON; PRAGMA busy_timeout = 5000; PRAGMA wal_autocheckpoint = 4000',
    );
  } catch (error) {
    // A connection that is forgotten open would keep its locks.
    database.close();
    throw error;
  }
  return new Kysely<Schema>({
    dialect: {
      createAdapter: () => new SqliteAdapter(),
      createDriver: () => new SqliteDriver(database),
      createIntrospector: (db) => new SqliteIntrospector(db),
      createQueryCompiler: () => new SqliteQueryCompiler(),
    },
  });
}

/** One connection, used by one transaction at a time: whoever comes next waits. */
class SqliteDriver implements Driver {
  readonly #connection: SqliteConnection;
  #busy: Promise<void> = Promise.resolve();
  #release: () => void = () => undefined;
  readonly #database: SqliteDatabase;

  constructor(database: SqliteDatabase) {
    this.#database = database;
    this.#connection = new SqliteConnection(database);
  }

  init(): Promise<void> {
    return Promise.resolve();
  }

  async acquireConnection(): Promise<DatabaseConnection> {
    const before = this.#busy;
    let release = (): void => undefined;
    this.#busy = new Promise((resolve) => (release = resolve));
    await before;
    this.#release = release;
    return this.#connection;
  }

  // IMMEDIATE takes the write lock at once: what is read under it can't move before the commit.
  beginTransaction(): Promise<void> {
    return this.#run('BEGIN IMMEDIATE');
  }

  commitTransaction(): Promise<void> {
    return this.#run('COMMIT');
  }

  async rollbackTransaction(): Promise<void> {
    try {
      await this.#run('ROLLBACK');
    } catch (error) {
      // A full disk makes SQLite roll back by itself; what failed before is what has to be told.
      if (!(error instanceof Error && error.message.includes('no transaction is active'))) throw error;
    }
  }

  releaseConnection(): Promise<void> {
    this.#release();
    return Promise.resolve();
  }

  destroy(): Promise<void> {
    this.#database.close();
    return Promise.resolve();
  }

  // eslint-disable-next-line @typescript-eslint/require-await -- an error of exec must reject, not throw
  async #run(sql: string): Promise<void> {
    this.#database.exec(sql);
  }
}

/** A statement, and whether it answers with rows. */
interface Prepared {
  readonly statement: ReturnType<SqliteDatabase['prepare']>;
  readonly reads: boolean;
}

class SqliteConnection implements DatabaseConnection {
  readonly #database: SqliteDatabase;
  readonly #statements = new Map<string, Prepared>();

  constructor(database: SqliteDatabase) {
    this.#database = database;
  }

  // eslint-disable-next-line @typescript-eslint/require-await -- an error of SQLite must reject, not throw
  async executeQuery<R>({ sql, parameters, query }: CompiledQuery): Promise<QueryResult<R>> {
    const { statement, reads } = this.#prepare(sql, query.kind);
    if (reads) return { rows: statement.all(...parameters) as R[] };
    const { changes } = statement.run(...parameters);
    return { rows: [], numAffectedRows: BigInt(changes) };
  }

  // eslint-disable-next-line require-yield -- the interface wants a generator; SQLite gives all rows at once
  async *streamQuery<R>(): AsyncIterableIterator<QueryResult<R>> {
    await Promise.resolve();
    throw new Error('streaming is not used: page with limits');
  }

  /** The statements of the store are few and fixed, so each is prepared once. */
  #prepare(sql: string, kind: string): Prepared {
    const known = this.#statements.get(sql);
    if (known !== undefined) return known;
    const reads = kind === 'SelectQueryNode' || (kind === 'RawNode' && /^\s*(select|pragma)/i.test(sql));
    const one = { statement: this.#database.prepare(sql), reads };
    if (this.#statements.size < 200) this.#statements.set(sql, one);
    return one;
  }
}
