import { describe, expect, it } from 'vitest';
import { boundedDenial, denialBody, leafBody, parseLeaf, saltedDigest } from '../../src/audit/leaf.ts';
import type { DecisionLeaf, EnrollmentLeaf, LeafBody } from '../../src/audit/leaf-kinds.ts';
import { canonicalJson, utf8 } from '../../src/base/index.ts';
import type { JsonObject } from '../../src/base/index.ts';
import { expectRefusal } from '../support/refusals.ts';

const HEX = 'ab'.repeat(32);
const SHA = `sha256:${HEX}`;
const UUID = '01936e2b-1111-7abc-8def-0123456789ab';
const AK = `000b${HEX}`;
const OPERATOR = { kind: 'operator', id: '0a1b' } as const;
const PLACE = { index: '17', time: '2026-11-22T20:00:00.000Z', epoch: 'e1' };
const DENIAL = { check: 'e13', reason: 'the magic is wrong' };

const decision: DecisionLeaf = {
  v: 1,
  kind: 'decision',
  purpose: 'execution',
  outcome: 'allow',
  replica: 'r1',
  hostId: HEX,
  executions: [UUID],
  parent: null,
  digests: {
    request: SHA,
    authorization: SHA,
    sealed: SHA,
    evidence: [{ name: 'quote', sha256: SHA }],
    inputs: SHA,
  },
  policy: { digest: SHA, version: 3, deciding: ['allow-backup'] },
  ak: AK,
  boot: { resetCount: 4, restartCount: 0 },
  artifact: { name: 'backup', digest: SHA },
  argv: SHA,
  environment: SHA,
  initiator: { issuer: 'https://issuer.example', subject: 'alice', token: SHA, claims: { amr: ['pwd'] } },
  released: [
    { kind: 'svid', name: 'spiffe://example/backup', serial: '01', expires: '2026-11-22T20:05:00.000Z' },
  ],
  dependencies: [
    { kind: 'ak', id: AK },
    { kind: 'bundle', id: SHA },
  ],
};
const enrollment: EnrollmentLeaf = {
  v: 1,
  kind: 'enrollment',
  outcome: 'allow',
  hostId: HEX,
  name: 'web-1',
  platform: 'debian-12',
  admission: 'token',
  ekCertificate: null,
  ak: AK,
  by: OPERATOR,
};
const bodies: LeafBody[] = [
  decision,
  {
    ...decision,
    outcome: 'deny',
    denial: { ...DENIAL, stage: 'environment', code: 'invalid-verification', detail: { offset: 3 } },
    digests: { ...decision.digests, authorization: null, sealed: null },
    released: [],
    policy: null,
    artifact: null,
  },
  enrollment,
  { v: 1, kind: 'opening', origin: 'log.example', previous: null },
  {
    v: 1,
    kind: 'opening',
    origin: 'log.example/2',
    previous: {
      ...{ origin: 'log.example', size: '99', root: SHA, source: 'high-water', kept: '90' },
      gap: 'restored from the copy of yesterday',
    },
  },
  {
    v: 1,
    kind: 'transition',
    hostId: HEX,
    from: 'active',
    to: 'quarantined',
    reason: 'counters went back',
    by: { kind: 'verifier', id: 'r1' },
  },
  {
    v: 1,
    kind: 'policy',
    action: 'publish',
    digest: SHA,
    version: 4,
    previous: SHA,
    authorities: [SHA],
    by: OPERATOR,
  },
  { v: 1, kind: 'revocation', subject: { kind: 'signer', id: SHA }, reason: 'key lost', by: OPERATOR },
  {
    v: 1,
    kind: 'outcome',
    executionId: UUID,
    hostId: HEX,
    state: 'ended',
    reportedBy: 'host',
    exit: { status: 0 },
    reason: null,
  },
  {
    v: 1,
    kind: 'outcome',
    executionId: UUID,
    hostId: HEX,
    state: 'failed',
    reportedBy: 'host',
    exit: { signal: 'SIGKILL' },
    reason: 'release-lost',
  },
  {
    v: 1,
    kind: 'outcome',
    executionId: UUID,
    hostId: HEX,
    state: 'lost',
    reportedBy: 'verifier',
    exit: null,
    reason: 'nothing was heard of it',
  },
  { v: 1, kind: 'operator', action: 'secret-put', target: 'db-password', digest: SHA, by: OPERATOR },
  {
    v: 1,
    kind: 'denial-summary',
    from: PLACE.time,
    to: PLACE.time,
    counts: [{ stage: 'request', code: 'malformed-request', check: 'malformed', count: 12 }],
  },
];

const entryOf = (body: JsonObject): Uint8Array => utf8(canonicalJson({ ...body, ...PLACE }));

describe('leaves', () => {
  it.each(bodies.map((body) => [body.kind, body] as const))(
    'of kind %s are read as they were written',
    (_, body) => {
      expect(parseLeaf(entryOf(leafBody(body)))).toEqual({ ...body, ...PLACE });
    },
  );

  it.each(bodies.map((body) => [body.kind, body] as const))(
    'of kind %s have no member too few or too many',
    (_, body) => {
      const value = leafBody(body);
      for (const bad of [...withEachMemberRemoved(value), ...withAStranger(value)]) {
        expectRefusal('malformed', () => parseLeaf(entryOf(bad)));
      }
    },
  );

  it('have a place, canonical form and a known kind', () => {
    const value = leafBody(enrollment);
    const text = canonicalJson({ ...value, ...PLACE });
    const bad = [
      canonicalJson(value),
      ` ${text}`,
      `${text}\n`,
      text.replace('{', '{ '),
      JSON.stringify({ ...value, ...PLACE }),
      text.replace('"17"', '17'),
      text.replace('"17"', '"017"'),
      text.replace('20:00:00.000Z', '20:00:00Z'),
      text.replace('"enrollment"', '"guess"'),
      text.replace('"enrollment"', '"__proto__"'),
      text.replace('"enrollment"', '"toString"'),
      text.replace('"enrollment"', '7'),
      text.replace('"v":1', '"v":2'),
      '[]',
      'null',
      '',
    ];
    for (const one of bad) expectRefusal('malformed', () => parseLeaf(utf8(one)));
    expectRefusal('malformed', () => parseLeaf(new Uint8Array(65_536).fill(0x20)));
  });

  it('say why they are a denial, and only then', () => {
    const denied = {
      ...decision,
      outcome: 'deny',
      digests: { ...decision.digests, authorization: null, sealed: null },
      released: [],
    } as const;
    const bad: LeafBody[] = [
      { ...decision, denial: DENIAL },
      denied,
      { ...decision, outcome: 'deny', denial: DENIAL },
      { ...denied, denial: DENIAL, released: decision.released },
      { ...denied, denial: DENIAL, digests: { ...denied.digests, sealed: SHA } },
      { ...decision, policy: null },
      { ...decision, digests: { ...decision.digests, authorization: null } },
      { ...enrollment, denial: DENIAL },
      { ...enrollment, outcome: 'deny' },
    ];
    for (const body of bad) expectRefusal('malformed', () => leafBody(body));
    // An idle host's attestation has nothing to authorize.
    leafBody({
      ...decision,
      purpose: 'attestation',
      executions: [],
      digests: { ...decision.digests, authorization: null },
    });
  });

  it('leave room for what the ledger adds', () => {
    const claims = (length: number): DecisionLeaf => ({
      ...decision,
      initiator: { ...decision.initiator!, claims: { a: 'x'.repeat(length) } },
    });
    expect(entryOf(leafBody(claims(59_000))).length).toBeLessThan(65_536);
    expectRefusal('malformed', () => leafBody(claims(62_000)));
  });
});

describe('a decision that no longer holds at its commit', () => {
  it('becomes a denial that released nothing', () => {
    const value = { ...denialBody(decision), denial: DENIAL };
    expect(parseLeaf(entryOf(value))).toMatchObject({
      outcome: 'deny',
      denial: DENIAL,
      released: [],
      executions: [UUID],
      digests: { request: SHA, authorization: null, sealed: null },
    });
    expect(parseLeaf(entryOf({ ...denialBody(enrollment), denial: DENIAL }))).toMatchObject({
      outcome: 'deny',
    });
    const again = denialBody({ ...decision, outcome: 'deny', denial: DENIAL, released: [] });
    expect(again['denial']).toBeUndefined();
  });
});

describe('a denial in the log', () => {
  it('has a bounded reason and detail', () => {
    expect(boundedDenial({ ...DENIAL, detail: { a: 1 } })).toEqual({ ...DENIAL, detail: { a: 1 } });
    const large = boundedDenial({
      check: 'e13',
      reason: 'x'.repeat(1999) + '😀',
      detail: { a: 'x'.repeat(9000) },
    });
    expect(large.reason).toHaveLength(2000);
    expect(large.reason.isWellFormed()).toBe(true);
    expect(large.detail).toEqual({ omitted: expect.stringMatching(/^sha256:[0-9a-f]{64}$/) as string });
    expect(boundedDenial(DENIAL)).toEqual(DENIAL);
  });
});

describe('salted digests', () => {
  const salt = new Uint8Array(16).fill(1);
  it('depend on value and salt, and are SHA-256 over label, salt and canonical JSON', () => {
    const digest = saltedDigest(['ls', '-l'], salt);
    expect(digest).toBe('sha256:fb8fbfa682091f6caf9ae2ee6363914eb01a5675a2e56176dad575fe70fa6f32');
    expect(saltedDigest(['ls', '-l'], new Uint8Array(16).fill(2))).not.toBe(digest);
    expect(saltedDigest(['ls', '-a'], salt)).not.toBe(digest);
  });
  it('need a salt that can’t be guessed', () => {
    expect(() => saltedDigest([], new Uint8Array(15))).toThrow(RangeError);
    expect(() => saltedDigest([], new Uint8Array(65))).toThrow(RangeError);
  });
});

/** The value without one of its members, at any depth; optional ones (of a denial) excepted. */
function* withEachMemberRemoved(value: JsonObject): Generator<JsonObject> {
  for (const name of Object.keys(value)) {
    if (name === 'claims' || name === 'detail') continue;
    const { [name]: member, ...rest } = value;
    if (!['stage', 'code'].includes(name) || !('check' in value) || 'count' in value) yield rest;
    if (isObject(member))
      for (const smaller of withEachMemberRemoved(member)) yield { ...value, [name]: smaller };
  }
}

function* withAStranger(value: JsonObject): Generator<JsonObject> {
  yield { ...value, stranger: 1 };
  for (const [name, member] of Object.entries(value)) {
    if (name === 'claims' || name === 'detail') continue;
    if (isObject(member)) for (const larger of withAStranger(member)) yield { ...value, [name]: larger };
  }
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
