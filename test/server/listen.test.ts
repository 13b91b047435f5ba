import { createServer } from 'node:net';
import type { AddressInfo, Server } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { refuseAddress } from '../../src/server/serve.ts';
import { expectRefusal, expectRejection } from '../support/refusals.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { install, startVerifier } from '../support/verifier.ts';

const directory = temporaryDirectory();
let taken: Server;
let port: string;
beforeAll(async () => {
  install(directory);
  taken = createServer();
  await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve));
  port = String((taken.address() as AddressInfo).port);
});
afterAll(() => {
  taken.close();
});

describe('an address that the verifier can’t listen on', () => {
  it('is refused by name: taken, or not of this machine; and the store is let go', async () => {
    const { reason } = await expectRejection(
      'listen-address',
      startVerifier(directory, { SEALGATE_LISTEN_PORT: port }),
    );
    expect(reason).toBe(`another program listens on this address and port: 127.0.0.1 port ${port}`);
    // An address for documentation (RFC 5737): nobody has it.
    const away = await expectRejection(
      'listen-address',
      startVerifier(directory, { SEALGATE_LISTEN_ADDRESS: '192.0.2.1' }),
    );
    expect(away.reason).toContain('this machine does not have this address');
    const verifier = await startVerifier(directory);
    await verifier.server.stop();
  });

  it('and one that only root may listen on', () => {
    const error = Object.assign(new Error('listen EACCES: permission denied 0.0.0.0:443'), {
      code: 'EACCES',
    });
    const { reason } = expectRefusal('listen-address', () => refuseAddress(error, '0.0.0.0', 443));
    expect(reason).toBe('this user may not listen on this port: 0.0.0.0 port 443');
    const other = Object.assign(new Error('too many open files'), { code: 'EMFILE' });
    expect(() => refuseAddress(other, '0.0.0.0', 443)).toThrow('too many open files');
  });
});
