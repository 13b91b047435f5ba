import { randomUUID, constants } from 'node:crypto';
import type { FastifyRequest, FastifyServerOptions } from 'fastify';
import type { Server } from 'node:https';
import { toPem } from '../x509/index.ts';
import { clientErrorAnswer } from './client-error.ts';
import type { Services } from './services.ts';

/** Where log lines go; by default standard error. */
export interface LogSink {
  write(line: string): void;
}

/**
 * How the server listens: TLS 1.3 only; a client certificate is asked for and its possession proved, who it is for is
 * judged by route; no session is resumed, since a resumed one would skip what was revoked meanwhile (SPIRE 1.14.3).
 */
export function serverOptions(
  services: Services,
  sink?: LogSink,
): FastifyServerOptions<Server> & { https: object } {
  const { ring, config } = services;
  const { limits } = config;
  return {
    https: {
      key: ring.privateKey('tls').export({ type: 'pkcs8', format: 'pem' }),
      cert: toPem(ring.certificate('tls').raw) + toPem(ring.certificate('tls-ca').raw),
      // Names in the request, so that clients choose the right certificate. Node's own verdict is not used.
      ca: [toPem(ring.certificate('operator-ca').raw), toPem(ring.certificate('agent-ca').raw)],
      requestCert: true,
      rejectUnauthorized: false,
      minVersion: 'TLSv1.3',
      secureOptions: constants.SSL_OP_NO_TICKET,
      handshakeTimeout: limits.handshakeSeconds * 1000,
    },
    // Fastify strips unknown members and converts types by default; here a request is what it is, or refused.
    ajv: {
      customOptions: { removeAdditional: false, coerceTypes: false, useDefaults: false, allErrors: false },
    },
    bodyLimit: limits.bodyBytes,
    requestTimeout: limits.requestSeconds * 1000,
    keepAliveTimeout: limits.keepAliveSeconds * 1000,
    connectionTimeout: limits.requestSeconds * 1000,
    forceCloseConnections: 'idle',
    return503OnClosing: true,
    routerOptions: { maxParamLength: 256, ignoreTrailingSlash: false, caseSensitive: true },
    trustProxy: false,
    clientErrorHandler: clientErrorAnswer(services.denials),
    requestIdHeader: false,
    genReqId: () => randomUUID(),
    logger: {
      level: config.logging.level,
      stream: sink ?? process.stderr,
      // Never bodies, headers or queries: tokens and proofs are in them.
      serializers: {
        req: (request: FastifyRequest) => ({
          method: request.method,
          route: request.routeOptions.url ?? 'none',
          address: request.ip,
        }),
      },
      redact: ['req.headers', 'token', 'secret', '*.token', '*.secret'],
    },
  };
}
