import { createHash } from 'node:crypto';
import type { Database } from './schema.ts';

/** At a time: one may be an IMA list of megabytes. */
const BODIES = 16;

/**
 * Digests of kept bodies whose bytes are others. Entries name the digests, so nothing more vouches for a body; what is no
 * longer kept is not missing.
 * @param onProgress told of bodies looked at
 */
export async function* damagedBodies(
  db: Database,
  onProgress: (bodies: number) => void,
): AsyncGenerator<string> {
  let count = 0;
  for (let last: string | undefined = ''; last !== undefined;) {
    const rows = await bodiesAfter(db, last);
    for (const { sha256, data } of rows)
      if (createHash('sha256').update(data).digest('hex') !== sha256) yield sha256;
    count += rows.length;
    onProgress(count);
    last = rows.at(-1)?.sha256;
  }
}

/**
 * Takes such bodies out, as if they were kept no longer, but for those that a record names: a policy, or the request of an
 * execution, still decides.
 * @returns digests of those that are gone
 */
export async function dropDamagedBodies(
  db: Database,
  onProgress: (bodies: number) => void,
): Promise<readonly string[]> {
  const dropped: string[] = [];
  for await (const sha256 of damagedBodies(db, onProgress)) {
    if (await isNamed(db, sha256)) continue;
    await db.deleteFrom('bodies').where('sha256', '=', sha256).execute();
    dropped.push(sha256);
  }
  return dropped;
}

/** Whether a record names it by its digest, as its id or in what it says. */
async function isNamed(db: Database, sha256: string): Promise<boolean> {
  const record = await db
    .selectFrom('records')
    .select('id')
    .where((is) => is.or([is('id', 'like', `%${sha256}%`), is('body', 'like', `%${sha256}%`)]))
    .limit(1)
    .executeTakeFirst();
  return record !== undefined;
}

async function bodiesAfter(
  db: Database,
  last: string,
): Promise<readonly { readonly sha256: string; readonly data: Uint8Array }[]> {
  return await db
    .selectFrom('bodies')
    .select(['sha256', 'data'])
    .where('sha256', '>', last)
    .orderBy('sha256')
    .limit(BODIES)
    .execute();
}
