import { generateKeyPairSync } from 'node:crypto';
import { decodeProtectedHeader, jwtVerify } from 'jose';
import { beforeAll, describe, expect, it } from 'vitest';
import { signJws, thumbprint, verifyJwtSvid } from '../../src/authorization/index.ts';
import type { JsonObject } from '../../src/base/index.ts';
import { issueJwtSvid } from '../../src/credential/index.ts';
import type { JwtSvidKey, JwtSvidOrder } from '../../src/credential/index.ts';
import { credentialFiles, releasedCredentials } from '../../src/gateway/credentials/credential-files.ts';
import { readBundle } from '../../src/policy/index.ts';
import { parseSpiffeId } from '../../src/x509/index.ts';
import { build } from '../policy/support.ts';
import { systemRandom } from '../support/random.ts';
import { expectRefusal, expectRejection } from '../support/refusals.ts';

const NOW = 1_800_000_000;
const pair = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const workload = generateKeyPairSync('ec', { namedCurve: 'P-256' });
let key: JwtSvidKey;
let keys: { kid: string; algorithm: 'ES256'; key: typeof pair.publicKey }[];
beforeAll(async () => {
  key = { kid: await thumbprint(pair.publicKey), key: pair.privateKey };
  keys = [{ kid: key.kid, algorithm: 'ES256', key: pair.publicKey }];
});
const order: JwtSvidOrder = {
  id: parseSpiffeId('spiffe://example.org/vm/report'),
  audiences: ['https://orders.example.org', 'spiffe://example.org/orders'],
  allowed: undefined,
  issuedAt: NOW,
  expires: NOW + 120,
};
const AUDIENCE = 'https://orders.example.org';
const trust = () => ({ keys, trustDomain: 'example.org', audience: AUDIENCE });
const issue = (change: Partial<JwtSvidOrder> = {}) =>
  issueJwtSvid({ ...order, ...change }, key, systemRandom);

describe('JWT-SVIDs', () => {
  it('are what SPIFFE defines: header of alg, kid, typ; sub, aud, exp; accepted by jose', async () => {
    const { token, serial } = await issue();
    expect(decodeProtectedHeader(token)).toEqual({ alg: 'ES256', kid: key.kid, typ: 'JWT' });
    const { payload } = await jwtVerify(token, pair.publicKey, {
      algorithms: ['ES256'],
      audience: AUDIENCE,
      subject: 'spiffe://example.org/vm/report',
      requiredClaims: ['exp', 'aud', 'sub'],
      currentDate: new Date(NOW * 1000),
    });
    expect(payload).toEqual({
      sub: 'spiffe://example.org/vm/report',
      aud: order.audiences,
      iat: NOW,
      exp: NOW + 120,
      jti: serial,
    });
    expect(serial).toMatch(/^[A-Za-z0-9_-]{22}$/);
    expect((await issue()).serial).not.toBe(serial);
  });

  it('are never for everybody, never for more than the authorization allows, never over', async () => {
    await expectRejection('credential-audience', issue({ audiences: [] }));
    await expectRejection('credential-audience', issue({ allowed: [] }));
    await expectRejection('credential-audience', issue({ allowed: [AUDIENCE] }));
    await expectRejection('credential-authority', issue({ expires: NOW }));
    expect((await issue({ allowed: order.audiences })).token).not.toBe('');
  });

  it('are verified by key, audience, domain and time', async () => {
    const { token, serial } = await issue();
    const verified = await verifyJwtSvid(token, trust(), NOW + 119);
    expect([verified.id.path, verified.expires, verified.jti]).toEqual(['/vm/report', NOW + 120, serial]);
    await expectRejection('expired', verifyJwtSvid(token, trust(), NOW + 120));
    await expectRejection('expired', verifyJwtSvid(token, trust(), NOW - 31));
    await expectRejection(
      'audience_mismatch',
      verifyJwtSvid(token, { ...trust(), audience: 'https://x' }, NOW),
    );
    await expectRejection(
      'svid-trust-domain',
      verifyJwtSvid(token, { ...trust(), trustDomain: 'other.org' }, NOW),
    );
    await expectRejection('signature_invalid', verifyJwtSvid(token, { ...trust(), keys: [] }, NOW));
    const [head = '', payload = '', signature = ''] = token.split('.');
    const forged = Buffer.from(JSON.stringify({ sub: 'spiffe://example.org/admin' })).toString('base64url');
    await expectRejection('signature_invalid', verifyJwtSvid(`${head}.${forged}.${signature}`, trust(), NOW));
    expect(payload).not.toBe(forged);
  });

  it('are nothing without sub, aud or exp, and nothing else passes for one', async () => {
    const signing = { kid: key.kid, algorithm: 'ES256' as const, key: pair.privateKey };
    const claims = { sub: order.id.text, aud: AUDIENCE, exp: NOW + 60 };
    const signed = (change: JsonObject, type = 'JWT') => signJws({ ...claims, ...change }, type, signing);
    expect((await verifyJwtSvid(await signed({}), trust(), NOW)).jti).toBeNull();
    for (const name of ['sub', 'aud', 'exp'] as const) {
      const { [name]: _left, ...others } = claims;
      await expectRejection('jwt-svid', verifyJwtSvid(await signJws(others, 'JWT', signing), trust(), NOW));
    }
    for (const change of [{ aud: [] }, { exp: 'x' }, { admin: true }, { exp: 1.5 }])
      await expectRejection('jwt-svid', verifyJwtSvid(await signed(change), trust(), NOW));
    await expectRejection('spiffe-id', verifyJwtSvid(await signed({ sub: 'alice' }), trust(), NOW));
    for (const type of ['exec-authz+jwt', 'exec-holder+jwt', 'statuslist+jwt', 'eat+jwt'])
      await expectRejection('signature_invalid', verifyJwtSvid(await signed({}, type), trust(), NOW));
    await expectRejection('malformed', verifyJwtSvid('x', trust(), NOW));
  });
});

describe('a policy that grants JWT-SVIDs', () => {
  const { json } = build().bundle;
  const token = {
    kind: 'jwt-svid',
    ttl: 60,
    path: '/{platform}/{artifact}',
    audiences: ['https://a'],
    hosts: ['granted'],
  };
  const withToken = (credential: JsonObject) =>
    readBundle({ ...json, credentials: { ...(json['credentials'] as JsonObject), token: credential } });

  it('names audiences and a life within an authorization’s', () => {
    expect(withToken(token).document.credentials['token']).toEqual(token);
    const { audiences: _left, ...without } = token;
    for (const bad of [
      without,
      { ...token, audiences: [] },
      { ...token, audiences: ['a', 'a'] },
      { ...token, audiences: [''] },
      { ...token, audiences: 'https://a' },
      { ...token, ttl: 301 },
      { ...token, ttl: 0 },
      { ...token, kind: 'jwt' },
      { ...token, kind: 'x509-svid' },
      { ...token, secret: 'x' },
      { ...token, hosts: ['nowhere'] },
    ])
      expectRefusal('policy-form', () => withToken(bad));
    expectRefusal('spiffe-template', () => withToken({ ...token, path: '/{user}' }));
  });
});

describe('a released JWT-SVID on the host', () => {
  const credential = (change: JsonObject = {}): JsonObject => ({
    name: 'token',
    kind: 'jwt-svid',
    id: order.id.text,
    audiences: [AUDIENCE],
    token: 'aa.bb.cc',
    expires: '2027-01-15T08:00:00.000Z',
    ...change,
  });
  const release = (one: JsonObject): JsonObject => ({ v: 1, credentials: [one] });
  const filesFor = { authorization: 'x.y.z', workload: workload.privateKey, svidCas: [] };

  it('is a file of its own, and no key goes with it', () => {
    const credentials = releasedCredentials(release(credential()), ['token']);
    const files = credentialFiles(credentials, ['token'], filesFor);
    expect([...files.keys()].sort()).toEqual(['_authorization.jwt', '_authorization.key', 'token.jwt']);
    expect(Buffer.from(files.get('token.jwt') ?? []).toString()).toBe('aa.bb.cc\n');
  });

  it('is refused in any other form', () => {
    for (const change of [
      { token: 'x' },
      { token: 'a.b.c\nX-Evil: 1' },
      { audiences: [] },
      { id: 'alice' },
      { more: 1 },
    ])
      expectRefusal('credential-form', () => releasedCredentials(release(credential(change)), ['token']));
  });
});
