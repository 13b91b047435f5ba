import { readFileSync, readdirSync, statSync } from 'node:fs';
import path from 'node:path';
import { createPublicKey } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Tpm } from '../../native/index.ts';
import { judgeEnrollmentAnswer } from '../../src/agent/enrollment-answer.ts';
import type { EnrolledAs } from '../../src/agent/enrollment-answer.ts';
import { enrollHost, openHost } from '../../src/agent/index.ts';
import { toHex } from '../../src/base/index.ts';
import type { JsonObject } from '../../src/base/index.ts';
import { VerifierClient } from '../../src/client/index.ts';
import { startSwtpm } from '../../src/testing/index.ts';
import type { Swtpm } from '../../src/testing/index.ts';
import {
  hostId as hostIdOf,
  importAttestationKey,
  parsePcrSelectionText,
  parsePublic,
  verifyQuote,
} from '../../src/tpm/index.ts';
import { parseSpki } from '../../src/x509/index.ts';
import { TpmHost } from '../enrollment/tpm-host.ts';
import { expectRefusal, expectRejection } from '../support/refusals.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { TRUST_DOMAIN, install } from '../support/verifier.ts';
import { AgentWorld } from './world.ts';

const directory = temporaryDirectory();
const stateOf = (name: string) => path.join(directory, `state-${name}`);
let world: AgentWorld;
let tpm: Swtpm;
beforeAll(async () => {
  tpm = await startSwtpm({ eccP256: true });
  world = await AgentWorld.start(directory, tpm, { SEALGATE_ENROLLMENT_APPROVALS: 'true' });
});
afterAll(async () => {
  await world.stop();
  await tpm.stop();
});

/** The persistent objects of AKs. */
async function keys(): Promise<number[]> {
  await using connection = await Tpm.open(tpm.tcti);
  return (await connection.handles('persistent')).filter((h) => h >= 0x8101_0020 && h <= 0x8101_003f);
}
async function idOf(template: 'L-1' | 'L-2' | 'H-2'): Promise<string> {
  await using connection = await Tpm.open(tpm.tcti);
  await using ek = await connection.endorsementKey(template);
  return hostIdOf(parsePublic(ek.publicBytes));
}

describe('a host enrolls', () => {
  it('with a join token, and its state opens', async () => {
    const state = stateOf('token');
    const token = await world.invite('host-a');
    const identity = await enrollHost(world.order('host-a', tpm, state, token));
    expect(identity).toMatchObject({ trustDomain: TRUST_DOMAIN, name: 'host-a', ekTemplate: 'L-1' });
    expect(statSync(state).mode & 0o777).toBe(0o700);
    for (const name of readdirSync(state)) expect(statSync(path.join(state, name)).mode & 0o777).toBe(0o600);
    expect(readdirSync(state)).not.toContain('enrollment.json');
    await using host = await openHost({ state });
    expect(host.identity).toEqual(identity);
    expect(host.trust).toMatchObject({ version: 1, trustDomain: TRUST_DOMAIN });
    expect(host.checkpoint.read().size).toBeGreaterThan(1n);
    const selection = parsePcrSelectionText('sha256:0,10,23');
    const quote = await host.quoteNow(selection, new Uint8Array(32).fill(7));
    const verified = verifyQuote(
      { attest: quote.attest, signature: quote.signature, pcrs: quote.values },
      importAttestationKey(host.ak.publicBytes),
      { nonce: new Uint8Array(32).fill(7), selection },
    );
    expect(verified.pcrs?.get('sha256', 23)).toEqual(quote.values.get('sha256')?.get(23));
    await expectRejection('agent-enrolled', enrollHost(world.order('host-a', tpm, state, token)));
  });

  it('not twice with one token, and leaves no key behind', async () => {
    const token = await world.invite('host-b', { ekTemplate: 'L-2' });
    const before = await keys();
    await enrollHost(world.order('host-b', tpm, stateOf('b'), token));
    // The first EK was refused, since the invitation names another one: its AK is gone again.
    expect(await keys()).toHaveLength(before.length + 1);
    const again = enrollHost(world.order('host-b', tpm, stateOf('b2'), token));
    await expectRejection('replay-token', again);
    expect(await keys()).toHaveLength(before.length + 1);
    expect(readdirSync(stateOf('b2'))).not.toContain('identity.json');
  });

  it('by another EK where NV has the manufacturer’s own template for the first', async () => {
    const index = '0x01c00004';
    await tpm.tool('tpm2_nvdefine', [index, '-C', 'p', '-s', '8', '-a', 'platformcreate|authread|ppwrite']);
    // The one that is there from the factory may be the certified one; made anew it isn't.
    await tpm.tool('tpm2_evictcontrol', ['-C', 'o', '-c', '0x81010001']);
    try {
      const token = await world.invite('host-g', { ekTemplate: 'H-3' });
      const first = { ...world.order('host-g', tpm, stateOf('g'), token), ekTemplate: 'L-1' as const };
      await expectRejection('tpm-ek-template', enrollHost(first));
      const identity = await enrollHost(world.order('host-g', tpm, stateOf('g2'), token));
      expect(identity).toMatchObject({ ekTemplate: 'H-3' });
    } finally {
      await tpm.tool('tpm2_nvundefine', [index, '-C', 'p']);
    }
  });

  it('not with a verifier that shows another CA, and tells it nothing', async () => {
    const token = await world.invite('host-c');
    const order = { ...world.order('host-c', tpm, stateOf('c'), token), caFingerprint: 'ab'.repeat(32) };
    const before = await keys();
    await expectRejection('verifier-pin', enrollHost(order));
    expect(await keys()).toEqual(before);
    // The token was never shown: it still works for the EK of another template.
    expect(world.verifier.lines.join('')).not.toContain(token);
  });

  it('by its listed EK', async () => {
    const listed = await idOf('H-2');
    await world.invite('host-d', { ek: listed, ekTemplate: 'H-2', ttlSeconds: null });
    const byList = { ...world.order('host-d', tpm, stateOf('d')), ekTemplate: 'H-2' as const };
    expect((await enrollHost(byList)).hostId).toBe(listed);
  });
});

describe('an approval', () => {
  it('is waited for, also in two goes', async () => {
    const fresh = await startSwtpm();
    try {
      const order = { ...world.order('host-e', fresh, stateOf('e')), pollMs: 100 };
      const stop = new AbortController();
      let pending = '';
      const first = enrollHost({
        ...order,
        signal: stop.signal,
        onPending: (hostId) => {
          pending = hostId;
          stop.abort();
        },
      });
      await expect(first).rejects.toThrow('abort');
      expect(readdirSync(order.state ?? '')).toContain('enrollment.json');
      const second = enrollHost(order);
      const terms = { name: 'host-e', labels: {}, platform: 'vm' };
      await world.operate(`/v1/hosts/${pending}/approve`, { terms }, world.operator('bob', ['approve']));
      expect(await second).toMatchObject({ hostId: pending, name: 'host-e' });
      await using host = await openHost({ state: order.state ?? '' });
      expect(host.identity.hostId).toBe(pending);
    } finally {
      await fresh.stop();
    }
  });
});

describe('an answer that does not fit together is refused', () => {
  let answer: JsonObject;
  let own: EnrolledAs;
  beforeAll(async () => {
    const fresh = await startSwtpm();
    const connection = await Tpm.open(fresh.tcti);
    try {
      const host = new TpmHost(connection, 'L-1');
      const ak = await host.akUnderEk();
      const request = await host.request(ak, { name: 'host-f', token: await world.invite('host-f') });
      const client = await VerifierClient.connect({ url: world.url, caFingerprint: world.caFingerprint });
      const offer = (await client.request('POST', '/v1/enrollments', { body: request })).json;
      const url = `/v1/enrollments/${offer['enrollmentId'] as string}/activate`;
      answer = (await client.request('POST', url, { body: await host.answer(ak, offer, request) })).json;
      delete (answer as Record<string, unknown>)['auditIndex'];
      await client.close();
      const spki = createPublicKey(host.agent.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString());
      own = {
        hostId: offer['hostId'] as string,
        akName: toHex(ak.name),
        agentKeyId: parseSpki(new Uint8Array(spki.export({ type: 'spki', format: 'der' }))).keyId,
        now: Date.now(),
      };
    } finally {
      await connection.close();
      await fresh.stop();
    }
  });

  it('while the real one is accepted', () => {
    expect(judgeEnrollmentAnswer(answer, own)).toMatchObject({ trustDomain: TRUST_DOMAIN });
  });

  it('with the trust bundle of another installation, or none', () => {
    const other = path.join(directory, 'other');
    install(other);
    const file = path.join(other, 'certificates/trust-bundles.json');
    const foreign = JSON.parse(readFileSync(file, 'utf8')) as JsonObject[];
    expectRefusal('x509-untrusted', () => judgeEnrollmentAnswer({ ...answer, trustBundles: foreign }, own));
    expectRefusal('enroll-answer', () => judgeEnrollmentAnswer({ ...answer, trustBundles: [] }, own));
    const [bundle] = answer['trustBundles'] as unknown as JsonObject[];
    const unsigned = [{ ...bundle, signatures: [{ sig: 'AAAA' }] }] as unknown as JsonObject[];
    expectRefusal('policy-signatures', () =>
      judgeEnrollmentAnswer({ ...answer, trustBundles: unsigned }, own),
    );
  });

  it('for another host, key or AK', () => {
    const zero = '00'.repeat(32);
    expectRefusal('enroll-answer', () => judgeEnrollmentAnswer(answer, { ...own, hostId: zero }));
    expectRefusal('agent-certificate', () => judgeEnrollmentAnswer(answer, { ...own, agentKeyId: zero }));
    const akName = `000b${zero}`;
    expectRefusal('enroll-answer', () => judgeEnrollmentAnswer(answer, { ...own, akName }));
    const late = own.now + 48 * 3_600_000;
    expectRefusal('agent-certificate', () => judgeEnrollmentAnswer(answer, { ...own, now: late }));
  });

  it('with a leaf that is not in the log', () => {
    const leaf = (answer['leaf'] as string).replace('host-f', 'host-x');
    expectRefusal('log-inclusion', () => judgeEnrollmentAnswer({ ...answer, leaf }, own));
  });
});
