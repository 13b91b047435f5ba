import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import type { JsonObject } from '../../src/base/index.ts';
import { toHex, utf8 } from '../../src/base/index.ts';
import {
  artifactMeasurement,
  artifactPcr,
  executionQualifyingData,
  parseExecutionSubmission,
  releasePolicyRef,
  requestDigest,
} from '../../src/lifecycle/execution-request.ts';
import { expectRefusal } from '../support/refusals.ts';

const jws = 'AA.AA.AA';
const request: JsonObject = {
  v: 1,
  purpose: 'execution',
  verifier: 'example.org',
  nonce: 'AAAA',
  hostId: 'a'.repeat(64),
  executionId: '01890000-0000-7000-8000-000000000000',
  nonceTPM: 'A'.repeat(43),
  policyHash: `sha256:${'b'.repeat(64)}`,
  logSize: '7',
  artifact: {
    name: 'report',
    digest: `sha256:${'c'.repeat(64)}`,
    type: 'file',
    signatures: [{ format: 'dsse', data: 'e30' }],
  },
  argv: ['report', ''],
  environment: { LANG: 'C' },
  cwd: '/',
  uid: 1000,
  gid: 1000,
  interpreter: null,
  privileged: false,
  isolated: true,
  scopes: ['orders.read'],
  credentials: ['svid'],
  initiator: jws,
  parent: null,
  workloadPublic: { kty: 'EC', crv: 'P-256', x: 'A'.repeat(43), y: 'A'.repeat(43) },
};
const proofs: JsonObject = { workload: jws, parent: null, initiator: jws };
const submission = (change: JsonObject = {}, other: JsonObject = {}): JsonObject => ({
  request: { ...request, ...change },
  proofs,
  evidence: {},
  ...other,
});

describe('an execution request', () => {
  it('parses', () => {
    expect(parseExecutionSubmission(submission()).request).toEqual(request);
    parseExecutionSubmission(
      submission({ initiator: null }, { proofs: { workload: jws, parent: null, initiator: null } }),
    );
    parseExecutionSubmission(submission({ parent: jws }, { proofs: { ...proofs, parent: jws } }));
  });

  it.each(Object.keys(request))('needs %s', (name) => {
    const rest = Object.fromEntries(Object.entries(request).filter(([member]) => member !== name));
    expectRefusal('request-form', () => parseExecutionSubmission({ request: rest, proofs, evidence: {} }));
  });

  it.each<[string, JsonObject]>([
    ['unknown member', { extra: 1 }],
    ['another version', { v: 2 }],
    ['another purpose', { purpose: 'attestation' }],
    ['hostId in upper case', { hostId: 'A'.repeat(64) }],
    ['a UUID of version 4', { executionId: '01890000-0000-4000-8000-000000000000' }],
    ['no argv', { argv: [] }],
    ['NUL in argv', { argv: ['a\0b'] }],
    ['NUL in the environment', { environment: { A: '\0' } }],
    ['a name of the environment with =', { environment: { 'A=B': '' } }],
    ['a relative cwd', { cwd: 'tmp' }],
    ['uid as text', { uid: '0' }],
    ['uid -1', { uid: 0xffff_ffff }],
    ['the same scope twice', { scopes: ['a', 'a'] }],
    ['a bare star', { scopes: ['*'] }],
    [
      'artifact by a weak digest',
      { artifact: { name: 'x', digest: 'sha1:aa', type: 'file', signatures: [] } },
    ],
    [
      'an artifact name with control characters',
      { artifact: { name: 'a\u001b[0m', digest: `sha256:${'c'.repeat(64)}`, type: 'file', signatures: [] } },
    ],
    ['logSize as number', { logSize: 7 }],
    [
      'a private workload key',
      { workloadPublic: { ...(request['workloadPublic'] as JsonObject), d: 'A'.repeat(43) } },
    ],
  ])('is refused with %s', (_name, change) => {
    expectRefusal('request-form', () => parseExecutionSubmission(submission(change)));
  });

  it('a claim and its proof come together', () => {
    const bad: JsonObject[] = [
      submission({ parent: jws }),
      submission({}, { proofs: { ...proofs, parent: jws } }),
      submission({ initiator: null }),
      submission({}, { proofs: { ...proofs, workload: null } }),
      submission({}, { extra: 1 }),
    ];
    for (const body of bad) expectRefusal('request-form', () => parseExecutionSubmission(body));
  });
});

describe('what binds a request', () => {
  const { request: parsed } = parseExecutionSubmission(submission());
  const sha256 = (...parts: (string | Uint8Array)[]): string => {
    const hash = createHash('sha256');
    for (const part of parts) hash.update(part);
    return hash.digest('hex');
  };
  const nonce = Uint8Array.of(1, 2, 3);

  it('the digest covers every member', () => {
    const digests = new Set([toHex(requestDigest(parsed))]);
    const changes: JsonObject[] = [
      { uid: 1001 },
      { argv: ['report', 'x'] },
      { environment: {} },
      { cwd: '/tmp' },
      { isolated: false },
    ];
    for (const change of changes)
      digests.add(toHex(requestDigest(parseExecutionSubmission(submission(change)).request)));
    expect(digests.size).toBe(changes.length + 1);
  });

  it('labels keep the hashes apart', () => {
    const digest = requestDigest(parsed);
    const artifact = Buffer.from('c'.repeat(64), 'hex');
    expect(toHex(executionQualifyingData(nonce, digest))).toBe(
      sha256('sealgate/execution/v1\0', nonce, digest),
    );
    const measurement = artifactMeasurement(nonce, parsed.artifact.digest, digest);
    expect(toHex(measurement)).toBe(sha256('sealgate/artifact/v1\0', nonce, artifact, digest));
    expect(toHex(artifactPcr(measurement))).toBe(sha256(new Uint8Array(32), measurement));
    expect(toHex(releasePolicyRef(parsed.executionId))).toBe(
      sha256('sealgate/release/v1\0', utf8(parsed.executionId)),
    );
  });
});
