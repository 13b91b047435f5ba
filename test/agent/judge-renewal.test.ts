import { generateKeyPairSync } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import type { OwnDecision } from '../../src/agent/judge/own-decision.ts';
import { judgeRenewals } from '../../src/agent/judge/renewal.ts';
import type { DecisionLeaf } from '../../src/audit/index.ts';
import { signJws, signingInputHash } from '../../src/authorization/index.ts';
import type { AuthorizationClaims } from '../../src/authorization/index.ts';
import type { JsonObject } from '../../src/base/index.ts';
import { expectRejection } from '../support/refusals.ts';

const NOW = Date.UTC(2026, 10, 23, 2);
const SECOND = NOW / 1000;
const HOST = 'a'.repeat(64);
const AUDIENCE = `spiffe://example.org/host/${HOST}`;
const [ONE, TWO] = ['019a9e2c-7b1e-7c3d-8f20-1234567890ab', '019a9e2c-7b1e-7c3d-8f20-1234567890ac'];
const POLICY = `sha256:${'d'.repeat(64)}`;
const OTHER = `sha256:${'0'.repeat(64)}`;
const keys = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const stranger = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const evidence = [{ name: 'quote', sha256: 'e'.repeat(64) }];

const own = {
  trust: {
    ...{ trustDomain: 'example.org', issuer: 'https://example.org' },
    keys: { authorization: [{ kid: 'a', algorithm: 'ES256', key: keys.publicKey }] },
  },
  ...{ hostId: HOST, nonce: 'bmV3', now: NOW },
} as unknown as OwnDecision;
const leaf = {
  executions: [ONE, TWO],
  policy: { digest: POLICY, version: 3, deciding: [] },
  digests: { evidence: evidence.map(({ name, sha256 }) => ({ name, sha256: `sha256:${sha256}` })) },
} as unknown as DecisionLeaf;

/** The authorization of before. */
const before: AuthorizationClaims = {
  ...{ iss: 'https://example.org', sub: AUDIENCE, aud: AUDIENCE, client_id: ONE, txn: ONE, jti: 'jti-1' },
  ...{ iat: SECOND - 200, nbf: SECOND - 200, exp: SECOND + 100, cnf: { jkt: 'A'.repeat(43) } },
  eat_nonce: 'b2xk',
  authorization_details: [
    {
      ...{ type: 'sealgate_execution', actions: ['execute'], artifact: `sha256:${'f'.repeat(64)}` },
      ...{ host: HOST, scopes: ['reports.read'], constraints: { children: 2, lifetime: 3600 } },
    },
  ],
  ...{ del_depth: 0, del_max_depth: 2, status: { status_list: { idx: 7, uri: 'https://example.org/s' } } },
  policy: { uri: 'https://example.org/policy', digest: POLICY, ids: ['run'] },
  ...{ evidence: [], gov: { trust_domain: 'example.org', authorities: ['a'] }, attr: { signers: [] } },
};
/** What a verifier that doesn't lie makes of it. */
const renewed: AuthorizationClaims = {
  ...before,
  ...{ iat: SECOND, nbf: SECOND, exp: SECOND + 300, jti: 'jti-2', eat_nonce: 'bmV3', evidence },
};
const [details] = renewed.authorization_details;

const sign = (claims: object, key = keys.privateKey): Promise<string> =>
  signJws(claims as JsonObject, 'exec-authz+jwt', { kid: 'a', algorithm: 'ES256', key });
const judge = async (...claims: object[]) =>
  await judgeRenewals(
    await Promise.all(claims.map((one) => sign(one))),
    [{ claims: before }, { claims: child }],
    leaf,
    own,
  );
/** A child on the same host. */
const child: AuthorizationClaims = {
  ...before,
  ...{ client_id: TWO, act: { sub: ONE }, del_depth: 1, par_hash: 'B'.repeat(43), jti: 'jti-3' },
};
const renewedChild = { ...renewed, client_id: TWO, act: { sub: ONE }, del_depth: 1, jti: 'jti-4' };

describe('a renewed authorization', () => {
  it('goes on where the one before was', async () => {
    expect(await judge(renewed)).toMatchObject([{ executionId: ONE, jti: 'jti-2' }]);
  });

  it.each<[string, object]>([
    ['iss', { iss: 'https://example.net' }],
    ['trustDomain', { gov: { trust_domain: 'example.net', authorities: [] } }],
    ['aud', { aud: `spiffe://example.org/host/${'b'.repeat(64)}` }],
    ['workload', { cnf: { jkt: 'B'.repeat(43) } }],
    ['nonce', { eat_nonce: 'b2xk' }],
    ['action', { authorization_details: [{ ...details, actions: ['execute', 'administer'] }] }],
    ['artifact', { authorization_details: [{ ...details, artifact: OTHER }] }],
    ['host', { authorization_details: [{ ...details, host: 'b'.repeat(64) }] }],
    ['scopes', { authorization_details: [{ ...details, scopes: ['reports.read', 'reports.write'] }] }],
    ['policy', { policy: { uri: 'https://example.org/policy', digest: OTHER, ids: [] } }],
    ['evidence', { evidence: [] }],
    ['origin', { sub: 'somebody' }],
    ['lineage', { txn: TWO }],
    ['actors', { act: { sub: 'somebody' } }],
    ['depth', { del_depth: 1 }],
    ['maxDepth', { del_max_depth: 3 }],
    [
      'constraints',
      { authorization_details: [{ ...details, constraints: { children: 99, lifetime: 3600 } }] },
    ],
    ['constraints', { authorization_details: [{ ...details, constraints: { lifetime: 3600 } }] }],
    ['parent', { par_hash: 'C'.repeat(43) }],
    ['status', { status: { status_list: { idx: 8, uri: 'https://example.org/s' } } }],
    ['jti', { jti: 'jti-1' }],
    ['issued', { iat: SECOND - 201 }],
  ])('with another %s is refused', async (differs, change) => {
    // Only where the policy stays the same do its limits.
    const { detail } = await expectRejection('answer-authorization', judge({ ...renewed, ...change }));
    expect(detail['differs']).toContain(differs);
  });

  it.each<[string, string, object]>([
    ['lives too long', 'ceiling_exceeded', { exp: SECOND + 301 }],
    ['has ended', 'expired', { iat: SECOND - 100, nbf: SECOND - 100, exp: SECOND }],
    ['is not yet valid', 'expired', { nbf: SECOND + 60 }],
  ])('that %s is refused', async (_name, check, change) => {
    await expectRejection(check, judge({ ...renewed, ...change }));
  });

  it('by another key, twice, or of an execution that nobody named is refused', async () => {
    const foreign = await sign(renewed, stranger.privateKey);
    await expectRejection('signature_invalid', judgeRenewals([foreign], [{ claims: before }], leaf, own));
    await expectRejection('answer-authorization', judge(renewed, { ...renewed, jti: 'jti-9' }));
    await expectRejection('answer-authorization', judge({ ...renewed, client_id: 'another' }));
    const silent = { ...leaf, executions: [TWO] };
    await expectRejection(
      'answer-authorization',
      judgeRenewals([await sign(renewed)], [{ claims: before }], silent, own),
    );
  });

  it('may have other limits under another policy, and no other rights', async () => {
    const digest = OTHER;
    const moved = { ...leaf, policy: { digest, version: 4, deciding: [] } } as unknown as DecisionLeaf;
    const policy = { uri: 'https://example.org/policy', digest, ids: [] };
    const limits = [{ ...details, constraints: { children: 1, lifetime: 60 } }];
    const change = { ...renewed, policy, del_max_depth: 1, authorization_details: limits };
    const judged = async (claims: object) =>
      await judgeRenewals([await sign(claims)], [{ claims: before }], moved, own);
    expect(await judged(change)).toHaveLength(1);
    const wider = [{ ...details, scopes: ['reports.*'] }];
    await expectRejection('answer-authorization', judged({ ...change, authorization_details: wider }));
  });

  it('of a child follows its parent’s new one', async () => {
    const parent = await sign(renewed);
    const judged = async (claims: object) =>
      await judgeRenewals([parent, await sign(claims)], [{ claims: before }, { claims: child }], leaf, own);
    expect(await judged({ ...renewedChild, par_hash: signingInputHash(parent) })).toHaveLength(2);
    await expectRejection('par_hash_mismatch', judged({ ...renewedChild, par_hash: child.par_hash }));
    const { detail } = await expectRejection('answer-authorization', judged(renewedChild));
    expect(detail['differs']).toEqual(['parent']);
  });
});
