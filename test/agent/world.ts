import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { EnrollOrder } from '../../src/agent/enroll-host.ts';
import { readCertificate } from '../../src/config/index.ts';
import { issueOperator } from '../../src/config/index.ts';
import type { Role } from '../../src/config/index.ts';
import { createPrivateKey } from 'node:crypto';
import type { Swtpm } from '../../src/testing/index.ts';
import {
  EMPTY_TRUST_STORE,
  addToStore,
  formatTrustStore,
  parseCertificate,
  toPem,
} from '../../src/x509/index.ts';
import { systemRandom } from '../support/random.ts';
import { DecisionWorld } from '../server/decision-world.ts';
import type { PolicyOptions } from '../server/decision-world.ts';
import { TRUST_DOMAIN, operatorTls, startVerifier } from '../support/verifier.ts';
import type { TestVerifier } from '../support/verifier.ts';

/** A verifier that believes the maker of an emulated TPM, and its operators. */
export class AgentWorld {
  readonly directory: string;
  verifier: TestVerifier;

  readonly #decisions: DecisionWorld;

  private constructor(decisions: DecisionWorld) {
    this.#decisions = decisions;
    this.directory = decisions.directory;
    this.verifier = decisions.verifier;
  }

  static async start(
    parent: string,
    tpm: Swtpm,
    environment: Record<string, string> = {},
  ): Promise<AgentWorld> {
    const directory = path.join(parent, 'verifier');
    mkdirSync(directory, { mode: 0o700 });
    const { root, issuer } = tpm.caCertificates;
    const purpose = 'ek' as const;
    const store = [
      { role: 'anchor' as const, der: root },
      { role: 'intermediate' as const, der: issuer },
    ].reduce(
      (before, { role, der }) =>
        addToStore(before, { purpose, role, vendor: undefined, certificate: parseCertificate(der) }),
      EMPTY_TRUST_STORE,
    );
    writeFileSync(path.join(directory, 'trust.json'), formatTrustStore(store), { mode: 0o600 });
    return new AgentWorld(await DecisionWorld.open(directory, environment));
  }

  get url(): string {
    return `https://localhost:${String(this.verifier.server.address.port)}`;
  }

  get caFingerprint(): string {
    return this.verifier.server.services.caFingerprint;
  }

  /** Publishes the next policy, whose platform `vm` needs nothing measured. */
  async publish(options: PolicyOptions = {}): Promise<void> {
    await this.#decisions.publish(options);
  }

  /** The verifier is away, and comes back on the same port. */
  async stop(): Promise<void> {
    await this.verifier.server.stop();
  }
  async comeBack(): Promise<void> {
    const { port } = this.verifier.server.address;
    this.verifier = await startVerifier(this.directory, { SEALGATE_LISTEN_PORT: String(port) });
  }

  /** An operator's request; throws what isn't 2xx. */
  async operate(
    url: string,
    body?: object,
    tls: ReturnType<typeof operatorTls> = operatorTls(this.directory),
  ): Promise<Record<string, unknown>> {
    const method = body === undefined ? 'GET' : 'POST';
    const answer = await this.verifier.call({ method, url, tls, ...(body === undefined ? {} : { body }) });
    if (answer.status >= 300) throw new Error(`${url}: ${answer.text}`);
    return answer.json;
  }

  /** Client certificate of another operator. */
  operator(name: string, roles: readonly Role[]): ReturnType<typeof operatorTls> {
    const certificate = readCertificate(path.join(this.directory, 'certificates/operator-ca.pem')).raw;
    const key = createPrivateKey(readFileSync(path.join(this.directory, 'offline/operator-ca.key')));
    const terms = { trustDomain: TRUST_DOMAIN, name, roles };
    const issued = issueOperator(terms, { certificate, key }, Date.now(), systemRandom);
    return { cert: toPem(issued.certificate), key: issued.keyPem };
  }

  /** A join token, or with `ek` nothing: the EK is listed. */
  async invite(name: string, more: object = {}): Promise<string> {
    const terms = {
      ...{ name, labels: { env: 'test' }, platform: 'vm', ekTemplate: 'L-1', ek: null, host: null },
      ...{ restartCounters: false, needsApproval: false, ttlSeconds: 600 },
      ...more,
    };
    const { token } = await this.operate('/v1/invitations', terms);
    return typeof token === 'string' ? token : '';
  }

  /** What a host needs to know to enroll. */
  order(name: string, tpm: Swtpm, state: string, token?: string): EnrollOrder {
    const { url, caFingerprint } = this;
    return {
      ...{ url, caFingerprint, name, state, tcti: tpm.tcti, pollMs: 50 },
      ...{ eventLog: path.join(state, '../none'), imaList: path.join(state, '../none') },
      ...(token === undefined ? {} : { token }),
    };
  }
}
