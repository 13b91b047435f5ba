import { generateKeyPairSync } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Tpm } from '../../native/index.ts';
import { leafHash, parseLeaf } from '../../src/audit/index.ts';
import { parseLogProof, verifyLogProof } from '../../src/audit/log-proof.ts';
import { parseClaims } from '../../src/authorization/index.ts';
import { LIMITS, utf8 } from '../../src/base/index.ts';
import type { JsonObject } from '../../src/base/index.ts';
import { checkSealed, decryptCredentials, parseSealed } from '../../src/credential/index.ts';
import type { OwnTerms } from '../../src/credential/index.ts';
import { decideExecution, finishDecision, prepareExecution } from '../../src/lifecycle/index.ts';
import type { DecisionDeps, HostFacts } from '../../src/lifecycle/index.ts';
import { startSwtpm } from '../../src/testing/index.ts';
import type { Swtpm } from '../../src/testing/index.ts';
import { parseAttest } from '../../src/tpm/index.ts';
import { NOW, ask, makeWorld, people } from './world.ts';
import type { AskOptions, World } from './world.ts';

let emulator: Swtpm;
let tpm: Tpm;
let world: World;
beforeAll(async () => {
  emulator = await startSwtpm({ clone: true });
  tpm = await Tpm.open(emulator.tcti);
  world = await makeWorld(tpm);
});
afterAll(async () => {
  await world.store.close();
  await tpm.close();
  await emulator.stop();
});

const NONCE_TPM = new Uint8Array(32).fill(7);
const sizeNow = async (): Promise<number> => Number((await world.store.head())?.size ?? 0);

/** Asks and decides, with some dependency otherwise. */
async function decide(options: AskOptions = {}, change: Partial<DecisionDeps> = {}) {
  const { body } = await ask(tpm, world, NONCE_TPM, options);
  return await decideExecution(body, world.caller, { ...world.deps, ...change }, world.ledger);
}

describe('a decision that could not be proved later', () => {
  const factsWith = (change: Partial<HostFacts>): Partial<DecisionDeps> => ({
    hosts: {
      get: async (id) => {
        const facts = await world.deps.hosts.get(id);
        return facts && { ...facts, ...change };
      },
    },
  });
  it.each<[string, Partial<HostFacts>, string]>([
    ['than can be read again', { manufacturer: 'x'.repeat(5 * 1024 * 1024) }, 'inputs'],
    ['than a member may have', { manufacturer: 'x'.repeat(513) }, 'inputs.hosts[0].facts.manufacturer'],
  ])('is denied before its commit: it rests on more %s', async (_, change, member) => {
    const denied = await decide({}, factsWith(change));
    expect(denied).toMatchObject({
      outcome: 'deny',
      denial: { stage: 'audit', code: 'verifier-fault', check: 'decision-inputs-bound', detail: { member } },
    });
    // Its leaf is a denial, whose inputs are kept within the same bound or not at all.
    const [bytes] = await world.store.leaves(Number(denied.auditIndex), 1);
    const leaf = parseLeaf(bytes ?? new Uint8Array());
    if (leaf.kind !== 'decision') throw new Error('not a decision');
    expect(leaf).toMatchObject({ outcome: 'deny', released: [], digests: { authorization: null } });
    const kept = await world.store.body(String(leaf.digests.inputs).slice('sha256:'.length));
    expect(kept?.length ?? 0).toBeLessThanOrEqual(LIMITS.json);
  });
});

describe('an allowed execution', () => {
  it('gets credentials that its TPM opens, with a leaf and its proof', async () => {
    await using ek = await tpm.endorsementKey('L-2');
    const session = await tpm.startSession({ type: 'policy', salt: ek });
    await ek.flush();
    const nonceTpm = await session.nonceTPM();
    const { body, request, digest, attest, values } = await ask(tpm, world, nonceTpm);
    const decided = await decideExecution(body, world.caller, world.deps, world.ledger);
    if (decided.outcome === 'deny') throw new Error(JSON.stringify(decided.denial));
    const { answer } = decided;
    const leaf = new Uint8Array(Buffer.from(answer.leaf, 'base64url'));
    expect(parseLeaf(leaf)).toMatchObject({ kind: 'decision', outcome: 'allow', index: decided.auditIndex });
    const proof = parseLogProof(utf8(answer.proof));
    expect(verifyLogProof(proof, { logKeys: [world.log.key], leafHash: leafHash(leaf) })).toEqual([]);

    const claims = parseClaims(
      new Uint8Array(Buffer.from(answer.authorization.split('.')[1] ?? '', 'base64url')),
    );
    const own: OwnTerms = {
      binding: {
        kind: 'release',
        executionId: request.executionId,
        requestDigest: digest,
        jti: claims.jti,
      },
      nonceTpm,
      quoted: parseAttest(attest).clockInfo,
      quotedPcr: (bank, index) => values.get(bank)?.get(index),
    };
    const sealed = parseSealed(answer.sealed);
    const key = await tpm.openSealed({
      session,
      sealed: checkSealed(sealed, own),
      ekTemplate: 'L-2',
      ekName: ek.name,
    });
    const opened = await decryptCredentials(sealed.jwe, key, own.binding);
    expect(opened['credentials']).toMatchObject([
      { name: 'workload', kind: 'x509-svid', id: 'spiffe://example.org/vm/report' },
      { name: 'database', kind: 'secret', version: 3, value: Buffer.from('hunter2').toString('base64url') },
    ]);
  });

  it('gets a JWT-SVID for the audiences that policy names, which ends before its authorization and is in the leaf', async () => {
    const { body } = await ask(tpm, world, NONCE_TPM, { request: { credentials: ['token'] } });
    const decided = await decideExecution(body, world.caller, world.deps, world.ledger);
    if (decided.outcome === 'deny') throw new Error(JSON.stringify(decided.denial));
    const leaf = parseLeaf(new Uint8Array(Buffer.from(decided.answer.leaf, 'base64url')));
    expect(leaf).toMatchObject({
      released: [
        {
          kind: 'jwt-svid',
          name: 'spiffe://example.org/vm/report',
          serial: expect.stringMatching(/^[A-Za-z0-9_-]{22}$/) as string,
          expires: new Date(NOW + 60_000).toISOString(),
        },
      ],
    });
  });

  it('promises nothing that can be read before its commit', async () => {
    const { body } = await ask(tpm, world, NONCE_TPM);
    const prepared = await prepareExecution(body, world.caller, world.deps);
    expect(prepared.outcome).toBe('allow');
    expect(Object.keys(prepared).sort()).toEqual(['change', 'outcome']);
    expect(await finishDecision(prepared, undefined, world.deps.log)).toMatchObject({ outcome: 'deny' });
    const denied = { ok: false, denied: { check: 'policy-moved', reason: 'x' }, index: '1', proof: 'p' };
    const decided = await finishDecision(prepared, denied, world.deps.log);
    expect(decided).toMatchObject({ outcome: 'deny', denial: { code: 'policy-mismatch' }, auditIndex: '1' });
    expect(JSON.stringify(decided)).not.toContain('proof');
    // The leaf of another decision is no commit of this one.
    const other = await world.store.commit([prepared.change!]);
    const again = await ask(tpm, world, NONCE_TPM);
    const second = await prepareExecution(again.body, world.caller, world.deps);
    await expect(finishDecision(second, other[0], world.deps.log)).rejects.toMatchObject({
      check: 'commit-mismatch',
    });
  });
});

describe('a denial', () => {
  const wrongLabel = () => new Uint8Array(32).fill(5);
  it.each<[string, string, AskOptions, boolean]>([
    ['another artifact measured', 'artifact-pcr', { measured: `sha256:${'1'.repeat(64)}` }, true],
    ['an artifact that nobody signed', 'dsse-subject', { signed: '2'.repeat(64) }, true],
    ['a foreign workload key', 'holder_binding_failed', { workloadProof: 'foreign' }, true],
    ['a quote for another purpose', 'e16', { qualifyingData: wrongLabel }, true],
    ['a challenge for attestation', 'e2', { purpose: 'attestation' }, false],
    ['a challenge of another verifier', 'wrong-verifier', { request: { verifier: 'other.example' } }, false],
    ['policy', 'policy-denied', { request: { privileged: true } }, true],
    ['a credential that is not granted', 'policy-credential', { request: { credentials: ['root'] } }, true],
    ['variables that load code', 'loader-variable', { request: { environment: { LD_PRELOAD: 'x' } } }, true],
    ['another bundle', 'policy-not-active', { request: { policyHash: `sha256:${'3'.repeat(64)}` } }, false],
    ['a log that never was', 'log-size', { request: { logSize: '99999' } }, false],
    ['an unsigned artifact', 'artifact-unsigned', { request: { artifact: unsigned() } }, true],
  ])('for %s: %s', async (_, check, options, leaf) => {
    const before = await sizeNow();
    const decided = await decide(options);
    expect(decided).toMatchObject({ outcome: 'deny', denial: { check } });
    expect(await sizeNow()).toBe(before + (leaf ? 1 : 0));
    expect('auditIndex' in decided).toBe(leaf);
  });

  it.each<[string, string, Partial<DecisionDeps>]>([
    ['no active bundle', 'no-policy', { policy: { active: async () => Promise.resolve(undefined) } }],
    ['an unknown host', 'host-unknown', { hosts: { get: async () => Promise.resolve(undefined) } }],
    ['a nonce out of its time', 'nonce-expired', { clock: { now: () => NOW + 120_000 } }],
    ['a stage that throws', 'internal', { secrets: { get: () => Promise.reject(new Error('disk')) } }],
    ['a missing secret', 'secret-unknown', { secrets: { get: async () => Promise.resolve(undefined) } }],
  ])('for %s: %s', async (_, check, change) => {
    expect(await decide({}, change)).toMatchObject({ outcome: 'deny', denial: { check } });
  });

  it.each([
    ['after the challenge: the quote is late', { at: NOW + 1 }, 'quote-overtaken', 'expired-authorization'],
    ['before the challenge: the TPM went back', { at: NOW }, 'e17', 'replay-detected'],
    ['at a time that was not kept', {}, 'e17', 'replay-detected'],
  ])('for a mark that was set %s', async (_, at, check, code) => {
    const host = await world.deps.hosts.get(world.host.hostId);
    if (host === undefined) throw new Error('no host');
    const lastClock = { clock: 1n << 60n, resetCount: 1, restartCount: 1 << 30, safe: true, ...at };
    const facts = { ...host, lastClock: { ...lastClock, resetCount: 1 << 30 } };
    const hosts = { get: async () => Promise.resolve(facts) };
    expect(await decide({}, { hosts })).toMatchObject({ outcome: 'deny', denial: { check, code } });
  });

  it('for what a late quote says of its host, before its being late', async () => {
    const host = await world.deps.hosts.get(world.host.hostId);
    const policy = await world.deps.policy.active();
    if (host === undefined || policy === undefined) throw new Error('no host, or no policy');
    const lastClock = { clock: 1n << 60n, resetCount: 1 << 30, restartCount: 0, safe: true, at: NOW + 1 };
    const platforms = new Map(
      [...policy.bundle.platforms].map(([name, one]) => [
        name,
        { ...one, references: { ...one.references, tpm: { firmwareFloor: 'f'.repeat(16) } } },
      ]),
    );
    const decided = await decide(
      {},
      {
        hosts: { get: async () => Promise.resolve({ ...host, lastClock }) },
        policy: {
          active: async () => Promise.resolve({ ...policy, bundle: { ...policy.bundle, platforms } }),
        },
      },
    );
    expect(decided).toMatchObject({
      denial: { check: 'e18', code: 'environment-integrity-failure' },
    });
  });

  it('for a caller that is another host, or whose certificate ended', async () => {
    const { body } = await ask(tpm, world, NONCE_TPM);
    const by = async (caller: Partial<World['caller']>) =>
      await decideExecution(body, { ...world.caller, ...caller }, world.deps, world.ledger);
    expect(await by({ hostId: 'b'.repeat(64) })).toMatchObject({ denial: { check: 'caller-host' } });
    expect(await by({ notAfter: NOW })).toMatchObject({ denial: { check: 'caller-expired' } });
    expect(await by({ agentKey: 'c'.repeat(64) })).toMatchObject({ denial: { check: 'caller-key' } });
  });

  it('for a nonce that was answered before', async () => {
    const { body } = await ask(tpm, world, NONCE_TPM);
    const first = await decideExecution(body, world.caller, world.deps, world.ledger);
    expect(first.outcome).toBe('allow');
    const second = await decideExecution(body, world.caller, world.deps, world.ledger);
    expect(second).toMatchObject({ outcome: 'deny', denial: { code: 'replay-detected' } });
    // Another replica, which doesn't know the reservation: the ledger decides.
    const elsewhere = { ...world.deps, nonces: { reserve: () => true, has: () => false } };
    const third = await decideExecution(body, world.caller, elsewhere, world.ledger);
    expect(third).toMatchObject({ outcome: 'deny', denial: { check: 'replay-nonce' } });
  });

  it('for a bearer token that was used before, and for one that names a key which made no proof', async () => {
    const order = { subject: 'alice', audience: 'example.org', now: Math.floor(NOW / 1000), lifetime: 300 };
    const bearer = await people.issue(order);
    const decide = async (initiator: string) => {
      const { body } = await ask(tpm, world, NONCE_TPM, { request: { initiator } });
      return await decideExecution(body, world.caller, world.deps, world.ledger);
    };
    expect(await decide(bearer)).toMatchObject({ outcome: 'allow' });
    expect(await decide(bearer)).toMatchObject({ outcome: 'deny', denial: { check: 'replay-token' } });
    expect(await decide(await people.issue(order))).toMatchObject({ outcome: 'allow' });
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const named = await people.issue({ ...order, confirmationKey: privateKey });
    expect(await decide(named)).toMatchObject({ outcome: 'deny', denial: { check: 'initiator-proof' } });
    const other = await people.issue({ ...order, audience: 'other.example' });
    expect(await decide(other)).toMatchObject({ outcome: 'deny', denial: { check: 'initiator-audience' } });
  });

  it('when something is revoked or replaced between evaluation and commit', async () => {
    const order = { audience: 'example.org', now: Math.floor(NOW / 1000), lifetime: 300 };
    const vouchedBy = (ekRoot: string, ekIssuers: readonly string[]): World['deps']['hosts'] => ({
      get: async (id) => {
        const facts = await world.deps.hosts.get(id);
        return facts && { ...facts, ekRoot, ekIssuers };
      },
    });
    const [root, issuer] = ['c'.repeat(64), 'd'.repeat(64)];
    for (const [kind, id, check] of [
      ['policy', 'active', 'policy-moved'],
      ['revoked', 'initiator/https://people.example.org#carol', 'revoked-meanwhile'],
      ['revoked', `ek-ca/${issuer}`, 'revoked-meanwhile'],
      ['revoked', `ek-ca/${root}`, 'revoked-meanwhile'],
    ] as const) {
      const initiator = await people.issue({ ...order, subject: id.includes('carol') ? 'carol' : 'dave' });
      const { body } = await ask(tpm, world, NONCE_TPM, { request: { initiator } });
      const ledger: World['ledger'] = {
        commit: async (change) => {
          await world.write(kind, id, { at: check });
          return await world.ledger.commit(change);
        },
      };
      const hosts = vouchedBy(root, id.endsWith(issuer) ? [issuer] : []);
      const decided = await decideExecution(body, world.caller, { ...world.deps, hosts }, ledger);
      expect(decided).toMatchObject({ outcome: 'deny', denial: { check } });
    }
  });

  it('when the ledger fails', async () => {
    const { body } = await ask(tpm, world, NONCE_TPM);
    const ledger = { commit: () => Promise.reject(new Error('disk full')) };
    const decided = await decideExecution(body, world.caller, world.deps, ledger);
    expect(decided).toMatchObject({ outcome: 'deny', denial: { code: 'verifier-fault' } });
  });

  it('for a body that is none', async () => {
    const bodies: JsonObject[] = [{}, { request: {}, proofs: {}, evidence: {} }];
    for (const body of bodies)
      expect(await decideExecution(body, world.caller, world.deps, world.ledger)).toMatchObject({
        denial: { code: 'malformed-request' },
      });
  });

  it('for a PCR that changed', async () => {
    await tpm.pcrExtend(0, { sha256: new Uint8Array(32).fill(1) });
    expect(await decide()).toMatchObject({ denial: { check: 'pcr-value', stage: 'environment' } });
  });
});

function unsigned() {
  return { name: 'report', digest: `sha256:${'4'.repeat(64)}`, type: 'file' as const, signatures: [] };
}
