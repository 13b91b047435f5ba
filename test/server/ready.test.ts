import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect, it } from 'vitest';
import { VERIFIER_SCHEMA, readConfig, verifierFiles } from '../../src/config/index.ts';
import { buildApp } from '../../src/server/app.ts';
import { compose } from '../../src/server/compose.ts';
import { systemRandom } from '../support/random.ts';
import { install } from '../support/verifier.ts';

it('a verifier is not ready when its store’s thread has ended, whatever it remembers of it', async () => {
  const directory = mkdtempSync(path.join(tmpdir(), 'sealgate-ready-'));
  const file = path.join(directory, 'sealgate.yaml');
  install(directory);
  const { config } = readConfig(VERIFIER_SCHEMA, new Uint8Array(readFileSync(file)), {});
  const services = await compose({
    config,
    files: verifierFiles(file, config),
    clock: { now: () => Date.now() },
    random: systemRandom,
    onError: () => undefined,
  });
  const app = await buildApp(services);
  const ready = async () => (await app.inject({ method: 'GET', url: '/readyz' })).statusCode;
  expect(await ready()).toBe(200);
  await services.store.close();
  expect(await ready()).toBeGreaterThanOrEqual(500);
  await app.close();
  await services.close().catch(() => undefined);
  rmSync(directory, { recursive: true });
});
