import { generateKeyPairSync } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import { createServer as createTcpServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { fingerprint } from '../../src/config/index.ts';
import { OID, issueCertificate, randomSerial, toPem } from '../../src/x509/index.ts';
import { systemRandom } from '../support/random.ts';

const HOUR = 3_600_000;

/** A TLS authority of its own, as `init` makes one. */
export interface TestAuthority {
  readonly certificate: Uint8Array;
  readonly key: KeyObject;
  readonly fingerprint: string;
}

export function authority(commonName = 'Sealgate TLS CA'): TestAuthority {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const certificate = issueCertificate({
    subject: { organization: 'example.org', commonName },
    publicKey,
    issuer: { key: privateKey },
    serial: randomSerial(systemRandom),
    notBefore: Date.now() - HOUR,
    notAfter: Date.now() + 100 * HOUR,
    purpose: { kind: 'ca', pathLength: 0, purposes: [OID.serverAuth] },
  });
  return { certificate, key: privateKey, fingerprint: fingerprint(certificate) };
}

/** What a test's server does differently from a good one. */
export interface ServerOptions {
  readonly ca: TestAuthority;
  /** Certificates sent above the leaf; default: the CA. */
  readonly above?: readonly Uint8Array[];
  readonly dns?: readonly string[];
  readonly ip?: readonly string[];
  readonly notAfter?: number;
  /** The certificate of a client instead of a server. */
  readonly forClients?: boolean;
  readonly maxVersion?: 'TLSv1.2' | 'TLSv1.3';
}

export interface TestServer {
  readonly port: number;
  /** How many requests reached the handler. */
  readonly served: () => number;
  close(): Promise<void>;
}

/** A real HTTPS server on a loopback port with a certificate made for it. */
export async function serveTls(
  options: ServerOptions,
  handler: (request: IncomingMessage, response: ServerResponse) => void,
): Promise<TestServer> {
  const { ca, above = [ca.certificate], dns = ['localhost'], ip = ['127.0.0.1', '::1'] } = options;
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const leaf = issueCertificate({
    subject: { commonName: 'verifier' },
    publicKey,
    issuer: ca,
    serial: randomSerial(systemRandom),
    notBefore: Date.now() - 2 * HOUR,
    notAfter: options.notAfter ?? Date.now() + HOUR,
    purpose: options.forClients === true ? { kind: 'tls-client' } : { kind: 'tls-server', dns, ip },
  });
  let served = 0;
  const server = createServer(
    {
      key: privateKey.export({ type: 'pkcs8', format: 'pem' }),
      cert: [leaf, ...above].map(toPem).join(''),
      ...(options.maxVersion === undefined ? {} : { maxVersion: options.maxVersion }),
    },
    (request, response) => {
      served++;
      handler(request, response);
    },
  );
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    port: (server.address() as AddressInfo).port,
    served: () => served,
    close: () =>
      new Promise((resolve) => {
        server.closeAllConnections();
        server.close(() => {
          resolve();
        });
      }),
  };
}

/** Takes connections and says nothing. */
export async function serveSilence(): Promise<TestServer> {
  const server = createTcpServer((socket) => socket.on('error', () => undefined).resume());
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    port: (server.address() as AddressInfo).port,
    served: () => 0,
    close: () =>
      new Promise((resolve) => {
        server.close(() => {
          resolve();
        });
      }),
  };
}
