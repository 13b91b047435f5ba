import { generateKeyPairSync } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { makeHolderProof } from '../../src/authorization/index.ts';
import type { JsonObject } from '../../src/base/index.ts';
import { profileText } from '../../src/config/index.ts';
import { LocalIssuer } from '../../src/identity/index.ts';
import { logVkey } from '../../src/server/index.ts';
import { DecisionHost, DecisionWorld } from '../server/decision-world.ts';
import type { Allowed } from '../server/decision-world.ts';
import { cli } from '../support/cli.ts';
import type { CliResult } from '../support/cli.ts';
import { systemRandom } from '../support/random.ts';
import { TRUST_DOMAIN } from '../support/verifier.ts';

const ISSUER = 'https://people.example.org';

/** Two hosts with emulated TPMs, and executions that came of each other: alice’s, its child on another host, its child. */
export class LineageWorld {
  readonly world: DecisionWorld;
  readonly hosts: readonly [DecisionHost, DecisionHost];
  readonly #issuer: LocalIssuer;
  readonly profile: string;

  private constructor(world: DecisionWorld, hosts: [DecisionHost, DecisionHost], issuer: LocalIssuer) {
    this.world = world;
    this.hosts = hosts;
    this.#issuer = issuer;
    const profiles = path.join(world.directory, 'operators');
    mkdirSync(profiles, { recursive: true });
    const { address, services } = world.verifier.server;
    this.profile = path.join(profiles, 'test.yaml');
    const pins = {
      url: `https://localhost:${String(address.port)}`,
      caFingerprint: services.caFingerprint,
      logKey: logVkey(services),
    };
    const text = profileText({ ...pins, certificate: 'admin.pem', key: 'admin.key' });
    writeFileSync(this.profile, text, { mode: 0o600 });
  }

  static async open(directory: string): Promise<LineageWorld> {
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const issuer = new LocalIssuer(ISSUER, privateKey, systemRandom);
    const jwks = await issuer.jwks();
    const world = await DecisionWorld.open(directory);
    await world.publish({ initiators: { issuer: ISSUER, jwks } });
    const hosts = [
      await DecisionHost.enroll(world, 'web-1'),
      await DecisionHost.enroll(world, 'batch-1'),
    ] as const;
    return new LineageWorld(world, [...hosts], issuer);
  }

  async close(): Promise<void> {
    for (const host of this.hosts) await host.close();
    await this.world.verifier.server.stop();
  }

  /** An execution that alice asked for. */
  async origin(host: DecisionHost): Promise<Allowed> {
    const now = Math.floor(Date.now() / 1000);
    const initiator = await this.#issuer.issue({
      subject: 'alice',
      audience: TRUST_DOMAIN,
      now,
      lifetime: 300,
    });
    return await host.run({ request: { initiator } });
  }

  /** An execution that another one started. */
  async child(host: DecisionHost, parent: Allowed): Promise<Allowed> {
    const { session, nonceTpm } = await host.session();
    const request = { parent: String(parent.answer['authorization']) };
    const made = await host.prepare(nonceTpm, { request });
    const binding = { audience: TRUST_DOMAIN, nonce: made.request.nonce, requestDigest: made.digest };
    const body = made.body as { proofs: JsonObject };
    const proofs = { ...body.proofs, parent: await makeHolderProof(binding, parent.workload) };
    const answer = await host.post('/v1/executions', { ...made.body, proofs });
    await session.flush();
    if (answer.status !== 201) throw new Error(answer.text);
    return { request: made.request, answer: answer.json, workload: made.workload } as unknown as Allowed;
  }

  async run(...argv: string[]): Promise<CliResult> {
    return await cli(...argv, '--profile', this.profile);
  }

  async json(...argv: string[]): Promise<{ exit: number; document: Record<string, unknown> }> {
    const { exit, stdout } = await this.run(...argv, '--json');
    return { exit, document: JSON.parse(stdout) as Record<string, unknown> };
  }
}
