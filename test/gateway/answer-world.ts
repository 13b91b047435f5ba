import { createHash, generateKeyPairSync } from 'node:crypto';
import { dsseJson, encodeStatement, normalKey, readTrust, signDsse } from '../../src/artifact/index.ts';
import {
  formatCheckpoint,
  formatLogProof,
  formatNote,
  leafHash,
  nodeHash,
  noteSigner,
  signNote,
} from '../../src/audit/index.ts';
import { signJws, thumbprint } from '../../src/authorization/index.ts';
import {
  canonicalJson,
  fromUtf8,
  jcsSha256,
  toBase64,
  toBase64url,
  toHex,
  utf8,
} from '../../src/base/index.ts';
import type { JsonObject } from '../../src/base/index.ts';
import { encodeSealed, sealCredentials } from '../../src/credential/index.ts';
import type { SealTerms } from '../../src/credential/index.ts';
import type { OwnExecution } from '../../src/gateway/index.ts';
import { requestDigest } from '../../src/lifecycle/index.ts';
import type { ExecutionRequest } from '../../src/lifecycle/index.ts';
import { MANIFEST_TYPE, manifestBytes, signAsAuthority } from '../../src/policy/index.ts';
import type { PolicyManifest, VerifiedTrustBundle } from '../../src/policy/index.ts';
import { systemRandom } from '../support/random.ts';
import { terms } from '../credential/terms.ts';

export const NOW = Date.UTC(2026, 10, 23, 2);
const SECOND = NOW / 1000;
const DOMAIN = 'example.org';
const HOST = 'a'.repeat(64);
const AK = '000b' + 'c'.repeat(64);
const EXECUTION = '019a9e2c-7b1e-7c3d-8f20-1234567890ab';
const ORIGIN = 'log.example.org';
const ec = () => generateKeyPairSync('ec', { namedCurve: 'P-256' });
const ed = () => generateKeyPairSync('ed25519');
const sha256 = (data: Uint8Array | string): string => createHash('sha256').update(data).digest('hex');

const keys = { authorization: ec(), ear: ec(), workload: ec(), authority: ed(), signer: ed(), log: ed() };
const stranger = { ec: ec(), ed: ed() };
const signing = (pair: typeof stranger.ed) => ({
  privateKey: pair.privateKey,
  publicKey: normalKey(pair.publicKey),
});
const pem = (pair: typeof stranger.ed): string =>
  pair.publicKey.export({ type: 'spki', format: 'pem' }).toString();
const artifactTrust = {
  version: 1,
  signers: [{ name: 'release', key: pem(keys.signer), algorithm: 'ed25519' }],
};
const authorities = readTrust({
  version: 1,
  signers: [{ name: 'authority', key: pem(keys.authority), algorithm: 'ed25519' }],
});
const log = noteSigner(ORIGIN, 'note', keys.log.privateKey);

const ARTIFACT = sha256('report');

function signature(sha: string, name: string, key = keys.signer): string {
  const statement = encodeStatement({ name, sha256: sha, signedAt: NOW - 60_000 });
  return toBase64url(utf8(JSON.stringify(dsseJson(signDsse(statement, signing(key))))));
}

/** What a test wants otherwise than a sound answer. */
export interface AnswerChange {
  readonly leaf?: (leaf: Record<string, unknown>) => Record<string, unknown>;
  readonly claims?: (claims: Record<string, unknown>) => Record<string, unknown>;
  readonly result?: (claims: Record<string, unknown>) => Record<string, unknown>;
  readonly manifest?: Partial<PolicyManifest>;
  readonly sealing?: Partial<SealTerms>;
  /** By somebody else's key. */
  readonly foreign?: 'authorization' | 'ear' | 'authority' | 'log' | 'artifact';
  /** Instead of the answer's members, after everything was signed. */
  readonly answer?: (answer: JsonObject) => JsonObject;
  readonly own?: Partial<OwnExecution>;
  readonly origin?: string;
  readonly request?: Partial<ExecutionRequest>;
}

/** A whole answer and what its gateway holds, made by the real code of the verifier's side. */
export async function makeAnswer(
  change: AnswerChange = {},
): Promise<{ body: JsonObject; own: OwnExecution }> {
  const { foreign } = change;
  const manifest: PolicyManifest = {
    ...{ v: 1, trustDomain: DOMAIN, hash: `sha256:${'d'.repeat(64)}`, version: 3 },
    ...{ notBefore: '2026-11-01T00:00:00Z', notAfter: '2026-12-31T00:00:00Z' },
    ...{ previous: `sha256:${'e'.repeat(64)}`, artifactTrust },
    ...change.manifest,
  };
  const { x = '', y = '' } = keys.workload.publicKey.export({ format: 'jwk' });
  const request: ExecutionRequest = {
    ...{ v: 1, purpose: 'execution', verifier: DOMAIN, nonce: 'bm9uY2U', hostId: HOST },
    ...{ executionId: EXECUTION, nonceTPM: toBase64url(terms.nonceTpm), logSize: '1' },
    policyHash: `sha256:${'d'.repeat(64)}`,
    artifact: {
      ...{ name: 'report', digest: `sha256:${ARTIFACT}`, type: 'file' },
      signatures: [
        {
          format: 'dsse',
          data: signature(ARTIFACT, 'report', foreign === 'artifact' ? stranger.ed : keys.signer),
        },
      ],
    },
    ...{ argv: ['report'], environment: {}, cwd: '/', uid: 1000, gid: 1000, interpreter: null },
    ...{ privileged: false, isolated: true, scopes: ['reports.read'], credentials: [] },
    ...{ initiator: null, parent: null, workloadPublic: { kty: 'EC', crv: 'P-256', x, y } },
    ...change.request,
  };
  const digest = requestDigest(request);
  const jkt = await thumbprint(keys.workload.publicKey);
  const audience = `spiffe://${DOMAIN}/host/${HOST}`;
  const quoted = { ...terms.quoted, resetCount: 7, restartCount: 1 };
  const evidence = new Map([
    ['quote', sha256('quote')],
    ['pcrs', sha256('pcrs')],
  ]);
  const jws = async (payload: object, type: string, name: 'authorization' | 'ear') =>
    await signJws(payload as JsonObject, type, {
      kid: name,
      algorithm: 'ES256',
      key: foreign === name ? stranger.ec.privateKey : keys[name].privateKey,
    });
  const result = {
    ...{ aud: audience, eat_nonce: request.nonce, exp: SECOND + 300, iat: SECOND, cnf: { jkt }, jti: 'r' },
  };
  const attestationResult = await jws((change.result ?? same)(result), 'eat+jwt', 'ear');
  const named = [...evidence, ['attestation-result', sha256(attestationResult)] as const];
  const claims = {
    ...{
      iss: 'https://example.org',
      sub: audience,
      aud: audience,
      iat: SECOND,
      nbf: SECOND,
      exp: SECOND + 300,
    },
    ...{ jti: 'jti-1', client_id: EXECUTION, txn: EXECUTION, cnf: { jkt }, eat_nonce: request.nonce },
    authorization_details: [
      {
        ...{ type: 'sealgate_execution', actions: ['execute'], artifact: `sha256:${ARTIFACT}`, host: HOST },
        ...{ scopes: ['reports.read'], constraints: {} },
      },
    ],
    ...{ del_depth: 0, del_max_depth: 2, status: { status_list: { idx: 1, uri: 'https://example.org/s' } } },
    policy: { uri: 'https://example.org/policy', digest: request.policyHash, ids: ['run'] },
    evidence: named.map(([name, value]) => ({ name, sha256: value })),
    ...{ gov: { trust_domain: DOMAIN, authorities: ['a'] }, attr: { signers: [] } },
  };
  const authorization = await jws((change.claims ?? same)(claims), 'exec-authz+jwt', 'authorization');
  const binding = { kind: 'release', executionId: EXECUTION, requestDigest: digest, jti: 'jti-1' } as const;
  const sealed = encodeSealed(
    await sealCredentials(
      { v: 1, credentials: [] },
      { ...terms, binding, quoted, ...change.sealing },
      systemRandom,
    ),
  );
  const leaf = {
    ...{ v: 1, kind: 'decision', purpose: 'execution', outcome: 'allow', replica: 'a', hostId: HOST },
    ...{ executions: [EXECUTION], parent: null },
    digests: {
      request: `sha256:${toHex(digest)}`,
      authorization: `sha256:${sha256(authorization)}`,
      sealed: `sha256:${toHex(jcsSha256(sealed))}`,
      evidence: named.map(([name, value]) => ({ name, sha256: `sha256:${value}` })),
      inputs: null,
    },
    policy: { digest: manifest.hash, version: manifest.version, deciding: ['run'] },
    ...{ ak: AK, boot: { resetCount: 7, restartCount: 1 } },
    artifact: { name: 'report', digest: `sha256:${ARTIFACT}` },
    ...{ argv: null, environment: null, initiator: null, released: [], dependencies: [] },
    ...{ index: '1', time: '2026-11-23T02:00:00.000Z', epoch: 'epoch-1' },
  };
  const leafBytes = utf8(canonicalJson((change.leaf ?? same)(leaf) as JsonObject));
  const first = leafHash(utf8('first'));
  const root = nodeHash(first, leafHash(leafBytes));
  const origin = change.origin ?? ORIGIN;
  const text = formatCheckpoint({ origin, size: 2n, root });
  const by = noteSigner(origin, 'note', (foreign === 'log' ? stranger.ed : keys.log).privateKey);
  const checkpoint = formatNote({ text, signatures: [signNote(text, by)] });
  const proof = formatLogProof({ index: 1n, hashes: [first], checkpoint });
  const body: JsonObject = {
    leaf: toBase64url(leafBytes),
    authorization,
    proof: fromUtf8(proof, 'proof'),
    consistency: [toBase64(leafHash(leafBytes))],
    attestationResult,
    policyManifest: signAsAuthority(
      manifestBytes(manifest),
      MANIFEST_TYPE,
      signing(foreign === 'authority' ? stranger.ed : keys.authority),
    ),
    sealed,
  };
  const verification = (name: 'authorization' | 'ear') => [
    { kid: name, algorithm: 'ES256' as const, key: keys[name].publicKey },
  ];
  // The chain that leads to a bundle has tests of its own (test/policy).
  const trust = {
    ...{ trustDomain: DOMAIN, version: 1, issuer: 'https://example.org', witnesses: null },
    authorities: { threshold: 1, keys: authorities.keys },
    keys: { authorization: verification('authorization'), ear: verification('ear'), status: [], jwtSvid: [] },
    log: [log.key, noteSigner('other.example.org', 'note', keys.log.privateKey).key],
  } as unknown as VerifiedTrustBundle;
  const own: OwnExecution = {
    ...{ trust, request, requestDigest: digest, workloadThumbprint: jkt, akName: AK, quoted, evidence },
    quotedPcr: terms.quotedPcr,
    checkpoint: { origin: ORIGIN, size: 1n, root: first },
    policySeen: { version: 3, hash: `sha256:${'d'.repeat(64)}` },
    now: NOW,
    ...change.own,
  };
  return { body: (change.answer ?? same)(body), own };
}

const same = <T>(value: T): T => value;
