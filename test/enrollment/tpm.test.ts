import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { Tpm } from '../../native/index.ts';
import type { TpmObject } from '../../native/index.ts';
import { leafHash, parseLogProof, verifyLogProof } from '../../src/audit/index.ts';
import { toHex, utf8 } from '../../src/base/index.ts';
import type { JsonObject } from '../../src/base/index.ts';
import { revokeHost } from '../../src/enrollment/index.ts';
import { startSwtpm } from '../../src/testing/index.ts';
import type { Swtpm } from '../../src/testing/index.ts';
import { hostId, parsePublicIn } from '../../src/tpm/index.ts';
import type { EkTemplateName } from '../../src/tpm/index.ts';
import { parseCertificate } from '../../src/x509/index.ts';
import { expectRejection } from '../support/refusals.ts';
import { TestDesk, bob, text } from './desk.ts';
import { TpmHost } from './tpm-host.ts';

// The whole enrollment against an emulated TPM: the host's side through node-tpm2, the verifier's over a real store.
let emulator: Swtpm;
let tpm: Tpm;
let desk: TestDesk;
let now: number;
beforeAll(async () => {
  emulator = await startSwtpm({ eccP256: true });
  tpm = await Tpm.open(emulator.tcti);
  // swtpm's certificates begin when they are made.
  now = Date.now() + 60_000;
});
afterAll(async () => {
  await tpm.close();
  await emulator.stop();
});
beforeEach(async () => {
  desk = await TestDesk.open([emulator.caCertificates.root], { trust: trust() }, now);
});

function trust() {
  const { root, issuer } = emulator.caCertificates;
  return { anchors: [parseCertificate(root)], pool: [parseCertificate(issuer)], revoked: new Set<string>() };
}

/** Both requests; what the desk says to the second. */
async function enroll(host: TpmHost, ak: TpmObject, members: JsonObject) {
  const request = await host.request(ak, members);
  const offer = await desk.begin(request);
  return await desk.activate(offer, await host.answer(ak, offer, request));
}

describe('a TPM enrolls', () => {
  it.each<EkTemplateName>(['L-1', 'L-2', 'H-3'])('with its certified EK of template %s', async (template) => {
    const host = new TpmHost(tpm, template);
    const ak = await host.akUnderEk();
    const token = await desk.invite({ ekTemplate: template });
    const { host: record, committed } = await enroll(host, ak, { token });
    expect(record).toMatchObject({
      state: 'active',
      ek: { template },
      ak: { name: toHex(ak.name), parent: 'ek' },
      tpm: { manufacturer: 'id:00001014', model: 'swtpm' },
    });
    expect((await desk.host(record?.hostId ?? '')).host).toEqual(record);
    const proof = parseLogProof(utf8(committed?.proof ?? ''));
    const leaf = leafHash(committed?.leaf ?? new Uint8Array());
    expect(verifyLogProof(proof, { leafHash: leaf, logKeys: [desk.logKey] })).toEqual([]);
    await tpm.evictControl(ak);
  });

  it('with an AK that is a primary of the endorsement hierarchy', async () => {
    const host = new TpmHost(tpm, 'L-2');
    await using ak = await host.primaryAk('endorsement');
    const token = await desk.invite();
    const { host: record } = await enroll(host, ak, { token });
    expect(record?.ak).toMatchObject({ parent: 'primary', name: toHex(ak.name) });
  });

  it('by its listed hash, without a certificate', async () => {
    const host = new TpmHost(tpm, 'H-2');
    await using ak = await host.primaryAk('endorsement');
    const request = await host.request(ak);
    expect(request).not.toHaveProperty('ekCertificate');
    await expectRejection('enroll-admission', desk.begin(request));
    const ek = parsePublicIn(new Uint8Array(Buffer.from(text(request, 'ekPublic'), 'base64url')));
    await desk.list(hostId(ek.area), { ekTemplate: 'H-2' });
    const { host: record } = await enroll(host, ak, {});
    expect(record).toMatchObject({ state: 'active', ek: { certificate: null, template: 'H-2' } });
  });
});

describe('a TPM doesn’t enroll', () => {
  it.each(['owner', 'null'] as const)('with an AK in the %s hierarchy', async (hierarchy) => {
    const host = new TpmHost(tpm, 'L-2');
    await using ak = await host.primaryAk(hierarchy);
    const token = await desk.invite();
    const request = await host.request(ak, { token });
    const offer = await desk.begin(request);
    const answer = await host.answer(ak, offer, request);
    await expectRejection('e15', desk.activate(offer, answer));
    expect((await desk.leaves()).at(-1)).toMatchObject({ outcome: 'deny', denial: { check: 'e15' } });
  });

  it('under the EK of another TPM: its credential doesn’t open', async () => {
    await using other = await startSwtpm({ eccP256: true });
    await using otherTpm = await Tpm.open(other.tcti);
    const genuine = new TpmHost(tpm, 'L-2');
    const attacker = new TpmHost(otherTpm, 'L-2');
    await using ak = await attacker.primaryAk('endorsement');
    const theirs = await attacker.request(ak, { token: await desk.invite() });
    const { ekPublic = '', ekCertificate = '' } = await genuine.request(ak);
    const offer = await desk.begin({ ...theirs, ekPublic, ekCertificate });
    await expect(attacker.answer(ak, offer, theirs)).rejects.toMatchObject({ name: /TPM_RC_/ });
  });

  it('again after its revocation, by either EK with the same AK', async () => {
    const host = new TpmHost(tpm, 'L-2');
    await using ak = await host.primaryAk('endorsement');
    const { host: record } = await enroll(host, ak, { token: await desk.invite() });
    await desk.commit(revokeHost(await desk.host(record?.hostId ?? ''), 'stolen', bob));
    const again = await desk.invite({ name: 'host-b' });
    await expectRejection(
      'enroll-revoked',
      desk.begin(await host.request(ak, { token: again, name: 'host-b' })),
    );
    const rsa = new TpmHost(tpm, 'L-1');
    const token = await desk.invite({ name: 'host-b', ekTemplate: 'L-1' });
    await expectRejection('enroll-revoked', desk.begin(await rsa.request(ak, { token, name: 'host-b' })));
  });
});
