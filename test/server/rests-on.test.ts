import { describe, expect, it } from 'vitest';
import type { Change, Committed } from '../../src/audit/index.ts';
import type { JsonObject } from '../../src/base/index.ts';
import { EXECUTION, REVOCABLE_KINDS, executionBody, restsOn } from '../../src/lifecycle/index.ts';
import type { ExecutionRecord, Revocable } from '../../src/lifecycle/index.ts';
import { LiveExecutions } from '../../src/server/live-executions.ts';
import type { RevokedExecution } from '../../src/server/live-executions.ts';

const hex = (digit: string): string => digit.repeat(64);
const ID = '019a9e2c-7b1e-7c3d-8f20-000000000001';
const CHILD = '019a9e2c-7b1e-7c3d-8f20-000000000002';

/** An authorization as a record keeps it; its signature is looked at by nobody there. */
function token(clientId: string, host: string, digit: string): string {
  const claims: JsonObject = {
    ...{
      iss: 'https://example.org',
      sub: 'https://people.example#alice',
      aud: 'host',
      iat: 1,
      nbf: 1,
      exp: 2,
    },
    ...{ jti: `j-${clientId}`, client_id: clientId, txn: ID, cnf: { jkt: 'A'.repeat(43) }, eat_nonce: 'n' },
    ...{ del_depth: 0, del_max_depth: 1, evidence: [] },
    authorization_details: [
      {
        ...{ type: 'sealgate_execution', actions: ['execute'], scopes: [], constraints: {} },
        ...{ artifact: `sha256:${hex(digit)}`, host },
      },
    ],
    status: { status_list: { idx: 1, uri: 'https://example.org/status' } },
    policy: { uri: 'https://example.org/policy', digest: `sha256:${hex('e')}`, ids: ['run'] },
    gov: { trust_domain: 'example.org', authorities: [`authority-${digit}`] },
    attr: { signers: [`signer-${digit}`] },
  };
  return `e30.${Buffer.from(JSON.stringify(claims)).toString('base64url')}.AA`;
}

const record = (parent: string | null): ExecutionRecord => ({
  v: 1,
  state: 'running',
  hostId: parent === null ? hex('a') : hex('b'),
  parent,
  root: ID,
  depth: parent === null ? 0 : 1,
  jti: 'j',
  expires: 4_000_000_000,
  started: 1,
  chain: [token(ID, hex('a'), '1'), ...(parent === null ? [] : [token(CHILD, hex('b'), '2')])],
  artifact: { name: 'report', digest: `sha256:${hex(parent === null ? '1' : '2')}` },
  workloadPublic: { kty: 'EC', crv: 'P-256', x: 'A'.repeat(43), y: 'A'.repeat(43) },
  workloadThumbprint: 'A'.repeat(43),
  ak: (parent === null ? 'aa' : 'bb').repeat(34),
  boot: { resetCount: 1, restartCount: 0 },
  ekRoot: parent === null ? hex('c') : hex('d'),
  policyHash: `sha256:${hex('f')}`,
  requestDigest: hex('3'),
  credentials: [],
  sequence: 0,
  status: { idx: 1, uri: 'https://example.org/status' },
  request: hex('4'),
  initiator: null,
  executedDigest: null,
  exit: null,
  reason: null,
  revokedBy: null,
});

/** A change that writes the record, and its commit. */
const written = (id: string, body: ExecutionRecord, index: string): [Change[], Committed[]] => [
  [
    {
      ...{ leaf: {}, preconditions: [], once: [], bodies: [] },
      writes: [{ kind: EXECUTION, id, body: executionBody(body) }],
    },
  ],
  [{ ok: true, index }],
];
const noRecords = { get: () => Promise.resolve(undefined), list: () => Promise.resolve([]) };

describe('what an execution rests on', () => {
  it('names whatever can be revoked', () => {
    const names = restsOn(ID, record(null));
    expect(new Set(names.map(({ kind }) => kind))).toEqual(new Set(REVOCABLE_KINDS));
    const initiator = {
      issuer: 'https://x',
      subject: 'bob',
      proven: true,
      claims: {},
      tokenSha256: hex('5'),
    };
    expect(restsOn(ID, { ...record(null), initiator })).toContainEqual({
      kind: 'initiator',
      id: 'https://x#bob',
    });
  });

  it('is found by each of them, below as well, and by nothing else', () => {
    const live = new LiveExecutions(noRecords);
    live.committed(...written(ID, record(null), '1'));
    live.committed(...written(CHILD, record(ID), '2'));
    const both: Revocable[] = [
      { kind: 'execution', id: ID },
      { kind: 'host', id: hex('a') },
      { kind: 'ak', id: 'aa'.repeat(34) },
      { kind: 'ek-ca', id: hex('c') },
      { kind: 'artifact', id: `sha256:${hex('1')}` },
      { kind: 'signer', id: 'signer-1' },
      { kind: 'authority', id: 'authority-1' },
      { kind: 'initiator', id: 'https://people.example#alice' },
      { kind: 'policy', id: `sha256:${hex('e')}` },
    ];
    for (const subject of both) expect(live.restingOn(subject), subject.kind).toEqual([ID, CHILD]);
    const below: Revocable[] = [
      { kind: 'execution', id: CHILD },
      { kind: 'host', id: hex('b') },
      { kind: 'ak', id: 'bb'.repeat(34) },
      { kind: 'ek-ca', id: hex('d') },
      { kind: 'artifact', id: `sha256:${hex('2')}` },
      { kind: 'signer', id: 'signer-2' },
      { kind: 'authority', id: 'authority-2' },
    ];
    for (const subject of below) expect(live.restingOn(subject), subject.kind).toEqual([CHILD]);
    expect(live.restingOn({ kind: 'signer', id: 'signer-3' })).toEqual([]);
    expect(live.onHost(hex('a'))).toEqual([ID]);
    expect(live.onHost(hex('a'), { resetCount: 1, restartCount: 0 })).toEqual([]);
    expect(live.onHost(hex('a'), { resetCount: 2, restartCount: 0 })).toEqual([ID]);
  });

  it('is found by what a renewal brought to what is above', () => {
    const live = new LiveExecutions(noRecords);
    live.committed(...written(ID, record(null), '1'));
    live.committed(...written(CHILD, record(ID), '2'));
    const [policy, signer] = [`sha256:${hex('6')}`, 'signer-6'];
    const renewed = { ...record(null), policyHash: policy, chain: [token(ID, hex('a'), '6')] };
    live.committed(...written(ID, renewed, '3'));
    expect(live.restingOn({ kind: 'policy', id: policy })).toEqual([ID, CHILD]);
    expect(live.restingOn({ kind: 'signer', id: signer })).toEqual([ID, CHILD]);
    // What the child was allowed under stays its own.
    expect(live.restingOn({ kind: 'signer', id: 'signer-1' })).toEqual([CHILD]);
  });

  it('is found after a start, too, also where the clock of a child’s host was behind its parent’s', async () => {
    const earlier = '019a9e2c-7b1e-7c3d-8f20-000000000000';
    const rows = [
      { ...{ kind: EXECUTION, id: earlier, version: 1, leaf: '2' }, body: executionBody(record(ID)) },
      { ...{ kind: EXECUTION, id: ID, version: 1, leaf: '1' }, body: executionBody(record(null)) },
    ];
    const live = new LiveExecutions({ ...noRecords, list: () => Promise.resolve(rows) });
    await live.load(0);
    for (const subject of [
      { kind: 'ak', id: 'aa'.repeat(34) },
      { kind: 'ek-ca', id: hex('c') },
    ] as const)
      expect(live.restingOn(subject), subject.kind).toEqual([ID, earlier]);
    expect(live.above([ID, earlier])).toEqual([ID]);
  });

  it('is forgotten with its end, and told when it was revoked, until the host has said how it ended', () => {
    const told: RevokedExecution[] = [];
    const done: string[] = [];
    const live = new LiveExecutions(noRecords, {
      revoked: (one) => told.push(one),
      acknowledged: (_, id) => done.push(id),
    });
    live.committed(...written(ID, record(null), '1'));
    // A change that was denied wrote nothing.
    const [changes] = written(ID, { ...record(null), state: 'ended' }, '2');
    live.committed(changes, [{ ok: false, index: '2', denied: { check: 'state-moved', reason: 'moved' } }]);
    expect(live.size).toBe(1);
    const revokedBy = { kind: 'signer', id: 'signer-1' } as const;
    const revoked = { ...record(null), state: 'revoked', reason: 'key lost', revokedBy } as const;
    live.committed(...written(ID, revoked, '3'));
    expect(live.size).toBe(0);
    expect(told).toEqual([
      {
        ...{ executionId: ID, hostId: hex('a'), leaf: 3n, expires: 4_000_000_000 },
        ...{ by: revokedBy, reason: 'key lost' },
      },
    ]);
    live.committed(...written(ID, { ...revoked, exit: { signal: 'SIGTERM' } }, '4'));
    expect([told.length, done]).toEqual([1, [ID]]);
  });
});
