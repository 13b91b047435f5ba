import { generateKeyPairSync } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { LocalIssuer, parseJwks, verifyInitiator } from '../../src/identity/index.ts';
import { systemRandom } from '../support/random.ts';

const NOW = 1_800_000_000;
const ec = () => generateKeyPairSync('ec', { namedCurve: 'P-256' });
const local = new LocalIssuer('https://local.example', ec().privateKey, systemRandom);
const order = { subject: 'alice', audience: 'example.org', now: NOW, lifetime: 300 };

async function verify(token: string, bearer: boolean) {
  const issuer = { issuer: local.issuer, keys: parseJwks(await local.jwks()), bearer, maxLifetime: 600 };
  return await verifyInitiator(token, [issuer], 'example.org', NOW);
}

describe('a local issuer', () => {
  it('makes tokens for a key, which verify', async () => {
    const holder = ec();
    const token = await local.issue({ ...order, confirmationKey: holder.privateKey, claims: { team: 'a' } });
    const initiator = await verify(token, false);
    expect(initiator).toMatchObject({ issuer: local.issuer, subject: 'alice', expires: NOW + 300 });
    expect(initiator.claims['team']).toBe('a');
    expect(initiator.confirmationKey?.equals(holder.publicKey)).toBe(true);
    expect(JSON.stringify(initiator.claims)).not.toContain('"d"');
  });

  it('makes bearer tokens, each with an id of its own', async () => {
    const [a, b] = [await local.issue(order), await local.issue(order)];
    const [first, second] = [await verify(a, true), await verify(b, true)];
    expect(first.confirmationKey).toBeUndefined();
    expect(first.tokenId).not.toBe(second.tokenId);
  });

  it('publishes no private key', async () => {
    expect(JSON.stringify(await local.jwks())).not.toContain('"d"');
  });
});
