import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { attestHost, enrollHost, openHost, systemClock } from '../../src/agent/index.ts';
import { formatVkey, parseCheckpoint, parseQuorumPolicy, verifySignatures } from '../../src/audit/index.ts';
import { witnessedLedger } from '../../src/server/witness/witnessed-ledger.ts';
import { startSwtpm } from '../../src/testing/index.ts';
import type { Swtpm } from '../../src/testing/index.ts';
import { cli } from '../support/cli.ts';
import { makeSite, policyText, witnesses } from '../server/witness-world.ts';
import type { Site } from '../server/witness-world.ts';
import { expectRejection } from '../support/refusals.ts';
import { copyDirectory, temporaryDirectory } from '../support/temporary.ts';
import { startVerifier } from '../support/verifier.ts';
import type { TestVerifier } from '../support/verifier.ts';
import { AgentWorld } from './world.ts';

const directory = temporaryDirectory();
const stateOf = (host: string): string => path.join(directory, host);
let world: AgentWorld;
const tpms: Swtpm[] = [];
let site: Site;
let witness: TestVerifier | undefined;
/** Environment of the verifier: whom it may ask, and for how long. */
let environment: Record<string, string>;

beforeAll(async () => {
  const tpm = await startSwtpm();
  tpms.push(tpm);
  world = await AgentWorld.start(directory, tpm);
  await world.publish();
  site = await makeSite(path.join(directory, 'w'), 'w.example');
  witnesses(site, [world.verifier.server.services.logKey]);
  witness = await startVerifier(site.directory, site.environment);
  environment = {
    SEALGATE_WITNESSING_CA_FILE: path.join(site.directory, 'certificates/tls-ca.pem'),
    SEALGATE_WITNESSING_WAIT_SECONDS: '3',
  };
});
afterAll(async () => {
  await world.stop();
  await witness?.server.stop();
  for (const tpm of tpms) await tpm.stop();
});

async function restart(more: Record<string, string> = environment, from = world.directory): Promise<void> {
  const { port } = world.verifier.server.address;
  await world.stop();
  world.verifier = await startVerifier(from, { SEALGATE_LISTEN_PORT: String(port), ...more });
}

async function attest(host = 'a') {
  await using opened = await openHost({ state: stateOf(host) });
  return await attestHost(opened, [], systemClock);
}

/** The checkpoint that a host remembers. */
const remembered = (host: string) =>
  parseCheckpoint(new Uint8Array(readFileSync(path.join(stateOf(host), 'checkpoint'))));

/** The next trust bundle, in which this witness must have cosigned whatever a host believes. */
async function demandWitness(): Promise<void> {
  const policy = path.join(directory, 'quorum.policy');
  writeFileSync(policy, policyText([site], 1));
  const config = ['--config', path.join(world.directory, 'sealgate.yaml')];
  const file = path.join(directory, 'trust-2.json');
  const steps = [
    ['prepare', '--witnesses', policy, '-o', file, ...config],
    ['sign', file, '--key', path.join(world.directory, 'offline/policy-authority-1.key')],
    ['publish', `${file}.dsse.json`, ...config],
  ];
  for (const step of steps) expect((await cli('trust-bundle', ...step)).exit).toBe(0);
}

describe('witnesses that the trust bundle names', () => {
  it('have cosigned what a host believes, from its enrollment on', async () => {
    await demandWitness();
    await restart();
    for (const name of ['a', 'b']) {
      const tpm = tpms[tpms.length - 1] ?? (await startSwtpm());
      await enrollHost(world.order(`host-${name}`, tpm, stateOf(name), await world.invite(`host-${name}`)));
      expect(verifySignatures(remembered(name).note, [site.witnessKey])).toHaveLength(1);
      tpms.push(await startSwtpm());
    }
    await attest();
    expect(verifySignatures(remembered('a').note, [site.witnessKey])).toHaveLength(1);
    const { text } = await world.verifier.call({ url: '/checkpoint' });
    expect(text).toContain(`— ${site.witnessKey.name} `);
  });

  it('are not done without: away, nothing is answered, and what was decided is in the log', async () => {
    await witness?.server.stop();
    const before = Number((await world.verifier.server.services.store.head())?.size);
    const refusal = await expectRejection('witness-quorum', attest());
    expect(refusal).toMatchObject({ denial: { code: 'verifier-fault' }, status: 503 });
    const head = await world.verifier.server.services.store.head();
    expect(Number(head?.size)).toBeGreaterThan(before);
    // A verifier that answers all the same is not believed.
    const { services } = world.verifier.server;
    (services as { hostLedger: typeof services.ledger }).hostLedger = services.ledger;
    await expectRejection('log-witnesses', attest());
    witness = await startVerifier(site.directory, site.environment);
    await restart();
    await attest();
  });

  it('cosign one of two logs that a verifier shows to two hosts', async () => {
    // Yesterday's copy of the verifier: the same keys, the same history until now.
    await world.stop();
    const copy = path.join(directory, 'copy');
    copyDirectory(world.directory, copy);
    await restart();
    await attest('a');
    await attest('a');
    // The copy's own log is another one from here on: the witness has seen more than that.
    const { port } = world.verifier.server.address;
    await world.stop();
    const port_ = { SEALGATE_LISTEN_PORT: String(port) };
    await expectRejection('log-behind', startVerifier(copy, { ...port_, ...environment }));
    // It may leave the witness out, but no host believes it then.
    const none = path.join(directory, 'none.policy');
    writeFileSync(none, 'quorum none\n');
    world.verifier = await startVerifier(copy, { ...port_, SEALGATE_WITNESSING_POLICY_FILE: none });
    const { services } = world.verifier.server;
    (services as { hostLedger: typeof services.ledger }).hostLedger = services.ledger;
    await expectRejection('log-witnesses', attest('b'));
    // And an auditor who has host a's checkpoint sees that it isn't this log.
    const url = `https://localhost:${String(port)}`;
    const profile = path.join(directory, 'auditor.yaml');
    const { caFingerprint, logKey } = services;
    writeFileSync(
      profile,
      `url: ${url}\ncaFingerprint: "${caFingerprint}"\nlogKey: "${formatVkey(logKey)}"\n`,
      { mode: 0o600 },
    );
    const file = path.join(stateOf('a'), 'checkpoint');
    const compared = await cli('audit', 'verify', '--profile', profile, '--with', file, '--json');
    expect(JSON.parse(compared.stdout)).toMatchObject({ ok: false, denial: { check: 'log-consistency' } });
    await restart();
    await attest('b');
  });
});

describe('witnesses that policy names', () => {
  it('have cosigned the answers of the actions that it names', async () => {
    const other = await makeSite(path.join(directory, 'x'), 'x.example');
    witnesses(other, [world.verifier.server.services.logKey]);
    const second = await startVerifier(other.directory, other.environment);
    try {
      const both = path.join(directory, 'both.policy');
      writeFileSync(both, policyText([site, other], 2));
      const ca = path.join(directory, 'both.pem');
      writeFileSync(
        ca,
        [site, other]
          .map((one) => readFileSync(path.join(one.directory, 'certificates/tls-ca.pem'), 'utf8'))
          .join(''),
      );
      const asksBoth = {
        ...environment,
        SEALGATE_WITNESSING_POLICY_FILE: both,
        SEALGATE_WITNESSING_CA_FILE: ca,
      };
      await restart(asksBoth);
      await world.publish({ witnessed: { policy: policyText([site, other], 2), actions: ['attestation'] } });
      await attest();
      expect(verifySignatures(remembered('a').note, [site.witnessKey, other.witnessKey])).toHaveLength(2);
      await second.server.stop();
      await expectRejection('witness-quorum', attest());
      // A verifier that asks the trust bundle's witness only is believed by that, and not by the policy.
      await restart();
      const { services } = world.verifier.server;
      const { ledger, witnessing, store } = services;
      const bundles = parseQuorumPolicy(new TextEncoder().encode(policyText([site], 1)));
      const parts = { ledger, witnessing, tiles: store.tiles };
      (services as { hostLedger: typeof ledger }).hostLedger = witnessedLedger({
        ...parts,
        quorums: () => Promise.resolve([bundles]),
      });
      await expectRejection('log-witnesses', attest());
      const { text } = await world.verifier.call({ url: '/checkpoint' });
      const shown = parseCheckpoint(new TextEncoder().encode(text));
      expect(verifySignatures(shown.note, [site.witnessKey])).toHaveLength(1);
      // Of other actions the quorum isn't asked.
      await world.publish({ witnessed: { policy: policyText([site, other], 2), actions: ['execution'] } });
      await restart(asksBoth);
      await attest();
    } finally {
      await second.server.stop();
    }
  });
});
