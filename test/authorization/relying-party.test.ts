import { createHash, generateKeyPairSync } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  MemoryUses,
  Nonces,
  RelyingParty,
  decodePresentation,
  encodePresentation,
  httpRequestDigest,
  present,
} from '../../src/authorization/verify.ts';
import type { JsonObject } from '../../src/base/index.ts';
import { utf8 } from '../../src/base/index.ts';
import { es256Key } from '../../scripts/lib/deterministic-es256.ts';
import {
  DOMAIN,
  ISSUER,
  NOW,
  STATUS_URI,
  chainOf,
  issuer,
  listed,
  statusKey,
  statusList,
} from '../../scripts/lib/vectors/world.ts';
import type { Json } from '../../scripts/lib/vectors/world.ts';
import { systemRandom } from '../support/random.ts';
import { expectRefusal, expectRejection } from '../support/refusals.ts';

const AUDIENCE = 'https://orders.example.org';
const body = utf8('{"item":1}');
const request = { method: 'POST', target: '/orders', body };
const digest = httpRequestDigest(request);

describe('a relying party', () => {
  const jwks = {
    keys: [
      { ...listed(issuer), use: 'sig', sealgate_purpose: 'authorization' },
      { ...listed(statusKey), use: 'sig', sealgate_purpose: 'status' },
    ],
  } as JsonObject;
  const options = (change: Partial<ConstructorParameters<typeof RelyingParty>[0]> = {}) => ({
    issuer: ISSUER,
    trustDomain: DOMAIN,
    audience: AUDIENCE,
    jwks,
    statusLists: `${ISSUER}/v1/status-lists/`,
    ceilings: { depth: 8, lifetime: 300, scopes: ['orders.*'] },
    random: systemRandom,
    ...change,
  });
  /** The private key of the vectors' workload at a depth. */
  const keyAt = (depth: number): KeyObject =>
    es256Key(
      createHash('sha256')
        .update(`sealgate test key workload ${String(depth)}`)
        .digest(),
    );
  const asked = { scopes: ['orders.read'], requestDigest: digest };

  async function party(change = {}, list = statusList()): Promise<RelyingParty> {
    const made = new RelyingParty(options(change));
    await made.takeStatusList(list, NOW);
    return made;
  }
  const shown = (nonce: string, depth = 2, chain = chainOf(depth + 1), audience = AUDIENCE) =>
    present(chain, { audience, nonce, requestDigest: digest }, keyAt(depth));

  it('accepts a chain whose holder proves itself for this request, once', async () => {
    const orders = await party();
    const presentation = await shown(orders.nonce(NOW));
    expect(decodePresentation(encodePresentation(presentation))).toEqual(presentation);
    const verified = await orders.verify(presentation, asked, NOW);
    expect(verified.claims.sub).toBe('https://idp.example.org#alice');
    expect(verified.ancestors).toHaveLength(2);
    await expectRejection('holder_binding_failed', orders.verify(presentation, asked, NOW));
  });

  it('answers one of two requests that come with one nonce at one time', async () => {
    const orders = await party();
    const presentation = await shown(orders.nonce(NOW));
    const both = await Promise.allSettled([1, 2].map(() => orders.verify(presentation, asked, NOW)));
    expect(both.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
  });

  it('refuses another key, request, audience, nonce, and who shows nothing', async () => {
    const orders = await party();
    const other = { ...asked, requestDigest: httpRequestDigest({ ...request, target: '/orders?all=1' }) };
    const thief = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
    const bind = { audience: AUDIENCE, requestDigest: digest };
    for (const [presentation, what] of [
      [await shown(orders.nonce(NOW)), other],
      [await present(chainOf(3), { ...bind, nonce: orders.nonce(NOW) }, thief), asked],
      [await shown(orders.nonce(NOW), 2, chainOf(3), 'https://other.example.org'), asked],
      [await shown('AAAAAAAAAAAAAAAAAAAAAA'), asked],
      [await shown(orders.nonce(NOW - 60)), asked],
      [{ ...(await shown(orders.nonce(NOW))), proof: 'x.y.z' }, asked],
      [
        {
          ...(await shown(orders.nonce(NOW))),
          key: { kty: 'EC', crv: 'P-256', x: 'A'.repeat(43), y: 'A'.repeat(43) },
        },
        asked,
      ],
    ] as const)
      await expectRejection('holder_binding_failed', orders.verify(presentation, what, NOW));
    for (const header of [undefined, '', 'Bearer x', 'Sealgate', 'Sealgate e30'])
      expectRefusal('presentation-form', () => decodePresentation(header));
    expectRefusal('malformed', () => decodePresentation('Sealgate !'));
    const unknown = { v: 1, ...(await shown('n')), more: 1 };
    expectRefusal('presentation-form', () =>
      decodePresentation(`Sealgate ${Buffer.from(JSON.stringify(unknown)).toString('base64url')}`),
    );
  });

  it('asks for its ceilings and for the audiences that the authorization may be shown to', async () => {
    const shown2 = (claims: Json): Json => {
      const [details] = claims['authorization_details'] as [{ constraints: Json }];
      const constraints = { ...details.constraints, audiences: ['https://mail.example.org'] };
      return { ...claims, authorization_details: [{ ...details, constraints }] };
    };
    const orders = await party();
    const forMail = await shown(orders.nonce(NOW), 1, chainOf(2, shown2));
    await expectRejection('audience_mismatch', orders.verify(forMail, asked, NOW));
    const mail = await party({ audience: 'https://mail.example.org' });
    const right = await shown(mail.nonce(NOW), 1, chainOf(2, shown2), 'https://mail.example.org');
    expect((await mail.verify(right, asked, NOW)).claims.del_depth).toBe(1);
    const strict = await party({ ceilings: { depth: 1, lifetime: 300, scopes: ['orders.*'] } });
    await expectRejection('ceiling_exceeded', strict.verify(await shown(strict.nonce(NOW)), asked, NOW));
    const writes = { ...asked, scopes: ['admin'] };
    await expectRejection('scope_not_granted', orders.verify(await shown(orders.nonce(NOW)), writes, NOW));
  });

  describe('where the authorization limits its uses', () => {
    /** Constraints by depth. */
    const limited =
      (...constraints: Json[]) =>
      (claims: Json, depth: number): Json => {
        const [details] = claims['authorization_details'] as [{ constraints: Json }];
        const all = { ...details.constraints, ...constraints[depth] };
        return { ...claims, authorization_details: [{ ...details, constraints: all }] };
      };
    const use = async (orders: RelyingParty, depth: number, edit: ReturnType<typeof limited>) =>
      await orders.verify(await shown(orders.nonce(NOW), depth, chainOf(depth + 1, edit)), asked, NOW);

    it('accepts so many and no more, raced from two sides; what is refused counts for nothing', async () => {
      const orders = await party();
      const three = limited({ uses: 3 });
      const denied = present(
        chainOf(1, three),
        { audience: AUDIENCE, nonce: orders.nonce(NOW), requestDigest: new Uint8Array(32) },
        keyAt(0),
      );
      await expectRejection('holder_binding_failed', orders.verify(await denied, asked, NOW));
      const results = await Promise.allSettled(Array.from({ length: 8 }, () => use(orders, 0, three)));
      expect(results.filter(({ status }) => status === 'fulfilled')).toHaveLength(3);
      await expectRejection('budget-spent', use(orders, 0, three));
      // Another execution has an account of its own, and so has another relying party.
      const other = (claims: Json, depth: number) => ({ ...three(claims, depth), client_id: 'another' });
      await use(orders, 0, other);
      await use(await party(), 0, three);
      await expectRejection('budget-spent', use(orders, 0, limited({ uses: 0 })));
    });

    it('counts what descendants use on the account of each ancestor, renewals on one account', async () => {
      const orders = await party();
      const chain = limited({ uses: 4 }, { uses: 2 }, { uses: 2 });
      const renewed = (claims: Json, depth: number) => ({
        ...chain(claims, depth),
        jti: `r${String(depth)}`,
      });
      await use(orders, 2, chain);
      await use(orders, 1, renewed);
      // The second has none left, so what is below it has none; the first has two.
      await expectRejection('budget-spent', use(orders, 2, chain));
      await use(orders, 0, chain);
      await use(orders, 0, renewed);
      await expectRejection('budget-spent', use(orders, 0, chain));
    });

    it('asks the ledger that it is given, which may be shared', async () => {
      const uses = new MemoryUses();
      const [one, two] = [await party({ uses }), await party({ uses })];
      await use(one, 0, limited({ uses: 1 }));
      await expectRejection('budget-spent', use(two, 0, limited({ uses: 1 })));
    });

    it('takes nothing where it can’t remember more, and forgets only what has ended for certain', () => {
      const uses = new MemoryUses(2);
      const account = (id: string, until: number | null = NOW + 10) => [{ id, limit: 1, until }];
      expect(uses.take(account('a'), NOW)).toBe(true);
      expect(uses.take(account('b', null), NOW)).toBe(true);
      expect(uses.take(account('c'), NOW + 9)).toBe(false);
      expect(uses.take(account('c', NOW + 20), NOW + 10)).toBe(true);
      expect(uses.take(account('b'), NOW + 10)).toBe(false);
      expect(uses.take(account('a'), NOW + 11)).toBe(false);
    });

    it('whatever is taken, in whatever order: no account gets above its limit, and one that is refused takes nothing', () => {
      const id = fc.constantFrom('a', 'b', 'c');
      fc.assert(
        fc.property(
          fc.dictionary(id, fc.nat(4)),
          fc.array(fc.uniqueArray(id, { minLength: 1 }), { maxLength: 40 }),
          (limits, takes) => {
            const uses = new MemoryUses();
            const used = new Map<string, number>();
            for (const ids of takes) {
              const accounts = ids.map((each) => ({ id: each, limit: limits[each] ?? 2, until: null }));
              const fits = accounts.every((each) => (used.get(each.id) ?? 0) < each.limit);
              expect(uses.take(accounts, NOW)).toBe(fits);
              if (fits) for (const each of ids) used.set(each, (used.get(each) ?? 0) + 1);
            }
          },
        ),
      );
    });
  });

  it('knows when it needs a status list, never fetches from elsewhere, and denies without one', async () => {
    const orders = new RelyingParty(options());
    const presentation = await shown(orders.nonce(NOW));
    expect(orders.wantedStatusLists(presentation, NOW, 15)).toEqual([STATUS_URI]);
    await expectRejection('status_unknown', orders.verify(presentation, asked, NOW));
    await orders.takeStatusList(statusList(), NOW);
    // The list was signed 10 s ago.
    expect(orders.wantedStatusLists(presentation, NOW, 15)).toEqual([]);
    expect(orders.wantedStatusLists(presentation, NOW + 6, 15)).toEqual([STATUS_URI]);
    expect(orders.wantedStatusLists(presentation, NOW + 50, 1000)).toEqual([STATUS_URI]);
    const evil = chainOf(1, (claims) => ({
      ...claims,
      status: { status_list: { idx: 1, uri: 'http://169.254.169.254/x' } },
    }));
    const elsewhere = await shown(orders.nonce(NOW), 0, evil);
    expect(orders.wantedStatusLists(elsewhere, NOW, 15)).toEqual([]);
    expect(orders.wantedStatusLists({ ...elsewhere, chain: ['x', 'a.b.c'] }, NOW, 15)).toEqual([]);
    await expectRejection('status_unknown', orders.verify(elsewhere, asked, NOW));
    await expectRejection('malformed', orders.takeStatusList('a.b.c', NOW));
    await expectRejection('signature_invalid', orders.takeStatusList(statusList({}, { by: issuer }), NOW));
    // Its list is over: what was valid is not known to be.
    const late = await shown(orders.nonce(NOW + 60));
    await expectRejection('status_unknown', orders.verify(late, asked, NOW + 60));
  });

  it('sees a revocation with the next list, and an older list doesn’t take it back', async () => {
    const orders = await party();
    await orders.takeStatusList(statusList({ iat: NOW - 5 }, { set: [1000] }), NOW);
    await orders.takeStatusList(statusList({ iat: NOW - 20, exp: NOW + 30 }), NOW);
    await expectRejection('revoked', orders.verify(await shown(orders.nonce(NOW)), asked, NOW));
  });

  it('believes keys as long as they are in the set, each for its purpose', async () => {
    const orders = await party();
    const swapped = {
      keys: [
        { ...listed(issuer), sealgate_purpose: 'status' },
        { ...listed(statusKey), sealgate_purpose: 'authorization' },
      ],
    } as JsonObject;
    orders.setKeys(swapped);
    await expectRejection('signature_invalid', orders.verify(await shown(orders.nonce(NOW)), asked, NOW));
    expectRefusal('authorization-keys', () => {
      orders.setKeys({});
    });
    for (const bad of [
      { keys: [] },
      { keys: [listed(issuer), listed(issuer)] },
      { keys: [{ ...listed(issuer), sealgate_purpose: 'authorization', d: 'AA' }] },
      { keys: [{ ...listed(issuer), sealgate_purpose: 'authorization', alg: 'HS256' }] },
      { keys: ['x'] },
    ])
      expectRefusal('authorization-keys', () => {
        orders.setKeys(bad as JsonObject);
      });
  });

  it('gives out nonces that work once, in their time, without growing', () => {
    const nonces = new Nonces(systemRandom, 60);
    const one = nonces.issue(100);
    expect([nonces.take(one, 159), nonces.take(one, 159)]).toEqual([true, false]);
    expect(nonces.take(nonces.issue(100), 160)).toBe(false);
    expect(nonces.take('never', 100)).toBe(false);
    const few = new Nonces(systemRandom, 60, 10);
    const first = few.issue(100);
    const all = Array.from({ length: 10 }, () => few.issue(100));
    expect([first, ...all].filter((nonce) => few.take(nonce, 100))).toEqual(all);
  });
});
