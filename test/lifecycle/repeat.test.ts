import { createPublicKey, generateKeyPairSync } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Tpm } from '../../native/index.ts';
import { parseLeaf } from '../../src/audit/index.ts';
import type { AuditLeaf } from '../../src/audit/index.ts';
import { Refusal, parseJsonObject, utf8 } from '../../src/base/index.ts';
import { decideExecution } from '../../src/lifecycle/index.ts';
import type { DecisionDeps } from '../../src/lifecycle/index.ts';
import { inputsBytes, parseDecisionInputs } from '../../src/lifecycle/repeat/decision-inputs.ts';
import type { DecisionInputs } from '../../src/lifecycle/repeat/decision-inputs.ts';
import { repeatDecision } from '../../src/lifecycle/repeat/repeat.ts';
import type { KeptSubmission } from '../../src/lifecycle/repeat/repeat.ts';
import type { RepeatMaterial } from '../../src/lifecycle/repeat/repeat-deps.ts';
import { loadBundle, loadCedar } from '../../src/policy/index.ts';
import { startSwtpm } from '../../src/testing/index.ts';
import type { Swtpm } from '../../src/testing/index.ts';
import { NOW, ask, makeWorld, people } from './world.ts';
import type { AskOptions, World } from './world.ts';

// Invariant 13: what was decided is decided again, from what was kept and nothing else, to the same bytes.
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

type Decision = Extract<AuditLeaf, { kind: 'decision' }>;
interface Case {
  readonly leaf: Decision;
  readonly kept: KeptSubmission;
  readonly material: RepeatMaterial;
}

/** Asks, decides and gives what is kept of it afterwards. */
async function decided(
  options: AskOptions = {},
  change: Partial<DecisionDeps> = {},
  ledger: World['ledger'] = world.ledger,
): Promise<Case> {
  const { body } = await ask(tpm, world, new Uint8Array(32).fill(7), options);
  const answer = await decideExecution(body, world.caller, { ...world.deps, ...change }, ledger);
  return await keptOf(Number(answer.auditIndex));
}

/** What the store has of a decision, by its leaf. */
async function keptOf(index: number): Promise<Case> {
  const [bytes] = await world.store.leaves(index, 1);
  const leaf = parseLeaf(bytes!);
  if (leaf.kind !== 'decision') throw new Error('not a decision');
  const body = async (sha256: string) => (await world.store.body(sha256.replace('sha256:', '')))!;
  const inputs = parseDecisionInputs(await body(leaf.digests.inputs!));
  const items = leaf.digests.evidence.filter(({ name }) => name !== 'attestation-result');
  const evidence = await Promise.all(
    items.map(async ({ name, sha256 }) => ({ name, data: await body(sha256) })),
  );
  return {
    leaf,
    kept: { request: await body(inputs.received.request), evidence },
    material: await materialOf(inputs, leaf),
  };
}

async function materialOf(inputs: DecisionInputs, leaf: Decision): Promise<RepeatMaterial> {
  const { authorization, evidence } = leaf.digests;
  const token = async (digest: string) => Buffer.from((await world.store.body(digest.slice(7)))!).toString();
  const result = evidence.find(({ name }) => name === 'attestation-result')?.sha256;
  const { bundle, manifest, authorities } = (await world.deps.policy.active())!;
  const { keys } = world.deps;
  const ear = { kid: keys.ear.kid, algorithm: 'ES256' as const, key: createPublicKey(keys.ear.key) };
  const bodies = new Map<string, Uint8Array>();
  for (const sha256 of inputs.bodies.read) bodies.set(sha256, (await world.store.body(sha256))!);
  return {
    inputs,
    policy: { bundle, manifest, authorities, ...loadBundle(bundle, loadCedar) },
    trust: {
      digest: world.deps.trust,
      authorization: keys.authorizations,
      ear: [ear],
      svid: [keys.svid.certificate],
    },
    signed:
      authorization === null
        ? null
        : { attestationResult: await token(result!), authorizations: [await token(authorization)] },
    body: (sha256) => bodies.get(sha256),
  };
}

const repeat = async ({ leaf, kept, material }: Case) => await repeatDecision(leaf, kept, material);

describe('a decision, repeated from what was kept', () => {
  it('gives the same bytes: an allow with a certificate and a secret', async () => {
    const one = await decided();
    expect(one.leaf.outcome).toBe('allow');
    expect(await repeat(one)).toEqual({ outcome: 'allow', unchecked: ['challenge-mac', 'sealed-object'] });
    // A second time, too: nothing of the first is remembered.
    expect(await repeat(one)).toMatchObject({ outcome: 'allow' });
  });

  const wrongLabel = () => new Uint8Array(32).fill(5);
  it.each<[string, string, AskOptions]>([
    ['another artifact measured', 'artifact-pcr', { measured: `sha256:${'1'.repeat(64)}` }],
    ['an artifact that nobody signed', 'dsse-subject', { signed: '2'.repeat(64) }],
    ['a foreign workload key', 'holder_binding_failed', { workloadProof: 'foreign' }],
    ['a quote for another purpose', 'e16', { qualifyingData: wrongLabel }],
    ['policy', 'policy-denied', { request: { privileged: true } }],
    ['a credential that is not granted', 'policy-credential', { request: { credentials: ['root'] } }],
    ['variables that load code', 'loader-variable', { request: { environment: { LD_PRELOAD: 'x' } } }],
  ])('gives the same bytes: a denial for %s (%s)', async (_, check, options) => {
    const one = await decided(options);
    expect(one.leaf.denial?.check).toBe(check);
    expect(await repeat(one)).toEqual({ outcome: 'deny', unchecked: ['challenge-mac'] });
  });

  it.each<[string, string, Partial<DecisionDeps>]>([
    ['a missing secret', 'secret-unknown', { secrets: { get: async () => Promise.resolve(undefined) } }],
    ['a store that fails', 'internal', { secrets: { get: () => Promise.reject(new Error('disk')) } }],
    ['a revoked key of the TPM', 'e3-revoked', { revocations: { revokedOf: (all) => ak(all) } }],
    ['a nonce that is being decided', 'replay-nonce', { nonces: { has: () => true, reserve: () => false } }],
  ])('gives the same bytes: a denial for %s (%s)', async (_, check, change) => {
    const one = await decided({}, change);
    expect(one.leaf.denial?.check).toBe(check);
    expect(await repeat(one)).toMatchObject({ outcome: 'deny' });
  });

  it('gives the same bytes where an initiator’s token was, of which only the claims are kept', async () => {
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const order = { subject: 'alice', audience: 'example.org', now: Math.floor(NOW / 1000), lifetime: 300 };
    const bearer = await decided({ request: { initiator: await people.issue(order) } });
    expect(bearer.leaf).toMatchObject({ outcome: 'allow', initiator: { subject: 'alice' } });
    expect((await repeat(bearer)).unchecked).toContain('initiator-token');
    const named = await people.issue({ ...order, confirmationKey: privateKey });
    const unproven = await decided({ request: { initiator: named } });
    expect(unproven.leaf.denial?.check).toBe('initiator-proof');
    expect(await repeat(unproven)).toMatchObject({ outcome: 'deny' });
    const foreign = await people.issue({ ...order, audience: 'other.example' });
    const elsewhere = await decided({ request: { initiator: foreign } });
    expect(elsewhere.leaf.denial?.check).toBe('initiator-audience');
    expect(await repeat(elsewhere)).toMatchObject({ outcome: 'deny' });
  });

  it('gives the same bytes where the commit said no: that it did is the log’s word', async () => {
    const one = await decided(
      {},
      {},
      {
        commit: async (change) => {
          await world.write('policy', 'active', { at: 'now' });
          return await world.ledger.commit(change);
        },
      },
    );
    expect(one.leaf.denial?.check).toBe('policy-moved');
    expect((await repeat(one)).unchecked).toContain('commit-state');
  });

  it('keeps no token of an answer whose commit said no', async () => {
    const tokens: string[] = [];
    const { leaf, material } = await decided(
      {},
      {},
      {
        commit: async (change) => {
          for (const { sha256, data } of change.bodies)
            if (/^[\w-]+\.[\w-]+\.[\w-]+$/.test(Buffer.from(data).toString())) tokens.push(sha256);
          await world.write('policy', 'active', { at: 'now' });
          return await world.ledger.commit(change);
        },
      },
    );
    expect(leaf.denial?.check).toBe('policy-moved');
    // Authorization and attestation result were signed, and are gone; the rest is kept.
    expect(tokens).toHaveLength(2);
    for (const sha256 of tokens) expect(await world.store.body(sha256)).toBeUndefined();
    expect(JSON.stringify(leaf)).not.toContain('attestation-result');
    expect(material.signed).toBeNull();
    const allowed = await decided();
    const signature = allowed.material.signed?.authorizations[0]?.split('.')[2];
    expect(Buffer.from(inputsBytes(allowed.material.inputs)).toString()).not.toContain(signature);
  });

  it('keeps no secret, no key and no token of an initiator in its inputs', async () => {
    const order = { subject: 'bob', audience: 'example.org', now: Math.floor(NOW / 1000), lifetime: 300 };
    const token = await people.issue(order);
    const { leaf, kept, material } = await decided({ request: { initiator: token } });
    const bytes = inputsBytes(material.inputs);
    for (const text of [bytes, kept.request].map((data) => Buffer.from(data).toString())) {
      expect(text).not.toContain(token);
      expect(text).not.toContain(Buffer.from('hunter2').toString('base64url'));
      expect(text).not.toContain('hunter2');
    }
    expect(leaf.initiator).toMatchObject({ subject: 'bob' });
    expect(bytes.length).toBeLessThan(8 * 1024);
  });
});

describe('what was altered', () => {
  /** Every leaf of a JSON value, altered one at a time. */
  function* alterations(value: unknown, path: string): Generator<[string, unknown]> {
    if (Array.isArray(value)) {
      for (const [i, one] of value.entries())
        for (const [at, altered] of alterations(one, `${path}[${String(i)}]`))
          yield [at, value.map((other: unknown, j) => (i === j ? altered : other))];
      if (value.length > 0) yield [`${path}.pop`, value.slice(0, -1)];
      return;
    }
    if (typeof value === 'object' && value !== null) {
      for (const [name, one] of Object.entries(value))
        for (const [at, altered] of alterations(one, `${path}.${name}`))
          yield [at, { ...value, [name]: altered }];
      return;
    }
    if (typeof value === 'number') yield [path, value + 1];
    else if (typeof value === 'boolean') yield [path, !value];
    else if (value === null) yield [path, 'x'];
    else if (typeof value === 'string') yield [path, alteredText(value)];
  }
  const alteredText = (text: string): string => {
    const [first = 'a'] = text;
    const other = first === '1' ? '2' : /[0-9]/.test(first) ? '1' : first === 'a' ? 'b' : 'a';
    return `${other}${text.slice(1)}`;
  };

  it('is another decision: every member of the inputs, one at a time', async () => {
    const one = await decided();
    const plain = JSON.parse(Buffer.from(inputsBytes(one.material.inputs)).toString()) as unknown;
    const accepted: string[] = [];
    let tried = 0;
    for (const [path, altered] of alterations(plain, 'inputs')) {
      const attempt = async () => {
        const inputs = parseDecisionInputs(utf8(canonical(altered)));
        return await repeat({ ...one, material: { ...one.material, inputs } });
      };
      if (!(await refused(attempt))) accepted.push(path);
      tried++;
    }
    expect(accepted).toEqual([]);
    expect(tried).toBeGreaterThan(60);
  });

  it('is another decision: request, evidence, leaf', async () => {
    const one = await decided();
    const request = parseJsonObject(one.kept.request, 'request', { maxBytes: 65_536, maxDepth: 8 });
    const accepted: string[] = [];
    for (const [path, altered] of alterations(request, 'request')) {
      const kept = { ...one.kept, request: utf8(canonical(altered)) };
      if (!(await refused(() => repeat({ ...one, kept })))) accepted.push(path);
    }
    for (const { name, data } of one.kept.evidence) {
      const flipped = Uint8Array.from(data);
      flipped[flipped.length >> 1]! ^= 1;
      const evidence = one.kept.evidence.map((item) => (item.name === name ? { name, data: flipped } : item));
      await expect(repeat({ ...one, kept: { ...one.kept, evidence } }), name).rejects.toMatchObject({
        name: 'Refusal',
      });
    }
    for (const [path, altered] of alterations(one.leaf, 'leaf')) {
      // Place and time are the ledger’s; the object’s digest is proved by the leaf’s inclusion only.
      if (/^leaf\.(?:index|time|epoch|digests\.sealed)$/.test(path)) continue;
      if (!(await refused(() => repeat({ ...one, leaf: altered as Decision })))) accepted.push(path);
    }
    expect(accepted).toEqual([]);
  });

  it('is another decision: what belongs to another one', async () => {
    const [one, other] = [await decided(), await decided({ request: { argv: ['report', '--all'] } })];
    for (const mixed of [
      { ...one, kept: other.kept },
      { ...one, material: other.material },
      { ...one, leaf: other.leaf },
      { ...one, kept: { ...one.kept, evidence: other.kept.evidence } },
    ])
      await expect(repeat(mixed)).rejects.toMatchObject({ check: 'decision-repeat' });
  });
});

/** True when it throws a refusal; another error is a fault. */
async function refused(attempt: () => Promise<unknown>): Promise<boolean> {
  try {
    await attempt();
    return false;
  } catch (error) {
    if (error instanceof Refusal) return true;
    throw error;
  }
}

function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const members = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return `{${members.map(([name, member]) => `${JSON.stringify(name)}:${canonical(member)}`).join(',')}}`;
}

const ak = async (all: readonly { kind: string; id: string }[]) =>
  Promise.resolve(all.filter(({ kind }) => kind === 'ak') as never);
