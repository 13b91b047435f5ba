import { spawn, spawnSync } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { once } from 'node:events';
import { chmodSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Tpm } from '../../native/index.ts';
import { enrollHost } from '../../src/agent/index.ts';
import { fromBase64url } from '../../src/base/index.ts';
import { profileText } from '../../src/config/index.ts';
import { LocalIssuer } from '../../src/identity/index.ts';
import { logVkey } from '../../src/server/compose.ts';
import { startSwtpm } from '../../src/testing/index.ts';
import type { Swtpm } from '../../src/testing/index.ts';
import { hostId, parsePublic } from '../../src/tpm/index.ts';
import { addToStore, formatTrustStore, parseCertificate, parseTrustStore } from '../../src/x509/index.ts';
import { GatewayWorld } from '../gateway/world.ts';
import { cli } from '../support/cli.ts';
import { systemRandom } from '../support/random.ts';
import { TRUST_DOMAIN } from '../support/verifier.ts';

const ROOT = path.resolve(import.meta.dirname, '../..');
/** As it is installed: `node scripts/build.js` makes it. */
const MAIN = path.join(ROOT, 'dist/src/cli/main.js');
const ISSUER = 'https://people.example.org';

/** A process of the command line, and what it printed so far. */
export interface Started {
  readonly child: ChildProcess;
  readonly stdout: () => string;
  readonly stderr: () => string;
  /** Exit status, or the signal that ended it. */
  readonly exit: Promise<number | NodeJS.Signals | null>;
}

/** What an agent is configured with. */
interface AgentPlace {
  readonly state: string;
  readonly socket: string;
  readonly mode: string;
  readonly credentials: string;
}

/**
 * A verifier and a host's agent in processes of their own, over an emulated TPM: what installs and enrolls is this
 * process, what decides and runs is not.
 */
export class DaemonWorld {
  readonly directory: string;
  /** Where the agent puts credentials. */
  readonly credentials: string;
  readonly socket: string;
  readonly profile: string;
  readonly initiator: string;
  readonly #gateway: GatewayWorld;
  readonly #short: string;
  readonly #started: Started[] = [];
  readonly #others: Swtpm[] = [];
  readonly #mounts: string[] = [];
  readonly #directories: string[] = [];
  #agent: Started | undefined;
  #verifier: Started | undefined;

  private constructor(gateway: GatewayWorld, directory: string) {
    this.#gateway = gateway;
    this.directory = directory;
    this.credentials = gateway.credentials;
    // sun_path holds 107 characters.
    this.#short = mkdtempSync(path.join(tmpdir(), 'sealgate-agent-'));
    this.socket = path.join(this.#short, 's');
    this.profile = path.join(gateway.agents.directory, 'operators', 'test.yaml');
    this.initiator = path.join(directory, 'alice.jwt');
  }

  /** @param lifetime of authorizations, in seconds */
  static async start(directory: string, lifetime: number): Promise<DaemonWorld> {
    const key = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
    const issuer = new LocalIssuer(ISSUER, key, systemRandom);
    const trusted = { name: ISSUER, jwks: await issuer.jwks() };
    const gateway = await GatewayWorld.start(directory, lifetime, trusted);
    const world = new DaemonWorld(gateway, directory);
    try {
      await world.#writeToken(issuer);
      await world.#serve();
      const { socket, credentials } = world;
      world.#configure('agent.yaml', { state: gateway.host.state.path, socket, mode: '0600', credentials });
      await world.startAgent();
      return world;
    } catch (error) {
      await world.stop();
      throw error;
    }
  }

  /** The verifier goes on in a process of its own, at the same port. */
  async #serve(): Promise<void> {
    const { agents, host } = this.#gateway;
    // An emulated TPM has one client at a time: from here on the agent.
    await host.close();
    const { url, caFingerprint } = agents;
    await agents.verifier.server.stop();
    await this.startVerifier();
    const logKey = logVkey(agents.verifier.server.services);
    const text = profileText({ url, caFingerprint, logKey, certificate: 'admin.pem', key: 'admin.key' });
    writeFileSync(this.profile, text, { mode: 0o600 });
  }

  /** `sealgate serve`, until it listens. */
  async startVerifier(): Promise<void> {
    const { agents } = this.#gateway;
    const { port } = agents.verifier.server.address;
    const listen = { SEALGATE_LISTEN_ADDRESS: '127.0.0.1', SEALGATE_LISTEN_PORT: String(port) };
    const serve = this.#spawn(['serve', '--config', path.join(agents.directory, 'sealgate.yaml')], listen);
    await this.until(() => serve.stdout().startsWith('listening on'), serve);
    this.#verifier = serve;
  }

  /** The verifier's process is gone from one moment to the next. */
  async killVerifier(): Promise<void> {
    this.#verifier?.child.kill('SIGKILL');
    await this.#verifier?.exit;
  }

  async #writeToken(issuer: LocalIssuer): Promise<void> {
    const confirmationKey = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
    const now = Math.floor(Date.now() / 1000);
    const order = { subject: 'alice', audience: TRUST_DOMAIN, now, lifetime: 600, confirmationKey };
    writeFileSync(this.initiator, `${await issuer.issue(order)}\n`, { mode: 0o600 });
    const pem = confirmationKey.export({ type: 'pkcs8', format: 'pem' });
    writeFileSync(this.initiator.replace('.jwt', '.key'), pem, { mode: 0o600 });
  }

  #configure(file: string, { state, socket, mode, credentials }: AgentPlace): void {
    const config = {
      state,
      socket: { path: socket, mode },
      attestation: { intervalSeconds: 5, maxBackoffSeconds: 5 },
      execution: { credentials, graceSeconds: 5 },
    };
    writeFileSync(path.join(this.directory, file), JSON.stringify(config));
  }

  /** `sealgate agent`, until it listens. */
  async startAgent(): Promise<Started> {
    const agent = this.#spawn(['agent', '--config', path.join(this.directory, 'agent.yaml')]);
    await this.until(() => agent.stdout().startsWith('listening on'), agent);
    this.#agent = agent;
    return agent;
  }

  get agent(): Started {
    if (this.#agent === undefined) throw new Error('no agent was started');
    return this.#agent;
  }

  /**
   * Another host with an emulated TPM of its own, whose EK an operator lists, and its agent, which every local user may
   * ask. @param ownCa its EK is certified by an authority of its own, which the verifier learns of when it starts again
   * @returns its agent's socket
   */
  async addHost(name: string, ownCa = false): Promise<string> {
    const swtpm = await startSwtpm({ eccP256: true, ownCa });
    this.#others.push(swtpm);
    if (ownCa) await this.#trust(swtpm);
    const tpm = await Tpm.open(swtpm.tcti);
    const ek = await tpm.endorsementKey('L-1');
    const hash = hostId(parsePublic(ek.publicBytes));
    await ek.flush();
    await tpm.close();
    const terms = ['--name', name, '--platform', 'vm', '--label', 'env=test', '--no-token', '--ek', hash];
    await this.operate('host', 'invite', ...terms);
    const state = path.join(this.directory, name);
    await enrollHost(this.#gateway.agents.order(name, swtpm, state));
    // Who runs there gets to it from inside of a sandbox.
    const place = mkdtempSync(path.join(tmpdir(), 'sealgate-agent-'));
    this.#directories.push(place);
    chmodSync(place, 0o755);
    const socket = path.join(place, 's');
    const credentials = path.join(this.directory, `${name}-credentials`);
    this.#mounts.push(credentials);
    this.#configure(`${name}.yaml`, { state, socket, mode: '0666', credentials });
    const agent = this.#spawn(['agent', '--config', path.join(this.directory, `${name}.yaml`)]);
    await this.until(() => agent.stdout().startsWith('listening on'), agent);
    return socket;
  }

  /** As an operator does who adds a manufacturer: the store is a file, and the verifier reads it when it starts. */
  async #trust({ caCertificates: { root, issuer } }: Swtpm): Promise<void> {
    const file = path.join(this.#gateway.agents.directory, 'trust.json');
    const terms = { purpose: 'ek', vendor: undefined } as const;
    const before = parseTrustStore(new Uint8Array(readFileSync(file)));
    const anchored = addToStore(before, { ...terms, role: 'anchor', certificate: parseCertificate(root) });
    const more = { ...terms, role: 'intermediate', certificate: parseCertificate(issuer) } as const;
    writeFileSync(file, formatTrustStore(addToStore(anchored, more)), { mode: 0o600 });
    await this.killVerifier();
    await this.startVerifier();
  }

  /** A script, signed unless it shall not be. */
  async script(name: string, content: string, signed = true): Promise<void> {
    const file = this.#gateway.file(name, content);
    const [signature] = signed ? await this.#gateway.sign(file) : [];
    if (signature !== undefined)
      writeFileSync(`${file}.dsse.json`, fromBase64url(signature.data, 'signature'));
  }

  /** `sealgate run … -- ./NAME ARGS`, in the artifacts' directory. */
  run(flags: readonly string[], ...command: readonly string[]): Started {
    return this.runAt(this.socket, flags, ...command);
  }

  /** The same by the agent of another host. */
  runAt(socket: string, flags: readonly string[], ...command: readonly string[]): Started {
    const report = ['--report', path.join(this.directory, 'report.json')];
    const argv = ['run', '--socket', socket, ...report, ...flags, '--', ...command];
    return this.#spawn(argv, {}, path.join(this.directory, 'artifacts'));
  }

  /** What the last run wrote by --report. */
  report(): Record<string, unknown> {
    return JSON.parse(readFileSync(path.join(this.directory, 'report.json'), 'utf8')) as Record<
      string,
      unknown
    >;
  }

  /** An operator's command: its JSON document. */
  async operate(...argv: string[]): Promise<Record<string, unknown>> {
    const { stdout } = await cli(...argv, '--profile', this.profile, '--json');
    return JSON.parse(stdout) as Record<string, unknown>;
  }

  /** Everything that is there of executions: credentials, copies and locks. */
  left(): readonly string[] {
    const run = path.join(this.#gateway.host.state.path, 'run');
    return [...readdirSync(this.credentials), ...readdirSync(run)];
  }

  /** Waits until something is so. @throws Error with what the process printed, when it ended before */
  async until(so: () => boolean, { child, stdout, stderr }: Started): Promise<void> {
    while (!so()) {
      if (child.exitCode !== null || child.signalCode !== null)
        throw new Error(`the process ended: ${stdout()} ${stderr()}`);
      await sleep(20);
    }
  }

  async stop(): Promise<void> {
    for (const { child, exit } of this.#started.reverse()) {
      if (child.exitCode === null && child.signalCode === null) child.kill('SIGTERM');
      await exit;
    }
    await this.#gateway.swtpm.stop();
    for (const swtpm of this.#others) await swtpm.stop();
    // One whose agent never listened has none.
    for (const mount of this.#mounts) spawnSync('umount', [mount]);
    for (const directory of this.#directories) rmSync(directory, { recursive: true, force: true });
    rmSync(this.#short, { recursive: true, force: true });
  }

  #spawn(argv: readonly string[], environment: Record<string, string> = {}, cwd = ROOT): Started {
    const child = spawn(process.execPath, [MAIN, ...argv], {
      cwd,
      env: { ...process.env, ...environment },
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    const [out, err]: [string[], string[]] = [[], []];
    child.stdout.on('data', (part: Buffer) => out.push(part.toString()));
    child.stderr.on('data', (part: Buffer) => err.push(part.toString()));
    const exit = once(child, 'close').then(
      ([status, signal]) => (status ?? signal) as number | NodeJS.Signals | null,
    );
    const started = { child, exit, stdout: () => out.join(''), stderr: () => err.join('') };
    this.#started.push(started);
    return started;
  }
}

/** A directory that other users get through, as /var/lib is. */
export function passable(directory: string): string {
  chmodSync(directory, 0o755);
  return directory;
}
