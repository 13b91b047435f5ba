import { describe, expect, it } from 'vitest';
import { verifyAnswer } from '../../src/gateway/index.ts';
import { expectRejection } from '../support/refusals.ts';
import { NOW, makeAnswer } from './answer-world.ts';
import type { AnswerChange } from './answer-world.ts';

const judged = async (change?: AnswerChange) => {
  const { body, own } = await makeAnswer(change);
  return await verifyAnswer(body, own);
};
const refused = async (check: string, change: AnswerChange, differs?: string) => {
  const { detail } = await expectRejection(check, judged(change));
  if (differs !== undefined) expect(detail['differs']).toEqual([differs]);
};
const other = `sha256:${'0'.repeat(64)}`;
const details = (change: object) => (claims: Record<string, unknown>) => ({
  ...claims,
  authorization_details: [{ ...(claims['authorization_details'] as object[])[0], ...change }],
});

it('an answer in which everything holds is verified', async () => {
  const verified = await judged();
  expect(verified).toMatchObject({ auditIndex: '1', policy: { version: 3 } });
  expect(verified.authorization.claims.jti).toBe('jti-1');
});

describe('policy and artifact', () => {
  const cases: [string, string, AnswerChange][] = [
    ['signed by a stranger', 'policy-signatures', { foreign: 'authority' }],
    ['of another domain', 'policy-domain', { manifest: { trustDomain: 'example.net' } }],
    ['another than was asked under', 'answer-policy', { manifest: { version: 4, hash: other } }],
    ['older than one that was seen', 'policy-rollback', { own: { policySeen: { version: 4, hash: other } } }],
    ['another of the same version', 'policy-rollback', { own: { policySeen: { version: 3, hash: other } } }],
    ['that has ended', 'policy-expired', { manifest: { notAfter: '2026-11-22T00:00:00Z' } }],
  ];
  it.each(cases)('%s', async (_, check, change) => {
    await refused(check, change);
  });
  it('an artifact that no trusted key signed', async () => {
    await expect(judged({ foreign: 'artifact' })).rejects.toThrow(/dsse|artifact/);
  });
  it('an artifact under another name than the signed one', async () => {
    const { body, own } = await makeAnswer();
    const artifact = { ...own.request.artifact, name: 'other' };
    const asked = { ...own, request: { ...own.request, artifact } };
    await expectRejection('artifact-name', verifyAnswer(body, asked));
  });
});

describe('the log', () => {
  const first = new Uint8Array(32);
  it.each<[string, string, AnswerChange]>([
    ['signed by another key', 'log-signature', { foreign: 'log' }],
    ['another log', 'log-origin', { origin: 'other.example.org' }],
    [
      'that is not the one of before',
      'log-consistency',
      { own: { checkpoint: { origin: 'log.example.org', size: 1n, root: first } } },
    ],
    [
      'without the leaf',
      'log-inclusion',
      {
        answer: (answer) => ({
          ...answer,
          leaf: Buffer.from(
            Buffer.from(answer['leaf'] as string, 'base64url')
              .toString()
              .replace('"replica":"a"', '"replica":"b"'),
          ).toString('base64url'),
        }),
      },
    ],
    ['of a denial', 'malformed', { leaf: (leaf) => ({ ...leaf, outcome: 'deny' }) }],
    ['of an attestation', 'answer-leaf', { leaf: (leaf) => ({ ...leaf, purpose: 'attestation' }) }],
    [
      'whose leaf names another policy',
      'answer-leaf',
      { leaf: (leaf) => ({ ...leaf, policy: { digest: other, version: 3, deciding: [] } }) },
    ],
    [
      'whose leaf names another version',
      'answer-leaf',
      { leaf: (leaf) => ({ ...leaf, policy: { ...(leaf['policy'] as object), version: 2 } }) },
    ],
  ])('%s', async (_, check, change) => {
    await refused(check, change);
  });

  const digests = (change: object) => (leaf: Record<string, unknown>) => ({
    ...leaf,
    digests: { ...(leaf['digests'] as object), ...change },
  });
  it.each<[string, (leaf: Record<string, unknown>) => Record<string, unknown>]>([
    ['hostId', (leaf) => ({ ...leaf, hostId: 'b'.repeat(64) })],
    ['execution', (leaf) => ({ ...leaf, executions: ['019a9e2c-7b1e-7c3d-8f20-1234567890ac'] })],
    ['parent', (leaf) => ({ ...leaf, parent: '019a9e2c-7b1e-7c3d-8f20-1234567890ac' })],
    ['request', digests({ request: other })],
    ['artifact', (leaf) => ({ ...leaf, artifact: { name: 'report', digest: other } })],
    [
      'initiator',
      (leaf) => ({ ...leaf, initiator: { issuer: 'https://i', subject: 's', token: other, claims: {} } }),
    ],
    ['ak', (leaf) => ({ ...leaf, ak: '000b' + 'd'.repeat(64) })],
    ['boot', (leaf) => ({ ...leaf, boot: { resetCount: 8, restartCount: 1 } })],
    ['authorization', digests({ authorization: other })],
    ['sealed', digests({ sealed: other })],
    ['index', (leaf) => ({ ...leaf, index: '0' })],
  ])('a leaf with another %s', async (differs, leaf) => {
    await refused('answer-leaf', { leaf }, differs);
  });
  it.each([
    ['missing', (list: object[]) => list.slice(1)],
    ['added', (list: object[]) => [...list, { name: 'ima-log', sha256: other }]],
    ['other', ([one, ...rest]: object[]) => [{ ...one, sha256: other }, ...rest]],
  ])('evidence %s in the leaf', async (_, change) => {
    const leaf = (body: Record<string, unknown>) => {
      const { evidence } = body['digests'] as { evidence: object[] };
      return digests({ evidence: change(evidence) })(body);
    };
    await refused('answer-leaf', { leaf }, 'evidence');
  });
});

describe('the authorization', () => {
  const set = (change: object) => (claims: Record<string, unknown>) => ({ ...claims, ...change });
  it.each<[string, (claims: Record<string, unknown>) => Record<string, unknown>]>([
    ['iss', set({ iss: 'https://example.net' })],
    ['trustDomain', set({ gov: { trust_domain: 'example.net', authorities: [] } })],
    ['aud', set({ aud: `spiffe://example.org/host/${'b'.repeat(64)}` })],
    ['execution', set({ client_id: 'another' })],
    ['lineage', set({ txn: 'another' })],
    ['origin', set({ sub: 'somebody' })],
    ['workload', set({ cnf: { jkt: 'A'.repeat(43) } })],
    ['nonce', set({ eat_nonce: 'b3RoZXI' })],
    ['action', details({ actions: ['read'] })],
    ['artifact', details({ artifact: other })],
    ['host', details({ host: 'b'.repeat(64) })],
    ['scopes', details({ scopes: ['reports.read', 'reports.write'] })],
    ['policy', set({ policy: { uri: 'https://example.org/policy', digest: other, ids: [] } })],
    ['evidence', set({ evidence: [] })],
  ])('with another %s', async (differs, claims) => {
    await refused('answer-authorization', { claims }, differs);
  });
  it.each<[string, string, AnswerChange]>([
    ['by another key', 'signature_invalid', { foreign: 'authorization' }],
    [
      'that has ended',
      'expired',
      { own: { now: NOW + 299_000 + 1000 }, result: set({ exp: NOW / 1000 + 900 }) },
    ],
    ['that is not yet valid', 'expired', { claims: set({ nbf: NOW / 1000 + 60 }) }],
    ['of a child without parent', 'depth_invalid', { claims: set({ del_depth: 1 }) }],
    ['that lives too long', 'ceiling_exceeded', { claims: set({ exp: NOW / 1000 + 301 }) }],
  ])('%s', async (_, check, change) => {
    await refused(check, change);
  });
  it.each<[string, (claims: Record<string, unknown>) => Record<string, unknown>]>([
    ['aud', set({ aud: 'another' })],
    ['nonce', set({ eat_nonce: 'b3RoZXI' })],
    ['workload', set({ cnf: { jkt: 'A'.repeat(43) } })],
    ['time', set({ exp: NOW / 1000 })],
  ])('a result with another %s', async (differs, result) => {
    await refused('answer-result', { result }, differs);
  });
  it('a result by another key', async () => {
    await refused('signature_invalid', { foreign: 'ear' });
  });
});

describe('what is sealed', () => {
  it.each<[string, string, AnswerChange]>([
    [
      'to another boot',
      'sealed-boot',
      { sealing: { quoted: { clock: 1_000_000n, resetCount: 8, restartCount: 1 } } },
    ],
    ['to another session', 'sealed-signature', { sealing: { nonceTpm: new Uint8Array(32) } }],
    ['to other values', 'sealed-policy', { own: { quotedPcr: () => new Uint8Array(32) } }],
  ])('%s', async (_, check, change) => {
    await refused(check, change);
  });
  it('an unknown member', async () => {
    await refused('verifier-answer', { answer: (answer) => ({ ...answer, more: 1 }) });
  });
});
