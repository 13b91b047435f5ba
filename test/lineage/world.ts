import { createHash } from 'node:crypto';
import { leafBody } from '../../src/audit/index.ts';
import type { DecisionLeaf, LeafBody } from '../../src/audit/index.ts';
import { canonicalJson, utf8 } from '../../src/base/index.ts';
import type { JsonObject } from '../../src/base/index.ts';

export const sha = (text: string): string => `sha256:${createHash('sha256').update(text).digest('hex')}`;
export const hexOf = (text: string): string => createHash('sha256').update(text).digest('hex');
/** A UUID of a number. */
export const executionId = (n: number): string =>
  `019a9e2c-7b1e-7c3d-8f20-${n.toString(16).padStart(12, '0')}`;
export const HOST = hexOf('host-a');
export const AK = `000b${hexOf('ak')}`;
export const POLICY = sha('policy-1');

/** A decision that allowed an execution, with what a test wants otherwise. */
export function allowed(n: number, options: Partial<DecisionLeaf> = {}): DecisionLeaf {
  const policy = options.policy ?? { digest: POLICY, version: 1, deciding: ['run'] };
  return {
    ...{ v: 1, kind: 'decision', purpose: 'execution', outcome: 'allow', replica: 'a' },
    hostId: HOST,
    executions: [executionId(n)],
    parent: null,
    digests: {
      request: sha(`request ${String(n)}`),
      authorization: sha(`authorization ${String(n)}`),
      sealed: sha(`sealed ${String(n)}`),
      evidence: [
        { name: 'quote', sha256: sha(`quote ${String(n)}`) },
        { name: 'attestation-result', sha256: sha(`result ${String(n)}`) },
      ],
      inputs: null,
    },
    policy,
    ak: AK,
    boot: { resetCount: 3, restartCount: 0 },
    artifact: { name: 'report', digest: sha('report') },
    argv: null,
    environment: null,
    initiator: null,
    released: [{ kind: 'secret', name: 'database', serial: '3', expires: null }],
    dependencies: [
      { kind: 'ek-root', id: 'root-1' },
      { kind: 'ak', id: AK },
      { kind: 'bundle', id: policy.digest },
      { kind: 'reference-values', id: `${policy.digest}/vm` },
      { kind: 'authority', id: 'authority-1' },
      { kind: 'signer', id: 'SHA256:release' },
      { kind: 'build', id: 'test' },
    ],
    ...options,
  };
}

/** A child of an execution. */
export const child = (n: number, parent: number, options: Partial<DecisionLeaf> = {}): DecisionLeaf =>
  allowed(n, { parent: executionId(parent), ...options });

/** A renewal of executions. */
export const renewed = (executions: readonly number[], options: Partial<DecisionLeaf> = {}): DecisionLeaf =>
  allowed(0, {
    ...{ purpose: 'attestation', artifact: null, released: [], executions: executions.map(executionId) },
    ...options,
  });

/** A request that was denied, and names an execution. */
export const denied = (n: number, options: Partial<DecisionLeaf> = {}): DecisionLeaf => {
  const leaf = allowed(n, options);
  return {
    ...leaf,
    ...{ outcome: 'deny', denial: { check: 'e16', reason: 'no' }, released: [] },
    digests: { ...leaf.digests, authorization: null, sealed: null },
  };
};

export const ended = (n: number, state: 'running' | 'ended' | 'failed' | 'revoked' = 'ended'): LeafBody => ({
  ...{ v: 1, kind: 'outcome', executionId: executionId(n), hostId: HOST, state, reportedBy: 'host' },
  ...{ exit: state === 'ended' ? { status: 0 } : null, reason: null },
});

const BY = { kind: 'operator', id: '01' } as const;
export const enrolled = (name: string, hostId = HOST): LeafBody => ({
  ...{ v: 1, kind: 'enrollment', outcome: 'allow', hostId, name, platform: 'vm', admission: 'token' },
  ...{ ekCertificate: null, ak: AK, by: BY },
});
export const published = (digest = POLICY): LeafBody => ({
  ...{ v: 1, kind: 'policy', action: 'publish', digest, version: 1, previous: null },
  ...{ authorities: ['authority-1'], by: BY },
});
export const revoked = (kind: 'signer' | 'host' | 'execution', id: string): LeafBody => ({
  ...{ v: 1, kind: 'revocation', subject: { kind, id }, reason: 'key lost', by: BY },
});

/** Entries as the ledger appends them. */
export function entriesOf(bodies: readonly LeafBody[], from = 0): Uint8Array[] {
  return bodies.map((body, i) => entryOf(leafBody(body), from + i));
}

export function entryOf(body: JsonObject, index: number): Uint8Array {
  const time = new Date(Date.UTC(2026, 10, 23) + index * 1000).toISOString();
  return utf8(canonicalJson({ ...body, index: String(index), time, epoch: 'e' }));
}
