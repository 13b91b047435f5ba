import { createRequire } from 'node:module';

/** The part of `node:sqlite` that is used; on Node 20 a package has the same API. */
export interface SqliteDatabase {
  exec(sql: string): void;
  prepare(sql: string): {
    all(...parameters: readonly unknown[]): unknown[];
    run(...parameters: readonly unknown[]): { changes: number | bigint };
  };
  close(): void;
}

interface SqliteModule {
  DatabaseSync: new (file: string) => SqliteDatabase;
}

/** `node:sqlite` where Node has it without a flag, else the package with its API: the one place that decides. */
function loadSqlite(): SqliteModule {
  const require = createRequire(import.meta.url);
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  const builtIn = major > 22 || (major === 22 && minor >= 13);
  return require(builtIn ? 'node:sqlite' : '@photostructure/sqlite') as SqliteModule;
}

/** A connection as SQLite gives it. */
export function openDatabase(file: string): SqliteDatabase {
  return new (loadSqlite().DatabaseSync)(file);
}

/** Whether SQLite said no because somebody else has the file open or locked (SQLITE_BUSY). */
export const isBusy = (error: unknown): boolean => sqliteCode(error) === 5;

/** Whether SQLite said that the file is damaged or no database (SQLITE_CORRUPT, SQLITE_NOTADB). */
export const isDamage = (error: unknown): error is Error => [11, 26].includes(sqliteCode(error) ?? -1);

/** Whether SQLite itself failed: the file is damaged, locked, full, no database. */
export const isSqliteError = (error: unknown): error is Error => sqliteCode(error) !== undefined;

function sqliteCode(error: unknown): number | undefined {
  if (!(error instanceof Error && 'code' in error && error.code === 'ERR_SQLITE_ERROR')) return undefined;
  // The low byte; the others say more of the same.
  return 'errcode' in error && typeof error.errcode === 'number' ? error.errcode & 0xff : 0;
}
