import { createHash, generateKeyPairSync, randomBytes } from 'node:crypto';
import type { Tpm } from '../../native/index.ts';
import { dsseJson, encodeStatement, normalKey, signDsse } from '../../src/artifact/index.ts';
import { noteSigner } from '../../src/audit/verifier-key.ts';
import { proveConsistency } from '../../src/audit/index.ts';
import { makeHolderProof } from '../../src/authorization/index.ts';
import { toBase64, toBase64url, utf8 } from '../../src/base/index.ts';
import type { JsonObject } from '../../src/base/index.ts';
import {
  EVIDENCE_TYPE,
  artifactMeasurement,
  executionQualifyingData,
  makeNonce,
  parseExecutionRecord,
  quotedSelection,
  requestDigest,
} from '../../src/lifecycle/index.ts';
import type { Caller, DecisionDeps, ExecutionRequest, HostFacts } from '../../src/lifecycle/index.ts';
import type { BootCounters } from '../../src/evidence/index.ts';
import { LocalIssuer } from '../../src/identity/index.ts';
import { CEDAR_SCHEMA, PolicyEngine, buildBundle, loadCedar } from '../../src/policy/index.ts';
import { revocationsOf } from '../../src/server/decision-records.ts';
import { openSqlite, openStore } from '../../src/store/index.ts';
import { hostId, parsePublic, parsePcrSelectionText, pcrValuesJson } from '../../src/tpm/index.ts';
import { issueCertificate, randomSerial } from '../../src/x509/index.ts';
import { systemRandom } from '../support/random.ts';

export const NOW = Date.UTC(2026, 10, 22, 12);
const DOMAIN = 'example.org';
const random = systemRandom;
const ec = () => generateKeyPairSync('ec', { namedCurve: 'P-256' });
const ed = generateKeyPairSync('ed25519');
const signer = { privateKey: ed.privateKey, publicKey: normalKey(ed.publicKey) };
const BOOT = 'sha256:0,1,2,3,4,5,6,7,14';
const POLICY_YAML = `
trustDomain: ${DOMAIN}
version: 1
previous: null
validity: { notBefore: "2026-11-01T00:00:00Z", notAfter: "2026-12-31T00:00:00Z" }
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
initiators:
  - { issuer: "https://people.example.org", jwks: people.json, bearer: true, maxLifetime: 600, claims: [] }
credentials:
  workload: { kind: x509-svid, ttl: 300, path: "/{platform}/{artifact}", hosts: [all] }
  token: { kind: jwt-svid, ttl: 60, path: "/{platform}/{artifact}", audiences: ["https://orders.example.org"], hosts: [all] }
  database: { kind: secret, secret: database-password, hosts: [all] }
delegation: { maxDepth: 2, maxChildren: 1 }
sealing: { expiration: 60 }
limits: { authorizationLifetime: 300, executionLifetime: 3600, attestationInterval: 300, executionsPerHost: 16 }
execution: { loaderVariables: [] }
attribution: {}
`;
const CEDAR =
  '@id("run") permit (principal, action == Action::"Execute", resource) when { !context.request.privileged };';

/** Whose tokens name initiators; here also without a key of theirs. */
export const people = new LocalIssuer(
  'https://people.example.org',
  generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey,
  random,
);
const peopleJwks = await people.jwks();

const bundle = buildBundle(
  new Map(
    Object.entries({
      'policy.yaml': POLICY_YAML,
      'execute.cedar': CEDAR,
      'people.json': JSON.stringify(peopleJwks),
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
            key: ed.publicKey.export({ type: 'spki', format: 'pem' }),
            algorithm: 'ed25519',
          },
        ],
      }),
    }).map(([name, content]) => [name, utf8(content)] as const),
  ),
  loadCedar,
).bundle;

/** A verifier with an embedded store, and one enrolled host on a real (emulated) TPM. */
export async function makeWorld(tpm: Tpm) {
  const log = noteSigner('log.example.org', 'note', generateKeyPairSync('ed25519').privateKey);
  const store = await openStore(
    openSqlite(':memory:'),
    { signer: log, macKey: new Uint8Array(32).fill(9) },
    { now: () => NOW },
    'epoch-1',
  );
  const plain = { preconditions: [], once: [], bodies: [] };
  const write = (kind: string, id: string, body: JsonObject = {}) =>
    store.commit([{ ...plain, leaf: { kind: 'test' }, writes: [{ kind, id, body }] }]);
  await write('policy', 'active');

  const ek = await tpm.endorsementKey('L-2');
  const made = await tpm.attestationKey({ ek });
  const ekPublic = ek.publicBytes;
  const { publicBytes: akPublic } = made.key;
  await ek.flush();
  const id = hostId(parsePublic(ekPublic));
  await write('host', id);
  const versionOf = async (kind: string, name: string) => ({
    kind,
    id: name,
    version: (await store.get({ kind, id: name }))?.version ?? 0,
  });

  const engine = new PolicyEngine(loadCedar);
  engine.load(bundle.document.cedar);
  const svidKey = ec();
  const jwtSvid = ec();
  const ca = issueCertificate({
    subject: { commonName: 'SVID CA' },
    publicKey: svidKey.publicKey,
    issuer: { key: svidKey.privateKey },
    serial: randomSerial(random),
    notBefore: NOW - 3_600_000,
    notAfter: NOW + 86_400_000,
    purpose: { kind: 'ca', pathLength: 0 },
  });
  const authorization = ec();
  const host: HostFacts = {
    record: await versionOf('host', id),
    hostId: id,
    name: 'host-a',
    state: 'active',
    platform: 'vm',
    labels: { env: 'test' },
    ekPublic,
    akPublic,
    akName: made.key.name,
    akQualifiedName: made.qualifiedName,
    agentKey: 'a'.repeat(64),
    agentPublic: new Uint8Array(ec().publicKey.export({ type: 'spki', format: 'der' })),
    manufacturer: null,
    ekRoot: null,
    ekIssuers: [],
    lastClock: null,
    eventLog: null,
    ima: null,
    run: { record: { kind: 'run-digests', id, version: 0 }, boot: null, digests: new Set() },
  };
  const challenge = {
    keys: [{ id: new Uint8Array(4).fill(1), secret: new Uint8Array(32).fill(2) }],
    epoch: utf8('epoch-1'),
  };
  const runOf = async (): Promise<HostFacts['run']> => {
    const found = await store.get({ kind: 'run-digests', id });
    const body = found?.body as { boot?: BootCounters; digests?: string[] } | undefined;
    return {
      record: await versionOf('run-digests', id),
      boot: body?.boot ?? null,
      digests: new Set(body?.digests ?? []),
    };
  };
  const taken = new Set<string>();
  let next = 0;
  const deps: DecisionDeps = {
    trustDomain: DOMAIN,
    issuer: `https://${DOMAIN}`,
    replica: 'a',
    verifier: { build: 'test', developer: 'sealgate' },
    trust: `sha256:${'0'.repeat(64)}`,
    clock: { now: () => NOW },
    random,
    ids: random,
    challenge,
    keys: {
      authorization: { kid: 'authz', algorithm: 'ES256', key: authorization.privateKey },
      authorizations: [{ kid: 'authz', algorithm: 'ES256', key: authorization.publicKey }],
      ear: { kid: 'ear', key: ec().privateKey },
      svid: { certificate: ca, key: svidKey.privateKey, chain: [] },
      jwtSvid: { kid: 'jwt-svid', key: jwtSvid.privateKey },
    },
    policy: {
      active: async () => ({
        record: await versionOf('policy', 'active'),
        bundle,
        authorities: ['authority-1'],
        manifest: {},
        uri: `https://${DOMAIN}/policy`,
        imaRules: () => null,
        authorize: (request) => engine.authorize(request),
      }),
    },
    hosts: { get: async (wanted) => (wanted === id ? { ...host, run: await runOf() } : undefined) },
    executions: {
      get: async (executionId) => {
        const found = await store.get({ kind: 'execution', id: executionId });
        return found && { record: found, body: parseExecutionRecord(found.body) };
      },
    },
    revocations: revocationsOf(store),
    secrets: {
      get: async (name) => ({ record: await versionOf('secret', name), version: 3, value: utf8('hunter2') }),
    },
    nonces: {
      reserve: (nonce) => !taken.has(nonce) && taken.add(nonce).has(nonce),
      has: (nonce) => taken.has(nonce),
    },
    bodies: { get: (sha256) => store.body(sha256) },
    agents: {
      renew: () => Promise.resolve({ pem: 'PEM', serial: '01', expires: NOW + 86_400_000 }),
    },
    log: {
      size: async () => BigInt((await store.head())?.size ?? 0),
      consistency: async (from, to) => (await proveConsistency(from, to, store.tiles)).map(toBase64),
    },
    status: { assign: async () => Promise.resolve({ idx: next++, uri: `https://${DOMAIN}/status` }) },
    retention: 86_400_000,
  };
  const caller: Caller = { hostId: id, agentKey: host.agentKey, notAfter: NOW + 3_600_000 };
  const ledger = {
    commit: async (change: Parameters<typeof store.commit>[0][number]) => (await store.commit([change]))[0]!,
  };
  return { store, deps, caller, host, ledger, write, ak: made.key, log };
}

export type World = Awaited<ReturnType<typeof makeWorld>>;

/** What a test wants otherwise than a sound request. */
export interface AskOptions {
  readonly request?: Partial<ExecutionRequest>;
  /** What the gateway measures, when not what it asks for. */
  readonly measured?: string;
  readonly signed?: string;
  readonly qualifyingData?: (nonce: Uint8Array, digest: Uint8Array) => Uint8Array;
  readonly purpose?: 'execution' | 'attestation';
  readonly workloadProof?: 'foreign';
}

/** What the gateway does: measures, quotes, proves its key. */
export async function ask(tpm: Tpm, world: World, nonceTpm: Uint8Array, options: AskOptions = {}) {
  const workload = ec();
  const { x = '', y = '' } = workload.publicKey.export({ format: 'jwk' });
  const nonce = makeNonce(
    world.deps.challenge.keys[0]!,
    { purpose: options.purpose ?? 'execution', hostId: world.host.hostId, epoch: utf8('epoch-1') },
    NOW,
    random,
  );
  const artifact = createHash('sha256').update('report').digest('hex');
  const statement = encodeStatement({ name: 'report', sha256: options.signed ?? artifact, signedAt: NOW });
  const envelope = utf8(JSON.stringify(dsseJson(signDsse(statement, signer))));
  const hex = randomBytes(8).toString('hex');
  const request: ExecutionRequest = {
    v: 1,
    purpose: 'execution',
    verifier: DOMAIN,
    nonce,
    hostId: world.host.hostId,
    executionId: `019a9e2c-7b1e-7c3d-8f20-${hex.slice(0, 12)}`,
    nonceTPM: toBase64url(nonceTpm),
    policyHash: bundle.hash,
    logSize: '1',
    artifact: {
      name: 'report',
      digest: `sha256:${artifact}`,
      type: 'file',
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
    credentials: ['workload', 'database'],
    initiator: null,
    parent: null,
    workloadPublic: { kty: 'EC', crv: 'P-256', x, y },
    ...options.request,
  };
  const digest = requestDigest(request);
  const nonceBytes = new Uint8Array(Buffer.from(request.nonce, 'base64url'));
  await tpm.pcrReset(23);
  await tpm.pcrExtend(23, {
    sha256: artifactMeasurement(nonceBytes, options.measured ?? request.artifact.digest, digest),
  });
  const selection = quotedSelection(parsePcrSelectionText(BOOT));
  const { attest, signature } = await tpm.quote({
    key: world.ak,
    selection,
    qualifyingData: (options.qualifyingData ?? executionQualifyingData)(nonceBytes, digest),
  });
  const { values } = await tpm.pcrRead(selection);
  const pcrs = [...values].flatMap(([bank, ofBank]) =>
    [...ofBank].map(([index, value]) => ({ bank, index, value })),
  );
  const key = options.workloadProof === 'foreign' ? ec().privateKey : workload.privateKey;
  const binding = { audience: DOMAIN, nonce: request.nonce, requestDigest: digest };
  const record = (type: string, value: JsonObject) => [type, toBase64url(utf8(JSON.stringify(value))), 4];
  const body = {
    request,
    proofs: { workload: await makeHolderProof(binding, key), parent: null, initiator: null },
    evidence: {
      __cmwc_t: EVIDENCE_TYPE,
      quote: record('application/vnd.sealgate.quote+json', {
        attest: toBase64url(attest),
        signature: toBase64url(signature),
      }),
      pcrs: record('application/vnd.sealgate.pcrs+json', pcrValuesJson(pcrs)),
    },
  } as unknown as JsonObject;
  return { body, request, digest, attest, values };
}
