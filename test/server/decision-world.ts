import { createHash, generateKeyPairSync, randomBytes } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { Tpm } from '../../native/index.ts';
import type { NewAttestationKey, Session, TpmObject } from '../../native/index.ts';
import { dsseJson, encodeStatement, normalKey, signDsse } from '../../src/artifact/index.ts';
import {
  makeHolderProof,
  makeOutcomeReport,
  parseClaims,
  thumbprint,
} from '../../src/authorization/index.ts';
import type { HolderBinding, OutcomeReport } from '../../src/authorization/index.ts';
import type { ReferenceValues } from '../../src/appraisal/index.ts';
import { jcsSha256, toBase64url, utf8 } from '../../src/base/index.ts';
import type { JsonObject, JsonValue } from '../../src/base/index.ts';
import { checkSealed, decryptCredentials, parseSealed } from '../../src/credential/index.ts';
import type { OwnTerms, SealedBinding } from '../../src/credential/index.ts';
import {
  EVIDENCE_TYPE,
  artifactMeasurement,
  attestationQualifyingData,
  executionQualifyingData,
  requestDigest,
} from '../../src/lifecycle/index.ts';
import type { AttestationRequest, ExecutionRequest } from '../../src/lifecycle/index.ts';
import { CEDAR_SCHEMA, buildBundle, loadCedar } from '../../src/policy/index.ts';
import type { PolicyBundle } from '../../src/policy/index.ts';
import { startSwtpm } from '../../src/testing/index.ts';
import type { Swtpm } from '../../src/testing/index.ts';
import {
  hostId as hostIdOf,
  parseAttest,
  parsePcrSelectionText,
  parsePublic,
  pcrValuesJson,
} from '../../src/tpm/index.ts';
import { TpmHost } from '../enrollment/tpm-host.ts';
import { TRUST_DOMAIN, install, operatorTls, startVerifier } from '../support/verifier.ts';
import type { Answer, TestVerifier } from '../support/verifier.ts';
import { authorityKey, submission } from './policy-world.ts';

const newSigner = () => {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  return {
    privateKey,
    publicKey: normalKey(publicKey),
    pem: publicKey.export({ type: 'spki', format: 'pem' }),
  };
};
let signer = newSigner();
const ec = () => generateKeyPairSync('ec', { namedCurve: 'P-256' });
const BOOT = 'sha256:0,1,2,3,4,5,6,7,14';
/** Where boot loaders and kernels measure, besides. */
const MEASURED_BOOT = 'sha256:0,1,2,3,4,5,6,7,8,9,14';
const DAY = 86_400_000;
const iso = (ms: number): string => `${new Date(ms).toISOString().slice(0, 19)}Z`;

const policyYaml = (version: number, previous: string | null, extra: PolicyOptions) => `
trustDomain: ${TRUST_DOMAIN}
version: ${String(version)}
previous: ${previous === null ? 'null' : `"${previous}"`}
validity: { notBefore: "${iso(Date.now() - DAY)}", notAfter: "${iso(Date.now() + 30 * DAY)}" }
platforms:
  vm:
    quoted: "${extra.quoted ?? (extra.measured === undefined ? BOOT : MEASURED_BOOT)}"
    sealed: "${BOOT}"
    references: references.json
    quirks: []
    runtime: ${extra.measured === undefined ? 'unmeasured' : 'measured'}
    gateway: ${extra.measured === undefined ? 'unmeasured' : 'measured'}
    requiredClaims: [instance-identity, executables]
artifacts: artifacts.json
hostSets: { all: { labels: ["env=test"] } }
initiators: ${extra.initiators === undefined ? '[]' : `[{ issuer: "${extra.initiators.issuer}", jwks: people.json, bearer: true, maxLifetime: 600, claims: [] }]`}
credentials:
  workload: { kind: x509-svid, ttl: 300, path: "/{platform}/{artifact}", hosts: [all] }
  token: { kind: jwt-svid, ttl: 120, path: "/{platform}/{artifact}", audiences: ["https://orders.example.org"], hosts: [all] }
  database: { kind: secret, secret: database-password, hosts: [all] }
delegation: { maxDepth: 2, maxChildren: ${String(extra.maxChildren ?? 2)} }
sealing: { expiration: 60 }
limits: { authorizationLifetime: ${String(extra.authorizationLifetime ?? 300)}, executionLifetime: 3600, attestationInterval: 300, executionsPerHost: ${String(extra.executionsPerHost ?? 16)} }
execution: { loaderVariables: [] }
attribution: { report: { owner: "team-a", purpose: "monthly figures" } }
${extra.witnessed === undefined ? '' : `witnessed: ${JSON.stringify(extra.witnessed)}`}
${extra.presentation === undefined ? '' : `presentation: ${JSON.stringify(extra.presentation)}`}
`;
const CEDAR =
  '@id("run") permit (principal, action == Action::"Execute", resource) when { !context.request.privileged };';

/** What a test wants otherwise of the policy. */
export interface PolicyOptions {
  readonly cedar?: string;
  readonly executionsPerHost?: number;
  /** Selection of PCRs that a quote must have. */
  readonly quoted?: string;
  /** Hex: what PCR 0 must be; what an emulator without a boot has, when left out. */
  readonly pcr0?: string;
  readonly authorizationLifetime?: number;
  readonly maxChildren?: number;
  /** Whom authorizations may be shown to, and how often. */
  readonly presentation?: JsonObject;
  /** Answers whose checkpoint witnesses must have cosigned. */
  readonly witnessed?: { readonly policy: string; readonly actions: readonly string[] };
  /** Whose tokens name initiators; without a key of theirs, too. */
  readonly initiators?: { readonly issuer: string; readonly jwks: JsonObject };
  /** Reference values of a platform whose gateway and artifacts the kernel measures. */
  readonly measured?: ReferenceValues;
}

/** The logs that a host sends with a quote, as its verifier asked for them. */
export type HostLogs = (challenge: JsonObject) => Promise<JsonObject>;

/** What a test wants otherwise of a request. */
export interface AskOptions {
  readonly request?: Partial<ExecutionRequest>;
  /** What the gateway measures, when not what it asks for. */
  readonly measured?: string;
  /** The artifact's content. */
  readonly content?: string;
  /** The manifest of an artifact that is a tree. */
  readonly tree?: Uint8Array;
  /** What the artifact's signature is over. */
  readonly signed?: string;
  readonly qualifyingData?: (nonce: Uint8Array, digest: Uint8Array) => Uint8Array;
  readonly purpose?: 'execution' | 'attestation';
  readonly workloadProof?: KeyObject;
  /** Sent instead of what was made. */
  readonly body?: (body: JsonObject) => JsonObject;
  readonly nonce?: string;
  /** The execution that starts it. */
  readonly under?: Pick<Allowed, 'answer' | 'workload'>;
  /** What its proof is for, when not for this request. */
  readonly parentBinding?: (binding: HolderBinding) => HolderBinding;
}

/** An execution that the verifier allowed, and what its gateway holds. */
export interface Allowed {
  readonly request: ExecutionRequest;
  readonly answer: Record<string, unknown>;
  readonly workload: KeyObject;
  readonly own: OwnTerms;
  readonly session: Session;
}

/** A verifier with a published policy; hosts on emulated TPMs come to it. */
export class DecisionWorld {
  verifier: TestVerifier;
  readonly directory: string;
  readonly admin: ReturnType<typeof operatorTls>;
  bundle: PolicyBundle | undefined;
  /** Stages and codes of every denial that a host got. */
  readonly denied = new Set<string>();

  private constructor(verifier: TestVerifier, directory: string) {
    this.verifier = verifier;
    this.directory = directory;
    this.admin = operatorTls(directory);
  }

  static async open(directory: string, environment: Record<string, string> = {}): Promise<DecisionWorld> {
    install(directory);
    return new DecisionWorld(await startVerifier(directory, environment), directory);
  }

  /** The verifier again, over the same store. */
  async restart(): Promise<void> {
    await this.verifier.server.stop();
    this.verifier = await startVerifier(this.directory);
  }

  /** Another key signs artifacts from now on. */
  async anotherSigner(): Promise<void> {
    signer = newSigner();
    await this.publish();
  }

  /** Any request by the operator. */
  async operate(method: string, url: string, body?: unknown): Promise<Answer> {
    return await this.verifier.call({
      method,
      url,
      tls: this.admin,
      ...(body === undefined ? {} : { body }),
    });
  }

  /** Builds, signs, stages and publishes the next version. */
  async publish(options: PolicyOptions = {}): Promise<PolicyBundle> {
    return await this.publishStaged(await this.stage(options));
  }

  /** Builds, signs and stages the next version. */
  async stage(options: PolicyOptions = {}): Promise<PolicyBundle> {
    const before = this.bundle;
    const files = {
      'policy.yaml': policyYaml((before?.version ?? 0) + 1, before?.hash ?? null, options),
      'execute.cedar': options.cedar ?? CEDAR,
      'schema.cedarschema': CEDAR_SCHEMA,
      ...(options.initiators === undefined ? {} : { 'people.json': JSON.stringify(options.initiators.jwks) }),
      'references.json': JSON.stringify(
        options.measured ?? {
          version: 1,
          platform: 'vm',
          pcrs: [{ name: 'boot', bank: 'sha256', values: { 0: [options.pcr0 ?? '00'.repeat(32)] } }],
        },
      ),
      'artifacts.json': JSON.stringify({
        version: 1,
        signers: [
          {
            name: 'release',
            key: signer.pem,
            algorithm: 'ed25519',
          },
        ],
      }),
    };
    const sources = new Map(Object.entries(files).map(([name, text]) => [name, utf8(text)] as const));
    const { bundle } = buildBundle(sources, loadCedar);
    const staged = await this.operate(
      'POST',
      '/v1/policy/stage',
      submission(bundle, authorityKey(this.directory)),
    );
    if (staged.status !== 201) throw new Error(`stage: ${staged.text}`);
    return bundle;
  }

  /** Publishes what was staged. */
  async publishStaged(bundle: PolicyBundle): Promise<PolicyBundle> {
    const published = await this.operate('POST', '/v1/policy/publish', { digest: bundle.hash });
    if (published.status !== 200) throw new Error(`publish: ${published.text}`);
    this.bundle = bundle;
    return bundle;
  }

  /** The leaf of an index, as auditors read it. */
  async leaf(index: unknown): Promise<Record<string, unknown>> {
    const { json } = await this.operate('GET', `/v1/log/entries/${String(index)}`);
    return JSON.parse(String(json['leaf'])) as Record<string, unknown>;
  }

  async logSize(): Promise<number> {
    return Number((await this.verifier.call({ url: '/checkpoint' })).text.split('\n')[1]);
  }
}

/** A host with an emulated TPM: enrolled by its listed EK. */
export class DecisionHost {
  readonly world: DecisionWorld;
  readonly emulator: Swtpm;
  tpm: Tpm;
  ak: TpmObject;
  readonly #made: NewAttestationKey;
  readonly hostId: string;
  tls: { cert: string; key: string };
  /** Of a host that was measured: then the selection is the challenge’s too. */
  logs: HostLogs | undefined;

  private constructor(
    world: DecisionWorld,
    emulator: Swtpm,
    tpm: Tpm,
    made: { made: NewAttestationKey; hostId: string; tls: { cert: string; key: string } },
  ) {
    this.world = world;
    this.emulator = emulator;
    this.tpm = tpm;
    this.#made = made.made;
    this.ak = made.made.key;
    this.hostId = made.hostId;
    this.tls = made.tls;
  }

  static async enroll(world: DecisionWorld, name: string, booted?: Swtpm): Promise<DecisionHost> {
    const emulator = booted ?? (await startSwtpm());
    const tpm = await Tpm.open(emulator.tcti);
    const host = new TpmHost(tpm, 'L-2');
    const ek = await tpm.endorsementKey('L-2');
    const hostId = hostIdOf(parsePublic(ek.publicBytes));
    await ek.flush();
    const listed = await world.operate('POST', '/v1/invitations', {
      ...{ name, labels: { env: 'test' }, platform: 'vm', ekTemplate: 'L-2', ek: hostId, host: null },
      ...{ restartCounters: false, needsApproval: false, ttlSeconds: null },
    });
    if (listed.status !== 201) throw new Error(`invite: ${listed.text}`);
    const under = await tpm.endorsementKey('L-2');
    const made = await tpm.attestationKey({ ek: under });
    await under.flush();
    const ak = made.key;
    const request: Record<string, JsonValue> = { ...(await host.request(ak, { name })) };
    // Its hash is listed: no authority has to vouch for it.
    delete request['ekCertificate'];
    const offer = await world.verifier.call({ method: 'POST', url: '/v1/enrollments', body: request });
    if (offer.status !== 201) throw new Error(`enroll: ${offer.text}`);
    const answer = await host.answer(ak, offer.json as JsonObject, request);
    const url = `/v1/enrollments/${String(offer.json['enrollmentId'])}/activate`;
    const active = await world.verifier.call({ method: 'POST', url, body: answer });
    if (active.status !== 200) throw new Error(`activate: ${active.text}`);
    const key = host.agent.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
    const tls = { cert: String(active.json['agentCertificatePem']), key };
    return new DecisionHost(world, emulator, tpm, { made, hostId, tls });
  }

  /** The AK again, after a restart. */
  async loadKey(): Promise<void> {
    const { handle, authValue, key } = this.#made;
    this.ak = await this.tpm.openAttestationKey(handle, authValue, key.name);
  }

  async close(): Promise<void> {
    await this.tpm.close();
    await this.emulator.stop();
  }

  async post(url: string, body: unknown): Promise<Answer> {
    const answer = await this.world.verifier.call({ method: 'POST', url, tls: this.tls, body });
    const { code, stage } = answer.json;
    if (answer.status >= 400) this.world.denied.add(`${String(stage)} ${String(code)}`);
    return answer;
  }

  async challenge(purpose: 'execution' | 'attestation'): Promise<Record<string, string>> {
    const answer = await this.post('/v1/challenges', { v: 1, purpose });
    if (answer.status !== 201) throw new Error(`challenge: ${answer.text}`);
    return answer.json as Record<string, string>;
  }

  /** A session whose nonce the release is bound to. */
  async session(): Promise<{ session: Session; nonceTpm: Uint8Array; ekName: Uint8Array }> {
    await using ek = await this.tpm.endorsementKey('L-2');
    const session = await this.tpm.startSession({ type: 'policy', salt: ek });
    return { session, nonceTpm: await session.nonceTPM(), ekName: ek.name };
  }

  async #quote(unmeasured: string, qualifyingData: Uint8Array, challenge: JsonObject) {
    const asked = this.logs === undefined ? unmeasured : (challenge['pcrSelection'] as string);
    const selection = parsePcrSelectionText(asked);
    const { attest, signature } = await this.tpm.quote({ key: this.ak, selection, qualifyingData });
    const { values } = await this.tpm.pcrRead(selection);
    const flat = [...values].flatMap(([bank, ofBank]) =>
      [...ofBank].map(([index, value]) => ({ bank, index, value })),
    );
    const record = (type: string, value: JsonObject) => [type, toBase64url(utf8(JSON.stringify(value))), 4];
    const evidence = {
      __cmwc_t: EVIDENCE_TYPE,
      quote: record('application/vnd.sealgate.quote+json', {
        attest: toBase64url(attest),
        signature: toBase64url(signature),
      }),
      pcrs: record('application/vnd.sealgate.pcrs+json', pcrValuesJson(flat)),
      // After the quote: what the kernel adds meanwhile is not proved by it.
      ...(await this.logs?.(challenge)),
    };
    return { evidence, attest, values };
  }

  /** Makes a whole execution request, as a gateway does. */
  async prepare(nonceTpm: Uint8Array, options: AskOptions = {}) {
    const challenge = await this.challenge(options.purpose ?? 'execution');
    const workload = ec();
    const { x = '', y = '' } = workload.publicKey.export({ format: 'jwk' });
    const artifact = createHash('sha256')
      .update(options.tree ?? options.content ?? 'report')
      .digest('hex');
    const statement = encodeStatement({
      name: 'report',
      sha256: options.signed ?? artifact,
      signedAt: Date.now() - 60_000,
    });
    const envelope = utf8(JSON.stringify(dsseJson(signDsse(statement, signer))));
    const request: ExecutionRequest = {
      v: 1,
      purpose: 'execution',
      verifier: TRUST_DOMAIN,
      nonce: options.nonce ?? challenge['nonce'] ?? '',
      hostId: this.hostId,
      executionId: newExecutionId(),
      nonceTPM: toBase64url(nonceTpm),
      policyHash: challenge['policyHash'] ?? '',
      logSize: '1',
      artifact: {
        name: 'report',
        digest: `sha256:${artifact}`,
        type: options.tree === undefined ? 'file' : 'tree',
        signatures: [{ format: 'dsse', data: toBase64url(envelope) }],
      },
      argv: ['report'],
      environment: { LANG: 'C' },
      cwd: '/',
      uid: 1000,
      gid: 1000,
      interpreter: null,
      privileged: false,
      isolated: true,
      scopes: ['reports.read'],
      credentials: ['workload'],
      initiator: null,
      parent: null,
      workloadPublic: { kty: 'EC', crv: 'P-256', x, y },
      ...options.request,
      ...(options.under === undefined ? {} : { parent: String(options.under.answer['authorization']) }),
    };
    const digest = requestDigest(request);
    const nonce = new Uint8Array(Buffer.from(request.nonce, 'base64url'));
    await this.tpm.pcrReset(23);
    const measured = options.measured ?? request.artifact.digest;
    await this.tpm.pcrExtend(23, { sha256: artifactMeasurement(nonce, measured, digest) });
    const { evidence, attest, values } = await this.#quote(
      `${BOOT},10,23`.replace('14,10,23', '10,14,23'),
      (options.qualifyingData ?? executionQualifyingData)(nonce, digest),
      challenge,
    );
    const binding = { audience: TRUST_DOMAIN, nonce: request.nonce, requestDigest: digest };
    const proof = await makeHolderProof(binding, options.workloadProof ?? workload.privateKey);
    const tree = options.tree && {
      'tree-manifest': ['application/vnd.sealgate.tree-manifest', toBase64url(options.tree), 4],
    };
    const { under, parentBinding = (same: HolderBinding) => same } = options;
    const parent = under === undefined ? null : await makeHolderProof(parentBinding(binding), under.workload);
    const proofs = { workload: proof, parent, initiator: null };
    const made = { request, proofs, evidence: { ...evidence, ...tree } };
    const body = (options.body ?? ((same: JsonObject) => same))(made as unknown as JsonObject);
    return { body, request, digest, attest, values, workload: workload.privateKey };
  }

  /** Asks with a session of its own; the answer as it came. */
  async ask(options: AskOptions = {}): Promise<Answer & { readonly sent: JsonObject }> {
    const { session, nonceTpm } = await this.session();
    const { body } = await this.prepare(nonceTpm, options);
    const answer = await this.post('/v1/executions', body);
    await session.flush();
    return { ...answer, sent: body };
  }

  /** Asks, and keeps what opens the answer. */
  async run(options: AskOptions = {}, afterwards: 'flush' | 'keep' = 'flush'): Promise<Allowed> {
    const { session, nonceTpm } = await this.session();
    const { body, request, digest, attest, values, workload } = await this.prepare(nonceTpm, options);
    const answer = await this.post('/v1/executions', body);
    if (afterwards === 'flush') await session.flush();
    if (answer.status !== 201) throw new Error(answer.text);
    const { jti } = claimsOf(String(answer.json['authorization']));
    const own: OwnTerms = {
      binding: { kind: 'release', executionId: request.executionId, requestDigest: digest, jti },
      nonceTpm,
      quoted: parseAttest(attest).clockInfo,
      quotedPcr: (bank, index) => values.get(bank)?.get(index),
    };
    return { request, answer: answer.json, workload, own, session };
  }

  /** Opens what was sealed, by the TPM. */
  async open(sealedJson: unknown, own: OwnTerms, session: Session): Promise<JsonObject> {
    await using ek = await this.tpm.endorsementKey('L-2');
    const { name: ekName } = ek;
    await ek.flush();
    const sealed = parseSealed(sealedJson as JsonObject);
    const checked = checkSealed(sealed, own);
    const key = await this.tpm.openSealed({ session, sealed: checked, ekTemplate: 'L-2', ekName });
    return await decryptCredentials(sealed.jwe, key, own.binding);
  }

  /** Reports an outcome by a workload key. */
  async report(
    executionId: string,
    event: 'started' | 'ended',
    key: KeyObject,
    more: Partial<OutcomeReport> = {},
  ): Promise<Answer> {
    const proof = await makeOutcomeReport({ aud: TRUST_DOMAIN, executionId, event, ...more }, key);
    return await this.post(`/v1/executions/${executionId}/${event}`, { proof });
  }

  /** Makes a host attestation for executions with their current authorizations. */
  async prepareAttestation(
    live: readonly { readonly token: string; readonly sequence: number; readonly workload: KeyObject }[],
    nonceTpm: Uint8Array,
    options: { purpose?: 'execution' | 'attestation'; label?: typeof executionQualifyingData } = {},
  ) {
    const challenge = await this.challenge(options.purpose ?? 'attestation');
    const { nonce = '' } = challenge;
    const request: AttestationRequest = {
      v: 1,
      purpose: 'attestation',
      verifier: TRUST_DOMAIN,
      nonce,
      hostId: this.hostId,
      nonceTPM: toBase64url(nonceTpm),
      logSize: '1',
      executions: live.map(({ token, sequence }) => {
        const { client_id: executionId, jti } = claimsOf(token);
        return { executionId, jti, sequence };
      }),
    };
    const digest = jcsSha256(request as unknown as JsonObject);
    const nonceBytes = new Uint8Array(Buffer.from(nonce, 'base64url'));
    const { evidence, attest, values } = await this.#quote(
      `${BOOT},10`.replace('14,10', '10,14'),
      (options.label ?? attestationQualifyingData)(nonceBytes, digest),
      challenge,
    );
    const binding = { audience: TRUST_DOMAIN, nonce, requestDigest: digest };
    const proofs = await Promise.all(live.map(({ workload }) => makeHolderProof(binding, workload)));
    const terms = (of: SealedBinding): OwnTerms => ({
      binding: of,
      nonceTpm,
      quoted: parseAttest(attest).clockInfo,
      quotedPcr: (bank, index) => values.get(bank)?.get(index),
    });
    return { body: { request, proofs, evidence }, digest, terms };
  }

  async attest(body: unknown): Promise<Answer> {
    return await this.post(`/v1/hosts/${this.hostId}/attestations`, body);
  }
}

/** The claims of an authorization as it came. */
export function claimsOf(token: string) {
  return parseClaims(new Uint8Array(Buffer.from(token.split('.')[1] ?? '', 'base64url')));
}

/** A UUIDv7 of now. */
export function newExecutionId(): string {
  const time = Date.now().toString(16).padStart(12, '0');
  const hex = randomBytes(10).toString('hex');
  return `${time.slice(0, 8)}-${time.slice(8)}-7${hex.slice(0, 3)}-8${hex.slice(3, 6)}-${hex.slice(6, 18)}`;
}

export { thumbprint };
