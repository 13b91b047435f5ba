import { generateKeyPairSync } from 'node:crypto';
import { expect, it } from 'vitest';
import { noteSigner } from '../../src/audit/index.ts';
import { openSqlite, openStore } from '../../src/store/index.ts';

it('the head that a witness cosigned goes on only from the one that was read: of two requests that read the same, one', async () => {
  const signer = noteSigner('log.example.org', 'note', generateKeyPairSync('ed25519').privateKey);
  const keys = { signer, macKey: new Uint8Array(32).fill(9) };
  const clock = { now: () => 1_800_000_000_000 };
  const store = await openStore(openSqlite(':memory:'), keys, clock, 'epoch-1');
  const head = (size: bigint, byte: number) => ({ size, root: new Uint8Array(32).fill(byte) });
  const origin = 'other.example/log';
  expect(await store.witness({ origin, before: undefined, next: head(5n, 1) })).toBe(true);
  expect(await store.witness({ origin, before: undefined, next: head(3n, 2) })).toBe(false);
  expect(await store.witness({ origin, before: head(5n, 2), next: head(6n, 3) })).toBe(false);
  expect(await store.witnessed(origin)).toEqual(head(5n, 1));
  expect(await store.witness({ origin, before: head(5n, 1), next: head(6n, 3) })).toBe(true);
  expect(await store.witnessed(origin)).toEqual(head(6n, 3));
});
