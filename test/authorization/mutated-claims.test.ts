import { generateKeyPairSync } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  REFUSED_OUTCOMES,
  issueAuthorization,
  meet,
  parseVector,
  requireNarrower,
  runVector,
  scopesCovered,
  signJws,
} from '../../src/authorization/index.ts';
import type { AuthorizationClaims, Constraints, ExecutionDetails } from '../../src/authorization/index.ts';
import { Refusal, utf8 } from '../../src/base/index.ts';
import { chainOf, claimsAt, issuer as worldIssuer, vectorAt } from '../../scripts/lib/vectors/world.ts';
import type { Json } from '../../scripts/lib/vectors/world.ts';

// The claims of the vectors' world under a key of our own, so that the tested code signs and an attacker may too.
const pair = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const signing = { kid: worldIssuer.kid, algorithm: 'ES256' as const, key: pair.privateKey };
const jwk = { ...pair.publicKey.export({ format: 'jwk' }), kid: worldIssuer.kid, alg: 'ES256' };
const DEPTH = 3;

const sign = (claims: unknown, type = 'exec-authz+jwt'): Promise<string> =>
  signJws(claims as never, type, signing);
const claimsOf = (token: string): Json =>
  JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()) as Json;

/** A chain that our key signed, root first. */
async function signedChain(): Promise<string[]> {
  const links: { token: string; claims: Json }[] = [];
  for (let depth = 0; depth <= DEPTH; depth++) {
    const claims = claimsAt(depth, links[depth - 1]);
    links.push({ token: await sign(claims), claims });
  }
  return links.map(({ token }) => token);
}

const template = parseVector(
  utf8(JSON.stringify({ name: 'm', outcome: 'ok', ...vectorAt(DEPTH, { trust: { keys: [jwk] } }) })),
);

async function outcomeOf(chain: readonly string[]): Promise<string> {
  return (await runVector({ ...template, chain })).outcome;
}

interface Mutation {
  readonly path: readonly (string | number)[];
  readonly what: string;
  readonly claims: Json;
}

/** Every claim path: left out, doubled beside, of another type, of another value. */
function mutations(claims: Json): Mutation[] {
  const all: Mutation[] = [];
  const visit = (value: unknown, path: readonly (string | number)[]): void => {
    const add = (what: string, change: unknown, at = path): void => {
      all.push({ path: at, what: `${at.join('.')} ${what}`, claims: replaced(claims, at, change) as Json });
    };
    if (path.length > 0) {
      if (typeof path[path.length - 1] === 'string') add('left out', undefined);
      for (const other of otherValues(value)) add(`is ${JSON.stringify(other)}`, other);
    }
    if (typeof value !== 'object' || value === null) return;
    if (Array.isArray(value)) add('has one more', [...(value as unknown[]), 'zz.more']);
    else add('has an unknown member', { ...value, unknown: 1 }, path);
    for (const [name, member] of Object.entries(value))
      visit(member, [...path, Array.isArray(value) ? Number(name) : name]);
  };
  visit(claims, []);
  return all.filter((mutation) => JSON.stringify(mutation.claims) !== JSON.stringify(claims));
}

function otherValues(value: unknown): unknown[] {
  if (typeof value === 'number')
    return [value + 1, value - 1, 0, -value, String(value), value + 0.5, null, [value]];
  if (typeof value === 'string')
    return [`${value}x`, value.slice(1), value.toUpperCase(), '', 1, null, true, [value], { value }];
  if (Array.isArray(value)) {
    const items = value as readonly unknown[];
    return [[], items.slice(1), [...items, ...items], {}, null, 'x'];
  }
  return [{}, null, [value], 'x'];
}

function replaced(value: unknown, [name, ...rest]: readonly (string | number)[], member: unknown): unknown {
  if (name === undefined) return member;
  if (Array.isArray(value))
    return value.map((item: unknown, i) => (i === name ? replaced(item, rest, member) : item));
  const object = value as Record<string, unknown>;
  const inner = replaced(object[name], rest, member);
  const { [name]: _old, ...others } = object;
  return inner === undefined ? others : { ...object, [name]: inner };
}

describe('any single mutation of any claim of any link', () => {
  it('is refused at verification: the signature is over every byte', async () => {
    const chain = await signedChain();
    expect(await outcomeOf(chain)).toBe('ok');
    let count = 0;
    for (let depth = 0; depth <= DEPTH; depth += DEPTH)
      for (const { what, claims } of mutations(claimsOf(chain[depth] ?? ''))) {
        count++;
        const [head, , signature] = (chain[depth] ?? '').split('.');
        const payload = Buffer.from(JSON.stringify(claims)).toString('base64url');
        const forged = chain.with(depth, [head, payload, signature].join('.'));
        expect(await outcomeOf(forged), `${String(depth)} ${what}`).toBe('signature_invalid');
      }
    expect(count).toBeGreaterThan(400);
  });

  it('is refused at verification even under the issuer’s own signature, in every link that has a child', async () => {
    const chain = await signedChain();
    for (const { what, claims } of mutations(claimsOf(chain[1] ?? ''))) {
      const outcome = await outcomeOf(chain.with(1, await sign(claims)));
      expect(REFUSED_OUTCOMES, what).toContain(outcome);
    }
  });

  it('is refused in the last link under the issuer’s own signature, where a rule or the verifier’s own knowledge fixes it', async () => {
    const chain = await signedChain();
    const free: Mutation[] = [];
    for (const mutation of mutations(claimsOf(chain[DEPTH] ?? ''))) {
      const outcome = await outcomeOf(chain.with(DEPTH, await sign(mutation.claims)));
      if (outcome === 'ok') free.push(mutation);
    }
    // What an issuer may say of a child as it likes, within its form; the gateway compares these with its own.
    const mayDiffer =
      /^(?:jti|client_id|eat_nonce|policy|evidence|gov\.authorities|attr|act|iat|nbf|exp|del_max_depth|status\.status_list\.idx|authorization_details\.0\.(?:artifact|host|scopes|actions|constraints))\b/;
    for (const { what } of free) expect(what).toMatch(mayDiffer);
    // In rights and time they differ downwards only.
    const parent = claimsOf(chain[DEPTH - 1] ?? '') as unknown as AuthorizationClaims;
    for (const { what, claims } of free) {
      const child = claims as unknown as AuthorizationClaims;
      const [before, after] = [parent.authorization_details[0], child.authorization_details[0]];
      expect(scopesCovered(before.scopes, after.scopes), what).toBe(true);
      expect(child.exp, what).toBeLessThanOrEqual(parent.exp);
      expect(child.iat, what).toBeGreaterThanOrEqual(parent.iat);
      expect(child.del_max_depth, what).toBeLessThanOrEqual(parent.del_max_depth);
      expect(after.constraints.children, what).toBeLessThanOrEqual(before.constraints.children ?? 0);
      expect(after.constraints.lifetime, what).toBeLessThanOrEqual(before.constraints.lifetime ?? 0);
    }
  });

  it('is refused at mint: in the child, unless it is the issuer’s to say and narrower', async () => {
    const [, , parentToken = ''] = await signedChain();
    const parent = { token: parentToken, claims: claimsOf(parentToken) as unknown as AuthorizationClaims };
    const child = claimsAt(DEPTH, { token: parentToken, claims: claimsOf(parentToken) });
    expect(await minted(child, parent)).toBe('ok');
    const fixed =
      /^(?:iss|sub|txn|par_hash|del_depth|gov\.trust_domain|act|cnf|authorization_details\.0\.type|status\.status_list )/;
    for (const { what, path, claims } of mutations(child)) {
      const outcome = await minted(claims, parent);
      // cnf and status are compared by whoever made the key and the index; here their form is.
      if (fixed.test(what) && !what.startsWith('cnf.jkt is')) expect(outcome, what).not.toBe('ok');
      if (outcome !== 'ok') continue;
      requireNarrower(
        parent.claims.authorization_details[0],
        (claims as unknown as AuthorizationClaims).authorization_details[0],
      );
      expect(path.length, what).toBeGreaterThan(0);
    }
  });

  it('is refused at mint: in the parent that is presented, whose token says something else', async () => {
    const [, , token = ''] = await signedChain();
    const child = claimsAt(DEPTH, { token, claims: claimsOf(token) });
    for (const { what, claims } of mutations(claimsOf(token)))
      expect(await minted(child, { token, claims: claims as unknown as AuthorizationClaims }), what).not.toBe(
        'ok',
      );
    // And its token, with claims that match: the child's hash is of the other.
    for (const { what, claims } of mutations(claimsOf(token))) {
      const other = { token: await sign(claims), claims: claims as unknown as AuthorizationClaims };
      expect(await minted(child, other), what).not.toBe('ok');
    }
  });
});

async function minted(claims: Json, parent: { token: string; claims: AuthorizationClaims }): Promise<string> {
  try {
    await issueAuthorization(claims as unknown as AuthorizationClaims, signing, parent);
    return 'ok';
  } catch (error) {
    if (error instanceof Refusal) return error.check;
    throw error;
  }
}

describe('meet(parent, request) ⊆ parent', () => {
  const word = fc.constantFrom('a', 'b', 'ab', 'a-b');
  const scope = fc
    .tuple(fc.array(word, { minLength: 1, maxLength: 3 }), fc.boolean())
    .map(([words, wild]) => words.join('.') + (wild ? '.*' : ''));
  const limit = fc.option(fc.integer({ min: 0, max: 4 }), { nil: undefined });
  const constraints = fc
    .record({
      children: limit,
      lifetime: limit,
      uses: limit,
      audiences: fc.option(fc.subarray(['x', 'y', 'z']), { nil: undefined }),
    })
    .map((value): Constraints =>
      Object.fromEntries(Object.entries(value).filter(([, limit]) => limit !== undefined)),
    );
  const details: fc.Arbitrary<ExecutionDetails> = fc
    .record({
      scopes: fc.uniqueArray(scope, { maxLength: 4 }),
      constraints,
      actions: fc.subarray(['execute', 'x']),
    })
    .map((part) => ({
      type: 'sealgate_execution',
      artifact: `sha256:${'a'.repeat(64)}`,
      host: 'b'.repeat(64),
      ...part,
    }));
  // Names that scopes below those may have: what a set of scopes allows is judged by these, not by the tested code.
  const names = fc.array(word, { minLength: 1, maxLength: 4 }).map((words) => words.join('.'));
  const allows = (scopes: readonly string[], name: string): boolean =>
    scopes.some((one) => (one.endsWith('.*') ? name.startsWith(one.slice(0, -1)) : name === one));

  it('whatever is asked: nothing is allowed that the parent doesn’t allow, and no limit is looser or gone', () => {
    let granted = 0;
    fc.assert(
      fc.property(details, details, names, (parent, request, name) => {
        let child: ExecutionDetails;
        try {
          child = meet(parent, request);
        } catch (error) {
          expect((error as Refusal).check).toBe('not_narrower');
          return;
        }
        granted++;
        if (allows(child.scopes, name)) expect(allows(parent.scopes, name)).toBe(true);
        expect(child.actions.every((action) => parent.actions.includes(action))).toBe(true);
        for (const limit of ['children', 'lifetime', 'uses'] as const) {
          const [before, after, asked] = [parent, child, request].map((one) => one.constraints[limit]);
          if (before !== undefined) expect(after).toBeLessThanOrEqual(before);
          if (asked !== undefined) expect(after).toBeLessThanOrEqual(asked);
        }
        const before = parent.constraints.audiences;
        if (before !== undefined)
          expect(child.constraints.audiences?.every((audience) => before.includes(audience))).toBe(true);
        requireNarrower(parent, child);
      }),
      { numRuns: 2000 },
    );
    expect(granted).toBeGreaterThan(50);
  });

  it('narrowing is transitive: a grandchild is within its grandparent', () => {
    fc.assert(
      fc.property(details, details, details, (a, b, c) => {
        let grandchild: ExecutionDetails;
        try {
          grandchild = meet(meet(a, b), c);
        } catch {
          return;
        }
        requireNarrower(a, grandchild);
      }),
      { numRuns: 1000 },
    );
  });

  it('the world of the vectors is the one that verifies', async () => {
    const vector = parseVector(
      utf8(JSON.stringify({ name: 'w', outcome: 'ok', ...vectorAt(2, { chain: chainOf(3) }) })),
    );
    expect((await runVector(vector)).outcome).toBe('ok');
  });
});
