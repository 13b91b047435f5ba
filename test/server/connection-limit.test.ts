import net from 'node:net';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { describe, expect, it } from 'vitest';
import { addressOf, limitConnections } from '../../src/server/connection-limit.ts';

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
