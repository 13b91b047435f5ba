import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import { parseCertificate } from '../x509/index.ts';
import type { Certificate } from '../x509/index.ts';

/** What was presented in a connection's handshake, whether it is worth anything or not. */
export interface Presented {
  /** SHA-256, as TLS computed it. */
  readonly fingerprint: string;
  /** @throws Refusal when it doesn't parse */
  readonly certificate: Certificate;
}

/** A TLS 1.3 connection has one client certificate for as long as it lasts: there is no second handshake. */
const known = new WeakMap<Socket, Presented | null>();

/** The client certificate of a connection, read once; undefined when there is none. */
export function presentedBy(socket: Socket): Presented | undefined {
  let found = known.get(socket);
  if (found === undefined) {
    found = read(socket);
    known.set(socket, found);
  }
  return found ?? undefined;
}

function read(socket: Socket): Presented | null {
  const presented = socket instanceof TLSSocket ? socket.getPeerX509Certificate() : undefined;
  if (presented === undefined) return null;
  const { fingerprint256: fingerprint, raw } = presented;
  let parsed: Certificate | undefined;
  return {
    fingerprint,
    get certificate() {
      return (parsed ??= parseCertificate(new Uint8Array(raw)));
    },
  };
}
