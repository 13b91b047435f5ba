import type { Case } from './case.ts';
import { at, withConstraint, withDetails } from './edits.ts';
import type { Json } from './world.ts';
import { chainOf, vectorAt } from './world.ts';

type Row = readonly [name: string, description: string, vector: Json];

/** A child whose details differ from what a narrower child would have. */
const child = (change: Json): Json =>
  vectorAt(1, {
    chain: chainOf(
      2,
      at(1, (claims) => withDetails(claims, change)),
    ),
  });
const root = (change: Json): Json =>
  vectorAt(0, {
    chain: chainOf(
      1,
      at(0, (claims) => withDetails(claims, change)),
    ),
  });
/** Parent and child with one constraint each; undefined: without it. */
const limits = (name: string, parent: unknown, own: unknown): Json =>
  vectorAt(1, {
    chain: chainOf(2, (claims, depth) => withConstraint(claims, name, depth === 0 ? parent : own)),
  });
const scopes = (parent: string[], own: string[]): Json =>
  vectorAt(1, {
    chain: chainOf(2, (claims, depth) => withDetails(claims, { scopes: depth === 0 ? parent : own })),
  });

/** Authority never widens. */
export const RIGHTS_CASES = (): readonly Case[] =>
  [...scopeRows(), ...constraintRows(), ...formRows()].map(([name, description, vector]) => [
    'not_narrower',
    name,
    description,
    vector,
  ]);

const scopeRows = (): Row[] => [
  ['scope-added', 'a scope that the parent doesn’t have', child({ scopes: ['orders.read', 'admin'] })],
  ['scope-prefix', 'orders.* doesn’t cover orders', scopes(['orders.*'], ['orders', 'orders.read'])],
  ['scope-longer-name', 'orders.* doesn’t cover orders2.read', scopes(['orders.*'], ['orders2.read'])],
  [
    'scope-below-literal',
    'mail.send doesn’t cover mail.send.all',
    scopes(['mail.send', 'orders.*'], ['mail.send.all']),
  ],
  ['scope-wildcard-of-literal', 'orders.read doesn’t cover orders.*', scopes(['orders.read'], ['orders.*'])],
  ['scope-wider-wildcard', 'orders.eu.* doesn’t cover orders.*', scopes(['orders.eu.*'], ['orders.*'])],
  ['scope-case', 'scopes are lower case', scopes(['orders.*'], ['orders.READ'])],
  ['scope-star', 'a bare star is no scope', scopes(['orders.*'], ['*'])],
  ['scope-inner-star', 'a star stands at the end only', scopes(['orders.*'], ['orders.*.read'])],
  ['scope-twice', 'a set has each value once', scopes(['orders.*'], ['orders.read', 'orders.read'])],
  [
    'scope-regained',
    'a grandchild has again what its parent gave up',
    vectorAt(2, {
      chain: chainOf(
        3,
        at(2, (claims) => withDetails(claims, { scopes: ['orders.*', 'mail.send', 'stock.read'] })),
      ),
    }),
  ],
  ['action-added', 'an action that the parent doesn’t have', child({ actions: ['execute', 'administer'] })],
  ['action-other', 'another action', child({ actions: ['administer'] })],
];

const constraintRows = (): Row[] => [
  ['children-raised', 'more children than the parent', limits('children', 3, 4)],
  ['children-dropped', 'no limit where the parent has one', limits('children', 3, undefined)],
  ['lifetime-raised', 'a longer lifetime', limits('lifetime', 600, 601)],
  ['lifetime-dropped', 'no lifetime where the parent has one', limits('lifetime', 600, undefined)],
  ['uses-raised', 'more uses', limits('uses', 1, 2)],
  ['uses-dropped', 'uses without a limit', limits('uses', 1, undefined)],
  ['audiences-added', 'another audience', limits('audiences', ['a'], ['a', 'b'])],
  ['audiences-dropped', 'any audience', limits('audiences', ['a'], undefined)],
  ['audiences-of-nobody', 'from no audience to one', limits('audiences', [], ['a'])],
  ['limit-null', 'null is no limit', limits('children', 3, null)],
  ['limit-text', 'a limit as text', limits('children', 3, '2')],
  ['limit-negative', 'a negative limit', limits('children', 3, -1)],
  ['limit-fraction', 'half a child', limits('children', 3, 2.5)],
  ['unknown-in-child', 'a constraint that is not known', limits('network', undefined, 'none')],
  ['unknown-in-both', 'a constraint that is not known, the same in both', limits('network', 'none', 'none')],
  ['unknown-dropped', 'the parent has a constraint that is not known', limits('network', 'none', undefined)],
  [
    'unknown-in-root',
    'a root with a constraint that is not known: who can’t keep to it can’t accept it',
    vectorAt(0, {
      chain: chainOf(
        1,
        at(0, (claims) => withConstraint(claims, 'network', 'none')),
      ),
    }),
  ],
  ['constraints-missing', 'no constraints at all', child({ constraints: undefined })],
  ['constraints-list', 'constraints of another type', child({ constraints: [] })],
];

const formRows = (): Row[] => [
  ['details-missing', 'no details', vectorAt(0, { chain: chainOf(1, without('authorization_details')) })],
  [
    'details-twice',
    'a second object with more rights',
    vectorAt(0, {
      chain: chainOf(1, (claims) => {
        const [details] = claims['authorization_details'] as [Json];
        return { ...claims, authorization_details: [details, { ...details, scopes: ['admin'] }] };
      }),
    }),
  ],
  [
    'details-empty',
    'an empty list',
    vectorAt(0, { chain: chainOf(1, (claims) => ({ ...claims, authorization_details: [] })) }),
  ],
  ['details-other-type', 'details of another type (RFC 9396)', root({ type: 'payment_initiation' })],
  ['details-unknown-member', 'a member that is not known', root({ locations: ['https://example.org'] })],
  ['host-missing', 'for no host', root({ host: undefined })],
  [
    'artifact-weak',
    'an artifact by a weak digest',
    root({ artifact: 'md5:0123456789abcdef0123456789abcdef' }),
  ],
];

const without =
  (name: string) =>
  (claims: Json): Json => {
    const { [name]: _left, ...others } = claims;
    return others;
  };
