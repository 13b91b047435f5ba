import { createPrivateKey, createPublicKey } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Tpm } from '../../native/index.ts';
import {
  askChallenge,
  attestHost,
  enrollHost,
  hostEvidence,
  openHost,
  systemClock,
} from '../../src/agent/index.ts';
import { VerifierRefusal } from '../../src/client/index.ts';
import { readCertificate } from '../../src/config/index.ts';
import { agentUri } from '../../src/enrollment/index.ts';
import { parseEvidence } from '../../src/lifecycle/index.ts';
import { parsePcrSelectionText } from '../../src/tpm/index.ts';
import { dNg, entry, join, nNg } from '../support/ima.ts';
import { startSwtpm } from '../../src/testing/index.ts';
import type { Swtpm } from '../../src/testing/index.ts';
import { issueCertificate, parseCertificate, parsePem, randomSerial, toPem } from '../../src/x509/index.ts';
import { systemRandom } from '../support/random.ts';
import { expectRejection } from '../support/refusals.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { TRUST_DOMAIN } from '../support/verifier.ts';
import { AgentWorld } from './world.ts';

const directory = temporaryDirectory();
const state = path.join(directory, 'state');
let world: AgentWorld;
let tpm: Swtpm;
beforeAll(async () => {
  tpm = await startSwtpm({ clone: true });
  world = await AgentWorld.start(directory, tpm);
  await world.publish();
  await enrollHost(world.order('host-a', tpm, state, await world.invite('host-a')));
});
afterAll(async () => {
  await world.stop();
  await tpm.stop();
});

/** One attestation by a host that is opened for it. */
async function attest() {
  await using host = await openHost({ state });
  return await attestHost(host, [], systemClock);
}

async function identity() {
  await using host = await openHost({ state });
  return host.identity;
}

/** The agent certificate of the state, as DER. */
function certificate() {
  const [der] = parsePem(new Uint8Array(readFileSync(path.join(state, 'agent.pem'))));
  return parseCertificate(der ?? new Uint8Array());
}

/** Puts a certificate into the state that the agent CA issued for this host's key, for another time. */
function age(hostId: string, notBefore: number, notAfter: number) {
  const agentKey = createPublicKey(readFileSync(path.join(state, 'agent.key')));
  const der = issueCertificate({
    subject: { commonName: 'host-a' },
    publicKey: agentKey,
    issuer: {
      certificate: readCertificate(path.join(world.directory, 'certificates/agent-ca.pem')).raw,
      key: createPrivateKey(readFileSync(path.join(world.directory, 'keys/agent-ca.key'))),
    },
    serial: randomSerial(systemRandom),
    notBefore,
    notAfter,
    purpose: { kind: 'tls-client', uri: agentUri(TRUST_DOMAIN, hostId) },
  });
  writeFileSync(path.join(state, 'agent.pem'), toPem(der), { mode: 0o600 });
}

describe('a host attests', () => {
  it('and its checkpoint goes forward', async () => {
    await using host = await openHost({ state });
    const before = host.checkpoint.read().size;
    const outcome = await attestHost(host, [], systemClock);
    expect(outcome).toMatchObject({ policyVersion: 1, certificateRenewed: false, renewed: [], ended: [] });
    expect(host.checkpoint.read().size).toBeGreaterThan(before);
    expect(host.policySeen.read()?.version).toBe(1);
    // A second one on the same connection, from the checkpoint that the first left.
    const again = await attestHost(host, [], systemClock);
    expect(Number(again.auditIndex)).toBeGreaterThan(Number(outcome.auditIndex));
  });

  it('after a reboot of its TPM, and never after it was rolled back', async () => {
    const snapshot = await tpm.snapshot();
    await tpm.reboot();
    await tpm.reboot();
    await attest();
    await tpm.restore(snapshot);
    const refusal = await expectRejection('e17', attest());
    expect(refusal).toBeInstanceOf(VerifierRefusal);
    expect(refusal).toMatchObject({ denial: { code: 'replay-detected' } });
    expect('auditIndex' in refusal ? refusal.auditIndex : '').toMatch(/^\d+$/);
    // The boots that the verifier has seen are passed again.
    await tpm.reboot();
    await tpm.reboot();
    await tpm.reboot();
    await attest();
  });

  it('and its certificate is renewed when less than half of it is left, also when it has ended', async () => {
    const hour = 3_600_000;
    const { hostId } = await identity();
    for (const [from, to] of [
      [-20 * hour, 2 * hour],
      // Ended, but not before its CA began.
      [-20 * hour, -1500],
    ] as const) {
      age(hostId, Date.now() + from, Date.now() + to);
      expect(await attest()).toMatchObject({ certificateRenewed: true });
      expect(certificate().notAfter).toBeGreaterThan(Date.now() + 20 * hour);
    }
    expect(await attest()).toMatchObject({ certificateRenewed: false });
  });
});

describe('evidence', () => {
  it('leaves out what the verifier knows of this very boot, and nothing of another one', async () => {
    const [eventLog, imaList] = [path.join(directory, 'events'), path.join(directory, 'ima')];
    const list = ['a', 'b', 'c'].map((name) => entry('ima-ng', [dNg(new Uint8Array(32)), nNg(`/${name}`)]));
    writeFileSync(eventLog, 'log');
    writeFileSync(imaList, join(...list.map(({ bytes }) => bytes)));
    await using host = await openHost({ state, eventLog, imaList });
    host.state.remove('evidence-seen.json');
    const quote = await host.quoteNow(parsePcrSelectionText('sha256:0,10'), new Uint8Array(32));
    const advice = { eventLog: 'unchanged', imaOffset: 2 } as const;
    const whole = hostEvidence(host, advice, quote);
    const claimed = parseEvidence(whole.collection);
    expect(claimed.eventLog).toEqual(new Uint8Array(readFileSync(eventLog)));
    expect(claimed.ima).toEqual({ list: new Uint8Array(readFileSync(imaList)), firstEntry: 0 });
    expect(claimed.items.map(({ name, sha256 }) => [name, sha256])).toEqual(
      [...whole.digests].sort(([a], [b]) => (a < b ? -1 : 1)),
    );
    whole.accepted();
    const rest = parseEvidence(hostEvidence(host, advice, quote).collection);
    expect(rest.eventLog).toBeUndefined();
    expect(rest.ima).toEqual({ list: list[2]?.bytes, firstEntry: 2 });
    const required = hostEvidence(host, { eventLog: 'required', imaOffset: 9 }, quote);
    const again = parseEvidence(required.collection);
    expect(again.eventLog).toBeDefined();
    // A verifier that knows more entries than there are knows another list.
    expect(again.ima?.firstEntry).toBe(0);
    host.state.write('evidence-seen.json', '{"resetCount":0,"restartCount":0}');
    expect(parseEvidence(hostEvidence(host, advice, quote).collection).ima?.firstEntry).toBe(0);
    host.state.remove('evidence-seen.json');
  });
});

describe('a host that is not believed', () => {
  it('quarantined, attests and gets nothing else; restored, it gets all', async () => {
    await using host = await openHost({ state });
    const { hostId } = host.identity;
    await world.operate(`/v1/hosts/${hostId}/quarantine`, { reason: 'looking at it' });
    expect(await attestHost(host, [], systemClock)).toMatchObject({ certificateRenewed: false });
    const asked = askChallenge(host, 'execution', systemClock);
    await expect(asked).rejects.toBeInstanceOf(VerifierRefusal);
    await world.operate(`/v1/hosts/${hostId}/restore`, { reason: 'it was nothing' });
    expect((await askChallenge(host, 'execution', systemClock)).nonce).not.toBe('');
  });

  it('with another boot chain is denied, and the denial is a leaf', async () => {
    await tpm.reboot();
    {
      await using connection = await Tpm.open(tpm.tcti);
      await connection.pcrExtend(0, { sha256: new Uint8Array(32).fill(1) });
    }
    const refusal = await expectRejection('pcr-value', attest());
    expect(refusal).toMatchObject({ denial: { code: 'environment-integrity-failure' } });
    await tpm.reboot();
    await attest();
  });
});

describe('a verifier that is not believed', () => {
  it('with a log that lacks what this host saw', async () => {
    const file = path.join(state, 'checkpoint');
    const kept = readFileSync(file, 'utf8');
    const [origin = '', size = '', , ...rest] = kept.split('\n');
    const root = Buffer.alloc(32, 7).toString('base64');
    writeFileSync(file, [origin, size, root, ...rest].join('\n'));
    await expectRejection('log-consistency', attest());
    writeFileSync(file, kept);
    await attest();
  });

  it('with another clock, or an older policy than this host knows', async () => {
    await using host = await openHost({ state });
    for (const seconds of [-40, 40]) {
      const clock = { now: () => Date.now() + seconds * 1000 };
      await expectRejection('clock-difference', attestHost(host, [], clock));
    }
    await host.policySeen.raise({ version: 7, hash: `sha256:${'ab'.repeat(32)}` });
    await expectRejection('policy-rollback', attestHost(host, [], systemClock));
    host.state.remove('policy-seen.json');
    await attestHost(host, [], systemClock);
  });
});
