import { beforeEach, describe, expect, it } from 'vitest';
import { parseLeaf } from '../../src/audit/index.ts';
import type { HostState } from '../../src/audit/index.ts';
import type { Change } from '../../src/audit/ledger.ts';
import {
  approveHost,
  labelHost,
  parseHost,
  quarantineHost,
  restoreHost,
  revokeHost,
} from '../../src/enrollment/index.ts';
import type { StoredHost } from '../../src/enrollment/index.ts';
import { expectRefusal } from '../support/refusals.ts';
import { NOW, TestDesk, alice, bob, terms } from './desk.ts';
import { SoftwareHost, ekFactory } from './software-host.ts';

const factory = ekFactory(NOW);
let desk: TestDesk;
let stored: StoredHost;
beforeEach(async () => {
  desk = await TestDesk.open([factory.certificate]);
  const host = new SoftwareHost(factory, NOW);
  stored = await desk.enrolled(host, host.request({ token: await desk.invite() }));
});

const actor = { kind: 'operator', id: bob.certificate } as const;
const in_ = (state: HostState): StoredHost => ({ ...stored, host: { ...stored.host, state } });
const STEPS: Readonly<Record<string, (host: StoredHost) => Change>> = {
  approve: (host) => approveHost(host, bob),
  quarantine: (host) => quarantineHost(host, 'looked odd', actor),
  restore: (host) => restoreHost(host, 'looked at', bob),
  revoke: (host) => revokeHost(host, 'sold', bob),
};
const step = (name: string, host: StoredHost): Change => STEPS[name]?.(host) ?? expect.fail(name);

describe('the ways between states', () => {
  it.each([
    ['pending', 'approve', 'active'],
    ['pending', 'revoke', 'revoked'],
    ['active', 'quarantine', 'quarantined'],
    ['active', 'revoke', 'revoked'],
    ['quarantined', 'restore', 'active'],
    ['quarantined', 'revoke', 'revoked'],
  ] as const)('%s, %s: %s, by a leaf', async (from, name, to) => {
    const change = step(name, in_(from));
    const { ok, leaf } = await desk.commit(change);
    expect(ok).toBe(true);
    expect(parseLeaf(leaf ?? new Uint8Array())).toMatchObject({
      kind: 'transition',
      from,
      to,
      by: { kind: 'operator', id: bob.certificate },
    });
    expect((await desk.host(stored.host.hostId)).host).toMatchObject({ state: to, generation: 2 });
  });

  it.each([
    ['pending', 'quarantine', 'host-state'],
    ['pending', 'restore', 'host-state'],
    ['active', 'approve', 'host-state'],
    ['active', 'restore', 'host-state'],
    ['quarantined', 'approve', 'host-state'],
    ['quarantined', 'quarantine', 'host-state'],
    ['revoked', 'approve', 'host-state'],
    ['revoked', 'quarantine', 'host-revoked'],
    ['revoked', 'restore', 'host-revoked'],
    ['revoked', 'revoke', 'host-revoked'],
  ] as const)('not: %s, %s (%s)', (from, name, check) => {
    expectRefusal(check, () => step(name, in_(from)));
  });

  it('from what was read: the second of two prepared changes is denied, without a leaf', async () => {
    const changes = [revokeHost(stored, 'sold', bob), quarantineHost(stored, 'odd', actor)];
    const [first, second] = await Promise.all(changes.map((change) => desk.commit(change)));
    expect([first?.ok, second?.denied?.check, second?.leaf]).toEqual([true, 'state-moved', undefined]);
    expect((await desk.host(stored.host.hostId)).host.state).toBe('revoked');
  });
});

describe('labels and platform', () => {
  it('are an operator’s, and a leaf', async () => {
    await desk.commit(labelHost(stored, { labels: { role: 'web' }, platform: 'p2' }, alice));
    expect((await desk.host(stored.host.hostId)).host).toMatchObject({
      labels: { role: 'web' },
      platform: 'p2',
      state: 'active',
      generation: 2,
    });
    expect((await desk.leaves()).at(-1)).toMatchObject({ kind: 'operator', action: 'host-label' });
  });

  it('have a form, and are not for revoked or pending hosts', () => {
    expectRefusal('enroll-invitation', () => labelHost(stored, { ...terms, platform: 'a b' }, alice));
    expectRefusal('enroll-invitation', () => labelHost(stored, { ...terms, labels: { 'a\n': 'b' } }, alice));
    expectRefusal('host-revoked', () => labelHost(in_('revoked'), terms, alice));
    expectRefusal('host-state', () => labelHost(in_('pending'), terms, alice));
  });
});

describe('a stored host', () => {
  it('of another form, or under another id, is not believed', async () => {
    const row = await desk.row(stored.host.hostId);
    if (row === undefined) throw new Error('no row');
    expect(parseHost(row).host).toEqual(stored.host);
    expectRefusal('host-record', () => parseHost({ ...row, id: 'b'.repeat(64) }));
    expectRefusal('host-record', () => parseHost({ ...row, body: { ...row.body, state: 'trusted' } }));
    expectRefusal('host-record', () => parseHost({ ...row, body: { ...row.body, more: 1 } }));
  });
});
