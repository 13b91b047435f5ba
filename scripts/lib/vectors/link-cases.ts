import type { Case } from './case.ts';
import { at, set, withDetails } from './edits.ts';
import type { Json } from './world.ts';
import { NOW, artifact, audienceOf, chainOf, claimsAt, hashText, parHash, vectorAt } from './world.ts';

const edited = (length: number, depth: number, change: Json): Json =>
  vectorAt(length - 1, { chain: chainOf(length, set(depth, change)) });

/** What ties a link to the one before it: hash, depth, principal, time. */
export const LINK_CASES = (): readonly Case[] => [
  ...hashCases(),
  ...depthCases(),
  ...principalCases(),
  ...timeCases(),
  ...orderCases(),
];

function hashCases(): Case[] {
  const [root = '', child = '', grandchild = ''] = chainOf(3);
  const other = chainOf(1, set(0, { jti: 'another-root' }))[0] ?? '';
  const rows: [string, string, Json][] = [
    [
      'merged-chains',
      'a child under another root of the same principal',
      vectorAt(1, { chain: [other, child] }),
    ],
    ['link-left-out', 'a grandchild under its grandparent', vectorAt(2, { chain: [root, grandchild] })],
    ['orphan', 'a child without its parent', vectorAt(1, { chain: [child] })],
    ['reversed', 'leaf first', vectorAt(0, { chain: [child, root] })],
    ['link-twice', 'the root twice', vectorAt(0, { chain: [root, root] })],
    ['par-hash-missing', 'a child that names no parent', edited(2, 1, { par_hash: undefined })],
    ['root-with-par-hash', 'a root that names a parent', edited(1, 0, { par_hash: hashText('nobody') })],
    ['of-whole-token', 'the hash covers the signature too', edited(2, 1, { par_hash: hashText(root) })],
    [
      'of-payload-only',
      'the hash is of the payload',
      edited(2, 1, { par_hash: hashText(root.split('.')[1] ?? '') }),
    ],
    [
      'in-hex',
      'the right hash in another encoding',
      edited(2, 1, { par_hash: Buffer.from(parHash(root), 'base64url').toString('hex') }),
    ],
    ['of-grandparent', 'a grandchild names its grandparent', edited(3, 2, { par_hash: parHash(root) })],
    ['not-a-text', 'the hash is a number', edited(2, 1, { par_hash: 1 })],
    [
      'parent-renewed',
      'the parent has a new authorization; the child is of the old one',
      vectorAt(1, { chain: [chainOf(1, set(0, { iat: NOW - 59, jti: 'renewed' }))[0] ?? '', child] }),
    ],
  ];
  return rows.map(([name, description, vector]) => ['par_hash_mismatch', name, description, vector]);
}

function depthCases(): Case[] {
  const rows: [string, string, Json][] = [
    ['skipped', 'two deeper than the parent', edited(2, 1, { del_depth: 2 })],
    ['not-counted', 'as deep as the parent', edited(2, 1, { del_depth: 0 })],
    ['root-deep', 'a chain begins at depth 0', edited(1, 0, { del_depth: 1 })],
    [
      'limit-raised',
      'a child raises the limit',
      vectorAt(1, { chain: chainOf(2, (claims, i) => ({ ...claims, del_max_depth: i === 0 ? 2 : 3 })) }),
    ],
    [
      'limit-passed',
      'deeper than the root allows',
      vectorAt(2, { chain: chainOf(3, (claims) => ({ ...claims, del_max_depth: 1 })) }),
    ],
    [
      'delegation-forbidden',
      'the root allows no children',
      vectorAt(1, { chain: chainOf(2, (claims) => ({ ...claims, del_max_depth: 0 })) }),
    ],
    ['limit-over-cap', 'nothing is deeper than 8', edited(1, 0, { del_max_depth: 9 })],
    [
      'ten-links',
      'a chain of depth 9',
      vectorAt(9, { chain: chainOf(10, (claims) => ({ ...claims, del_max_depth: 9 })) }),
    ],
    ['negative', 'a depth below 0', edited(1, 0, { del_depth: -1 })],
    ['text', 'a depth as text', edited(1, 0, { del_depth: '0' })],
    ['missing', 'no depth', edited(1, 0, { del_depth: undefined })],
    ['limit-missing', 'no limit', edited(2, 1, { del_max_depth: undefined })],
    ['fraction', 'half a level', edited(1, 0, { del_depth: 0.5 })],
  ];
  return rows.map(([name, description, vector]) => ['depth_invalid', name, description, vector]);
}

function principalCases(): Case[] {
  const rows: [string, string, Json][] = [
    ['subject', 'another origin', edited(2, 1, { sub: 'https://idp.example.org#mallory' })],
    [
      'subject-in-the-middle',
      'another origin, and back',
      edited(3, 1, { sub: 'https://idp.example.org#bob' }),
    ],
    [
      'subject-case',
      'origins are compared literally',
      edited(2, 1, { sub: 'https://idp.example.org#Alice' }),
    ],
    ['lineage', 'another lineage', edited(2, 1, { txn: '01930000-0000-7000-8000-00000000ffff' })],
    [
      'lineage-restarted',
      'a child calls itself the root',
      edited(2, 1, { txn: '01930000-0000-7000-8000-000000000001' }),
    ],
    ['subject-missing', 'no origin', edited(2, 1, { sub: undefined })],
    ['lineage-missing', 'no lineage', edited(1, 0, { txn: undefined })],
    [
      'actors-other',
      'act names somebody who didn’t act',
      edited(2, 1, { act: { sub: 'https://idp.example.org#bob' } }),
    ],
    [
      'actors-shortened',
      'act leaves out who acted before the parent',
      edited(3, 2, { act: { sub: '01930000-0000-7000-8000-000000000001' } }),
    ],
    [
      'actors-misformed',
      'an actor with a claim that is not known',
      edited(2, 1, { act: { sub: 'x', role: 'admin' } }),
    ],
  ];
  return rows.map(([name, description, vector]) => ['principal_altered', name, description, vector]);
}

function timeCases(): Case[] {
  const time = (name: string, description: string, vector: Json): Case => [
    'expired',
    name,
    description,
    vector,
  ];
  return [
    time('over', 'a minute after the end', vectorAt(0, { now: NOW + 260 })),
    time('at-the-end', 'exp is the first second that is over', vectorAt(0, { now: NOW + 200 })),
    time('not-yet', 'more than the tolerance before nbf', edited(1, 0, { nbf: NOW + 31 })),
    time(
      'issued-in-the-future',
      'more than the tolerance before iat',
      edited(1, 0, { iat: NOW + 31, exp: NOW + 200 }),
    ),
    time('child-outlives-parent', 'one second longer than the parent', edited(2, 1, { exp: NOW + 201 })),
    time('child-before-parent', 'issued one second before the parent', edited(2, 1, { iat: NOW - 61 })),
    time('child-begins-before-parent', 'valid one second before the parent', edited(2, 1, { nbf: NOW - 61 })),
    time(
      'grandchild-outlives-parent',
      'within the root’s time, not the parent’s',
      edited(3, 2, { exp: NOW + 200 }),
    ),
    time(
      'parent-over',
      'the parent has ended, the child says it has not',
      vectorAt(1, { now: NOW + 100, chain: chainOf(2, set(0, { exp: NOW + 50 })) }),
    ),
    time('empty-window', 'ends when it begins', edited(1, 0, { exp: NOW - 60 })),
    time('ends-before-nbf', 'ends before it is valid', edited(1, 0, { nbf: NOW + 20, exp: NOW + 20 })),
    time('exp-missing', 'no end', edited(1, 0, { exp: undefined })),
    time('iat-missing', 'no beginning', edited(1, 0, { iat: undefined })),
    time('nbf-missing', 'no beginning', edited(1, 0, { nbf: undefined })),
    time('exp-text', 'an end as text', edited(1, 0, { exp: String(NOW + 200) })),
    time('exp-fraction', 'an end within a second', edited(1, 0, { exp: NOW + 0.5 })),
    time('exp-null', 'an end of null', edited(1, 0, { exp: null })),
  ];
}

/** Two rules broken: the earlier one speaks, also where a later link breaks it. */
function orderCases(): Case[] {
  const [root = '', , grandchild = ''] = chainOf(3);
  const bob = { sub: 'https://idp.example.org#bob' };
  const wider = (claims: Json): Json => withDetails(claims, { scopes: ['admin'] });
  return [
    [
      'signature_invalid',
      'order-before-par-hash',
      'an unsigned leaf under the wrong parent',
      vectorAt(1, { chain: [root, grandchild.replace(/[^.]+$/, 'AAAA')] }),
    ],
    [
      'par_hash_mismatch',
      'order-before-depth',
      'link 1 is too deep, link 2 names another parent',
      vectorAt(2, {
        chain: chainOf(3, (claims, i) =>
          i === 1 ? { ...claims, del_depth: 3 } : i === 2 ? { ...claims, par_hash: hashText('x') } : claims,
        ),
      }),
    ],
    [
      'depth_invalid',
      'order-before-principal',
      'link 1 has another origin, link 2 is too deep',
      vectorAt(2, {
        chain: chainOf(3, (claims, i) =>
          i === 1 ? { ...claims, ...bob } : i === 2 ? { ...claims, del_depth: 5 } : claims,
        ),
      }),
    ],
    [
      'principal_altered',
      'order-before-narrowing',
      'link 1 is wider, link 2 has another origin',
      vectorAt(2, {
        chain: chainOf(3, (claims, i) =>
          i === 1 ? wider(claims) : i === 2 ? { ...claims, ...bob } : claims,
        ),
      }),
    ],
    [
      'not_narrower',
      'order-before-time',
      'wider, and over',
      vectorAt(1, { now: NOW + 500, chain: chainOf(2, at(1, wider)) }),
    ],
    [
      'expired',
      'order-before-holder',
      'over, and without a proof',
      vectorAt(0, { now: NOW + 500, holder: { proof: '' } }),
    ],
    [
      'holder_binding_failed',
      'order-before-status',
      'no proof, and no status list',
      vectorAt(0, { holder: { proof: '' }, trust: { status: { keys: [], lists: [] } } }),
    ],
    [
      'status_unknown',
      'order-before-audience',
      'no status list, and for somebody else',
      vectorAt(0, { trust: { audience: audienceOf(3), status: { keys: [], lists: [] } } }),
    ],
    [
      'audience_mismatch',
      'order-before-scopes',
      'for somebody else, and more is asked than granted',
      vectorAt(0, { scopes: ['admin'], trust: { audience: audienceOf(3) } }),
    ],
    [
      'scope_not_granted',
      'order-before-ceilings',
      'more is asked than granted, and more than is accepted',
      vectorAt(0, { scopes: ['admin'], trust: { ceilings: { depth: 0, lifetime: 1, scopes: [] } } }),
    ],
    [
      'ceiling_exceeded',
      'order-last',
      'all else holds: lives longer than anything may',
      vectorAt(0, { chain: [artifact({ ...claimsAt(0), exp: NOW + 241 })] }),
    ],
  ];
}
