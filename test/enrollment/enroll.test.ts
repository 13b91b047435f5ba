import { createHash, generateKeyPairSync } from 'node:crypto';
import { beforeEach, describe, expect, it } from 'vitest';
import { parseLeaf } from '../../src/audit/index.ts';
import { toBase64url, toHex, utf8 } from '../../src/base/index.ts';
import {
  MAX_TOKEN_TTL_MS,
  RECORD,
  approveHost,
  invite,
  listEk,
  parseInvitation,
  pollEnrollment,
  quarantineHost,
  tokenHash,
  withdraw,
} from '../../src/enrollment/index.ts';
import type { InvitationTerms } from '../../src/enrollment/index.ts';
import { objectName } from '../../src/tpm/index.ts';
import { systemRandom } from '../support/random.ts';
import { expectRefusal, expectRejection } from '../support/refusals.ts';
import { NOW, TestDesk, alice, bob, terms, text } from './desk.ts';
import { SoftwareHost, ekFactory, softwareAk } from './software-host.ts';

const factory = ekFactory(NOW);
let desk: TestDesk;
let host: SoftwareHost;
beforeEach(async () => {
  desk = await TestDesk.open([factory.certificate]);
  host = new SoftwareHost(factory, NOW);
});

const context = { by: alice, now: NOW, epoch: 'epoch-1' };
const approvals = { approvals: { ekTemplate: 'L-2' }, epoch: 'epoch-1' } as const;

describe('an invitation', () => {
  it('is kept under the hash of its token; the token is nowhere', async () => {
    const token = await desk.invite();
    const hash = createHash('sha256').update('sealgate/join-token/v1\0').update(token).digest('hex');
    expect(tokenHash(token)).toBe(hash);
    const stored = await desk.store.get(RECORD.token(hash));
    expect(stored?.body).toMatchObject({ name: 'host-a', invitedBy: alice, expires: NOW + 600_000 });
    expect(JSON.stringify([stored, await desk.leaves()])).not.toContain(token);
    expect(await desk.leaves()).toMatchObject([
      { kind: 'operator', action: 'host-invite', target: 'host-a', by: { id: alice.certificate } },
    ]);
  });

  it('lives at least a second and at most an hour', () => {
    for (const ttl of [0, 999, MAX_TOKEN_TTL_MS + 1, 1500.5, Number.NaN])
      expectRefusal('enroll-invitation', () => invite(terms, ttl, context, systemRandom));
    expect(invite(terms, MAX_TOKEN_TTL_MS, context, systemRandom).token).toMatch(/^[\w-]{43}$/);
  });

  it.each([
    ['a name with a line feed', { name: 'host\na' }],
    ['a name with a path', { name: '../a' }],
    ['an empty platform', { platform: '' }],
    ['a label that is no word', { labels: { 'a b': 'c' } }],
    ['an unknown template', { ekTemplate: 'L-9' }],
    ['counters that begin anew for a new host', { restartCounters: true }],
    ['approval for a host that is in', { host: 'a'.repeat(64), needsApproval: true }],
    ['another EK than that of its host', { host: 'a'.repeat(64), ek: 'b'.repeat(64) }],
  ])('with %s is refused', (_, change) => {
    const wrong = { ...terms, ...change } as InvitationTerms;
    expectRefusal('enroll-invitation', () => invite(wrong, 60_000, context, systemRandom));
  });

  it('for a listed EK names it', () => {
    expectRefusal('enroll-invitation', () => listEk(terms, context));
  });

  it('for a name that a host has is denied when it is committed', async () => {
    await desk.enrolled(host, host.request({ token: await desk.invite() }));
    const { change } = invite(terms, 60_000, context, systemRandom);
    expect((await desk.commit(change)).denied?.check).toBe('enroll-name-taken');
  });

  it('that was withdrawn admits nobody, not even who holds a challenge', async () => {
    const request = host.request({ token: await desk.invite() });
    const offer = await desk.begin(request);
    const stored = await desk.store.get(RECORD.token(tokenHash(text(request, 'token'))));
    if (stored === undefined) throw new Error('no invitation');
    await desk.commit(withdraw(stored, bob));
    const { host: none, committed } = await desk.activate(offer, host.answer(offer, request));
    expect([none, committed?.denied?.check]).toEqual([null, 'state-moved']);
    await expectRejection('enroll-invitation-void', desk.begin(request));
    expect(await desk.row(host.id)).toBeUndefined();
  });

  it('that was used or withdrawn is not withdrawn: the host has come, or nothing is open', async () => {
    const token = await desk.invite();
    await desk.enrolled(host, host.request({ token }));
    const used = await desk.store.get(RECORD.token(tokenHash(token)));
    expectRefusal('invitation-state', () => withdraw(used!, bob));
    const open = await desk.store.get(RECORD.token(tokenHash(await desk.invite({ name: 'host-z' }))));
    await desk.commit(withdraw(open!, bob));
    const withdrawn = await desk.store.get(open!);
    expectRefusal('invitation-state', () => withdraw(withdrawn!, bob));
  });

  it('that is stored in another form is not believed', () => {
    const stored = { kind: 'join-token', id: 'x', version: 1, body: { v: 2 }, leaf: '0' };
    expectRefusal('host-record', () => parseInvitation(stored));
  });
});

describe('a host with a token', () => {
  it('becomes one record: EK, AK, agent key, name, and who let it in', async () => {
    const token = await desk.invite();
    const stored = await desk.enrolled(host, host.request({ token }));
    const akName = toHex(objectName(host.ak.publicBytes));
    expect(stored.host).toMatchObject({
      hostId: host.id,
      name: 'host-a',
      labels: { role: 'build' },
      platform: 'server-2024',
      state: 'active',
      generation: 1,
      ek: { template: 'L-2', certificate: { quirks: [] } },
      ak: { name: akName, qualifiedName: toHex(host.qualifiedSigner()), parent: 'ek' },
      boot: { resetCount: 3, restartCount: 1, clock: '1000' },
      tpm: { manufacturer: 'id:49465800', model: 'SLB9670', firmware: '0007005500000000' },
      admission: { by: 'token', invitedBy: alice, approvedBy: null, at: NOW },
    });
    const owner = { hostId: host.id };
    for (const ref of [RECORD.name('host-a'), RECORD.ak(akName), RECORD.agentKey(stored.host.agent.keyId)]) {
      expect((await desk.store.get(ref))?.body).toEqual(owner);
    }
    expect(await desk.store.get({ kind: 'counters', id: host.id })).toMatchObject({
      body: { resetCount: 3, clock: '1000' },
    });
  });

  it('is a leaf with a proof, in which no secret is', async () => {
    const token = await desk.invite();
    const request = host.request({ token });
    const offer = await desk.begin(request);
    const answer = host.answer(offer, request);
    const { committed } = await desk.activate(offer, answer);
    expect(committed?.proof).toContain('tlog-proof');
    expect(parseLeaf(committed?.leaf ?? new Uint8Array())).toMatchObject({
      kind: 'enrollment',
      outcome: 'allow',
      hostId: host.id,
      admission: 'token',
      by: { kind: 'operator', id: alice.certificate },
    });
    expect(JSON.stringify(await desk.leaves())).not.toContain(text(answer, 'secret'));
  });

  it('may have its AK as a primary of the endorsement hierarchy', async () => {
    host.parent = 'primary';
    const { host: record } = await desk.enrolled(host, host.request({ token: await desk.invite() }));
    expect(record.ak).toMatchObject({ parent: 'primary', qualifiedName: toHex(host.qualifiedSigner()) });
  });

  it('needs the approval of another operator where its invitation says so', async () => {
    const token = await desk.invite({ needsApproval: true });
    const pending = await desk.enrolled(host, host.request({ token }));
    expect(pending.host.state).toBe('pending');
    expectRefusal('approve-own', () => approveHost(pending, alice));
    expectRefusal('approve-own', () => approveHost(pending, { certificate: 'ffff', name: 'alice' }));
    expectRefusal('enroll-invitation', () => approveHost(pending, bob, { ...terms, name: 'other' }));
    expect((await desk.commit(approveHost(pending, bob))).ok).toBe(true);
    expect((await desk.host(host.id)).host).toMatchObject({
      state: 'active',
      name: 'host-a',
      generation: 2,
      admission: { invitedBy: alice, approvedBy: bob },
    });
  });
});

describe('a host whose EK is listed', () => {
  it('comes without token and without certificate, and the record says so', async () => {
    const bare = new SoftwareHost(undefined, NOW);
    await desk.list(bare.id);
    const { host: record } = await desk.enrolled(bare, bare.request());
    expect(record).toMatchObject({
      state: 'active',
      ek: { certificate: null },
      admission: { by: 'ek-list' },
    });
    expect((await desk.leaves()).at(-1)).toMatchObject({ admission: 'ek-list', ekCertificate: null });
  });

  it('also by a token that is bound to it', async () => {
    const bare = new SoftwareHost(undefined, NOW);
    const token = await desk.invite({ ek: bare.id });
    expect((await desk.enrolled(bare, bare.request({ token }))).host.ek.certificate).toBeNull();
  });

  it('and whose entry was withdrawn stays out', async () => {
    await desk.list(host.id);
    const stored = await desk.store.get(RECORD.ekList(host.id));
    if (stored === undefined) throw new Error('not listed');
    await desk.commit(withdraw(stored, alice));
    await expectRejection('enroll-invitation-void', desk.begin(host.request()));
  });
});

describe('a host without invitation', () => {
  it('is not admitted by a genuine EK certificate', async () => {
    await expectRejection('enroll-admission', desk.begin(host.request()));
  });

  it('waits for approval where that is switched on, and gets name and platform with it', async () => {
    desk = await TestDesk.open([factory.certificate], { rules: approvals });
    const request = host.request({ name: 'wish' });
    const offer = await desk.begin(request);
    const answer = host.answer(offer, request);
    await desk.activate(offer, answer);
    const id = text(offer, 'enrollmentId');
    const poll = { secret: text(answer, 'secret') };
    expect(await pollEnrollment(desk.desk, id, poll)).toMatchObject({ state: 'pending', platform: null });
    expect(await desk.store.get(RECORD.name('wish'))).toBeUndefined();
    const pending = await desk.host(host.id);
    expectRefusal('enroll-invitation', () => approveHost(pending, alice));
    const given = { name: 'host-z', labels: {}, platform: 'server-2024' };
    expect((await desk.commit(approveHost(pending, alice, given))).ok).toBe(true);
    expect(await pollEnrollment(desk.desk, id, poll)).toMatchObject({ state: 'active', name: 'host-z' });
    expect((await desk.leaves()).map(({ kind }) => kind)).toEqual(['enrollment', 'transition']);
  });

  it('is not approved under a name that a host has', async () => {
    desk = await TestDesk.open([factory.certificate], { rules: approvals });
    await desk.enrolled(host, host.request({ token: await desk.invite() }));
    const second = new SoftwareHost(factory, NOW);
    const pending = await desk.enrolled(second, second.request());
    const { name, labels, platform } = terms;
    const denied = await desk.commit(approveHost(pending, bob, { name, labels, platform }));
    expect(denied.denied?.check).toBe('enroll-name-taken');
    expect((await desk.host(second.id)).host.state).toBe('pending');
  });

  it('needs a certificate to wait', async () => {
    desk = await TestDesk.open([factory.certificate], { rules: approvals });
    const bare = new SoftwareHost(undefined, NOW);
    await expectRejection('enroll-ek-certificate', desk.begin(bare.request()));
  });
});

describe('polling', () => {
  it('answers only who knows the secret, until the enrollment is over', async () => {
    const request = host.request({ token: await desk.invite() });
    const offer = await desk.begin(request);
    const answer = host.answer(offer, request);
    await desk.activate(offer, answer);
    const id = text(offer, 'enrollmentId');
    const poll = { secret: text(answer, 'secret') };
    expect((await pollEnrollment(desk.desk, id, poll)).hostId).toBe(host.id);
    const wrong = { secret: toBase64url(new Uint8Array(32)) };
    await expectRejection('enroll-secret', pollEnrollment(desk.desk, id, wrong));
    await expectRejection('enroll-challenge', pollEnrollment(desk.desk, id.replace(/.$/, 'x'), poll));
    await expectRejection('enroll-form', pollEnrollment(desk.desk, id, { ...poll, more: 1 }));
    desk.wait(24 * 3_600_000);
    await expectRejection('enroll-expired', pollEnrollment(desk.desk, id, poll));
  });

  it('gives nothing to an older enrollment of a host that came again', async () => {
    const request = host.request({ token: await desk.invite() });
    const offer = await desk.begin(request);
    const answer = host.answer(offer, request);
    await desk.activate(offer, answer);
    const again = reborn(host);
    await desk.enrolled(again, again.request({ token: await desk.invite({ host: host.id }) }));
    const poll = { secret: text(answer, 'secret') };
    await expectRejection('enroll-expired', pollEnrollment(desk.desk, text(offer, 'enrollmentId'), poll));
  });
});

/** The same TPM with another AK and another agent. */
function reborn(old: SoftwareHost): SoftwareHost {
  const next = new SoftwareHost(undefined, NOW);
  Object.assign(next, { ek: old.ek, certificate: old.certificate });
  next.boot = { ...old.boot, clock: old.boot.clock + 10_000n };
  return next;
}

describe('a host that enrolls again', () => {
  beforeEach(async () => {
    await desk.enrolled(host, host.request({ token: await desk.invite() }));
  });

  it('comes with another AK by an invitation for it, and keeps name, labels and state', async () => {
    const again = reborn(host);
    const token = await desk.invite({ host: host.id, labels: { other: 'x' }, platform: 'other' });
    const { host: record, version } = await desk.enrolled(again, again.request({ token }));
    expect(record).toMatchObject({
      generation: 2,
      labels: { role: 'build' },
      platform: 'server-2024',
      ak: { name: toHex(objectName(again.ak.publicBytes)) },
    });
    expect(version).toBe(2);
  });

  it('stays in quarantine: another AK is no way out of it', async () => {
    const odd = { kind: 'operator', id: bob.certificate } as const;
    await desk.commit(quarantineHost(await desk.host(host.id), 'looked odd', odd));
    const again = reborn(host);
    const token = await desk.invite({ host: host.id });
    expect((await desk.enrolled(again, again.request({ token }))).host.state).toBe('quarantined');
  });

  it('can’t by an ordinary invitation, nor by the list', async () => {
    const again = reborn(host);
    const token = await desk.invite({ name: 'host-b' });
    await expectRejection('enroll-host-known', desk.begin(again.request({ token, name: 'host-b' })));
    await desk.list(host.id, { name: 'host-b' });
    await expectRejection('enroll-host-known', desk.begin(again.request({ name: 'host-b' })));
  });

  it('does not go back to the AK before', async () => {
    const again = reborn(host);
    await desk.enrolled(again, again.request({ token: await desk.invite({ host: host.id }) }));
    const token = await desk.invite({ host: host.id });
    await expectRejection('enroll-ak-known', desk.begin(host.request({ token })));
  });

  it('has counters that only advance, but for an operator who says that the TPM was cleared', async () => {
    const again = reborn(host);
    again.boot = { clock: 5n, resetCount: 0, restartCount: 0, safe: true };
    const denied = await desk.enroll(again, again.request({ token: await desk.invite({ host: host.id }) }));
    expect(denied.committed?.denied?.check).toBe('e17');
    expect((await desk.host(host.id)).version).toBe(1);
    const token = await desk.invite({ host: host.id, restartCounters: true });
    expect((await desk.enrolled(again, again.request({ token }))).host.boot.clock).toBe('5');
  });

  it('is only the host that is invited, under its name, with its certificate', async () => {
    const other = new SoftwareHost(factory, NOW);
    const token = await desk.invite({ host: host.id });
    await expectRejection('enroll-host', desk.begin(other.request({ token })));
    const renamed = await desk.invite({ host: host.id, name: 'host-b' });
    await expectRejection('enroll-name', desk.begin(host.request({ token: renamed, name: 'host-b' })));
    const bare = host.request({ token, ekCertificate: undefined });
    await expectRejection('enroll-ek-key', desk.begin(bare));
    const unknown = await desk.invite({ host: other.id });
    await expectRejection('enroll-host', desk.begin(other.request({ token: unknown })));
  });
});

describe('keys', () => {
  it('of the agent are P-256 and nobody else’s', async () => {
    const token = await desk.invite();
    const ofAk = toBase64url(new Uint8Array(host.ak.publicKey.export({ type: 'spki', format: 'der' })));
    await expectRejection('enroll-agent-key', desk.begin(host.request({ token, agentPublic: ofAk })));
    const p384 = toBase64url(keyOf('P-384'));
    await expectRejection('enroll-agent-key', desk.begin(host.request({ token, agentPublic: p384 })));
    await desk.enrolled(host, host.request({ token }));
    const second = new SoftwareHost(factory, NOW);
    const next = await desk.invite({ name: 'host-b' });
    const stolen = second.request({
      token: next,
      name: 'host-b',
      agentPublic: text(host.request(), 'agentPublic'),
    });
    await expectRejection('enroll-agent-key-known', desk.begin(stolen));
  });

  it('that attest follow rules h', async () => {
    host.ak = softwareAk(0x0004_0072);
    await expectRejection('h', desk.begin(host.request({ token: await desk.invite() })));
  });
});

function keyOf(namedCurve: string): Uint8Array {
  const { publicKey } = generateKeyPairSync('ec', { namedCurve });
  return new Uint8Array(publicKey.export({ type: 'spki', format: 'der' }));
}

it('the label of a join token’s hash is its own', () => {
  expect(tokenHash('a')).not.toBe(toHex(new Uint8Array(createHash('sha256').update(utf8('a')).digest())));
});
