import { createPublicKey, generateKeyPairSync } from 'node:crypto';
import { CompactSign } from 'jose';
import { describe, expect, it } from 'vitest';
import { Refusal, utf8 } from '../../src/base/index.ts';
import type { JsonObject } from '../../src/base/index.ts';
import { parseJwks, verifyInitiator } from '../../src/identity/index.ts';
import type { InitiatorIssuer } from '../../src/identity/index.ts';
import { expectRefusal } from '../support/refusals.ts';

const NOW = 1_800_000_000;
const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 });
const ed = generateKeyPairSync('ed25519');
const holder = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const jwk = (key: typeof ec.publicKey) => key.export({ format: 'jwk' }) as JsonObject;

const keys = parseJwks({
  keys: [
    { ...jwk(ec.publicKey), kid: 'e', alg: 'ES256' },
    { ...jwk(rsa.publicKey), kid: 'r', alg: 'PS256' },
    { ...jwk(ed.publicKey), kid: 'd', alg: 'EdDSA' },
  ],
});
const issuer: InitiatorIssuer = { issuer: 'https://idp.example', keys, bearer: false, maxLifetime: 3600 };
const claims = (change: object = {}): object => ({
  iss: 'https://idp.example',
  sub: 'alice',
  jti: 't1',
  aud: 'example.org',
  iat: NOW - 5,
  exp: NOW + 300,
  cnf: { jwk: jwk(holder.publicKey) },
  ...change,
});
const sign = (payload: object, header: object = {}, key = ec.privateKey): Promise<string> =>
  new CompactSign(utf8(JSON.stringify(payload)))
    .setProtectedHeader({ alg: 'ES256', kid: 'e', typ: 'JWT', ...header })
    .sign(key);
const check = (token: string, change: Partial<InitiatorIssuer> = {}, now = NOW) =>
  verifyInitiator(token, [{ ...issuer, ...change }], 'example.org', now);

async function outcome(action: () => Promise<unknown>): Promise<string> {
  try {
    await action();
    return 'ok';
  } catch (error) {
    if (error instanceof Refusal) return error.check;
    throw error;
  }
}

describe('an initiator’s token', () => {
  it('verifies under each configured algorithm and yields the verified claims', async () => {
    const found = await check(await sign(claims()));
    expect(found).toMatchObject({
      issuer: 'https://idp.example',
      subject: 'alice',
      tokenId: 't1',
      expires: NOW + 300,
    });
    expect(found.confirmationKey?.equals(createPublicKey(holder.privateKey))).toBe(true);
    expect(found.tokenSha256).toMatch(/^[0-9a-f]{64}$/);
    await check(await sign(claims(), { alg: 'PS256', kid: 'r' }, rsa.privateKey));
    await check(await sign(claims(), { alg: 'EdDSA', kid: 'd' }, ed.privateKey));
  });

  it('without cnf only from an issuer that is marked bearer', async () => {
    const token = await sign(claims({ cnf: undefined }));
    expect(await outcome(() => check(token))).toBe('initiator-bearer');
    expect((await check(token, { bearer: true })).confirmationKey).toBeUndefined();
  });

  it.each<[string, object, object?]>([
    ['initiator-signature', { iss: 'https://evil' }],
    ['initiator-signature', {}, { kid: 'x' }],
    ['initiator-signature', {}, { kid: 'd' }],
    ['initiator-claims', { sub: undefined }],
    ['initiator-claims', { sub: '' }],
    ['initiator-claims', { jti: undefined }],
    ['initiator-claims', { exp: undefined }],
    ['initiator-claims', { iat: undefined }],
    ['initiator-claims', { nbf: 'soon' }],
    ['initiator-claims', { cnf: {} }],
    ['initiator-claims', { cnf: { jkt: 'x' } }],
    ['initiator-claims', { cnf: { jwk: jwk(ed.publicKey) } }],
    ['initiator-claims', { cnf: { jwk: { kty: 'EC' } } }],
    ['initiator-claims', { cnf: { jwk: holder.privateKey.export({ format: 'jwk' }) } }],
    ['initiator-expired', { exp: NOW }],
    ['initiator-expired', { iat: NOW + 31 }],
    ['initiator-expired', { nbf: NOW + 31 }],
    ['initiator-expired', { iat: NOW - 4000 }],
    ['initiator-audience', { aud: 'other.org' }],
    ['initiator-audience', { aud: undefined }],
    ['initiator-audience', { aud: ['a', 'b'] }],
  ])('%s for %j %j', async (expected, change, header) => {
    const token = await sign(claims(change), header);
    expect(await outcome(() => check(token))).toBe(expected);
  });

  it('algorithms come from configuration: none, HMAC with the public key and crit are refused', async () => {
    const [, payload] = (await sign(claims())).split('.') as [string, string];
    const none = `${Buffer.from('{"alg":"none","kid":"e"}').toString('base64url')}.${payload}.`;
    expect(await outcome(() => check(none))).toBe('initiator-signature');
    const secret = utf8(ec.publicKey.export({ type: 'spki', format: 'pem' }).toString());
    const hmac = await new CompactSign(utf8(JSON.stringify(claims())))
      .setProtectedHeader({ alg: 'HS256', kid: 'e' })
      .sign(secret);
    expect(await outcome(() => check(hmac))).toBe('initiator-signature');
    const crit = `${Buffer.from('{"alg":"ES256","kid":"e","crit":["b64"],"b64":false}').toString('base64url')}.${payload}.AA`;
    expect(await outcome(() => check(crit))).toBe('initiator-signature');
  });

  it('form is bounded and strict', async () => {
    const token = await sign(claims());
    for (const bad of ['', 'a.b', `${token}.x`, `${token}=`, 'x'.repeat(9000)]) {
      expect(await outcome(() => check(bad))).toBe('malformed');
    }
    expect(await outcome(() => verifyInitiator(token, [], 'example.org', NOW))).toBe('initiator-signature');
  });
});

describe('a JWKS', () => {
  const good = { ...jwk(ec.publicKey), kid: 'e', alg: 'ES256' };
  it.each<[string, JsonObject]>([
    ['no keys', { keys: [] }],
    ['keys not a list', { keys: 'x' }],
    ['not an object', { keys: [1] }],
    ['no kid', { keys: [{ ...good, kid: '' }] }],
    ['no alg', { keys: [jwk(ec.publicKey)] }],
    ['HMAC', { keys: [{ kty: 'oct', k: 'AA', kid: 's', alg: 'HS256' }] }],
    [
      'private',
      { keys: [{ ...(ec.privateKey.export({ format: 'jwk' }) as JsonObject), kid: 'e', alg: 'ES256' }] },
    ],
    ['another curve', { keys: [{ ...good, alg: 'ES384' }] }],
    ['another type', { keys: [{ ...good, alg: 'PS256' }] }],
    ['unreadable', { keys: [{ kty: 'EC', crv: 'P-256', x: 'AA', y: 'AA', kid: 'e', alg: 'ES256' }] }],
    ['twice', { keys: [good, good] }],
    [
      'weak RSA',
      {
        keys: [
          { ...jwk(generateKeyPairSync('rsa', { modulusLength: 1024 }).publicKey), kid: 'w', alg: 'RS256' },
        ],
      },
    ],
  ])('is refused: %s', (_name, document) => {
    expectRefusal('initiator-issuer', () => parseJwks(document));
  });
});
