import { generateKeyPairSync } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { SigningKey } from '../../src/artifact/index.ts';
import { parseOffer } from '../../src/enrollment/index.ts';
import { openTrustChain } from '../../src/policy/index.ts';
import type { PolicyBundle } from '../../src/policy/index.ts';
import { utf8 } from '../../src/base/index.ts';
import { SoftwareHost } from '../enrollment/software-host.ts';
import { ed25519, facts } from '../policy/support.ts';
import { executeRequest } from '../../src/policy/index.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { TRUST_DOMAIN, install, operatorTls, startVerifier } from '../support/verifier.ts';
import type { Answer, TestVerifier } from '../support/verifier.ts';
import { authorityKey, bundleOf, signedBy, submission, yamlOf } from './policy-world.ts';

const directory = path.join(temporaryDirectory(), 'v');
let verifier: TestVerifier;
let admin: ReturnType<typeof operatorTls>;
let authority: SigningKey;

beforeAll(async () => {
  install(directory);
  verifier = await startVerifier(directory);
  admin = operatorTls(directory);
  authority = authorityKey(directory);
});
afterAll(async () => {
  await verifier.server.stop();
});

const post = (url: string, body: unknown): Promise<Answer> =>
  verifier.call({ method: 'POST', url, tls: admin, body });
const stage = (bundle: PolicyBundle, ...keys: SigningKey[]): Promise<Answer> =>
  post('/v1/policy/stage', submission(bundle, ...(keys.length === 0 ? [authority] : keys)));
const publish = (bundle: PolicyBundle): Promise<Answer> =>
  post('/v1/policy/publish', { digest: bundle.hash });
const get = async (url: string) => (await verifier.call({ url, tls: admin })).json;
const active = () => verifier.server.services.governance.policies.active();
const leaf = async (index: unknown) =>
  JSON.parse((await get(`/v1/log/entries/${String(index)}`))['leaf'] as string) as Record<string, unknown>;
const digestOf = (value: unknown) => (value as { digest: string } | null)?.digest;

describe('policy over HTTPS', () => {
  const first = bundleOf(1, null);
  const second = bundleOf(2, first.hash, {
    'policy.yaml': yamlOf(2, first.hash, 'expiration: 30', 'expiration: 31'),
  });

  it('there is none at first, and nothing to publish', async () => {
    expect(await get('/v1/policy')).toEqual({ active: null, staged: null });
    expect(await get('/v1/policy/history')).toEqual({ policies: [], next: null });
    expect((await publish(first)).json).toMatchObject({ status: 409, code: 'conflict' });
    expect(await active()).toBeUndefined();
  });

  it.each<[string, string, () => unknown]>([
    ['one that a stranger signed', 'policy-signatures', () => submission(first, ed25519())],
    [
      'a manifest of another bundle',
      'policy-bundle-hash',
      () => ({ ...submission(first, authority), manifest: signedBy(second1(), authority) }),
    ],
    ['another domain’s', 'policy-domain', () => submission(foreign(), authority)],
    ['one that has ended', 'policy-expired', () => submission(ended(), authority)],
    ['a second version without a first', 'policy-history', () => submission(second, authority)],
    ['a bundle that is none', 'policy-form', () => ({ ...submission(first, authority), bundle: { v: 1 } })],
    ['a manifest that is none', 'malformed', () => ({ ...submission(first, authority), manifest: {} })],
    ['more than it takes', 'malformed', () => ({ ...submission(first, authority), more: 1 })],
  ])('refuses to stage %s', async (_name, check, body) => {
    expect((await post('/v1/policy/stage', body())).json).toMatchObject({ check });
    expect(await get('/v1/policy')).toEqual({ active: null, staged: null });
  });
  const second1 = () =>
    bundleOf(1, null, { 'policy.yaml': yamlOf(1, null, 'expiration: 30', 'expiration: 9') });
  const foreign = () =>
    bundleOf(1, null, { 'policy.yaml': yamlOf(1, null, '"example.org"', '"example.com"') });
  const ended = () =>
    bundleOf(1, null, {
      'policy.yaml': yamlOf(1, null)
        .replace(/notAfter: ".*"/, 'notAfter: "2026-11-02T00:00:00Z"')
        .replace(/notBefore: ".*"/, 'notBefore: "2026-11-01T00:00:00Z"'),
    });

  it('refuses a bundle whose Cedar the engine can’t take, and goes on', async () => {
    const sound = submission(first, authority);
    const [policy] = first.document.cedar.policies;
    const broken = {
      ...sound.bundle,
      cedar: { ...first.document.cedar, policies: [{ ...policy, policy: { effect: 'permit' } }] },
    };
    // Signed all the same: authorities can be wrong as well. The manifest names the broken bundle's hash.
    const { hashBundle, MANIFEST_TYPE, manifestBytes, manifestOf, signAsAuthority } =
      await import('../../src/policy/index.ts');
    const hash = hashBundle(broken);
    const manifest = signAsAuthority(manifestBytes({ ...manifestOf(first), hash }), MANIFEST_TYPE, authority);
    expect((await post('/v1/policy/stage', { bundle: broken, manifest })).json).toMatchObject({
      check: expect.stringMatching(/^policy-(?:invalid|engine)$/) as string,
    });
    expect(await get('/v1/policy')).toEqual({ active: null, staged: null });
  });

  it('stages, publishes, and then decides with it; each step is a leaf', async () => {
    const staged = await stage(first);
    expect(staged.status, staged.text).toBe(201);
    expect(staged.json).toMatchObject({
      digest: first.hash,
      version: 1,
      previous: null,
      authorities: [authority.publicKey.fingerprint],
      warnings: expect.arrayContaining([expect.stringContaining('gateway.files') as string]) as string[],
    });
    expect(await leaf(staged.json['auditIndex'])).toMatchObject({
      kind: 'policy',
      action: 'stage',
      digest: first.hash,
      previous: null,
      by: { kind: 'operator' },
    });
    expect(await active()).toBeUndefined();
    expect(digestOf((await get('/v1/policy'))['staged'])).toBe(first.hash);

    const published = await publish(first);
    expect(published.status, published.text).toBe(200);
    expect(await leaf(published.json['auditIndex'])).toMatchObject({ kind: 'policy', action: 'publish' });
    const policy = await active();
    expect(policy?.bundle.hash).toBe(first.hash);
    expect(policy?.authorities).toEqual([authority.publicKey.fingerprint]);
    expect(policy?.manifest).toEqual(signedBy(first, authority));
    expect(policy?.uri).toBe(`https://localhost:8443/v1/policy/bundles/${first.hash}`);
    expect(policy?.imaRules('server', Date.now())?.manifestPaths).toEqual([
      '/usr/lib/sealgate/replace-by-policy-learn',
    ]);
    expect(policy?.imaRules('other', Date.now())).toBeNull();
    const allowed = facts();
    expect(await policy?.authorize(executeRequest(allowed))).toMatchObject({ allow: true });
    expect(
      await policy?.authorize(executeRequest({ ...allowed, host: { ...allowed.host, sets: [] } })),
    ).toMatchObject({
      allow: false,
    });
  });

  it('is published once; what was active is not staged or published again', async () => {
    expect((await publish(first)).json).toMatchObject({ code: 'conflict' });
    expect((await stage(first)).json).toMatchObject({ check: 'policy-history' });
    const again = bundleOf(1, null, { 'policy.yaml': yamlOf(1, null, 'expiration: 30', 'expiration: 8') });
    expect((await stage(again)).json).toMatchObject({ check: 'policy-rollback' });
    const skipped = bundleOf(3, first.hash);
    expect((await stage(skipped)).json).toMatchObject({ check: 'policy-history' });
    const orphan = bundleOf(2, `sha256:${'0'.repeat(64)}`);
    expect((await stage(orphan)).json).toMatchObject({ check: 'policy-history' });
  });

  it('only what is staged is published, by its digest; of two at one time one', async () => {
    const before = await active();
    const other = bundleOf(2, first.hash, {
      'policy.yaml': yamlOf(2, first.hash, 'expiration: 30', 'expiration: 29'),
    });
    expect((await stage(other)).status).toBe(201);
    expect((await stage(second)).status).toBe(201);
    expect((await publish(other)).json).toMatchObject({ code: 'conflict' });
    const answers = await Promise.all([publish(second), publish(second), publish(second)]);
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(1);
    for (const { json, status } of answers)
      if (status !== 200)
        expect([json['check'], json['code']]).toContain(
          json['check'] === 'policy-moved' ? 'policy-moved' : 'conflict',
        );
    expect((await active())?.bundle.hash).toBe(second.hash);
    // A decision under way keeps the bundle that it began with; its commit is refused then.
    expect(before?.bundle.hash).toBe(first.hash);
    expect(await before?.authorize(executeRequest(facts()))).toMatchObject({ allow: true });
    expect((await active())?.record.version).toBe((before?.record.version ?? 0) + 1);
  });

  it('shows history and bundles', async () => {
    const { policies, next } = await get('/v1/policy/history');
    expect(policies).toMatchObject([
      { version: 2, digest: second.hash, previous: first.hash, by: 'admin' },
      { version: 1, digest: first.hash, previous: null },
    ]);
    expect(next).toBeNull();
    expect((await get('/v1/policy/history?before=2'))['policies']).toMatchObject([{ version: 1 }]);
    expect((await get('/v1/policy/history?before=x'))['status']).toBe(400);
    const shown = await get(`/v1/policy/bundles/${first.hash}`);
    expect(shown).toMatchObject({ digest: first.hash, version: 1, manifest: signedBy(first, authority) });
    expect(shown['bundle']).toEqual(first.json);
    expect((await get(`/v1/policy/bundles/sha256:${'0'.repeat(64)}`))['code']).toBe('not-found');
  });

  it('narrows operators: what it forbids, no role allows', async () => {
    const forbidding = bundleOf(3, second.hash, {
      'administer.cedar':
        '@id("nobody-puts") forbid (principal, action in [Action::"PutSecret", Action::"Approve"], resource) when { context.operator.name == "admin" };\n' +
        '@id("not-eve") forbid (principal, action in Action::"Administer", resource) when { context.target.id == "eve" };',
    });
    await stage(forbidding);
    expect((await publish(forbidding)).status).toBe(200);
    const put = await post('/v1/secrets', { name: 'a', value: 'AAAA' });
    expect(put.json).toMatchObject({ check: 'policy-denied', detail: { ids: ['nobody-puts'] } });
    const revoked = await post('/v1/revocations', { kind: 'initiator', id: 'eve', reason: 'x' });
    expect(revoked.json).toMatchObject({ check: 'policy-denied', detail: { ids: ['not-eve'] } });
    const approved = await post(`/v1/hosts/${'ab'.repeat(32)}/approve`, { terms: null });
    expect(approved.json).toMatchObject({ check: 'policy-denied', detail: { ids: ['nobody-puts'] } });
    // Staging is not named there: the role is enough.
    expect((await stage(bundleOf(4, forbidding.hash))).status).toBe(201);
  });

  it('is refused when it, or too many of its authorities, were revoked', async () => {
    const { hash } = (await active())!.bundle;
    const next = bundleOf(4, hash, { 'policy.yaml': yamlOf(4, hash, 'expiration: 30', 'expiration: 7') });
    await stage(next);
    const revoke = (kind: string, id: string) => post('/v1/revocations', { kind, id, reason: 'test' });
    expect((await revoke('policy', next.hash)).status).toBeLessThan(300);
    expect((await publish(next)).json).toMatchObject({ check: 'policy-revoked' });
    expect((await revoke('authority', authority.publicKey.fingerprint)).status).toBeLessThan(300);
    expect((await stage(bundleOf(4, hash))).json).toMatchObject({ check: 'policy-revoked' });
  });
});

describe('trust bundles over HTTPS', () => {
  it('are public, and every host gets them with its enrollment', async () => {
    const published = await verifier.call({ url: '/v1/trust-bundles' });
    const { current } = openTrustChain(utf8(published.text), TRUST_DOMAIN);
    expect(current.version).toBe(1);
    const host = new SoftwareHost(undefined, Date.now());
    const invitation = {
      ...{ name: 'host-a', labels: {}, platform: 'server', ekTemplate: 'L-2', ek: host.id, host: null },
      ...{ restartCounters: false, needsApproval: false, ttlSeconds: 60 },
    };
    const { json } = await post('/v1/invitations', invitation);
    const request = host.request({ token: json['token'] as string });
    const offer = (await verifier.call({ method: 'POST', url: '/v1/enrollments', body: request })).json;
    const url = `/v1/enrollments/${offer['enrollmentId'] as string}/activate`;
    expect(parseOffer(offer as never).nonce).toHaveLength(32);
    const enrolled = await verifier.call({ method: 'POST', url, body: host.answer(offer as never, request) });
    expect(enrolled.status, enrolled.text).toBe(200);
    expect(enrolled.json['trustBundles']).toEqual(JSON.parse(published.text));

    const tls = {
      cert: enrolled.json['agentCertificatePem'] as string,
      key: host.agent.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    };
    const { json: policy, status } = await verifier.call({ url: '/v1/policy', tls });
    expect(status).toBe(200);
    expect(Object.keys(policy)).toEqual(['active']);
    expect((policy['active'] as { version: number }).version).toBe(3);
    // Reference values are for operators only.
    const { digest } = policy['active'] as { digest: string };
    expect((await verifier.call({ url: `/v1/policy/bundles/${digest}`, tls })).status).toBe(403);
  });
});

describe('a verifier that starts again', () => {
  it('does not start with keys that its trust bundle lacks', async () => {
    const copy = path.join(temporaryDirectory(), 'v');
    install(copy);
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const pem = privateKey.export({ type: 'pkcs8', format: 'pem' });
    writeFileSync(path.join(copy, 'keys/authorization.key'), pem);
    await expect(startVerifier(copy)).rejects.toMatchObject({
      check: 'trust-bundle-keys',
      detail: { name: 'authorization' },
    });
  });

  it('loads the active bundle from its store, and refuses one that was altered there', async () => {
    const before = await active();
    await verifier.server.stop();
    verifier = await startVerifier(directory);
    expect((await active())?.bundle.hash).toBe(before?.bundle.hash);
    await verifier.server.stop();
    const { openSqlite } = await import('../../src/store/index.ts');
    const db = openSqlite(path.join(directory, 'data/store.db'));
    const sha256 = before!.bundle.hash.slice(7);
    const row = await db
      .selectFrom('bodies')
      .selectAll()
      .where('sha256', '=', sha256)
      .executeTakeFirstOrThrow();
    const text = Buffer.from(row.data).toString();
    const wider = text.replace('"executionsPerHost":16', '"executionsPerHost":17');
    expect(wider).not.toBe(text);
    const put = (data: string) =>
      db
        .updateTable('bodies')
        .set({ data: Buffer.from(data) })
        .where('sha256', '=', sha256)
        .execute();
    await put(wider);
    verifier = await startVerifier(directory);
    await expect(active()).rejects.toMatchObject({ check: 'policy-bundle-hash' });
    // Without a policy nothing that gives trust goes on; what takes it away does.
    const secret = await post('/v1/secrets', { name: 'b', value: 'AAAA' });
    expect(secret.json).toMatchObject({ check: 'policy-bundle-hash' });
    const revocation = { kind: 'initiator', id: 'mallory', reason: 'x' };
    expect((await post('/v1/revocations', revocation)).status).toBeLessThan(300);
    await put(text);
    expect((await active())?.bundle.hash).toBe(before?.bundle.hash);
    await db.updateTable('records').set({ body: '{}' }).where('kind', '=', 'policy').execute();
    // What this verifier read and verified before is what it goes by; whoever starts anew finds the row.
    expect((await active())?.bundle.hash).toBe(before?.bundle.hash);
    await verifier.server.stop();
    verifier = await startVerifier(directory);
    await expect(active()).rejects.toMatchObject({ check: 'record-forged' });
    await db.destroy();
  });
});
