import type { AddressInfo } from 'node:net';
import { refuse } from '../base/index.ts';
import { buildApp } from './app.ts';
import { compose } from './compose.ts';
import type { ComposeInput } from './compose.ts';
import type { Services } from './services.ts';
import type { LogSink } from './server-options.ts';

/** A verifier that answers. */
export interface RunningServer {
  readonly address: AddressInfo;
  readonly services: Services;
  /** Stops taking requests, lets those under way end within the grace time, closes the store. */
  stop(): Promise<void>;
}

/** Starts a verifier. @throws Refusal when it can't start safely; `listen-address` where it can't listen */
export async function startServer(input: ComposeInput, sink?: LogSink): Promise<RunningServer> {
  const services = await compose(input);
  try {
    const app = await buildApp(services, sink);
    const { address, port } = services.config.listen;
    await app.listen({ host: address, port }).catch((error: unknown) => refuseAddress(error, address, port));
    const found = app.server.address();
    if (found === null || typeof found === 'string') throw new TypeError('the server has no address');
    let stopping: Promise<void> | undefined;
    const stop = async (): Promise<void> => {
      const grace = setTimeout(() => {
        app.server.closeAllConnections();
      }, services.config.shutdown.graceSeconds * 1000);
      await app.close();
      clearTimeout(grace);
      await services.close();
    };
    return { address: found, services, stop: () => (stopping ??= stop()) };
  } catch (error) {
    await services.close();
    throw error;
  }
}

/** What the system says of an address, as an operator reads it. */
const ADDRESS_FAULTS: Readonly<Record<string, string>> = {
  EADDRINUSE: 'another program listens on this address and port',
  EACCES: 'this user may not listen on this port',
  EADDRNOTAVAIL: 'this machine does not have this address',
};

/** @throws Refusal `listen-address`, or the error itself where it is about something else */
export function refuseAddress(error: unknown, address: string, port: number): never {
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  const fault = ADDRESS_FAULTS[code];
  if (fault === undefined) throw error;
  return refuse('listen-address', `${fault}: ${address} port ${String(port)}`, { address, port });
}
