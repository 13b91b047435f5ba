import path from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { ReferenceValues } from '../../src/appraisal/index.ts';
import { treeManifest } from '../../src/artifact/index.ts';
import { fromHex, toBase64url, utf8 } from '../../src/base/index.ts';
import type { JsonObject } from '../../src/base/index.ts';
import { DecisionWorld } from '../server/decision-world.ts';
import type { AskOptions } from '../server/decision-world.ts';
import { GATEWAY, MeasuredHost, learnGolden, sha256 } from '../server/measured-world.ts';
import { temporaryDirectory } from '../support/temporary.ts';

// A platform whose kernel measures, over HTTPS: a recorded boot and its IMA list in emulated TPMs, reference values
// learned from a golden host's evidence, and a verifier that asks for the gateway and the artifact in the list.
let world: DecisionWorld;
let references: ReferenceValues;
const hosts: MeasuredHost[] = [];

beforeAll(async () => {
  references = await learnGolden();
  world = await DecisionWorld.open(path.join(temporaryDirectory(), 'v'));
  await world.publish({ measured: references });
}, 120_000);
afterEach(async () => {
  for (const { host } of hosts.splice(0)) await host.close();
});
afterAll(async () => {
  await world.verifier.server.stop();
});

let enrolled = 0;
/** Another machine that booted as the golden one, with its gateway running. */
async function boot(gateway: Readonly<Record<string, string>> = GATEWAY): Promise<MeasuredHost> {
  const measured = await MeasuredHost.enroll(world, `host-${String(enrolled++)}`, gateway);
  hosts.push(measured);
  return measured;
}

/** Asks for the report, and how it was denied: check, code, and every check that failed. */
async function denial({ host }: MeasuredHost, options: AskOptions = {}) {
  const { status, json, text } = await host.ask(options);
  if (status === 201) throw new Error('it was allowed');
  const checks = [...text.matchAll(/"check":"([^"]+)"/g)].map(([, id]) => id);
  return { ...json, checks };
}

async function attest(measured: MeasuredHost) {
  const { session, nonceTpm } = await measured.host.session();
  const { body } = await measured.host.prepareAttestation([], nonceTpm);
  const answer = await measured.host.attest(body);
  await session.flush();
  return answer;
}

const REFUSED = { code: 'environment-integrity-failure', stage: 'environment' };

describe('a measured runtime', () => {
  it('learns what the golden host measured', () => {
    expect(references.gateway?.files).toEqual(GATEWAY);
    expect(Object.keys(references.ima?.rules.files ?? {}).length).toBeGreaterThan(300);
    expect(references.ima?.coverage.builtInPolicies).toContain('tcb');
  });

  it('releases to an artifact that the kernel measured, and the TPM opens it', async () => {
    const measured = await boot();
    const { host } = measured;
    const digest = await measured.copy();
    const { request, answer, own, session } = await host.run({}, 'keep');
    const opened = await host.open(answer['sealed'], own, session);
    expect(opened['credentials']).toMatchObject([{ name: 'workload', kind: 'x509-svid' }]);
    const shown = await world.operate('GET', `/v1/executions/${request.executionId}`);
    expect(shown.json).toMatchObject({ state: 'issued', executedDigest: `sha256:${digest}` });
  });

  it('denies an artifact that the kernel did not measure', async () => {
    const measured = await boot();
    expect(await denial(measured)).toMatchObject({ ...REFUSED, check: 'artifact-measured' });
    // Elsewhere than below the run directory the same bytes are an unknown file.
    await measured.machine.ima.measure('/usr/bin/report', sha256('report'));
    expect((await denial(measured)).checks).toContain('ima-file');
  });

  it('denies a host with a file that no rule knows', async () => {
    const measured = await boot();
    await measured.copy();
    await measured.machine.ima.measure('/usr/bin/implant', sha256('implant'));
    expect(await denial(measured)).toMatchObject({ ...REFUSED, check: 'ima-file' });
    expect((await attest(measured)).json).toMatchObject({ ...REFUSED, check: 'ima-file' });
  });

  it('denies a gateway that was not measured as built', async () => {
    const [file = '', ...others] = Object.keys(GATEWAY);
    const changed = await boot({ ...GATEWAY, [file]: sha256('another gateway') });
    await changed.copy();
    const { checks } = await denial(changed);
    expect(checks).toEqual(expect.arrayContaining(['gateway-measured', 'ima-file']));

    const partly = await boot(Object.fromEntries(others.map((name) => [name, GATEWAY[name] ?? ''])));
    await partly.copy();
    expect(await denial(partly)).toMatchObject({ ...REFUSED, check: 'gateway-measured' });
    // As soon as the kernel has measured the rest, it is.
    await partly.machine.ima.measure(file, GATEWAY[file] ?? '');
    expect((await partly.host.ask()).status).toBe(201);
  });

  it('denies an execution of a trusted artifact, and the host stays one', async () => {
    const measured = await boot();
    const loader = { request: { environment: { LD_PRELOAD: '/tmp/x.so' } } };
    for (const [content, options, stage] of [
      ['report', loader, 'policy'],
      ['second', { request: { initiator: 'no.such.token' } }, 'identity'],
    ] as const) {
      await measured.copy(content);
      expect(await denial(measured, { ...options, content })).toMatchObject({ stage });
      // What the kernel measured for it was signed: the list goes on being this host's.
      expect((await attest(measured)).status).toBe(200);
    }
    // Not so for what nobody trusted has signed: no gateway lets its kernel see that.
    await measured.copy('unsigned');
    expect(await denial(measured, { content: 'unsigned', signed: 'report' })).toMatchObject({
      stage: 'artifact',
    });
    expect((await attest(measured)).json).toMatchObject({ ...REFUSED, check: 'ima-run' });
  });

  it('denies a host where something below the run directory was never authorized', async () => {
    const measured = await boot();
    await measured.copy();
    await measured.host.run();
    await measured.copy('not asked for');
    await measured.copy();
    expect(await denial(measured)).toMatchObject({ ...REFUSED, check: 'ima-run' });
    expect((await attest(measured)).json).toMatchObject({ ...REFUSED, check: 'ima-run' });
  });
});

describe('a tree in a measured runtime', () => {
  /** A tree of files with these contents, named by their numbers. */
  const treeOf = (...contents: string[]): Uint8Array =>
    treeManifest(
      contents.map((content, i) => ({
        type: 'file',
        path: utf8(String(i)),
        mode: 0o555,
        size: content.length,
        sha256: fromHex(sha256(content)),
        links: { count: 1, inode: String(i) },
      })),
    ).manifest;

  it('has to have every file measured, also one that was authorized before', async () => {
    const measured = await boot();
    await measured.copy('shared');
    await measured.host.run({ content: 'shared' });
    const tree = treeOf('shared', 'other');
    await measured.copy('other');
    expect(await denial(measured, { tree })).toMatchObject({ ...REFUSED, check: 'artifact-measured' });
    await measured.copy('shared');
    const { request } = await measured.host.run({ tree });
    const shown = await world.operate('GET', `/v1/executions/${request.executionId}`);
    expect(shown.json).toMatchObject({ state: 'issued', executedDigest: null });
    // Its files may be in the list from now on.
    expect((await attest(measured)).status).toBe(200);
  });

  it('allows no file that another tree has', async () => {
    const measured = await boot();
    await measured.copy('one');
    await measured.copy('two');
    expect(await denial(measured, { tree: treeOf('one') })).toMatchObject({ ...REFUSED, check: 'ima-run' });
    const without = (body: JsonObject): JsonObject => {
      const items = Object.entries(body['evidence'] as JsonObject);
      return { ...body, evidence: Object.fromEntries(items.filter(([name]) => name !== 'tree-manifest')) };
    };
    const tree = treeOf('one', 'two');
    expect((await denial(measured, { tree, body: without })).checks).toContain('ima-run');
    const another = (body: JsonObject): JsonObject => {
      const record = ['application/vnd.sealgate.tree-manifest', toBase64url(treeOf('two')), 4];
      return { ...body, evidence: { ...(body['evidence'] as JsonObject), 'tree-manifest': record } };
    };
    expect(await denial(measured, { tree, body: another })).toMatchObject({ check: 'artifact-tree' });
    expect((await measured.host.ask({ tree })).status).toBe(201);
  });
});

describe('the tail of a list', () => {
  it('is all that a second execution or attestation sends', async () => {
    const measured = await boot();
    await measured.copy();
    await measured.host.run();
    const [first] = measured.sent;
    expect(first).toMatchObject({ eventLog: true, offset: 0 });
    const known = first?.entries ?? 0;
    expect(known).toBeGreaterThan(400);

    await measured.copy();
    await measured.host.run();
    expect(measured.sent[1]).toEqual({ eventLog: false, offset: known, entries: 1 });
    expect((await attest(measured)).status).toBe(200);
    expect(measured.sent[2]).toEqual({ eventLog: false, offset: known + 1, entries: 0 });
    await measured.machine.ima.measure(Object.keys(GATEWAY)[0] ?? '', Object.values(GATEWAY)[0] ?? '');
    expect((await attest(measured)).status).toBe(200);
    expect(measured.sent[3]).toEqual({ eventLog: false, offset: known + 1, entries: 1 });
  });

  it('has to have the artifact again: what ran before proves nothing of the new copy', async () => {
    const measured = await boot();
    await measured.copy();
    await measured.host.run();
    expect(await denial(measured)).toMatchObject({ ...REFUSED, check: 'artifact-measured' });
  });

  it('has to go on where the verifier’s state ends', async () => {
    const measured = await boot();
    expect((await attest(measured)).status).toBe(200);
    await measured.copy();
    await measured.copy();
    measured.alter = (challenge) => shifted(challenge, 1);
    expect(await denial(measured)).toMatchObject({ ...REFUSED, check: 'ima-state-lost' });
    measured.alter = (challenge) => shifted(challenge, -1);
    expect(await denial(measured)).toMatchObject({ ...REFUSED, check: 'ima-state-lost' });
    // The whole list is always an answer.
    measured.alter = (challenge) => ({ ...challenge, ima: { offset: 0, digest: '' } });
    expect((await measured.host.ask()).status).toBe(201);
  });

  it('is not enough after a restart, or under other rules', async () => {
    const measured = await boot();
    expect((await attest(measured)).status).toBe(200);
    await measured.reboot();
    // The challenge knows nothing of the restart: what it says is advice.
    expect((await attest(measured)).json).toMatchObject({ ...REFUSED });
    measured.alter = (challenge) => ({ ...challenge, eventLog: 'required', ima: { offset: 0, digest: '' } });
    const whole = await attest(measured);
    expect(whole.status, whole.text).toBe(200);
    measured.alter = (challenge) => challenge;
    expect((await attest(measured)).status).toBe(200);
    expect(measured.sent.at(-1)).toMatchObject({ entries: 0 });

    const other = '/usr/bin/tool';
    const { ima } = references;
    if (ima === undefined) throw new Error('nothing was learned');
    const files = { ...ima.rules.files, [other]: [`sha256:${sha256('tool')}`] };
    await world.publish({ measured: { ...references, ima: { ...ima, rules: { ...ima.rules, files } } } });
    const known = measured.entries;
    await measured.machine.ima.measure(other, sha256('tool'));
    measured.alter = (challenge) => ({ ...challenge, ima: { offset: known, digest: '' } });
    expect((await attest(measured)).json).toMatchObject({ ...REFUSED, check: 'ima-state-lost' });
    measured.alter = (challenge) => challenge;
    expect((await attest(measured)).status).toBe(200);
    expect(measured.sent.at(-1)).toMatchObject({ offset: 0, entries: known + 1 });
  });
});

/** The challenge, with another offset for the list. */
function shifted(challenge: Record<string, unknown>, by: number) {
  const { offset } = challenge['ima'] as { readonly offset: number };
  return { ...challenge, eventLog: 'unchanged', ima: { offset: offset + by, digest: '' } };
}
