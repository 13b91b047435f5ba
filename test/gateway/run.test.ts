import { execFileSync } from 'node:child_process';
import { chmodSync, existsSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { temporaryDirectory } from '../support/temporary.ts';
import { GatewayWorld } from './world.ts';

const directory = temporaryDirectory();
// As /var/lib and /run are: the child gets there as another user.
chmodSync(directory, 0o755);
let world: GatewayWorld;
beforeAll(async () => {
  world = await GatewayWorld.start(directory);
}, 120_000);
afterAll(async () => {
  await world.stop();
  if (existsSync(world.credentials)) execFileSync('umount', [world.credentials]);
});

/** Nothing of any execution is left. */
function expectClean(): void {
  expect(readdirSync(world.credentials)).toEqual([]);
  expect(readdirSync(path.join(world.host.state.path, 'run'))).toEqual([]);
}

describe('a signed script', () => {
  it('runs with its credentials, confined, and leaves nothing behind', async () => {
    const file = world.file(
      'report',
      '#!/bin/sh\ncd "$CREDENTIALS_DIRECTORY"\nls\ncat database\necho\nid -u\ncat -\nls /dev | grep -c tpm\nexit 3\n',
    );
    const { end, stdout, stderr, events } = await world.run(await world.order(file));
    expect(stderr).toBe('');
    expect(stdout.split('\n')).toEqual([
      '_authorization.jwt',
      '_authorization.key',
      'database',
      'workload.ca.pem',
      'workload.key',
      'workload.pem',
      'hunter2',
      '65534',
      'typed',
      '0',
      '',
    ]);
    expect(end).toMatchObject({ status: 3, signal: null, denial: null });
    expect(events.map(({ event }) => event)).toEqual(['started']);
    expectClean();
  });
});
