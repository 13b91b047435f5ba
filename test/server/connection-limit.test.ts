import { readFileSync } from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { describe, expect, it } from 'vitest';
import { VERIFIER_SCHEMA, readConfig, verifierFiles } from '../../src/config/index.ts';
import { buildApp } from '../../src/server/app.ts';
import { compose } from '../../src/server/compose.ts';
import { addressOf, limitConnections } from '../../src/server/connection-limit.ts';
import { systemRandom } from '../support/random.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { install } from '../support/verifier.ts';

describe('connections of one address', () => {
  it('are closed unread when there are too many, and take their places again when others end', async () => {
    const server = net.createServer((socket) => socket.on('error', () => undefined));
    limitConnections(server, 2);
    await once(server.listen(0, '127.0.0.1'), 'listening');
    const { port } = server.address() as AddressInfo;
    const connect = async (localAddress: string): Promise<net.Socket> => {
      const socket = net.connect({ port, host: '127.0.0.1', localAddress });
      socket.on('error', () => undefined);
      await once(socket, 'connect');
      return socket;
    };
    const [first] = [await connect('127.0.0.1'), await connect('127.0.0.1')];
    const third = await connect('127.0.0.1');
    await once(third.resume(), 'close');
    const other = await connect('127.0.0.2');
    const ended = once(first.resume(), 'close');
    first.end();
    await ended;
    await new Promise((resolve) => setTimeout(resolve, 50));
    const again = await connect('127.0.0.1');
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect([again.destroyed, other.destroyed]).toEqual([false, false]);
    expect(again.readyState).toBe('open');
    server.close();
    for (const socket of [again, other]) socket.destroy();
  });

  it.each([
    ['192.0.2.7', '192.0.2.7'],
    ['::ffff:192.0.2.7', '192.0.2.7'],
    ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
    ['2001:db8:1:2::9', '2001:db8:1:2::/64'],
    ['2001:db8::9', '2001:db8:0:0::/64'],
    ['fe80::1%eth0', 'fe80:0:0:0::/64'],
    ['::1', '0:0:0:0::/64'],
  ])('%s counts as %s', (address, counted) => {
    expect(addressOf(address)).toBe(counted);
  });
});

describe('requests of one address', () => {
  it('are counted for the whole network that one machine can have: addresses of a /64 share their limit', async () => {
    const directory = path.join(temporaryDirectory(), 'v');
    install(directory);
    const file = path.join(directory, 'sealgate.yaml');
    const { config } = readConfig(VERIFIER_SCHEMA, new Uint8Array(readFileSync(file)), {
      SEALGATE_LIMITS_REQUESTS_PER_MINUTE_PER_ADDRESS: '2',
    });
    const services = await compose({
      ...{ config, files: verifierFiles(file, config), random: systemRandom },
      ...{ clock: { now: () => Date.now() }, onError: () => undefined },
    });
    const app = await buildApp(services, { write: () => undefined });
    const from = async (remoteAddress: string): Promise<number> =>
      (await app.inject({ method: 'GET', url: '/healthz', remoteAddress })).statusCode;
    expect([await from('2001:db8:1:2::1'), await from('2001:db8:1:2::2')]).toEqual([200, 200]);
    expect(await from('2001:db8:1:2:ffff::3')).toBe(429);
    expect(await from('2001:db8:1:3::1')).toBe(200);
    await app.close();
    await services.close();
  });
});
