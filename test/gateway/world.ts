import { generateKeyPairSync } from 'node:crypto';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { PassThrough } from 'node:stream';
import { enrollHost, openHost } from '../../src/agent/index.ts';
import type { Host } from '../../src/agent/index.ts';
import { dsseJson, encodeStatement, normalKey, signDsse } from '../../src/artifact/index.ts';
import { toBase64url, toHex, utf8 } from '../../src/base/index.ts';
import type { JsonObject } from '../../src/base/index.ts';
import { Gateway, measureArtifact } from '../../src/gateway/index.ts';
import type { GatewayOptions, RunOrder, RunUser } from '../../src/gateway/index.ts';
import { CEDAR_SCHEMA, buildBundle, loadCedar } from '../../src/policy/index.ts';
import { startSwtpm } from '../../src/testing/index.ts';
import type { Swtpm } from '../../src/testing/index.ts';
import { AgentWorld } from '../agent/world.ts';
import { authorityKey, submission } from '../server/policy-world.ts';
import { systemRandom } from '../support/random.ts';
import { TRUST_DOMAIN } from '../support/verifier.ts';

/** Whoever runs the tests. */
export const OWN_USER: RunUser = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 };

const BOOT = 'sha256:0,1,2,3,4,5,6,7,14';
const DAY = 86_400_000;
const iso = (ms: number): string => `${new Date(ms).toISOString().slice(0, 19)}Z`;
const pair = generateKeyPairSync('ed25519');
const signer = { privateKey: pair.privateKey, publicKey: normalKey(pair.publicKey) };

const policyYaml = (lifetime: number, initiators: string): string => `
trustDomain: ${TRUST_DOMAIN}
version: 1
previous: null
validity: { notBefore: "${iso(Date.now() - DAY)}", notAfter: "${iso(Date.now() + DAY)}" }
platforms:
  vm:
    quoted: "${BOOT}"
    sealed: "${BOOT}"
    references: references.json
    quirks: []
    runtime: unmeasured
    gateway: unmeasured
    requiredClaims: [instance-identity, executables]
artifacts: artifacts.json
hostSets: { all: { labels: ["env=test"] } }
initiators: ${initiators}
credentials:
  workload: { kind: x509-svid, ttl: 300, path: "/{platform}/{artifact}", hosts: [all] }
  database: { kind: secret, secret: database-password, hosts: [all] }
delegation: { maxDepth: 2, maxChildren: 8 }
sealing: { expiration: 60 }
limits: { authorizationLifetime: ${String(lifetime)}, executionLifetime: 3600, attestationInterval: 300, executionsPerHost: 32 }
execution: { loaderVariables: [] }
attribution: {}
`;

const SOURCES = {
  'execute.cedar':
    '@id("run") permit (principal, action == Action::"Execute", resource) when { !context.request.privileged };',
  'schema.cedarschema': CEDAR_SCHEMA,
  'references.json': JSON.stringify({
    version: 1,
    platform: 'vm',
    pcrs: [{ name: 'boot', bank: 'sha256', values: { 0: ['00'.repeat(32)] } }],
  }),
  'artifacts.json': JSON.stringify({
    version: 1,
    signers: [
      {
        name: 'release',
        key: pair.publicKey.export({ type: 'spki', format: 'pem' }),
        algorithm: 'ed25519',
      },
    ],
  }),
};

/** Whose tokens name who starts what. */
export interface TrustedIssuer {
  readonly name: string;
  readonly jwks: JsonObject;
}

/** What one run printed and how it ended. */
export interface Ran {
  readonly end: Awaited<ReturnType<Gateway['run']>>;
  readonly stdout: string;
  readonly stderr: string;
  readonly events: readonly JsonObject[];
}

/** A verifier with policy and a secret, and an enrolled host on an emulated TPM with a gateway. */
export class GatewayWorld {
  readonly agents: AgentWorld;
  readonly swtpm: Swtpm;
  readonly host: Host;
  readonly directory: string;
  readonly credentials: string;

  private constructor(agents: AgentWorld, swtpm: Swtpm, host: Host, directory: string) {
    this.agents = agents;
    this.swtpm = swtpm;
    this.host = host;
    this.directory = directory;
    // Root mounts a file system in memory there; others have one.
    this.credentials =
      process.getuid?.() === 0 ? path.join(directory, 'credentials') : mkdtempSync('/dev/shm/sealgate-test-');
  }

  static async start(directory: string, lifetime = 300, issuer?: TrustedIssuer): Promise<GatewayWorld> {
    const swtpm = await startSwtpm({ eccP256: true });
    const agents = await AgentWorld.start(directory, swtpm);
    const trusted = { issuer: issuer?.name, jwks: 'initiators.json', maxLifetime: 600 };
    const initiators = issuer === undefined ? [] : [{ ...trusted, bearer: false, claims: [] }];
    const files = {
      'policy.yaml': policyYaml(lifetime, JSON.stringify(initiators)),
      ...SOURCES,
      ...(issuer === undefined ? {} : { 'initiators.json': JSON.stringify(issuer.jwks) }),
    };
    const sources = new Map(Object.entries(files).map(([name, text]) => [name, utf8(text)] as const));
    const { bundle } = buildBundle(sources, loadCedar);
    await agents.operate('/v1/policy/stage', submission(bundle, authorityKey(agents.directory)));
    await agents.operate('/v1/policy/publish', { digest: bundle.hash });
    await agents.operate('/v1/secrets', { name: 'database-password', value: toBase64url(utf8('hunter2')) });
    const state = path.join(directory, 'host');
    await enrollHost(agents.order('host-a', swtpm, state, await agents.invite('host-a')));
    return new GatewayWorld(agents, swtpm, await openHost({ state }), directory);
  }

  gateway(options: Partial<GatewayOptions> = {}): Gateway {
    return new Gateway({
      host: () => Promise.resolve(this.host),
      clock: { now: () => Date.now() },
      random: systemRandom,
      environment: {},
      credentials: this.credentials,
      ...options,
    });
  }

  /** An executable file, and (unless it shall not be) its signature as an order carries it. */
  file(name: string, content: string | Uint8Array, mode = 0o755): string {
    const file = path.join(this.directory, 'artifacts', name);
    mkdirSync(path.dirname(file), { recursive: true });
    writeFileSync(file, content);
    chmodSync(file, mode);
    return file;
  }

  async sign(artifact: string): Promise<RunOrder['signatures']> {
    const { digests } = await measureArtifact(artifact);
    const statement = encodeStatement({
      name: path.basename(artifact),
      sha256: toHex(digests.sha256),
      signedAt: Math.floor(Date.now() / 1000) * 1000 - 60_000,
    });
    const envelope = utf8(JSON.stringify(dsseJson(signDsse(statement, signer))));
    return [{ format: 'dsse', data: toBase64url(envelope) }];
  }

  async order(artifact: string, more: Partial<RunOrder> = {}): Promise<RunOrder> {
    return {
      ...{ artifact, entry: '', args: [], environment: {}, cwd: '/' },
      ...{ scopes: ['reports.read'], credentials: ['workload', 'database'] },
      ...{ initiator: null, initiatorKey: null, parent: null, parentKey: null },
      signatures: more.signatures ?? (await this.sign(artifact)),
      ...more,
    };
  }

  /** Runs to the end; `during` is called with what was printed on stdout so far. */
  async run(
    order: RunOrder,
    options: Partial<GatewayOptions> = {},
    during: (text: string, send: (signal: NodeJS.Signals) => void) => void = () => undefined,
    caller: RunUser = OWN_USER,
  ): Promise<Ran> {
    const [stdout, stderr] = [collect(), collect()];
    const events: JsonObject[] = [];
    const stdin = new PassThrough();
    stdin.end('typed\n');
    // Output may come before signals are connected: those sent by then are kept, as the daemon keeps them.
    const early: NodeJS.Signals[] = [];
    let send = (signal: NodeJS.Signals): void => void early.push(signal);
    stdout.stream.on('data', () => {
      during(stdout.text(), (signal) => {
        send(signal);
      });
    });
    const end = await this.gateway(options).runArtifact(order, caller, {
      streams: { stdin, stdout: stdout.stream, stderr: stderr.stream },
      event: (event) => events.push(event),
      onSignal: (listener) => {
        send = listener;
        early.forEach(listener);
      },
    });
    return { end, stdout: stdout.text(), stderr: stderr.text(), events };
  }

  async stop(): Promise<void> {
    await this.host.close();
    await this.agents.verifier.server.stop();
    await this.swtpm.stop();
    if (OWN_USER.uid !== 0) rmSync(this.credentials, { recursive: true, force: true });
  }
}

function collect(): { readonly stream: PassThrough; readonly text: () => string } {
  const stream = new PassThrough();
  let text = '';
  stream.on('data', (part: Buffer) => (text += part.toString()));
  return { stream, text: () => text };
}
