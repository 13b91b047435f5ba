import { generateKeyPairSync } from 'node:crypto';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import type { JsonObject } from '../../src/base/index.ts';
import { hostSpiffeId } from '../../src/credential/index.ts';
import { LocalIssuer } from '../../src/identity/index.ts';
import { prepareAttestation } from '../../src/lifecycle/attest.ts';
import { commitDecision } from '../../src/lifecycle/commit-decision.ts';
import { prepareExecution } from '../../src/lifecycle/decide.ts';
import { revocationChange } from '../../src/server/revocation.ts';
import { DecisionHost, DecisionWorld, claimsOf } from '../server/decision-world.ts';
import type { Allowed, AskOptions } from '../server/decision-world.ts';
import { systemRandom } from '../support/random.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { TRUST_DOMAIN } from '../support/verifier.ts';

// Emulated TPMs answer slowly on a busy machine.
vi.setConfig({ testTimeout: 120_000 });

// All stages of an execution and of a renewal have said yes, and then something is revoked, before they are committed:
// what rests on it is denied, and nothing else is.
const ISSUER = 'https://people.example.org';
const people = new LocalIssuer(
  ISSUER,
  generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey,
  systemRandom,
);
let world: DecisionWorld;
let host: DecisionHost;
let second: DecisionHost;
let third: DecisionHost;
let fourth: DecisionHost;
beforeAll(async () => {
  world = await DecisionWorld.open(path.join(temporaryDirectory(), 'v'));
  await publish();
  host = await DecisionHost.enroll(world, 'host-a');
  second = await DecisionHost.enroll(world, 'host-b');
  third = await DecisionHost.enroll(world, 'host-c');
  fourth = await DecisionHost.enroll(world, 'host-d');
}, 240_000);
afterAll(async () => {
  for (const one of [host, second, third, fourth]) await one.close();
  await world.verifier.server.stop();
});

const publish = async () =>
  await world.publish({ initiators: { issuer: ISSUER, jwks: await people.jwks() } });
const revoke = async (kind: string, id: string): Promise<unknown> => {
  const answer = await world.operate('POST', '/v1/revocations', { kind, id, reason: 'in between' });
  if (answer.status !== 201) throw new Error(answer.text);
  return answer;
};
const token = async (subject: string): Promise<string> =>
  await people.issue({ subject, audience: TRUST_DOMAIN, now: Math.floor(Date.now() / 1000), lifetime: 300 });

/** An execution that runs and is to be renewed, another one that is asked for; what is done between stages and commit. */
async function between(
  of: DecisionHost,
  options: () => Promise<AskOptions>,
  act: (run: Allowed) => Promise<unknown>,
) {
  const { decisions, ledger } = world.verifier.server.services;
  const run = await of.run(await options());
  const facts = await decisions.hosts.get(of.hostId);
  const caller = { hostId: of.hostId, agentKey: facts?.agentKey ?? '', notAfter: Date.now() + 86_400_000 };
  const [one, two] = [await of.session(), await of.session()];
  const live = { token: String(run.answer['authorization']), sequence: 0, workload: run.workload };
  const { body } = await of.prepareAttestation([live], one.nonceTpm);
  const renewal = await prepareAttestation(body as unknown as JsonObject, of.hostId, caller, decisions);
  const asked = await of.prepare(two.nonceTpm, await options());
  const execution = await prepareExecution(asked.body, caller, decisions);
  expect([renewal.prepared.outcome, execution.outcome]).toEqual(['allow', 'allow']);
  await act(run);
  const decided = [
    await commitDecision(renewal.prepared, decisions, ledger),
    await commitDecision(execution, decisions, ledger),
  ];
  await one.session.flush();
  await two.session.flush();
  return decided.map((each) => (each.outcome === 'allow' ? 'allow' : each.denial.check));
}

const plain = async (): Promise<AskOptions> => Promise.resolve({});
const DENIED = ['revoked-meanwhile', 'revoked-meanwhile'];

describe('a revocation between the stages and the commit', () => {
  it('of each kind, of something that neither rests on, denies nothing', async () => {
    const digest = `sha256:${'7'.repeat(64)}`;
    const stranger = await second.run();
    const decided = await between(host, plain, async () => {
      for (const [kind, id] of [
        ['host', '7'.repeat(64)],
        ['ak', `000b${'7'.repeat(64)}`],
        ['ek-ca', '7'.repeat(64)],
        ['artifact', digest],
        ['signer', 'SHA256:another'],
        ['initiator', `${ISSUER}#mallory`],
        ['authority', 'another'],
        ['policy', digest],
        ['execution', stranger.request.executionId],
      ] as const)
        await revoke(kind, id);
    });
    expect(decided).toEqual(['allow', 'allow']);
  });

  it('of a host that neither is on, and its quarantine, deny nothing', async () => {
    const decided = await between(host, plain, async () => {
      for (const action of ['quarantine', 'restore'])
        await world.operate('POST', `/v1/hosts/${second.hostId}/${action}`, { reason: 'a look' });
    });
    expect(decided).toEqual(['allow', 'allow']);
  });

  it('of the artifact denies both', async () => {
    const options = async () => Promise.resolve({ content: 'revoked' });
    const artifact = async ({ request }: Allowed) => await revoke('artifact', request.artifact.digest);
    expect(await between(host, options, artifact)).toEqual(DENIED);
  });

  it('of the initiator denies both', async () => {
    const options = async () => ({ request: { initiator: await token('alice') } });
    expect(await between(host, options, async () => await revoke('initiator', `${ISSUER}#alice`))).toEqual(
      DENIED,
    );
  });

  it('of what runs above denies both', async () => {
    const under = await second.run();
    const options = async () => Promise.resolve({ under });
    const above = async () => await revoke('execution', under.request.executionId);
    // What is renewed was itself ended by it; of what is asked for, the record above has changed.
    expect(await between(host, options, above)).toEqual(['revoked-meanwhile', 'state-moved']);
  });

  it('of the artifact of what runs above denies both', async () => {
    const under = await second.run({ content: 'above' });
    const options = async () => Promise.resolve({ under });
    const above = async () => await revoke('artifact', under.request.artifact.digest);
    expect(await between(host, options, above)).toEqual(DENIED);
  });

  it('of a policy under which only a renewal of what runs further above was made denies both', async () => {
    const top = await second.run();
    const under = await host.run({ under: top });
    const { hash: renewing } = await world.publish({ maxChildren: 30 });
    const { session, nonceTpm } = await second.session();
    const live = { token: String(top.answer['authorization']), sequence: 0, workload: top.workload };
    const { body } = await second.prepareAttestation([live], nonceTpm);
    const renewed = await second.post(`/v1/hosts/${second.hostId}/attestations`, body);
    expect(renewed).toMatchObject({ status: 200, json: { ended: [] } });
    await session.flush();
    await publish();
    const options = async () => Promise.resolve({ under });
    // Before it is known what rests on it: the commit of the revocation alone.
    const { ledger, records } = world.verifier.server.services;
    const operator = { name: 'operator', certificate: 'c'.repeat(64) };
    const revocation = { kind: 'policy', id: renewing, reason: 'in between' } as const;
    const decided = await between(host, options, async () => {
      const change = await revocationChange(revocation, operator, { records }, Date.now());
      expect((await ledger.commit(change)).ok).toBe(true);
    });
    expect(decided).toEqual(DENIED);
    expect((await host.ask({ under })).json).toMatchObject({ check: 'dependency-revoked' });
  });

  it('of the execution that is renewed denies its renewal alone', async () => {
    const itself = async ({ request }: Allowed) => await revoke('execution', request.executionId);
    expect(await between(host, plain, itself)).toEqual(['revoked-meanwhile', 'allow']);
  });

  it('of a signer denies both', async () => {
    const signer = async ({ answer }: Allowed) =>
      await revoke('signer', claimsOf(String(answer['authorization'])).attr.signers[0] ?? '');
    expect(await between(host, plain, signer)).toEqual(DENIED);
    await world.anotherSigner();
    await publish();
  });

  it('of the policy that a running execution was allowed under denies its renewal under the next one', async () => {
    const { hash = '' } = world.bundle ?? {};
    const run = await host.run();
    await publish();
    const { decisions, ledger } = world.verifier.server.services;
    const facts = await decisions.hosts.get(host.hostId);
    const caller = {
      hostId: host.hostId,
      agentKey: facts?.agentKey ?? '',
      notAfter: Date.now() + 86_400_000,
    };
    const { session, nonceTpm } = await host.session();
    const live = { token: String(run.answer['authorization']), sequence: 0, workload: run.workload };
    const { body } = await host.prepareAttestation([live], nonceTpm);
    const { prepared } = await prepareAttestation(
      body as unknown as JsonObject,
      host.hostId,
      caller,
      decisions,
    );
    expect(prepared.outcome).toBe('allow');
    await revoke('policy', hash);
    const decided = await commitDecision(prepared, decisions, ledger);
    expect(decided).toMatchObject({ outcome: 'deny', denial: { check: 'revoked-meanwhile' } });
    await session.flush();
  });

  it('of the policy denies both', async () => {
    expect(
      await between(host, plain, async ({ request }) => await revoke('policy', request.policyHash)),
    ).toEqual(DENIED);
    await publish();
  });

  it('of the attestation key denies both', async () => {
    const ak = Buffer.from(host.ak.name).toString('hex');
    expect(await between(host, plain, async () => await revoke('ak', ak))).toEqual(DENIED);
  });

  it('of the host as the origin of what it starts denies both', async () => {
    const origin = hostSpiffeId(TRUST_DOMAIN, second.hostId);
    expect(await between(second, plain, async () => await revoke('initiator', origin))).toEqual(DENIED);
    expect((await second.ask()).json).toMatchObject({ check: 'dependency-revoked' });
  });

  it('of the host denies both: its record changes with it', async () => {
    const itself = async () => await revoke('host', third.hostId);
    expect(await between(third, plain, itself)).toEqual(['state-moved', 'state-moved']);
  });

  it('of an authority that signed the policy denies both', async () => {
    const authority = async ({ answer }: Allowed) =>
      await revoke('authority', claimsOf(String(answer['authorization'])).gov.authorities[0] ?? '');
    expect(await between(fourth, plain, authority)).toEqual(DENIED);
  });
});
