import { randomUUID } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { leafBody } from '../../src/audit/index.ts';
import { statusIn, verifyStatusList } from '../../src/authorization/index.ts';
import { keysFor } from '../../src/authorization/index.ts';
import type { JsonObject } from '../../src/base/index.ts';
import { VERIFIER_SCHEMA, readConfig, verifierFiles } from '../../src/config/index.ts';
import { EXECUTION, executionBody } from '../../src/lifecycle/index.ts';
import type { ExecutionRecord } from '../../src/lifecycle/index.ts';
import { buildApp } from '../../src/server/app.ts';
import { compose } from '../../src/server/compose.ts';
import type { Services } from '../../src/server/services.ts';
import { systemRandom } from '../support/random.ts';
import { install } from '../support/verifier.ts';
import { executionRecord } from './execution-record.ts';

const directory = mkdtempSync(path.join(tmpdir(), 'sealgate-store-fails-'));
let services: Services;
let app: Awaited<ReturnType<typeof buildApp>>;

beforeAll(async () => {
  const file = path.join(directory, 'sealgate.yaml');
  install(directory);
  const { config } = readConfig(VERIFIER_SCHEMA, new Uint8Array(readFileSync(file)), {});
  services = await compose({
    config,
    files: verifierFiles(file, config),
    clock: { now: () => Date.now() },
    random: systemRandom,
    // What is wrong with the store is what these tests are about.
    onError: () => undefined,
  });
  app = await buildApp(services);
});
afterAll(async () => {
  await app.close();
  await services.close().catch(() => undefined);
  rmSync(directory, { recursive: true });
});

const LIST = 'https://localhost:8443/v1/status-lists/verifier-1-0';

async function write(id: string, state: ExecutionRecord['state']): Promise<void> {
  const revoked = { reason: 'gone', revokedBy: { kind: 'execution', id } as const };
  const record = executionRecord(
    { state, status: { idx: 7, uri: LIST }, ...(state === 'revoked' ? revoked : {}) },
    services.clock.now(),
  );
  const leaf = leafBody({ v: 1, kind: 'opening', origin: 'test', previous: null });
  const writes = [{ kind: EXECUTION, id, body: executionBody(record) }];
  await services.ledger.commit({ leaf, preconditions: [], once: [], writes, bodies: [] });
}

async function status(): Promise<string> {
  const get = async (url: string) => await app.inject({ method: 'GET', url });
  const keys = keysFor((await get('/.well-known/jwks.json')).json<JsonObject>(), 'status');
  const { body } = await get('/v1/status-lists/verifier-1-0');
  const now = Math.floor(services.clock.now() / 1000);
  return statusIn([await verifyStatusList(body, keys, now)], 7);
}

it('a revocation that is durable, and of which nobody heard, is in the status list and is told to the host', async () => {
  const id = randomUUID();
  await write(id, 'running');
  expect(await status()).toBe('valid');
  expect(services.live.size).toBe(1);
  const commit = services.store.commit.bind(services.store);
  services.store.commit = async (changes) => {
    await commit(changes);
    throw new Error('the answer was lost');
  };
  await expect(write(id, 'revoked')).rejects.toMatchObject({ check: 'ledger-unavailable' });
  services.store.commit = commit;
  expect(await status()).toBe('revoked');
  expect(await services.live.catchUp(services.clock.now())).toBe(true);
  expect(services.live.size).toBe(0);
  expect(await services.live.catchUp(services.clock.now())).toBe(false);
});

it('a verifier is not ready when its store’s thread has ended, whatever it remembers of it', async () => {
  const ready = async () => (await app.inject({ method: 'GET', url: '/readyz' })).statusCode;
  expect(await ready()).toBe(200);
  await services.store.close();
  expect(await ready()).toBeGreaterThanOrEqual(500);
});
