/** A verifier in a process of its own, with hosts whose TPMs are done in software: what benchmarks and faults ask. */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { createPrivateKey } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { normalKey } from '../../../src/artifact/index.ts';
import { toHex, utf8 } from '../../../src/base/index.ts';
import type { JsonObject } from '../../../src/base/index.ts';
import { VerifierClient } from '../../../src/client/index.ts';
import { planInstallation, writeInstallation } from '../../../src/config/index.ts';
import {
  CEDAR_SCHEMA,
  MANIFEST_TYPE,
  buildBundle,
  loadCedar,
  manifestBytes,
  manifestOf,
  signAsAuthority,
} from '../../../src/policy/index.ts';
import { parsePcrSelectionText } from '../../../src/tpm/index.ts';
import {
  EMPTY_TRUST_STORE,
  addToStore,
  formatTrustStore,
  parseCertificate,
} from '../../../src/x509/index.ts';
import { SoftwareHost, ekFactory } from '../../../test/enrollment/software-host.ts';
import { pcrValue } from '../../../test/support/software-ak.ts';
import { systemRandom } from '../../../test/support/random.ts';
import { freePort } from '../../../src/cli/up/verifier-process.ts';
import { enrollInStore } from './enroll-in-store.ts';
import { BOOT, artifactSigner } from './software-agent.ts';

export const TRUST_DOMAIN = 'bench.test';
const ROOT = path.resolve(import.meta.dirname, '../../..');
const MAIN = path.join(ROOT, 'dist/src/cli/main.js');

/** An enrolled host, and its connection. */
export interface BenchHost {
  readonly host: SoftwareHost;
  readonly client: VerifierClient;
}

/** Limits that one machine's load would reach, since it is all from one address. */
const ENVIRONMENT = {
  SEALGATE_LISTEN_ADDRESS: '127.0.0.1',
  SEALGATE_LIMITS_CONNECTIONS: '100000',
  SEALGATE_LIMITS_CONNECTIONS_PER_ADDRESS: '100000',
  SEALGATE_LIMITS_REQUESTS_PER_MINUTE_PER_ADDRESS: '1000000',
  SEALGATE_LIMITS_REQUESTS_PER_MINUTE_PER_CERTIFICATE: '1000000',
  SEALGATE_LOGGING_LEVEL: 'error',
};

/** A text member of an answer. */
export function textOf(json: JsonObject, name: string): string {
  const value = json[name];
  if (typeof value !== 'string') throw new Error(`the answer has no ${name}`);
  return value;
}

export class BenchVerifier implements AsyncDisposable {
  readonly directory: string;
  readonly signer = artifactSigner(Math.floor(Date.now() / 1000) * 1000);
  readonly logKey: string;
  readonly #address: { readonly url: string; readonly caFingerprint: string };
  readonly #factory = ekFactory(Date.now());
  #child: ChildProcess | undefined;
  #operator: VerifierClient | undefined;
  #nodeArguments: readonly string[] = [];
  policyHash = '';

  private constructor(directory: string, address: BenchVerifier['address'], logKey: string) {
    this.directory = directory;
    this.#address = address;
    this.logKey = logKey;
  }

  get address(): { readonly url: string; readonly caFingerprint: string } {
    return this.#address;
  }

  get pid(): number {
    return this.#child?.pid ?? 0;
  }

  get operator(): VerifierClient {
    if (this.#operator === undefined) throw new Error('the verifier was not started');
    return this.#operator;
  }

  /**
   * Installs, starts, publishes a policy that allows the hosts of this benchmark.
   * @param nodeArguments for the verifier's process, e.g. to profile it
   */
  static async start(nodeArguments: readonly string[] = []): Promise<BenchVerifier> {
    if (!existsSync(MAIN)) throw new Error('build first: node scripts/build.js');
    const directory = mkdtempSync(path.join(tmpdir(), 'sealgate-bench-'));
    const url = `https://localhost:${String(await freePort())}`;
    const order = { trustDomain: TRUST_DOMAIN, url, origin: `${TRUST_DOMAIN}/log`, operator: 'admin' };
    const plan = planInstallation({ ...order, now: Date.now() }, systemRandom);
    writeInstallation(directory, plan.files);
    const verifier = new BenchVerifier(directory, { url, caFingerprint: plan.caFingerprint }, plan.logKey);
    verifier.#nodeArguments = nodeArguments;
    verifier.#trustFactory();
    await verifier.run();
    await verifier.#publish();
    return verifier;
  }

  /** Starts the process (again). */
  async run(): Promise<void> {
    const config = path.join(this.directory, 'sealgate.yaml');
    const child = spawn(process.execPath, [...this.#nodeArguments, MAIN, 'serve', '--config', config], {
      stdio: ['ignore', 'pipe', 'inherit'],
      env: { ...process.env, ...ENVIRONMENT },
    });
    this.#child = child;
    const lines = createInterface(child.stdout);
    await Promise.race([
      once(lines, 'line'),
      once(child, 'exit').then(() => {
        throw new Error('the verifier ended');
      }),
    ]);
    const read = (ending: string) =>
      readFileSync(path.join(this.directory, `operators/admin.${ending}`), 'utf8');
    await this.#operator?.close();
    this.#operator = await this.connect({ certificatePem: read('pem'), keyPem: read('key') });
  }

  async connect(
    as: { readonly certificatePem?: string; readonly keyPem?: string } = {},
  ): Promise<VerifierClient> {
    return await VerifierClient.connect({ ...this.#address, ...as });
  }

  /** SIGKILL: what a power cut leaves, as far as a process can. */
  async kill(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    const child = this.#child;
    if (child?.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, 'exit');
    child.kill(signal);
    await ended;
  }

  /** Enrolls hosts by join tokens. */
  async enroll(count: number, from = 0): Promise<BenchHost[]> {
    const hosts: BenchHost[] = [];
    const stranger = await this.connect();
    for (let i = from; i < from + count; i++)
      hosts.push(await this.#enrollOne(stranger, `host-${String(i)}`));
    await stranger.close();
    return hosts;
  }

  /**
   * The same for very many, while no verifier runs: each enrolls as above, by the verifier's own code over its own store,
   * with everything checked and written, but without HTTPS; those that are under way at one time share a commit.
   * @returns the first `used` of them, with their connections
   */
  async enrollMany(count: number, used: number): Promise<BenchHost[]> {
    await this.kill('SIGTERM');
    const hosts = await enrollInStore(this.directory, this.#factory, count);
    await this.run();
    return await Promise.all(
      hosts.slice(0, used).map(async ({ host, certificatePem }) => {
        const keyPem = host.agent.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
        return { host, client: await this.connect({ certificatePem, keyPem }) };
      }),
    );
  }

  async #enrollOne(stranger: VerifierClient, name: string): Promise<BenchHost> {
    const { json: invited } = await this.operator.request('POST', '/v1/invitations', {
      body: {
        ...{ name, labels: { purpose: 'bench' }, platform: 'bench', ekTemplate: 'L-2', ek: null, host: null },
        ...{ restartCounters: false, needsApproval: false, ttlSeconds: 600 },
      },
    });
    const host = new SoftwareHost(this.#factory, Date.now());
    const request = host.request({ name, token: textOf(invited, 'token') });
    const { json: offer } = await stranger.request('POST', '/v1/enrollments', { body: request });
    const id = textOf(offer, 'enrollmentId');
    const answer = await stranger.request('POST', `/v1/enrollments/${id}/activate`, {
      body: host.answer(offer, request),
    });
    const client = await this.connect({
      certificatePem: textOf(answer.json, 'agentCertificatePem'),
      keyPem: host.agent.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    });
    return { host, client };
  }

  async stop(): Promise<void> {
    await this.#operator?.close();
    await this.kill('SIGTERM');
    rmSync(this.directory, { recursive: true, force: true });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  #trustFactory(): void {
    const certificate = parseCertificate(this.#factory.certificate);
    const store = addToStore(EMPTY_TRUST_STORE, {
      purpose: 'ek',
      role: 'anchor',
      vendor: undefined,
      certificate,
    });
    writeFileSync(path.join(this.directory, 'trust.json'), formatTrustStore(store), { mode: 0o600 });
  }

  async #publish(): Promise<void> {
    const key = createPrivateKey(readFileSync(path.join(this.directory, 'offline/policy-authority-1.key')));
    const bundle = buildBundle(this.#sources(), loadCedar).bundle;
    const authority = { privateKey: key, publicKey: normalKey(key) };
    const manifest = signAsAuthority(manifestBytes(manifestOf(bundle)), MANIFEST_TYPE, authority);
    await this.operator.request('POST', '/v1/policy/stage', { body: { bundle: bundle.json, manifest } });
    await this.operator.request('POST', '/v1/policy/publish', { body: { digest: bundle.hash } });
    this.policyHash = bundle.hash;
  }

  #sources(): Map<string, Uint8Array> {
    const boot = parsePcrSelectionText(BOOT).flatMap(({ pcrs }) => pcrs);
    const values = Object.fromEntries(
      boot.map((index) => [String(index), [toHex(pcrValue('sha256', index))]]),
    );
    const pem = this.signer.key.publicKey.key.export({ type: 'spki', format: 'pem' });
    const signers = [{ name: 'release', key: pem, algorithm: 'ed25519' }];
    const json = (value: unknown) => utf8(JSON.stringify(value));
    return new Map([
      ['policy.yaml', utf8(policyYaml())],
      ['execute.cedar', utf8('@id("run") permit (principal, action == Action::"Execute", resource);')],
      [
        'administer.cedar',
        utf8('@id("all") permit (principal, action in [Action::"Administer", Action::"Enroll"], resource);'),
      ],
      ['schema.cedarschema', utf8(CEDAR_SCHEMA)],
      [
        'references.json',
        json({ version: 1, platform: 'bench', pcrs: [{ name: 'boot', bank: 'sha256', values }] }),
      ],
      ['artifacts.json', json({ version: 1, threshold: 1, signers })],
    ]);
  }
}

function policyYaml(): string {
  const day = (offset: number) =>
    new Date(Date.now() + offset * 86_400_000).toISOString().replace(/\.\d+Z$/, 'Z');
  return `
trustDomain: ${TRUST_DOMAIN}
version: 1
previous: null
validity: { notBefore: "${day(-1)}", notAfter: "${day(1)}" }
platforms:
  bench:
    quoted: "${BOOT}"
    sealed: "${BOOT}"
    references: references.json
    quirks: []
    runtime: unmeasured
    gateway: unmeasured
    requiredClaims: [instance-identity, executables]
artifacts: artifacts.json
hostSets: { all: { labels: ["purpose=bench"] } }
initiators: []
credentials:
  workload: { kind: x509-svid, ttl: 300, path: "/{platform}/{artifact}", hosts: [all] }
delegation: { maxDepth: 0, maxChildren: 0 }
sealing: { expiration: 60 }
limits: { authorizationLifetime: 300, executionLifetime: 3600, attestationInterval: 300, executionsPerHost: 256 }
execution: { loaderVariables: [] }
attribution: {}
`;
}
