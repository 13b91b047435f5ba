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

/** Takes such bodies out, as if they were kept no longer. @returns their digests */
export async function dropDamagedBodies(
  db: Database,
  onProgress: (bodies: number) => void,
): Promise<readonly string[]> {
  const dropped: string[] = [];
  for await (const sha256 of damagedBodies(db, onProgress)) {
    await db.deleteFrom('bodies').where('sha256', '=', sha256).execute();
    dropped.push(sha256);
  }
  return dropped;
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
