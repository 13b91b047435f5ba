import { generateKeyPairSync, hash, randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { afterAll, describe, expect, it } from 'vitest';
import type { Change } from '../../src/audit/ledger.ts';
import { openSqlite, openWorkerStore } from '../../src/store/index.ts';
import { WalTidier } from '../../src/store/tidy-wal.ts';

const folder = mkdtempSync(path.join(tmpdir(), 'sealgate-wal-'));
afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

const KIB = 1024;

/** A change with a body of 40 KiB: some ten pages. */
function change(name: string): Change {
  const data = new Uint8Array(randomBytes(40 * KIB));
  const body = { sha256: hash('sha256', data, 'hex'), data, keepUntil: 2e12 };
  return {
    leaf: { v: 1, kind: 'operator', name },
    ...{ preconditions: [], once: [], writes: [], bodies: [body] },
  };
}

describe('the write-ahead log', () => {
  it('is emptied between commits, long before a commit has to do it', async () => {
    const file = path.join(folder, 'store.db');
    const { privateKey } = generateKeyPairSync('ed25519');
    const store = await openWorkerStore({
      ...{ file, origin: 'log.example.org', macKey: new Uint8Array(32).fill(9), newEpoch: 'e' },
      logKey: new Uint8Array(privateKey.export({ format: 'der', type: 'pkcs8' })),
    });
    for (let i = 0; i < 80; i++) {
      const [committed] = await store.commit([change(String(i))]);
      expect(committed?.ok).toBe(true);
      // The thread is idle for a moment, as it is when nobody decides.
      await setTimeout(3);
    }
    // 3.1 MiB of bodies were written; SQLite alone would begin at 16 MiB.
    expect(statSync(`${file}-wal`).size).toBeLessThan(3 * KIB * KIB);
    expect(statSync(file).size).toBeGreaterThan(1.5 * KIB * KIB);
    await store.close();
  });

  it('stays as it is when it can’t be emptied, and nothing is thrown', async () => {
    const db = openSqlite(path.join(folder, 'other.db'));
    const tidier = new WalTidier(db);
    await db.destroy();
    for (let i = 0; i < 40; i++) tidier.committed();
    await expect(tidier.idle()).resolves.toBeUndefined();
  });
});
