import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { formatVkey, noteSigner } from '../../src/audit/index.ts';
import type { VerifierKey } from '../../src/audit/index.ts';
import {
  VERIFIER_SCHEMA,
  logOrigin,
  planInstallation,
  readConfig,
  readKeyRing,
  verifierFiles,
  witnessName,
  writeInstallation,
} from '../../src/config/index.ts';
import type { KeyRing } from '../../src/config/index.ts';
import { systemRandom } from '../support/random.ts';

/** An installation of a verifier with its own trust domain and a port that is known beforehand. */
export interface Site {
  readonly directory: string;
  readonly domain: string;
  readonly port: number;
  readonly url: string;
  readonly ring: KeyRing;
  readonly logKey: VerifierKey;
  readonly witnessKey: VerifierKey;
  /** Environment of a verifier over this site. */
  readonly environment: Record<string, string>;
}

/** Makes an installation below `directory`. */
export async function makeSite(directory: string, domain: string): Promise<Site> {
  const port = await freePort();
  const url = `https://localhost:${String(port)}`;
  mkdirSync(directory, { recursive: true });
  const order = { trustDomain: domain, url, origin: `${domain}/log`, operator: 'admin', now: Date.now() };
  writeInstallation(directory, planInstallation(order, systemRandom).files);
  const text = `trustDomain: ${domain}\nurl: ${url}\nlisten:\n  port: ${String(port)}\n`;
  const { config } = readConfig(VERIFIER_SCHEMA, new TextEncoder().encode(text));
  const ring = readKeyRing(verifierFiles(path.join(directory, 'sealgate.yaml'), config));
  return {
    ...{ directory, domain, port, url, ring },
    logKey: noteSigner(logOrigin(config), 'note', ring.privateKey('log')).key,
    witnessKey: noteSigner(witnessName(config), 'cosignature', ring.privateKey('witness')).key,
    environment: {
      SEALGATE_LISTEN_PORT: String(port),
      SEALGATE_WITNESSING_WAIT_SECONDS: '3',
    },
  };
}

/** `site` asks the witnesses; `k` of them are a quorum. */
export function askedBy(site: Site, witnesses: readonly Site[], k: number): void {
  const file = path.join(site.directory, 'witnesses.policy');
  writeFileSync(file, policyText(witnesses, k));
  const ca = path.join(site.directory, 'witness-ca.pem');
  writeFileSync(ca, '');
  for (const one of witnesses) {
    const own = path.join(site.directory, `${one.domain}.pem`);
    copyFileSync(path.join(one.directory, 'certificates/tls-ca.pem'), own);
    writeFileSync(ca, readText(own), { flag: 'a' });
  }
  Object.assign(site.environment, {
    SEALGATE_WITNESSING_POLICY_FILE: file,
    SEALGATE_WITNESSING_CA_FILE: ca,
  });
}

/** A tlog-policy: `k` of the witnesses. */
export function policyText(witnesses: readonly Site[], k: number): string {
  const lines = witnesses.map(
    (one, i) => `witness w${String(i)} ${formatVkey(one.witnessKey)} ${one.url}/witness`,
  );
  const names = witnesses.map((_, i) => `w${String(i)}`).join(' ');
  return [...lines, `group all-of-them ${String(k)} ${names}`, 'quorum all-of-them', ''].join('\n');
}

/** `site` witnesses these logs. */
export function witnesses(site: Site, logs: readonly VerifierKey[]): void {
  const file = path.join(site.directory, 'logs.policy');
  writeFileSync(file, [...logs.map((key) => `log ${formatVkey(key)}`), 'quorum none', ''].join('\n'));
  site.environment['SEALGATE_WITNESS_LOGS_FILE'] = file;
}

function readText(file: string): string {
  return readFileSync(file, 'utf8');
}

/** A port that nobody listens on now. */
async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}
