import { readFileSync } from 'node:fs';
import { request as httpsRequest } from 'node:https';
import type { AgentOptions } from 'node:https';
import path from 'node:path';
import {
  VERIFIER_SCHEMA,
  planInstallation,
  readConfig,
  verifierFiles,
  writeInstallation,
} from '../../src/config/index.ts';
import { startServer } from '../../src/server/index.ts';
import type { RunningServer } from '../../src/server/index.ts';
import { systemRandom } from './random.ts';

/** A verifier on a loopback port, with a real store below `directory`. */
export interface TestVerifier {
  readonly directory: string;
  readonly server: RunningServer;
  readonly lines: string[];
  /** One request over a connection of its own. */
  call(options: CallOptions): Promise<Answer>;
}
export interface CallOptions {
  readonly method?: string;
  readonly url: string;
  readonly body?: unknown;
  readonly raw?: string;
  readonly type?: string;
  readonly tls?: AgentOptions;
}
export interface Answer {
  readonly status: number;
  readonly type: string;
  /** The header of this name: methods that the path has. */
  readonly allow: string;
  readonly text: string;
  readonly json: Record<string, unknown>;
}

export const TRUST_DOMAIN = 'example.org';

/** Makes the installation. */
export function install(directory: string): void {
  const order = {
    trustDomain: TRUST_DOMAIN,
    url: 'https://localhost:8443',
    origin: `${TRUST_DOMAIN}/log`,
    operator: 'admin',
    now: Date.now(),
  };
  writeInstallation(directory, planInstallation(order, systemRandom).files);
}

/** Starts a verifier over an installation. */
export async function startVerifier(
  directory: string,
  environment: Record<string, string> = {},
): Promise<TestVerifier> {
  const file = path.join(directory, 'sealgate.yaml');
  const { config } = readConfig(VERIFIER_SCHEMA, new Uint8Array(readFileSync(file)), {
    SEALGATE_LISTEN_ADDRESS: '127.0.0.1',
    SEALGATE_LISTEN_PORT: '0',
    SEALGATE_LIMITS_REQUESTS_PER_MINUTE_PER_ADDRESS: '100000',
    ...environment,
  });
  const lines: string[] = [];
  const server = await startServer(
    {
      config,
      files: verifierFiles(file, config),
      clock: { now: () => Date.now() },
      random: systemRandom,
      onError: (error) => lines.push(String(error)),
    },
    { write: (line) => lines.push(line) },
  );
  const ca = readFileSync(path.join(directory, 'certificates/tls-ca.pem'));
  return {
    directory,
    server,
    lines,
    call: (options) => call(server.address.port, ca, options),
  };
}

/** Client certificate options of an operator's files. */
export function operatorTls(directory: string, name = 'admin'): AgentOptions {
  const read = (ending: string) => readFileSync(path.join(directory, 'operators', `${name}.${ending}`));
  return { cert: read('pem'), key: read('key') };
}

function call(
  port: number,
  ca: Buffer,
  { method = 'GET', url, body, raw, type, tls }: CallOptions,
): Promise<Answer> {
  const data = raw ?? (body === undefined ? undefined : JSON.stringify(body));
  return new Promise((resolve, reject) => {
    const request = httpsRequest(
      {
        ...{ host: '127.0.0.1', port, path: url, method, ca, agent: false, ...tls },
        headers:
          data === undefined
            ? {}
            : { 'content-type': type ?? 'application/json', 'content-length': Buffer.byteLength(data) },
      },
      (response) => {
        const parts: Buffer[] = [];
        response.on('data', (part: Buffer) => parts.push(part));
        response.on('end', () => {
          const text = Buffer.concat(parts).toString('utf8');
          const contentType = response.headers['content-type'] ?? '';
          const json = contentType.includes('json') ? (JSON.parse(text) as Record<string, unknown>) : {};
          const { allow = '' } = response.headers;
          resolve({ status: response.statusCode ?? 0, type: contentType, allow, text, json });
        });
      },
    );
    request.on('error', reject);
    request.end(data);
  });
}
