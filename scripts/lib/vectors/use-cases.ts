import type { Case } from './case.ts';
import { set } from './edits.ts';
import type { Json } from './world.ts';
import { DOMAIN, NOW, audienceOf, chainOf, hostOf, vectorAt } from './world.ts';

type Row = readonly [name: string, description: string, vector: Json];

const aud = (value: unknown): Json => vectorAt(0, { chain: chainOf(1, set(0, { aud: value })) });
const asked = (depth: number, ...scopes: string[]): Json => vectorAt(depth, { scopes });
const ceilings = (depth: number, change: Json): Json =>
  vectorAt(depth, { trust: { ceilings: { depth: 8, lifetime: 300, scopes: ['orders.*'], ...change } } });

/** One use of a chain that holds: for whom, for what, within which limits. */
export const USE_CASES = (): readonly Case[] => [
  ...audienceRows().map(([name, text, vector]): Case => ['audience_mismatch', name, text, vector]),
  ...scopeRows().map(([name, text, vector]): Case => ['scope_not_granted', name, text, vector]),
  ...ceilingRows().map(([name, text, vector]): Case => ['ceiling_exceeded', name, text, vector]),
];

const audienceRows = (): Row[] => [
  ['other-host', 'stolen to another host', vectorAt(1, { trust: { audience: audienceOf(5) } })],
  [
    'parents-host',
    'the child’s authorization at its parent’s host',
    vectorAt(1, { trust: { audience: audienceOf(0) } }),
  ],
  ['verifier', 'the verifier is not the gateway', vectorAt(0, { trust: { audience: DOMAIN } })],
  ['prefix', 'audiences are compared whole', aud(audienceOf(0).slice(0, -1))],
  ['trailing-slash', 'audiences are compared literally', aud(`${audienceOf(0)}/`)],
  [
    'upper-case',
    'audiences are compared literally',
    aud(`spiffe://${DOMAIN}/host/${hostOf(0).toUpperCase()}`),
  ],
  ['other-domain', 'the host’s name in another trust domain', aud(`spiffe://other.org/host/${hostOf(0)}`)],
  ['list', 'a list that has the right one too', aud([audienceOf(0), audienceOf(1)])],
  ['list-of-one', 'a list of the right one', aud([audienceOf(0)])],
  ['missing', 'for nobody', aud(undefined)],
  ['empty', 'for nobody', aud('')],
];

const scopeRows = (): Row[] => [
  ['other', 'a scope that was not granted', asked(0, 'admin')],
  ['none', 'nothing is asked: nothing is granted', asked(0)],
  ['one-of-two', 'one is granted, one is not', asked(0, 'orders.read', 'admin')],
  ['given-up', 'the root has it, the leaf gave it up', asked(2, 'mail.send')],
  ['wildcard', 'orders.read doesn’t cover orders.*', asked(3, 'orders.*')],
  ['parent-of-wildcard', 'orders.* doesn’t cover orders', asked(2, 'orders')],
  ['longer-name', 'orders.* doesn’t cover orders2.read', asked(2, 'orders2.read')],
  ['below-literal', 'orders.read doesn’t cover orders.read.all', asked(3, 'orders.read.all')],
  ['upper-case', 'scopes are compared literally', asked(3, 'ORDERS.READ')],
  ['space', 'scopes are compared literally', asked(3, 'orders.read ')],
  ['two-in-one', 'one text is one scope', asked(0, 'orders.read mail.send')],
  ['empty-text', 'an empty scope', asked(0, '')],
];

const ceilingRows = (): Row[] => [
  ['depth', 'deeper than is accepted here', ceilings(4, { depth: 3 })],
  ['depth-none', 'no children are accepted here', ceilings(1, { depth: 0 })],
  ['lifetime', 'lives longer than is accepted here', ceilings(0, { lifetime: 259 })],
  ['scope', 'granted, and not accepted here', ceilings(3, { scopes: ['mail.send'] })],
  ['no-scope', 'nothing is accepted here', ceilings(3, { scopes: [] })],
  [
    'scope-wildcard',
    'orders.read accepted, orders.* asked',
    vectorAt(2, {
      scopes: ['orders.*'],
      trust: { ceilings: { depth: 8, lifetime: 300, scopes: ['orders.read'] } },
    }),
  ],
  [
    'lives-301-seconds',
    'nothing lives longer than 300 s',
    vectorAt(0, {
      chain: chainOf(1, set(0, { exp: NOW + 241 })),
      trust: { ceilings: { depth: 8, lifetime: 86_400, scopes: ['orders.*'] } },
    }),
  ],
  [
    'ancestor-lives-long',
    'an ancestor of 301 s',
    vectorAt(1, {
      chain: chainOf(2, set(0, { exp: NOW + 241 })),
      trust: { ceilings: { depth: 8, lifetime: 86_400, scopes: ['orders.*'] } },
    }),
  ],
];
