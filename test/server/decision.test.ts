import { createPrivateKey, createPublicKey, generateKeyPairSync } from 'node:crypto';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { importJWK, jwtVerify } from 'jose';
import type { JWK } from 'jose';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Tpm } from '../../native/index.ts';
import { leafHash, parseLogProof, verifyLogProof } from '../../src/audit/index.ts';
import { utf8 } from '../../src/base/index.ts';
import type { JsonObject } from '../../src/base/index.ts';
import { agentUri } from '../../src/enrollment/index.ts';
import { DENIAL_STATUS, executionQualifyingData } from '../../src/lifecycle/index.ts';
import { Metrics } from '../../src/server/metrics.ts';
import { allRoutes } from '../../src/server/routes/index.ts';
import { issueCertificate, parseCertificate, parsePem, randomSerial, toPem } from '../../src/x509/index.ts';
import { systemRandom } from '../support/random.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { TRUST_DOMAIN } from '../support/verifier.ts';
import { DecisionHost, DecisionWorld, claimsOf, newExecutionId } from './decision-world.ts';
import type { Allowed, AskOptions } from './decision-world.ts';

// The whole way over HTTPS with emulated TPMs: init, serve, policy, enrollment, challenge, execution, renewal.
let world: DecisionWorld;
let host: DecisionHost;
let other: DecisionHost;
beforeAll(async () => {
  world = await DecisionWorld.open(path.join(temporaryDirectory(), 'v'));
  await world.publish();
  host = await DecisionHost.enroll(world, 'host-a');
  other = await DecisionHost.enroll(world, 'host-b');
}, 120_000);
afterAll(async () => {
  await host.close();
  await other.close();
  await world.verifier.server.stop();
});

const text = (value: unknown): string => String(value);
const ec = () => generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
const stateOf = async (executionId: string) =>
  (await world.operate('GET', `/v1/executions/${executionId}`)).json['state'];
/** What an attestation needs to know of an execution. */
const liveOf = ({ answer, workload }: Allowed, sequence = 0) => ({
  token: text(answer['authorization']),
  sequence,
  workload,
});

describe('callers', () => {
  it('agents on operators’ routes, and operators on agents’, are refused', async () => {
    const routes = allRoutes(world.verifier.server.services, new Metrics(), () => ({}));
    const before = await world.operate('GET', '/v1/hosts');
    let tried = 0;
    for (const { method, url, access } of routes) {
      if (access.who !== 'operator' && access.who !== 'agent') continue;
      const target = url
        .replace(':hostId', other.hostId)
        .replace(/:[a-zA-Z]+/g, '0')
        .replace('*', '000.p/1');
      const tls = access.who === 'agent' ? world.admin : host.tls;
      const answer = await world.verifier.call({
        method,
        url: target,
        tls,
        ...(method === 'POST' ? { body: {} } : {}),
      });
      expect([401, 403], `${method} ${url}: ${answer.text}`).toContain(answer.status);
      tried++;
    }
    expect(tried).toBeGreaterThan(20);
    expect((await world.operate('GET', '/v1/hosts')).json).toEqual(before.json);
  });

  it('an ended certificate opens attestations, nothing else', async () => {
    const key = createPrivateKey(host.tls.key);
    const file = (name: string) => readFileSync(path.join(world.directory, name));
    const [ca = new Uint8Array()] = parsePem(new Uint8Array(file('certificates/agent-ca.pem')));
    const certificate = issueCertificate({
      subject: { commonName: 'host-a' },
      publicKey: createPublicKey(key),
      issuer: { certificate: ca, key: createPrivateKey(file('keys/agent-ca.key')) },
      serial: randomSerial(systemRandom),
      notBefore: parseCertificate(ca).notBefore,
      notAfter: Date.now() - 1000,
      purpose: { kind: 'tls-client', uri: agentUri(TRUST_DOMAIN, host.hostId) },
    });
    const { tls } = host;
    host.tls = { cert: toPem(certificate), key: tls.key };
    for (const [url, body] of [
      ['/v1/challenges', { v: 1, purpose: 'execution' }],
      ['/v1/executions', {}],
    ] as const)
      expect((await host.post(url, body)).json).toMatchObject({ check: 'caller-expired' });
    const { session, nonceTpm } = await host.session();
    const { body } = await host.prepareAttestation([], nonceTpm);
    const renewed = await host.attest(body);
    expect(renewed.status, renewed.text).toBe(200);
    await session.flush();
    host.tls = { cert: text(renewed.json['agentCertificatePem']), key: tls.key };
    expect((await host.post('/v1/challenges', { v: 1, purpose: 'execution' })).status).toBe(201);
  });
});

describe('an execution', () => {
  it('is allowed, logged with a proof, and opens on its TPM', async () => {
    const { request, answer, own, session } = await host.run({}, 'keep');
    const leaf = new Uint8Array(Buffer.from(text(answer['leaf']), 'base64url'));
    const proof = parseLogProof(utf8(text(answer['proof'])));
    const { logKey } = world.verifier.server.services;
    expect(verifyLogProof(proof, { logKeys: [logKey], leafHash: leafHash(leaf) })).toEqual([]);
    const opened = await host.open(answer['sealed'], own, session);
    expect(opened['credentials']).toMatchObject([
      { name: 'workload', kind: 'x509-svid', id: 'spiffe://example.org/vm/report' },
    ]);
    const claims = claimsOf(text(answer['authorization']));
    expect(claims.attr).toMatchObject({ owner: 'team-a', purpose: 'monthly figures' });
    const shown = await world.operate('GET', `/v1/executions/${request.executionId}`);
    expect(shown.json).toMatchObject({ state: 'issued', hostId: host.hostId, artifact: { name: 'report' } });
    const list = await world.operate('GET', `/v1/executions?host=${host.hostId}`);
    expect(list.text).toContain(request.executionId);
    expect((await world.operate('GET', `/v1/executions?host=${other.hostId}`)).json['executions']).toEqual(
      [],
    );
  });

  it('starts and ends as its workload key reports, and only as it does', async () => {
    const { request, workload } = await host.run();
    const { executionId } = request;
    const stranger = await other.report(executionId, 'ended', workload, { status: 0 });
    expect(stranger.json).toMatchObject({ check: 'caller-host', status: 403 });
    const foreign = await host.report(executionId, 'ended', ec(), { status: 0 });
    expect(foreign.json).toMatchObject({ check: 'holder_binding_failed' });
    const mixed = await host.report(executionId, 'started', workload, { executionId: newExecutionId() });
    expect(mixed.json).toMatchObject({ check: 'holder_binding_failed' });
    expect(await stateOf(executionId)).toBe('issued');
    expect((await host.report(executionId, 'started', workload)).json).toMatchObject({ state: 'running' });
    expect((await host.report(executionId, 'started', workload)).json).toMatchObject({
      check: 'execution-ended',
      code: 'replay-detected',
    });
    const ended = await host.report(executionId, 'ended', workload, { status: 3 });
    expect(ended.json).toMatchObject({ state: 'ended', executionId });
    expect(await world.leaf(ended.json['auditIndex'])).toMatchObject({
      kind: 'outcome',
      state: 'ended',
      reportedBy: 'host',
      exit: { status: 3 },
    });
    const again = await host.report(executionId, 'ended', workload, { status: 0 });
    expect(again.json).toMatchObject({ check: 'execution-ended' });
    const unknown = await host.report(newExecutionId(), 'ended', workload, { status: 0 });
    expect(unknown.json).toMatchObject({ check: 'execution-unknown' });
  });
});

describe('a request is denied', () => {
  const otherQuote = () => new Uint8Array(32).fill(5);
  it.each<[string, string, string, AskOptions]>([
    ['another artifact measured', 'artifact-pcr', 'artifact', { measured: `sha256:${'1'.repeat(64)}` }],
    ['an artifact that nobody signed', 'dsse-subject', 'artifact', { signed: '2'.repeat(64) }],
    ['a foreign workload key', 'holder_binding_failed', 'authorization', { workloadProof: ec() }],
    ['a quote over something else', 'e16', 'environment', { qualifyingData: otherQuote }],
    ['a challenge for attestation', 'e2', 'request', { purpose: 'attestation' }],
    ['another verifier', 'wrong-verifier', 'request', { request: { verifier: 'other.example' } }],
    ['policy', 'policy-denied', 'policy', { request: { privileged: true } }],
    [
      'a credential that is not granted',
      'policy-credential',
      'policy',
      { request: { credentials: ['root'] } },
    ],
    [
      'another bundle',
      'policy-not-active',
      'request',
      { request: { policyHash: `sha256:${'3'.repeat(64)}` } },
    ],
    ['a secret that nobody stored', 'secret-unknown', 'sealing', { request: { credentials: ['database'] } }],
    [
      'a session’s nonce that is no TPM’s',
      'sealed-nonce',
      'sealing',
      { request: { nonceTPM: 'A'.repeat(60) } },
    ],
    ['evidence that is none', 'evidence-form', 'request', { body: (body) => ({ ...body, evidence: {} }) }],
    ['a body with more than it takes', 'malformed', 'request', { body: (body) => ({ ...body, more: 1 }) }],
  ])('for %s: %s', async (_, check, stage, options) => {
    const { status, type, json } = await host.ask(options);
    expect(type).toContain('application/problem+json');
    expect(status).toBeGreaterThanOrEqual(400);
    expect(json).toMatchObject({ check });
    expect(json).toMatchObject({ stage });
    expect(text(json['remedy'])).toMatch(/^[A-Z]/);
    // Every denial of a known host has its leaf, and the leaf says the same; what can't be read asked for nothing.
    if (stage === 'request' && json['code'] === 'malformed-request')
      expect(json).not.toHaveProperty('auditIndex');
    else expect(await world.leaf(json['auditIndex'])).toMatchObject({ denial: { check } });
    expect(json).not.toHaveProperty('sealed');
    expect(json).not.toHaveProperty('authorization');
  });

  it('the second time, from another host, and with another host’s challenge', async () => {
    const { sent, status } = await host.ask();
    expect(status).toBe(201);
    expect((await host.post('/v1/executions', sent)).json).toMatchObject({ code: 'replay-detected' });
    expect((await other.post('/v1/executions', sent)).json).toMatchObject({ check: 'caller-host' });
    const { nonce = '' } = await host.challenge('execution');
    expect((await other.ask({ nonce })).json).toMatchObject({ check: 'e2' });
    const parts = nonce.slice(0, -4);
    expect((await host.ask({ nonce: `${parts}AAAA` })).json).toMatchObject({ check: 'e2' });
  });

  it('twice at the same time: one of them', async () => {
    const { nonceTpm, session } = await host.session();
    const { body } = await host.prepare(nonceTpm);
    const answers = await Promise.all([1, 2, 3].map(() => host.post('/v1/executions', body)));
    expect(answers.map(({ status }) => status).sort()).toEqual([201, 409, 409]);
    await session.flush();
  });

  it('for attestation evidence, and the reverse', async () => {
    const { session, nonceTpm } = await host.session();
    const attestation = await host.prepareAttestation([], nonceTpm);
    const { body } = await host.prepare(nonceTpm);
    const mixed = { ...body, evidence: attestation.body.evidence as unknown as JsonObject };
    const first = await host.post('/v1/executions', mixed);
    expect(first.json).toMatchObject({ stage: 'environment' });
    expect([first.json['check'], ...failedOf(first.json)]).toContain('e16');
    const execution = await host.prepare(nonceTpm);
    const again = await host.prepareAttestation([], nonceTpm);
    const swapped = { ...again.body, evidence: execution.body['evidence'] };
    const second = await host.attest(swapped);
    expect([second.json['check'], ...failedOf(second.json)]).toContain('e16');
    const labelled = await host.prepareAttestation([], nonceTpm, { label: executionQualifyingData });
    expect((await host.attest(labelled.body)).json).toMatchObject({ check: 'e16' });
    const purpose = await host.prepareAttestation([], nonceTpm, { purpose: 'execution' });
    expect((await host.attest(purpose.body)).json).toMatchObject({ check: 'e2' });
    await session.flush();
  });

  it('while the host has as many executions as policy allows', async () => {
    await world.publish({ executionsPerHost: 1 });
    const { status } = await other.ask();
    expect(status).toBe(201);
    expect((await other.ask()).json).toMatchObject({ check: 'host-executions', code: 'policy-mismatch' });
    await world.publish();
  });
});

const failedOf = (json: Record<string, unknown>): string[] => {
  const detail = json['detail'] as { failed?: { check: string }[] } | undefined;
  return (detail?.failed ?? []).map(({ check }) => check);
};

describe('a host attestation', () => {
  it('renews an execution, and its credentials open in the session that was quoted', async () => {
    const run = await host.run();
    await host.report(run.request.executionId, 'started', run.workload);
    const { session, nonceTpm } = await host.session();
    const { body, digest, terms } = await host.prepareAttestation([liveOf(run)], nonceTpm);
    const { status, json, text: raw } = await host.attest(body);
    expect(status, raw).toBe(200);
    expect(json).toMatchObject({ ended: [], agentCertificatePem: null });
    const [token = ''] = json['authorizations'] as string[];
    const [before, after] = [claimsOf(text(run.answer['authorization'])), claimsOf(token)];
    expect(after).toMatchObject({
      client_id: before.client_id,
      sub: before.sub,
      cnf: before.cnf,
      txn: before.txn,
    });
    expect(after.jti).not.toBe(before.jti);
    expect(after.eat_nonce).toBe(body.request.nonce);
    const binding = {
      kind: 'renewal' as const,
      requestDigest: digest,
      authorizations: [{ executionId: run.request.executionId, jti: after.jti }],
    };
    const opened = await host.open(json['sealed'], terms(binding), session);
    expect(opened['executions']).toMatchObject([
      { executionId: run.request.executionId, credentials: [{ name: 'workload', kind: 'x509-svid' }] },
    ]);
    const leaf = JSON.parse(Buffer.from(text(json['leaf']), 'base64url').toString()) as object;
    expect(leaf).toMatchObject({ purpose: 'attestation', outcome: 'allow', executions: [before.client_id] });

    // The authorization that it had renews nothing any more; the one that it has does.
    const second = await host.session();
    const stale = await host.prepareAttestation([liveOf(run)], second.nonceTpm);
    expect((await host.attest(stale.body)).json).toMatchObject({
      authorizations: [],
      sealed: null,
      ended: [{ executionId: before.client_id, denial: { check: 'renewal-stale' } }],
    });
    const current = { token, sequence: 1, workload: run.workload };
    const third = await host.prepareAttestation([current], second.nonceTpm);
    expect((await host.attest(third.body)).json['authorizations']).toHaveLength(1);
    await session.flush();
    await second.session.flush();
  });

  it('renews a JWT-SVID, which relying parties verify with the SPIFFE bundle', async () => {
    const run = await host.run({ request: { credentials: ['token'] } }, 'keep');
    const first = await host.open(run.answer['sealed'], run.own, run.session);
    await run.session.flush();
    const { session, nonceTpm } = await host.session();
    const { body, digest, terms } = await host.prepareAttestation([liveOf(run)], nonceTpm);
    const { status, json, text: raw } = await host.attest(body);
    expect(status, raw).toBe(200);
    const [token = ''] = json['authorizations'] as string[];
    const binding = {
      kind: 'renewal' as const,
      requestDigest: digest,
      authorizations: [{ executionId: run.request.executionId, jti: claimsOf(token).jti }],
    };
    const second = await host.open(json['sealed'], terms(binding), session);
    await session.flush();
    const bundle = (await world.verifier.call({ url: '/.well-known/spiffe-bundle' })).json;
    const keys = (bundle['keys'] as JWK[]).filter(({ use }) => use === 'jwt-svid');
    const serials: unknown[] = [];
    const [renewal] = second['executions'] as { credentials: { token: string }[] }[];
    for (const one of [...(first['credentials'] as { token: string }[]), ...(renewal?.credentials ?? [])]) {
      const { payload } = await jwtVerify(one.token, await importJWK(keys[0] ?? {}, 'ES256'), {
        audience: 'https://orders.example.org',
        subject: 'spiffe://example.org/vm/report',
      });
      expect((payload.exp ?? 0) - (payload.iat ?? 0)).toBe(120);
      serials.push(payload.jti);
    }
    expect(new Set(serials).size).toBe(2);
  });

  it('ends what may not go on: a foreign key, another host’s execution, what policy no longer permits', async () => {
    const { session, nonceTpm } = await host.session();
    const run = await host.run();
    const theirs = await other.run();
    const { body } = await host.prepareAttestation(
      [liveOf(theirs), { ...liveOf(run), workload: ec() }],
      nonceTpm,
    );
    expect((await host.attest(body)).json['ended']).toMatchObject([
      { executionId: theirs.request.executionId, denial: { check: 'execution-unknown' } },
      { executionId: run.request.executionId, denial: { check: 'holder_binding_failed' } },
    ]);
    expect(await stateOf(run.request.executionId)).toBe('revoked');
    expect(await stateOf(theirs.request.executionId)).toBe('issued');

    const second = await host.run();
    await world.publish({
      cedar:
        '@id("none") permit (principal, action == Action::"Execute", resource) when { context.request.privileged };',
    });
    const denied = await host.prepareAttestation([liveOf(second)], nonceTpm);
    expect((await host.attest(denied.body)).json).toMatchObject({
      authorizations: [],
      ended: [{ denial: { check: 'policy-denied', stage: 'policy' } }],
    });
    expect(await stateOf(second.request.executionId)).toBe('revoked');
    await world.publish();
    await session.flush();
  });

  it('is of the host that asks, of its address, and of its form', async () => {
    const { session, nonceTpm } = await host.session();
    const { body } = await host.prepareAttestation([], nonceTpm);
    const url = `/v1/hosts/${host.hostId}/attestations`;
    expect((await other.post(url, body)).json).toMatchObject({ check: 'caller-host' });
    expect((await host.post(`/v1/hosts/${other.hostId}/attestations`, body)).json).toMatchObject({
      check: 'request-form',
    });
    expect((await host.attest({ ...body, proofs: ['a.b.c'] })).json).toMatchObject({ check: 'request-form' });
    expect((await host.attest(body)).status).toBe(200);
    expect((await host.attest(body)).json).toMatchObject({ code: 'replay-detected' });
    await session.flush();
  });
});

describe('revocations', () => {
  it('of an execution end it; of an artifact, stop it; twice is a conflict', async () => {
    const { request, workload } = await host.run();
    const order = { kind: 'execution', id: request.executionId, reason: 'by mistake' };
    const revoked = await world.operate('POST', '/v1/revocations', order);
    expect(revoked.json).toMatchObject({ state: 'revoked' });
    expect(await world.leaf(revoked.json['auditIndex'])).toMatchObject({
      kind: 'revocation',
      subject: { kind: 'execution', id: request.executionId },
    });
    expect(await stateOf(request.executionId)).toBe('revoked');
    expect(revoked.json).toMatchObject({ ended: 1, hosts: [host.hostId] });
    // The host says how it ended there, once; it stays revoked.
    const told = await host.report(request.executionId, 'ended', workload, { signal: 'SIGTERM' });
    expect(told.json).toMatchObject({ state: 'revoked' });
    expect(await world.leaf(told.json['auditIndex'])).toMatchObject({
      ...{ kind: 'outcome', state: 'revoked', reportedBy: 'host' },
      ...{ exit: { signal: 'SIGTERM' }, reason: 'by mistake' },
    });
    expect((await host.report(request.executionId, 'ended', workload, { status: 0 })).json).toMatchObject({
      check: 'execution-ended',
    });
    expect((await world.operate('POST', '/v1/revocations', order)).json).toMatchObject({ code: 'conflict' });
    expect((await world.operate('POST', '/v1/revocations', { ...order, kind: 'host' })).json).toMatchObject({
      check: 'revocation-subject',
    });
    expect((await world.operate('GET', '/v1/revocations')).text).toContain(request.executionId);
    const { sent } = await other.ask({ content: 'broken' });
    const { artifact } = sent['request'] as unknown as Allowed['request'];
    await world.operate('POST', '/v1/revocations', {
      kind: 'artifact',
      id: artifact.digest,
      reason: 'broken',
    });
    expect((await other.ask({ content: 'broken' })).json).toMatchObject({
      check: 'artifact-revoked',
      code: 'revoked-authorization',
    });
  });
});

describe('standing', () => {
  it('a quarantined host attests and gets nothing; restored, it goes on', async () => {
    const quarantined = await world.operate('POST', `/v1/hosts/${host.hostId}/quarantine`, {
      reason: 'look',
    });
    expect(quarantined.status).toBe(200);
    const refused = await host.post('/v1/challenges', { v: 1, purpose: 'execution' });
    expect(refused.json).toMatchObject({ check: 'host-quarantined', code: 'revoked-authorization' });
    const { session, nonceTpm } = await host.session();
    const { body } = await host.prepareAttestation([], nonceTpm);
    expect((await host.attest(body)).json).toMatchObject({ sealed: null, agentCertificatePem: null });
    await session.flush();
    await world.operate('POST', `/v1/hosts/${host.hostId}/restore`, { reason: 'fine' });
    expect((await host.post('/v1/challenges', { v: 1, purpose: 'execution' })).status).toBe(201);
  });

  it('a host whose boot was changed, or that lost what was sealed to it, is denied', async () => {
    const run = await other.run();
    const lostRun = await other.run();
    const lost = await other.report(lostRun.request.executionId, 'ended', lostRun.workload, {
      reason: 'release-lost',
    });
    expect(lost.json).toMatchObject({ state: 'failed' });
    const quarantined = await world.operate('GET', `/v1/hosts/${other.hostId}`);
    expect(quarantined.json['state']).toBe('quarantined');
    // By one and the same leaf, and what else ran there has ended with it.
    expect(await world.leaf(lost.json['auditIndex'])).toMatchObject({ state: 'release-lost' });
    expect(await stateOf(run.request.executionId)).toBe('revoked');
    await world.operate('POST', `/v1/hosts/${other.hostId}/restore`, { reason: 'looked at' });
    const next = await other.run();
    await other.tpm.pcrExtend(0, { sha256: new Uint8Array(32).fill(1) });
    const { session, nonceTpm } = await other.session();
    const { body } = await other.prepareAttestation([liveOf(next)], nonceTpm);
    expect((await other.attest(body)).json).toMatchObject({
      check: 'pcr-value',
      code: 'environment-integrity-failure',
    });
    await session.flush();
    const shown = await world.operate('GET', `/v1/executions/${next.request.executionId}`);
    expect(shown.json).toMatchObject({ state: 'revoked', reason: 'pcr-value' });
  });

  it('an attestation after a reboot renews nothing of before', async () => {
    const run = await host.run();
    await host.tpm.close();
    await host.emulator.reboot();
    host.tpm = await Tpm.open(host.emulator.tcti);
    await host.loadKey();
    const { session, nonceTpm } = await host.session();
    const { body } = await host.prepareAttestation([liveOf(run)], nonceTpm);
    expect((await host.attest(body)).json).toMatchObject({
      authorizations: [],
      ended: [{ denial: { check: 'execution-boot' } }],
    });
    await session.flush();
  });

  it('a revoked host is denied by name, at the challenge and in a decision under way', async () => {
    const { session, nonceTpm } = await host.session();
    const { body } = await host.prepare(nonceTpm);
    const order = { kind: 'host', id: host.hostId, reason: 'stolen' };
    expect((await world.operate('POST', '/v1/revocations', order)).status).toBe(201);
    for (const [url, sent] of [
      ['/v1/executions', body],
      ['/v1/challenges', { v: 1, purpose: 'attestation' }],
    ] as const) {
      const { json } = await host.post(url, sent);
      expect(json).toMatchObject({ check: 'host-revoked', code: 'revoked-authorization' });
      expect(await world.leaf(json['auditIndex'])).toMatchObject({ denial: { check: 'host-revoked' } });
    }
    await session.flush();
  });
});

describe('keys for relying parties', () => {
  it('are one set for SVIDs and one for tokens', async () => {
    const spiffe = (await world.verifier.call({ url: '/.well-known/spiffe-bundle' })).json;
    expect(spiffe['keys']).toMatchObject([
      { use: 'x509-svid', x5c: [expect.any(String)] },
      { use: 'jwt-svid' },
    ]);
    const tokens = (await world.verifier.call({ url: '/.well-known/jwks.json' })).json[
      'keys'
    ] as JsonObject[];
    expect(tokens.map((key) => key['sealgate_purpose'])).toEqual([
      'authorization',
      'attestation-result',
      'status',
      'jwt-svid',
    ]);
    const kids = (keys: unknown) => (keys as { kid?: string }[]).map(({ kid }) => kid);
    // What workloads show to each other verifies under no key of another purpose.
    expect(kids(tokens).filter((kid) => kids(spiffe['keys']).includes(kid))).toEqual([tokens[3]?.['kid']]);
  });
});

describe('denials', () => {
  it('of hosts had every code that a request of a known host can have', async () => {
    expect(
      (await host.world.verifier.call({ method: 'POST', url: '/v1/challenges', body: {} })).json,
    ).toMatchObject({
      code: 'missing-authorization',
    });
    const codes = new Set([...world.denied].map((one) => one.split(' ')[1]));
    const missing = Object.keys(DENIAL_STATUS).filter((code) => !codes.has(code));
    // Without a certificate nobody is known; that request is above.
    expect(missing).toEqual(['missing-authorization']);
    const stages = new Set([...world.denied].map((one) => one.split(' ')[0]));
    for (const stage of [
      'request',
      'identity',
      'environment',
      'artifact',
      'policy',
      'authorization',
      'sealing',
      'audit',
      'execution',
    ])
      expect([...stages], stage).toContain(stage);
  });
});
