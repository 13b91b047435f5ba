import { generateKeyPairSync } from 'node:crypto';
import { expect, it } from 'vitest';
import { noteSigner } from '../../src/audit/index.ts';
import { openSqlite, openStore, takeLaterWitnessed } from '../../src/store/index.ts';

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

it('what a store cosigned later goes over into its backup, and nothing earlier, and nothing that it did not make', async () => {
  const signer = noteSigner('log.example.org', 'note', generateKeyPairSync('ed25519').privateKey);
  const macKey = new Uint8Array(32).fill(9);
  const clock = { now: () => 1_800_000_000_000 };
  const [backup, inPlace] = [openSqlite(':memory:'), openSqlite(':memory:')];
  const mine = await openStore(backup, { signer, macKey }, clock, 'epoch-1');
  const theirs = await openStore(inPlace, { signer, macKey }, clock, 'epoch-1');
  const head = (size: bigint, byte: number) => ({ size, root: new Uint8Array(32).fill(byte) });
  const step = (origin: string, size: bigint) => ({ origin, before: undefined, next: head(size, 1) });
  for (const [name, own, other] of [
    ['later', 5n, 6n],
    ['earlier', 6n, 5n],
    ['same', 5n, 5n],
    ['forged', 5n, 7n],
  ] as const) {
    await mine.witness(step(name, own));
    await theirs.witness({ ...step(name, other), next: head(other, 2) });
  }
  await theirs.witness(step('new', 3n));
  await inPlace.updateTable('witnessed').set({ size: '900' }).where('origin', '=', 'forged').execute();
  await takeLaterWitnessed(backup, inPlace, macKey);
  expect(await mine.witnessed('later')).toEqual(head(6n, 2));
  expect(await mine.witnessed('earlier')).toEqual(head(6n, 1));
  expect(await mine.witnessed('same')).toEqual(head(5n, 1));
  expect(await mine.witnessed('forged')).toEqual(head(5n, 1));
  expect(await mine.witnessed('new')).toEqual(head(3n, 1));
  // What went over is the verifier's own: it cosigns from there.
  expect(await mine.witness({ origin: 'later', before: head(6n, 2), next: head(7n, 3) })).toBe(true);
});
