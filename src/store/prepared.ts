import type { CompiledQuery, Compilable, DatabaseConnection } from 'kysely';
import type { Database } from './schema.ts';

/** Stands for a parameter while a statement is compiled. */
class Slot {
  readonly index: number;

  constructor(index: number) {
    this.index = index;
  }
}

/** The connections of those that have one for themselves. */
const CONNECTIONS = new WeakMap<Database, DatabaseConnection>();

/**
 * Lets {@link prepared} statements of one connection or transaction run on it directly: finding it anew for each took as
 * long as most of them take. Whoever does so runs one statement at a time.
 */
export async function runDirectly<D extends Database>(db: D): Promise<D> {
  CONNECTIONS.set(db, await db.getExecutor().provideConnection((found) => Promise.resolve(found)));
  return db;
}

/**
 * A statement that is built and compiled once, at its first use, and only run afterwards: building and compiling one took
 * ten times what running it takes.
 * @param build makes the statement; its parameters may only be used as values
 */
export function prepared<P extends readonly unknown[], R = never>(
  build: (db: Database, ...parameters: P) => Compilable<R>,
): (db: Database, ...parameters: P) => Promise<{ readonly rows: readonly R[]; readonly changed: bigint }> {
  let compiled: CompiledQuery<R> | undefined;
  // The builder passes values through untouched, so what it sees in their place need not have their types.
  const slots = Array.from({ length: build.length - 1 }, (_, i) => new Slot(i)) as readonly unknown[] as P;
  return async (db, ...parameters) => {
    compiled ??= build(db, ...slots).compile();
    const filled = compiled.parameters.map((one) => (one instanceof Slot ? parameters[one.index] : one));
    const query = { ...compiled, parameters: filled };
    const { rows, numAffectedRows } = await (CONNECTIONS.get(db)?.executeQuery<R>(query) ??
      db.executeQuery<R>(query));
    return { rows, changed: numAffectedRows ?? 0n };
  };
}
