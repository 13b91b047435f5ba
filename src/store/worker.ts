/**
 * The store's thread: SQLite is synchronous, and a commit waits for the disk; the verifier's event loop does neither.
 * Started by worker-store.ts with the keys as transferred data; they are not in the environment or argv.
 */
import { createPrivateKey } from 'node:crypto';
import { parentPort, workerData } from 'node:worker_threads';
import { noteSigner } from '../audit/verifier-key.ts';
import type { NoteSigner } from '../audit/verifier-key.ts';
import { Refusal } from '../base/index.ts';
import type { PlainRefusal } from '../base/index.ts';
import { openStoreTexts } from './embedded.ts';
import { lockStore } from './lock.ts';
import type { StoreTexts } from './operations.ts';
import { Outbox } from './outbox.ts';
import { openSqlite } from './sqlite.ts';
import { WalTidier } from './tidy-wal.ts';

/** What the thread is started with. */
export interface WorkerStart {
  readonly file: string;
  readonly origin: string;
  /** PKCS#8 DER of the log's Ed25519 key. */
  readonly logKey: Uint8Array;
  /** The key that is to follow it, while both sign (rotation). */
  readonly nextLogKey?: Uint8Array;
  readonly macKey: Uint8Array;
  readonly newEpoch: string;
}

/** One call and its answer. */
export interface WorkerCall {
  readonly id: number;
  readonly method: Exclude<keyof StoreTexts, 'tiles'> | keyof StoreTexts['tiles'];
  readonly args: readonly unknown[];
}
export type WorkerAnswer =
  | { readonly id: number; readonly value: unknown }
  | { readonly id: number; readonly refusal: PlainRefusal }
  | { readonly id: number; readonly error: string };

async function start(port: NonNullable<typeof parentPort>, given: WorkerStart): Promise<void> {
  const signerOf = (der: Uint8Array): NoteSigner =>
    noteSigner(
      given.origin,
      'note',
      createPrivateKey({ key: Buffer.from(der), format: 'der', type: 'pkcs8' }),
    );
  const successor = given.nextLogKey === undefined ? {} : { successor: signerOf(given.nextLogKey) };
  const lock = lockStore(given.file);
  const db = openSqlite(given.file);
  const store = await openStoreTexts(
    db,
    { signer: signerOf(given.logKey), ...successor, macKey: given.macKey },
    // eslint-disable-next-line no-restricted-properties -- the thread is where this store's clock begins
    { now: () => Date.now() },
    given.newEpoch,
  ).catch((error: unknown) => {
    lock.release();
    throw error;
  });
  const locked: StoreTexts = { ...store, close: async () => store.close().finally(lock.release) };
  const answers = new Outbox<WorkerAnswer>(port);
  const tidier = new WalTidier(db);
  let underWay = 0;
  port.on('message', (calls: readonly WorkerCall[]) => {
    underWay += calls.length;
    for (const call of calls)
      void answer(locked, call).then((message) => {
        answers.send(message);
        underWay--;
        if (call.method === 'commit') tidier.committed();
        // After what is waiting already: its senders come first.
        if (call.method !== 'close')
          setImmediate(() => {
            if (underWay === 0) void tidier.idle();
          });
      });
  });
  answers.send({ id: 0, value: 'open' });
}

async function answer(store: StoreTexts, { id, method, args }: WorkerCall): Promise<WorkerAnswer> {
  try {
    const target: object = method === 'readTiles' || method === 'readNodes' ? store.tiles : store;
    // The caller is worker-store.ts, whose types are those of the methods.
    const call = Reflect.get(target, method) as (...args: readonly unknown[]) => Promise<unknown>;
    return { id, value: await call.apply(target, [...args]) };
  } catch (error) {
    return failure(id, error);
  }
}

const failure = (id: number, error: unknown): WorkerAnswer =>
  error instanceof Refusal
    ? { id, refusal: error.plain() }
    : { id, error: error instanceof Error ? error.message : String(error) };

if (parentPort !== null) {
  try {
    await start(parentPort, workerData as WorkerStart);
  } catch (error) {
    // As an answer: an error that ends the thread arrives without its check.
    parentPort.postMessage([failure(0, error)]);
  }
}
