import { Agent } from 'node:https';
import { isIP } from 'node:net';
import type { Duplex } from 'node:stream';
import { connect } from 'node:tls';
import { Refusal } from '../base/index.ts';
import type { Clock } from '../base/index.ts';
import { judgeServer } from './judge-server.ts';

/** How to reach the one server that this agent connects to. */
export interface PinnedServer {
  readonly host: string;
  readonly port: number;
  readonly caFingerprint: string;
  readonly certificatePem?: string;
  readonly keyPem?: string;
  readonly clock: Clock;
  /** Milliseconds for connection and handshake. */
  readonly connectMs: number;
}

/** Idle connections are given up well before the server does so, so that no request meets a closed one. */
const IDLE_MS = 5000;

type Created = (error: Error | null, socket: Duplex) => void;

/**
 * Connections to one server over TLS 1.3, each judged after its handshake and before the first byte of a request. No
 * session is resumed: a resumed one would skip the judgement.
 */
export class PinnedAgent extends Agent {
  readonly #server: PinnedServer;

  constructor(server: PinnedServer) {
    super({ keepAlive: true, maxSockets: 16, maxFreeSockets: 4, maxCachedSessions: 0, timeout: IDLE_MS });
    this.#server = server;
  }

  /** Gives the socket by the callback, once it was judged. */
  override createConnection(_options: unknown, created: Created = () => undefined): undefined {
    const { host, port, caFingerprint, certificatePem, keyPem, clock, connectMs } = this.#server;
    const socket = connect({
      host,
      port,
      ...(isIP(host) === 0 ? { servername: host } : {}),
      ...(certificatePem === undefined ? {} : { cert: certificatePem }),
      ...(keyPem === undefined ? {} : { key: keyPem }),
      minVersion: 'TLSv1.3',
      // Node would believe the machine's roots; judgeServer believes the pinned CA only.
      rejectUnauthorized: false,
    });
    const fail = (error: Error): void => {
      clearTimeout(timer);
      socket.destroy();
      created(error, socket);
    };
    const timer = setTimeout(() => {
      fail(new Refusal('verifier-unreachable', 'no connection in time', { host, port }));
    }, connectMs);
    socket.once('error', fail);
    socket.once('secureConnect', () => {
      try {
        judgeServer(socket, { host, caFingerprint, now: clock.now() });
      } catch (error) {
        socket.off('error', fail);
        // What the peer still sends, or that it hangs up, is of no interest any more.
        socket.on('error', () => undefined);
        fail(error instanceof Error ? error : new Error(String(error)));
        return;
      }
      clearTimeout(timer);
      socket.off('error', fail);
      created(null, socket);
    });
  }
}
