import type { Case } from './case.ts';
import type { Json } from './world.ts';
import {
  DOMAIN,
  ISSUER,
  NOW,
  artifact,
  chainOf,
  claimsAt,
  ed25519,
  issuer,
  listed,
  statusIndex,
  statusKey,
  statusList,
  vectorAt,
} from './world.ts';
import { P256_ORDER } from '../deterministic-es256.ts';
import { withDetails } from './edits.ts';

const depths = (): Case[] =>
  Array.from({ length: 9 }, (_, depth) => [
    'ok',
    `depth-${String(depth)}`,
    'each link narrower than the one before',
    vectorAt(depth),
  ]);

/** Chains that hold, also where one could think that they don't. */
export const OK_CASES = (): readonly Case[] => [
  ...depths(),
  [
    'ok',
    'ed25519-issuer',
    'an issuer whose key is configured for Ed25519',
    vectorAt(2, {
      chain: chainOf(3, undefined, ed25519('authorization')),
      trust: { keys: [listed(ed25519('authorization'))] },
    }),
  ],
  ['ok', 'key-rotated', 'the root is signed by the key before; both are trusted', rotated()],
  [
    'ok',
    'same-rights-as-parent',
    'a child may have all that its parent has',
    vectorAt(1, {
      chain: chainOf(2, (claims, depth) =>
        depth === 0 ? claims : withDetails(claims, detailsOf(claimsAt(0))),
      ),
      scopes: ['stock.read', 'mail.send'],
    }),
  ],
  ['ok', 'wildcard-asked', 'a.* is asked and covered literally', vectorAt(2, { scopes: ['orders.*'] })],
  [
    'ok',
    'wildcard-covers-below',
    'a.* covers everything below a',
    vectorAt(2, { scopes: ['orders.read', 'orders.eu.write', 'orders.eu.*'] }),
  ],
  [
    'ok',
    'last-second',
    'one second before the end',
    vectorAt(3, { now: NOW + 184, trust: fresh(NOW + 184) }),
  ],
  [
    'ok',
    'issuer-clock-ahead',
    'issued up to 30 s in the future of who verifies',
    vectorAt(0, { now: NOW - 90, trust: fresh(NOW - 90) }),
  ],
  [
    'ok',
    'parent-signed-again',
    'par_hash is of the signing input: another signature over the same is the same parent',
    signedAgain(),
  ],
  [
    'ok',
    'without-act',
    'act is for audit: a link may leave it out',
    vectorAt(2, { chain: chainOf(3, ({ act: _act, ...claims }) => claims) }),
  ],
  [
    'ok',
    'two-status-lists',
    'links whose status is in different lists',
    vectorAt(1, {
      chain: chainOf(2, (claims, depth) =>
        depth === 0 ? claims : { ...claims, status: { status_list: { idx: 3, uri: `${ISSUER}/s/1` } } },
      ),
      trust: {
        status: {
          keys: [listed(statusKey)],
          lists: [statusList(), statusList({ sub: `${ISSUER}/s/1` }, { entries: 8 })],
        },
      },
    }),
  ],
  [
    'ok',
    'two-bit-status-list',
    'two bits an entry; others of the list are revoked and suspended',
    vectorAt(1, {
      trust: {
        status: {
          keys: [listed(statusKey)],
          lists: [statusList({}, { bits: 2, value: 2, set: [statusIndex(0) - 1, statusIndex(0) + 1] })],
        },
      },
    }),
  ],
  [
    'ok',
    'neighbours-revoked',
    'the bits before and after are set, this one is not',
    vectorAt(0, {
      trust: {
        status: {
          keys: [listed(statusKey)],
          lists: [statusList({}, { set: [statusIndex(0) - 1, statusIndex(0) + 1] })],
        },
      },
    }),
  ],
  [
    'ok',
    'constraints-tightened-and-added',
    'a child has the parent’s constraints tighter, and one of its own',
    vectorAt(1, {
      chain: chainOf(2, (claims, depth) =>
        depth === 0
          ? withDetails(claims, {
              constraints: { children: 5, lifetime: 100, uses: 9, audiences: ['a', 'b'] },
            })
          : withDetails(claims, { constraints: { children: 0, lifetime: 100, uses: 1, audiences: [] } }),
      ),
    }),
  ],
  [
    'ok',
    'other-trusted-keys-beside',
    'a key of the set that signed nothing here changes nothing',
    vectorAt(0, { trust: { keys: [listed(ed25519('other')), listed(issuer)] } }),
  ],
  [
    'ok',
    'depth-limit-lowered',
    'del_max_depth may be lowered, to the own depth at the least',
    vectorAt(2, {
      chain: chainOf(3, (claims, depth) => ({ ...claims, del_max_depth: [8, 4, 2][depth] })),
    }),
  ],
  [
    'ok',
    'trust-domain-is-not-the-issuer',
    'issuer and trust domain are two names, each compared with its own',
    vectorAt(0, { trust: { issuer: ISSUER, trustDomain: DOMAIN } }),
  ],
];

/** (r, N − s) is a signature where (r, s) is one. */
function signedAgain(): Json {
  const [root = '', child = ''] = chainOf(2);
  const signature = Buffer.from(root.slice(root.lastIndexOf('.') + 1), 'base64url');
  const s = BigInt(`0x${signature.subarray(32).toString('hex')}`);
  const other = Buffer.from((P256_ORDER - s).toString(16).padStart(64, '0'), 'hex');
  const again = Buffer.concat([signature.subarray(0, 32), other]).toString('base64url');
  return vectorAt(1, { chain: [`${root.slice(0, root.lastIndexOf('.'))}.${again}`, child] });
}

function rotated(): Json {
  const before = ed25519('authorization before');
  const root = claimsAt(0);
  const first = artifact(root, before);
  const second = artifact(claimsAt(1, { token: first, claims: root }));
  return vectorAt(1, { chain: [first, second], trust: { keys: [listed(before), listed(issuer)] } });
}

const fresh = (now: number): Json => ({
  status: { keys: [listed(statusKey)], lists: [statusList({ iat: now - 5, exp: now + 55 })] },
});

function detailsOf(claims: Json): Json {
  const [details] = claims['authorization_details'] as [Json];
  return { scopes: details['scopes'], constraints: details['constraints'] };
}
