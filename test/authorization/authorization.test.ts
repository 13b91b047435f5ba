import { generateKeyPairSync, sign } from 'node:crypto';
import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { Refusal } from '../../src/base/index.ts';
import type {
  AuthorizationClaims,
  AuthorizationTrust,
  AuthorizationUse,
  Constraints,
  ExecutionDetails,
} from '../../src/authorization/index.ts';
import {
  issueAuthorization,
  makeHolderProof,
  meet,
  parseClaims,
  requireNarrower,
  scopeCovers,
  signJws,
  signingInputHash,
  thumbprint,
  verifyAuthorization,
} from '../../src/authorization/index.ts';
import { utf8 } from '../../src/base/index.ts';
import { expectRefusal } from '../support/refusals.ts';

const NOW = 1_800_000_000;
const issuer = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const signing = { kid: 'authz-1', algorithm: 'ES256' as const, key: issuer.privateKey };
const workload = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const binding = { audience: 'example.org', nonce: 'bm9uY2U', requestDigest: new Uint8Array(32).fill(7) };
let jkt = '';
beforeAll(async () => {
  jkt = await thumbprint(workload.publicKey);
});

function details(change: Partial<ExecutionDetails> = {}): ExecutionDetails {
  return {
    type: 'sealgate_execution',
    actions: ['execute'],
    artifact: `sha256:${'a'.repeat(64)}`,
    host: 'b'.repeat(64),
    scopes: ['orders.*', 'mail.send'],
    constraints: { children: 4, lifetime: 600 },
    ...change,
  };
}

function root(change: Partial<AuthorizationClaims> = {}): AuthorizationClaims {
  return {
    iss: 'https://verifier.example.org',
    sub: 'user:alice',
    aud: 'gateway',
    iat: NOW,
    nbf: NOW,
    exp: NOW + 300,
    jti: 'j0',
    client_id: 'exec-0',
    txn: 'exec-0',
    cnf: { jkt },
    eat_nonce: 'bm9uY2U',
    authorization_details: [details()],
    del_depth: 0,
    del_max_depth: 3,
    status: { status_list: { idx: 1, uri: 'https://verifier.example.org/status/1' } },
    policy: { uri: 'urn:policy', digest: `sha256:${'c'.repeat(64)}`, ids: ['allow-1'] },
    evidence: [{ name: 'quote', sha256: 'd'.repeat(64) }],
    gov: { trust_domain: 'example.org', authorities: ['k1'] },
    attr: { signers: ['s1'] },
    ...change,
  };
}

function child(parent: string, change: Partial<AuthorizationClaims> = {}): AuthorizationClaims {
  return root({
    jti: 'j1',
    client_id: 'exec-1',
    del_depth: 1,
    par_hash: signingInputHash(parent),
    act: { sub: 'exec-0' },
    iat: NOW + 1,
    nbf: NOW + 1,
    exp: NOW + 200,
    authorization_details: [
      details({ scopes: ['orders.read'], constraints: { children: 2, lifetime: 500 } }),
    ],
    ...change,
  });
}

const trust: AuthorizationTrust = {
  keys: [{ kid: 'authz-1', algorithm: 'ES256', key: issuer.publicKey }],
  issuer: 'https://verifier.example.org',
  trustDomain: 'example.org',
  audience: 'gateway',
  status: () => 'valid',
  ceilings: { depth: 4, lifetime: 300, scopes: ['orders.*', 'mail.send'] },
};

async function use(scopes: string[] = ['orders.read']): Promise<AuthorizationUse> {
  return {
    scopes,
    holder: { key: workload.publicKey, proof: await makeHolderProof(binding, workload.privateKey), binding },
  };
}

/** What is presented: chain, use, changed trust, time. */
type Attempt = [
  string[],
  (AuthorizationUse | undefined)?,
  (Partial<AuthorizationTrust> | undefined)?,
  number?,
];

/** Signs without the issuer's own checks, as a broken or hostile issuer with the key would. */
const es256 = (input: Uint8Array): Uint8Array =>
  new Uint8Array(sign('sha256', input, { key: issuer.privateKey, dsaEncoding: 'ieee-p1363' }));
const forge = (claims: object): Promise<string> => signJws(claims as never, 'exec-authz+jwt', signing);

async function outcome(action: () => Promise<unknown>): Promise<string> {
  try {
    await action();
    return 'ok';
  } catch (error) {
    if (error instanceof Refusal) return error.check;
    throw error;
  }
}

describe('a chain that holds', () => {
  it('verifies, root and child', async () => {
    const first = await issueAuthorization(root(), signing);
    const second = await issueAuthorization(child(first), signing, { token: first, claims: root() });
    const result = await verifyAuthorization([first, second], await use(), trust, NOW + 10);
    expect(result.claims.jti).toBe('j1');
    expect(result.ancestors.map(({ jti }) => jti)).toEqual(['j0']);
    expect((await verifyAuthorization([first], await use(), trust, NOW)).ancestors).toEqual([]);
  });
});

describe('outcomes of the delegation rules', () => {
  const cases: [string, (chain: string[]) => Promise<Attempt>][] = [
    ['signature_invalid', () => Promise.resolve([[]])],
    ['signature_invalid', (chain) => Promise.resolve([chain, undefined, { keys: [] }])],
    ['signature_invalid', async () => [[await signJws(root() as never, 'jwt', signing)]]],
    [
      'signature_invalid',
      async () => [[await signJws(root() as never, 'exec-authz+jwt', { ...signing, kid: 'other' })]],
    ],
    [
      'signature_invalid',
      (chain) => Promise.resolve([chain, undefined, { keys: [{ ...trust.keys[0]!, algorithm: 'Ed25519' }] }]),
    ],
    // The signature is the key's, the header says something else of it.
    [
      'signature_invalid',
      async () => {
        const named = { ...signing, algorithm: 'Ed25519', sign: es256 } as const;
        return [[await signJws(root() as never, 'exec-authz+jwt', named)]];
      },
    ],
    ['signature_invalid', (chain) => Promise.resolve([[`${chain[0]!.slice(0, -6)}AAAAAA`]])],
    ['signature_invalid', (chain) => Promise.resolve([chain, undefined, { issuer: 'https://other' }])],
    ['signature_invalid', (chain) => Promise.resolve([chain, undefined, { trustDomain: 'other.org' }])],
    ['signature_invalid', (chain) => Promise.resolve([[`${chain[0]!}=`]])],
    ['signature_invalid', () => Promise.resolve([['a.b']])],
    ['signature_invalid', async () => [[await forge({ ...root(), extra: 1 })]]],
    ['expired', async () => [[await forge({ ...root(), exp: '5' })]]],
    [
      'par_hash_mismatch',
      async (chain) => [[chain[0]!, await forge(child(`${chain[0]!}x.y`, { par_hash: 'A'.repeat(43) }))]],
    ],
    ['par_hash_mismatch', async () => [[await forge(root({ par_hash: 'A'.repeat(43) }))]]],
    ['depth_invalid', async () => [[await forge(root({ del_depth: 1 }))]]],
    ['depth_invalid', async (chain) => [[chain[0]!, await forge(child(chain[0]!, { del_depth: 2 }))]]],
    ['depth_invalid', async (chain) => [[chain[0]!, await forge(child(chain[0]!, { del_max_depth: 4 }))]]],
    ['depth_invalid', async () => [[await forge(root({ del_max_depth: 9 }))]]],
    ['depth_invalid', (chain) => Promise.resolve([Array<string>(10).fill(chain[0]!)])],
    [
      'principal_altered',
      async (chain) => [[chain[0]!, await forge(child(chain[0]!, { sub: 'user:mallory' }))]],
    ],
    ['principal_altered', async (chain) => [[chain[0]!, await forge(child(chain[0]!, { txn: 'exec-9' }))]]],
    [
      'not_narrower',
      async (chain) => [
        [
          chain[0]!,
          await forge(child(chain[0]!, { authorization_details: [details({ scopes: ['admin'] })] })),
        ],
      ],
    ],
    [
      'not_narrower',
      async (chain) => [
        [
          chain[0]!,
          await forge(
            child(chain[0]!, { authorization_details: [details({ constraints: { lifetime: 1 } })] }),
          ),
        ],
      ],
    ],
    [
      'not_narrower',
      async (chain) => [
        [
          chain[0]!,
          await forge(
            child(chain[0]!, { authorization_details: [details({ actions: ['execute', 'own'] })] }),
          ),
        ],
      ],
    ],
    ['expired', async (chain) => [[chain[0]!, await forge(child(chain[0]!, { exp: NOW + 301 }))]]],
    ['expired', async (chain) => [[chain[0]!, await forge(child(chain[0]!, { iat: NOW - 1 }))]]],
    ['expired', async () => [[await forge(root({ exp: NOW }))]]],
    ['expired', (chain) => Promise.resolve([chain, undefined, undefined, NOW + 300])],
    ['expired', (chain) => Promise.resolve([chain, undefined, undefined, NOW - 31])],
    [
      'revoked',
      (chain) =>
        Promise.resolve([chain, undefined, { status: ({ jti }) => (jti === 'j0' ? 'revoked' : 'valid') }]),
    ],
    ['status_unknown', (chain) => Promise.resolve([chain, undefined, { status: () => 'unknown' }])],
    ['audience_mismatch', (chain) => Promise.resolve([chain, undefined, { audience: 'other' }])],
    ['scope_not_granted', async (chain) => [chain, await use(['orders.write'])]],
    ['scope_not_granted', async (chain) => [chain, await use([])]],
    [
      'ceiling_exceeded',
      (chain) => Promise.resolve([chain, undefined, { ceilings: { ...trust.ceilings, scopes: [] } }]),
    ],
    [
      'ceiling_exceeded',
      (chain) => Promise.resolve([chain, undefined, { ceilings: { ...trust.ceilings, depth: 0 } }]),
    ],
    [
      'ceiling_exceeded',
      (chain) => Promise.resolve([chain, undefined, { ceilings: { ...trust.ceilings, lifetime: 10 } }]),
    ],
    ['ceiling_exceeded', async () => [[await forge(root({ exp: NOW + 301 }))]]],
  ];

  it.each(cases)('%s (%#)', async (expected, make) => {
    const first = await issueAuthorization(root(), signing);
    const second = await issueAuthorization(child(first), signing, { token: first, claims: root() });
    const [chain, asked, changed, now] = await make([first, second]);
    const wanted = asked ?? (await use());
    expect(
      await outcome(() => verifyAuthorization(chain, wanted, { ...trust, ...changed }, now ?? NOW + 10)),
    ).toBe(expected);
  });

  it('holder_binding_failed: another key, another request, another audience, a proof as authorization', async () => {
    const chain = [await issueAuthorization(root(), signing)];
    const thief = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const holder = (await use()).holder;
    const attempts: AuthorizationUse['holder'][] = [
      { ...holder, key: thief.publicKey, proof: await makeHolderProof(binding, thief.privateKey) },
      { ...holder, proof: await makeHolderProof(binding, thief.privateKey) },
      { ...holder, binding: { ...binding, nonce: 'b3RoZXI' } },
      { ...holder, binding: { ...binding, audience: 'other.org' } },
      { ...holder, binding: { ...binding, requestDigest: new Uint8Array(32) } },
    ];
    for (const attempt of attempts) {
      const action = () =>
        verifyAuthorization(chain, { scopes: ['orders.read'], holder: attempt }, trust, NOW);
      expect(await outcome(action)).toBe('holder_binding_failed');
    }
    expect(
      await outcome(() =>
        verifyAuthorization([holder.proof], { scopes: ['orders.read'], holder }, trust, NOW),
      ),
    ).toBe('signature_invalid');
  });

  it('issuing refuses what verifying would refuse', async () => {
    const first = await issueAuthorization(root(), signing);
    const parent = { token: first, claims: root() };
    const bad: [string, AuthorizationClaims, typeof parent?][] = [
      ['ceiling_exceeded', root({ exp: NOW + 301 })],
      ['par_hash_mismatch', child(first)],
      ['par_hash_mismatch', root({ par_hash: 'A'.repeat(43) })],
      ['not_narrower', child(first, { authorization_details: [details({ scopes: ['x'] })] }), parent],
      ['authorization-form', root({ authorization_details: [details({ artifact: 'md5:1' })] })],
    ];
    for (const [expected, claims, of] of bad)
      expect(await outcome(() => issueAuthorization(claims, signing, of))).toBe(expected);
  });
});

describe('narrowing', () => {
  it('a.* covers what is below a, nothing else', () => {
    expect(scopeCovers('a.*', 'a.b')).toBe(true);
    expect(scopeCovers('a.*', 'a.b.c')).toBe(true);
    expect(scopeCovers('a.*', 'a.b.*')).toBe(true);
    expect(scopeCovers('a', 'a')).toBe(true);
    for (const [parent, asked] of [
      ['a.*', 'a'],
      ['a.*', 'ab.c'],
      ['a', 'a.b'],
      ['a.b', 'a.*'],
      ['*', 'a'],
    ] as const) {
      expect(scopeCovers(parent, asked), `${parent} ${asked}`).toBe(false);
    }
  });

  const scope = fc.constantFrom('a', 'a.*', 'a.b', 'a.b.*', 'a.b.c', 'd', 'd.e');
  const limit = fc.option(fc.integer({ min: 0, max: 5 }), { nil: undefined });
  const constraints = fc
    .record({ children: limit, lifetime: limit, uses: limit })
    .map((value): Constraints =>
      Object.fromEntries(Object.entries(value).filter(([, n]) => n !== undefined)),
    );
  const anyDetails = fc
    .record({
      scopes: fc.uniqueArray(scope, { maxLength: 4 }),
      constraints,
      actions: fc.subarray(['execute', 'delegate']),
    })
    .map((change) => details(change));

  it('meet(parent, request) ⊆ parent, or refused', () => {
    fc.assert(
      fc.property(anyDetails, anyDetails, (parent, request) => {
        let result: ExecutionDetails;
        try {
          result = meet(parent, request);
        } catch (error) {
          expect((error as Refusal).check).toBe('not_narrower');
          return;
        }
        requireNarrower(parent, result);
        requireNarrower(request, { ...result, actions: result.actions });
        expect(meet(parent, result)).toEqual(result);
      }),
    );
  });

  it('a set of audiences only shrinks', () => {
    const parent = details({ constraints: { audiences: ['x', 'y'] } });
    expect(meet(parent, details({ constraints: {} })).constraints.audiences).toEqual(['x', 'y']);
    expectRefusal('not_narrower', () => meet(parent, details({ constraints: { audiences: ['z'] } })));
    expectRefusal('not_narrower', () => {
      requireNarrower(parent, details({ constraints: {} }));
    });
  });
});

describe('form', () => {
  it('is a closed object with bounded members', () => {
    const refused: object[] = [
      { ...root(), cnf: { jkt, x: 1 } },
      { ...root(), cnf: {} },
      { ...root(), authorization_details: [details(), details()] },
      { ...root(), authorization_details: [{ ...details(), scopes: ['a', 'a'] }] },
      { ...root(), authorization_details: [{ ...details(), scopes: ['A B'] }] },
      { ...root(), sub: '' },
      { ...root(), iat: 1.5 },
      { ...root(), iat: -1 },
      { ...root(), act: { sub: 'x', act: { sub: 1 } } },
    ];
    for (const value of refused)
      expectRefusal('authorization-form', () => parseClaims(utf8(JSON.stringify(value))));
    const unknown = { ...root(), authorization_details: [{ ...details(), constraints: { depth: 1 } }] };
    expectRefusal('not_narrower', () => parseClaims(utf8(JSON.stringify(unknown))));
    expect(
      parseClaims(utf8(JSON.stringify(root({ act: { sub: 'x', act: { sub: 'y' } } })))).act?.act?.sub,
    ).toBe('y');
  });

  it('any changed claim of a signed link is refused', async () => {
    const token = await issueAuthorization(root(), signing);
    const [header, payload, signature] = token.split('.') as [string, string, string];
    const claims = JSON.parse(Buffer.from(payload, 'base64url').toString()) as Record<string, unknown>;
    for (const name of Object.keys(claims)) {
      const changed = {
        ...claims,
        [name]: typeof claims[name] === 'number' ? claims[name] + 1 : 'x',
      };
      const forged = [header, Buffer.from(JSON.stringify(changed)).toString('base64url'), signature].join(
        '.',
      );
      expect(await outcome(async () => verifyAuthorization([forged], await use(), trust, NOW)), name).toBe(
        'signature_invalid',
      );
    }
  });
});
