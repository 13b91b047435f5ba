import type { CompiledQuery, Compilable } from 'kysely';
import type { Database } from './schema.ts';

/** Stands for a parameter while a statement is compiled. */
class Slot {
  readonly index: number;

  constructor(index: number) {
    this.index = index;
  }
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
  return async (db, ...parameters) => {
    // The builder passes values through untouched, so what it sees in their place need not have their types.
    const slots = Array.from({ length: build.length - 1 }, (_, i) => new Slot(i)) as readonly unknown[] as P;
    compiled ??= build(db, ...slots).compile();
    const filled = compiled.parameters.map((one) => (one instanceof Slot ? parameters[one.index] : one));
    const { rows, numAffectedRows } = await db.executeQuery<R>({ ...compiled, parameters: filled });
    return { rows, changed: numAffectedRows ?? 0n };
  };
}
