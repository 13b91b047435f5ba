import type { Case } from './case.ts';
import type { Json, StatusOptions } from './world.ts';
import {
  ISSUER,
  NOW,
  STATUS_URI,
  chainOf,
  es256,
  issuer,
  listed,
  statusIndex,
  statusKey,
  statusList,
  vectorAt,
} from './world.ts';
import { set } from './edits.ts';

type Row = readonly [name: string, description: string, vector: Json];

const lists = (depth: number, ...tokens: string[]): Json =>
  vectorAt(depth, { trust: { status: { keys: [listed(statusKey)], lists: tokens } } });
const list = (change: Json = {}, options: StatusOptions = {}): Json => lists(1, statusList(change, options));
const revoked = (depth: number, ...links: number[]): Json =>
  lists(depth, statusList({}, { set: links.map(statusIndex) }));

/** Status of every link: revoked speaks first, unknown denies. */
export const STATUS_CASES = (): readonly Case[] => [
  ...revokedRows().map(named('revoked')),
  ...[...listRows(), ...entryRows()].map(named('status_unknown')),
];

const named =
  (outcome: 'revoked' | 'status_unknown') =>
  ([name, description, vector]: Row): Case => [outcome, name, description, vector];

const revokedRows = (): Row[] => [
  ['itself', 'the authorization itself', revoked(0, 0)],
  ['root', 'the root of a chain', revoked(3, 0)],
  ['middle', 'a link between', revoked(4, 2)],
  ['leaf', 'the last link', revoked(2, 2)],
  ['all', 'every link', revoked(2, 0, 1, 2)],
  ['suspended', 'two bits: 2 is suspended', list({}, { bits: 2, value: 2, set: [statusIndex(0)] })],
  ['two-bits', 'two bits: 1 is revoked', list({}, { bits: 2, value: 1, set: [statusIndex(1)] })],
  [
    'older-list-beside',
    'an older list, from before the revocation, is shown too',
    lists(0, statusList({ iat: NOW - 40, exp: NOW + 20 }), statusList({}, { set: [statusIndex(0)] })),
  ],
  [
    'newer-list-beside',
    'what was revoked doesn’t come back',
    lists(0, statusList({}, { set: [statusIndex(0)] }), statusList({ iat: NOW - 1 })),
  ],
  [
    'before-unknown',
    'the root’s status is unknown, the leaf is revoked',
    vectorAt(1, {
      chain: chainOf(2, set(0, { status: { status_list: { idx: 1, uri: `${ISSUER}/elsewhere` } } })),
      trust: { status: { keys: [listed(statusKey)], lists: [statusList({}, { set: [statusIndex(1)] })] } },
    }),
  ],
];

const listRows = (): Row[] => [
  ['no-list', 'no list', lists(0)],
  ['no-key', 'no key for lists', vectorAt(0, { trust: { status: { keys: [], lists: [statusList()] } } })],
  ['list-over', 'the list has ended', list({ iat: NOW - 60, exp: NOW })],
  ['list-of-yesterday', 'the list is old', list({ iat: NOW - 86_400, exp: NOW - 86_340 })],
  ['list-lives-long', 'a list that would be believed for an hour', list({ exp: NOW + 3600 })],
  ['list-without-end', 'a list without an end', list({ exp: undefined })],
  ['list-of-the-future', 'more than the tolerance ahead', list({ iat: NOW + 31, exp: NOW + 60 })],
  ['list-elsewhere', 'a list of another address', list({ sub: `${STATUS_URI}1` })],
  ['list-without-subject', 'a list of no address', list({ sub: undefined })],
  ['list-by-authorization-key', 'signed by the key for authorizations', list({}, { by: issuer })],
  [
    'list-by-authorization-key-as-status',
    'signed by the key for authorizations, under the name of the status key',
    list({}, { by: issuer, header: { kid: statusKey.kid } }),
  ],
  ['list-by-somebody', 'signed by somebody', list({}, { by: es256('somebody') })],
  ['list-type', 'typ of another kind of token', list({}, { header: { typ: 'JWT' } })],
  [
    'list-not-zlib',
    'bits that are not compressed',
    list({}, { lst: Buffer.alloc(256).toString('base64url') }),
  ],
  ['list-empty', 'no bits', list({}, { lst: '' })],
  ['list-four-bits', 'more values than are known', list({}, { bits: 4 })],
  ['list-garbage', 'no JWS', lists(0, 'statuslist')],
  ['list-unknown-member', 'a member that is not known', list({ status_list_more: {} })],
];

const entryRows = (): Row[] => [
  ['index-outside', 'the list is shorter', list({}, { entries: 1000 })],
  ['index-huge', 'an index that no list has', claim({ status_list: { idx: 2 ** 52, uri: STATUS_URI } })],
  ['index-negative', 'an index below 0', claim({ status_list: { idx: -1, uri: STATUS_URI } })],
  ['index-text', 'an index as text', claim({ status_list: { idx: '1000', uri: STATUS_URI } })],
  [
    'application-value',
    'two bits: 3 means something to an application',
    list({}, { bits: 2, value: 3, set: [statusIndex(1)] }),
  ],
  ['claim-missing', 'no status', claim(undefined)],
  ['claim-empty', 'a status of no kind', claim({})],
  ['claim-other-kind', 'a status of another kind', claim({ identifier_list: { id: 'x', uri: STATUS_URI } })],
  [
    'ancestor-without-list',
    'the leaf’s list is here, the root’s is not',
    vectorAt(1, {
      chain: chainOf(2, set(0, { status: { status_list: { idx: 1, uri: `${ISSUER}/elsewhere` } } })),
    }),
  ],
];

const claim = (status: unknown): Json => vectorAt(1, { chain: chainOf(2, set(1, { status })) });
