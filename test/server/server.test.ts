import { createPrivateKey, generateKeyPairSync } from 'node:crypto';
import { copyFileSync, readFileSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import tls from 'node:tls';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  leafHash,
  parseCheckpoint,
  parseLogProof,
  verifyConsistency,
  verifyLogProof,
} from '../../src/audit/index.ts';
import { fromBase64, utf8 } from '../../src/base/index.ts';
import { issueOperator, readCertificate } from '../../src/config/index.ts';
import type { Role } from '../../src/config/index.ts';
import { agentUri } from '../../src/enrollment/index.ts';
import { Metrics } from '../../src/server/metrics.ts';
import { allRoutes } from '../../src/server/routes/index.ts';
import { issueCertificate, randomSerial, toPem } from '../../src/x509/index.ts';
import type { CertificatePurpose } from '../../src/x509/index.ts';
import { systemRandom } from '../support/random.ts';
import { expectRejection } from '../support/refusals.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { TRUST_DOMAIN, install, operatorTls, startVerifier } from '../support/verifier.ts';
import type { TestVerifier } from '../support/verifier.ts';

const directory = path.join(temporaryDirectory(), 'v');
const HOST = 'ab'.repeat(32);
let verifier: TestVerifier;
let admin: ReturnType<typeof operatorTls>;

beforeAll(async () => {
  install(directory);
  verifier = await startVerifier(directory);
  admin = operatorTls(directory);
});
afterAll(async () => {
  await verifier.server.stop();
});

function caOf(name: string, keyFile = `keys/${name}.key`) {
  const certificate = readCertificate(path.join(directory, `certificates/${name}.pem`)).raw;
  return { certificate, key: createPrivateKey(readFileSync(path.join(directory, keyFile))) };
}
const operatorCa = () => caOf('operator-ca', 'offline/operator-ca.key');

function client(ca: ReturnType<typeof caOf>, purpose: CertificatePurpose, notAfter = Date.now() + 3_600_000) {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const notBefore = Date.now() - 7_200_000;
  const certificate = issueCertificate({
    subject: { commonName: 'x' },
    publicKey,
    issuer: ca,
    serial: randomSerial(systemRandom),
    notBefore,
    notAfter,
    purpose,
  });
  return { cert: toPem(certificate), key: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString() };
}
function operator(name: string, roles: readonly Role[]) {
  const issued = issueOperator(
    { trustDomain: TRUST_DOMAIN, name, roles },
    operatorCa(),
    Date.now(),
    systemRandom,
  );
  return {
    tls: { cert: toPem(issued.certificate), key: issued.keyPem },
    serial: Buffer.from(issued.certificate),
  };
}
const size = async () =>
  parseCheckpoint(utf8((await verifier.call({ url: '/checkpoint' })).text)).claimed.size;
const invitation = (name: string, more: object = {}) => ({
  ...{
    name,
    labels: {},
    platform: 'lab',
    ekTemplate: 'L-1',
    ek: null,
    host: null,
    restartCounters: false,
    needsApproval: false,
    ttlSeconds: 60,
  },
  ...more,
});

describe('every route refuses every wrong caller, and nothing changes', () => {
  const adminName = `urn:sealgate:operator:${TRUST_DOMAIN}:mallory:admin`;
  const hour = 3_600_000;
  const stranger = () => {
    const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const certificate = issueCertificate({
      subject: { commonName: 'Sealgate Operator CA', organization: TRUST_DOMAIN },
      ...{ publicKey, issuer: { key: privateKey }, serial: randomSerial(systemRandom) },
      ...{ notBefore: Date.now() - hour, notAfter: Date.now() + hour, purpose: { kind: 'ca' } as const },
    });
    return { certificate, key: privateKey };
  };
  const wrong: readonly (readonly [string, () => object])[] = [
    ['nobody', () => ({})],
    ['a certificate of another CA', () => client(stranger(), { kind: 'tls-client', uri: adminName })],
    [
      'a server certificate of the operator CA',
      () => client(operatorCa(), { kind: 'tls-server', dns: ['a'], uri: adminName }),
    ],
    [
      'an expired operator',
      () => client(operatorCa(), { kind: 'tls-client', uri: adminName }, Date.now() - 1000),
    ],
    [
      'an operator of another domain',
      () => client(operatorCa(), { kind: 'tls-client', uri: 'urn:sealgate:operator:evil.org:m:admin' }),
    ],
    [
      'an operator with an unknown role',
      () => client(operatorCa(), { kind: 'tls-client', uri: `urn:sealgate:operator:${TRUST_DOMAIN}:m:root` }),
    ],
    ['an operator without a name', () => client(operatorCa(), { kind: 'tls-client' })],
    [
      'an operator’s name from the agent CA',
      () => client(caOf('agent-ca'), { kind: 'tls-client', uri: adminName }),
    ],
    [
      'a workload SVID',
      () => client(caOf('svid-ca'), { kind: 'x509-svid', id: `spiffe://${TRUST_DOMAIN}/w` }),
    ],
    ['an agent', () => client(caOf('agent-ca'), { kind: 'tls-client', uri: agentUri(TRUST_DOMAIN, HOST) })],
  ];

  it.each(wrong)('%s', async (_, make) => {
    const before = await size();
    const caller = make();
    const closed = allRoutes(verifier.server.services, new Metrics(), () => ({})).filter(
      ({ access }) => access.who !== 'anyone',
    );
    expect(closed.length).toBeGreaterThan(10);
    for (const { method, url } of closed) {
      const target = url
        .replace(':hostId', HOST)
        .replace(':serial', 'abcd')
        .replace(':index', '0')
        .replace(':id', HOST)
        .replace('*', '000.p/1');
      const answer = await verifier.call({
        method,
        url: target,
        tls: caller,
        ...(method === 'POST' ? { body: {} } : {}),
      });
      expect([401, 403], `${method} ${url}: ${answer.text}`).toContain(answer.status);
      expect(answer.type).toContain('application/problem+json');
    }
    expect(await size()).toBe(before);
  });

  it('an operator without the role', async () => {
    const before = await size();
    const auditor = operator('auditor', ['audit']).tls;
    for (const url of [
      '/v1/invitations',
      `/v1/invitations/${HOST}/withdraw`,
      `/v1/hosts/${HOST}/approve`,
      `/v1/hosts/${HOST}/revoke`,
      '/v1/operators/abcd/revoke',
    ])
      expect((await verifier.call({ method: 'POST', url, tls: auditor, body: {} })).json).toMatchObject({
        status: 403,
        code: 'not-permitted',
      });
    const inviter = operator('inviter', ['invite']).tls;
    for (const url of ['/metrics', '/tile/entries/000.p/1', '/v1/log/entries/0'])
      expect((await verifier.call({ url, tls: inviter })).status).toBe(403);
    expect((await verifier.call({ url: '/metrics', tls: auditor })).text).toContain('sealgate_denials_total');
    // Each refusal of a known caller is a leaf; nothing else changed.
    expect(await size()).toBe(before + 8n);
  });

  it('a revoked operator', async () => {
    const gone = client(operatorCa(), { kind: 'tls-client', uri: adminName });
    const you = (await verifier.call({ url: '/v1/operators', tls: gone })).json['you'] as { serial: string };
    const revoke = {
      method: 'POST',
      url: `/v1/operators/${you.serial}/revoke`,
      tls: admin,
      body: { reason: 'lost' },
    };
    expect((await verifier.call(revoke)).json).toMatchObject({
      state: 'revoked',
      auditIndex: expect.any(String) as string,
    });
    expect((await verifier.call(revoke)).json).toMatchObject({ status: 409, code: 'conflict' });
    expect((await verifier.call({ url: '/v1/operators', tls: gone })).json).toMatchObject({
      check: 'caller-revoked',
    });
  });
});

describe('requests', () => {
  const post = (raw: string, type?: string) =>
    verifier.call({
      method: 'POST',
      url: '/v1/invitations',
      tls: admin,
      raw,
      ...(type === undefined ? {} : { type }),
    });

  it.each([
    ['an unknown member', JSON.stringify({ ...invitation('a'), extra: 1 })],
    ['a missing member', '{"name":"a"}'],
    ['a number as text', JSON.stringify({ ...invitation('a'), ttlSeconds: '60' })],
    ['a member twice', JSON.stringify(invitation('a')).replace('{', '{"name":"b",')],
    ['an unsafe integer', JSON.stringify(invitation('a')).replace('60', '9007199254740993')],
    ['no JSON', '{'],
    ['deep nesting', `${'['.repeat(100)}${']'.repeat(100)}`],
    ['no body', ''],
  ])('with %s are malformed', async (_, raw) => {
    const before = await size();
    expect((await post(raw)).json).toMatchObject({ status: 400, code: 'malformed-request' });
    expect(await size()).toBe(before);
  });

  it('of another type, too large or to nowhere are refused', async () => {
    expect((await post(JSON.stringify(invitation('a')), 'text/plain')).status).toBe(400);
    expect((await post(`"${'a'.repeat(300_000)}"`)).json).toMatchObject({ status: 413, code: 'too-large' });
    expect((await verifier.call({ url: '/nowhere' })).json).toMatchObject({ status: 404, code: 'not-found' });
    expect((await verifier.call({ url: `/v1/hosts/${HOST}`, tls: admin })).json).toMatchObject({
      status: 404,
    });
  });

  it('never put tokens into the log, and have an id that the client doesn’t choose', async () => {
    const answer = await verifier.call({
      method: 'POST',
      url: '/v1/invitations',
      tls: admin,
      body: invitation('logged'),
    });
    const token = answer.json['token'] as string;
    expect(token).toMatch(/^[A-Za-z0-9_-]{43}$/);
    const enrollment = {
      v: 1,
      name: 'logged',
      token,
      ekPublic: 'AAAA',
      akPublic: 'AAAA',
      agentPublic: 'AAAA',
    };
    expect((await verifier.call({ method: 'POST', url: '/v1/enrollments', body: enrollment })).status).toBe(
      400,
    );
    expect(verifier.lines.join('')).not.toContain(token);
    const listed = (await verifier.call({ url: '/v1/invitations', tls: admin })).text;
    expect(listed).toContain('logged');
    expect(listed).not.toContain(token);
  });

  it('to withdraw an invitation are answered once, and logged; the token opens nothing any more', async () => {
    const invited = async (name: string, more: object = {}) =>
      await verifier.call({
        ...{ method: 'POST', url: '/v1/invitations', tls: admin },
        body: invitation(name, more),
      });
    const idOf = async (name: string) => {
      const { json } = await verifier.call({ url: '/v1/invitations', tls: admin });
      const all = json['invitations'] as { readonly id: string; readonly name: string }[];
      return all.find((one) => one.name === name)?.id ?? '';
    };
    const withdraw = async (id: string) =>
      await verifier.call({ method: 'POST', url: `/v1/invitations/${id}/withdraw`, tls: admin });
    const { json } = await invited('taken-back');
    await invited('listed', { ek: 'b'.repeat(64), ttlSeconds: null });
    expect(await idOf('listed')).toBe('b'.repeat(64));
    for (const name of ['taken-back', 'listed']) {
      const answer = await withdraw(await idOf(name));
      expect(answer.json).toMatchObject({ name, state: 'withdrawn' });
      const url = `/v1/log/entries/${String(answer.json['auditIndex'])}`;
      const { leaf } = (await verifier.call({ url, tls: admin })).json;
      expect(JSON.parse(String(leaf))).toMatchObject({
        ...{ kind: 'operator', action: 'host-invite-withdraw', target: name },
      });
      const before = await size();
      expect((await withdraw(await idOf(name))).json).toMatchObject({ check: 'invitation-state' });
      // The refusal of a known caller is a leaf; nothing else changed.
      expect(await size()).toBe(before + 1n);
    }
    const enrollment = { v: 1, name: 'taken-back', token: json['token'], ekPublic: 'AAAA', akPublic: 'AAAA' };
    const body = { ...enrollment, agentPublic: 'AAAA' };
    const refused = await verifier.call({ method: 'POST', url: '/v1/enrollments', body });
    expect(refused.json).toMatchObject({ check: expect.stringMatching(/^(?!enroll-token$)/) as string });
    expect((await withdraw('c'.repeat(64))).json).toMatchObject({ status: 404, code: 'not-found' });
    expect((await withdraw('nothing')).status).toBe(400);
  });

  it('by a method that a path does not have are refused with those that it has, by whom and with what ever', async () => {
    const routes = allRoutes(verifier.server.services, new Metrics(), () => ({}));
    const before = await size();
    for (const url of new Set(routes.map((one) => one.url))) {
      const own: readonly string[] = routes.filter((one) => one.url === url).map(({ method }) => method);
      const target = url.replaceAll(/:[A-Za-z]+/g, HOST).replace('*', '000.p/1');
      // One of them by who may do everything: that makes no difference.
      for (const [method, caller] of [
        ['GET', {}],
        ['POST', {}],
        ['DELETE', admin],
      ] as const) {
        if (own.includes(method)) continue;
        const raw = method === 'GET' ? undefined : '{';
        const answer = await verifier.call({
          ...{ method, url: target, tls: caller },
          ...(raw === undefined ? {} : { raw }),
        });
        expect(answer.json, `${method} ${url}`).toMatchObject({ status: 405, code: 'method-not-allowed' });
        expect(answer.status).toBe(405);
        expect(answer.type).toContain('application/problem+json');
        expect(answer.allow.split(', ').sort()).toEqual([...own].sort());
      }
    }
    for (const method of ['PUT', 'PATCH', 'OPTIONS'])
      expect((await verifier.call({ method, url: '/v1/hosts' })).status, method).toBe(405);
    expect(await size()).toBe(before);
    // Who has no such path learns that, by any method.
    expect((await verifier.call({ method: 'DELETE', url: '/nowhere' })).status).toBe(404);
    const { json } = await verifier.call({ url: '/openapi.json' });
    const methods = Object.values(json['paths'] as object).flatMap((path: object) => Object.keys(path));
    expect(new Set(methods)).toEqual(
      new Set(['get', 'post', ...new Set(routes.map(({ method }) => method.toLowerCase()))]),
    );
  });

  it('are described by OpenAPI 3.1, each with its caller', async () => {
    const { json } = await verifier.call({ url: '/openapi.json' });
    expect(json['openapi']).toBe('3.1.0');
    const paths = json['paths'] as Record<string, { post?: { description: string } }>;
    expect(paths['/v1/invitations']?.post?.description).toBe('Caller: operator (invite).');
  });
});

describe('the log over HTTPS', () => {
  it('proves entries and that it only grew', async () => {
    const first = parseCheckpoint(utf8((await verifier.call({ url: '/checkpoint' })).text)).claimed;
    for (const name of ['p1', 'p2', 'p3'])
      await verifier.call({ method: 'POST', url: '/v1/invitations', tls: admin, body: invitation(name) });
    const entry = (await verifier.call({ url: '/v1/log/entries/0', tls: admin })).json;
    expect(JSON.parse(entry['leaf'] as string)).toMatchObject({ kind: 'opening', origin: 'example.org/log' });
    const proof = parseLogProof(utf8((await verifier.call({ url: '/v1/log/proof/0' })).text));
    const { logKey } = verifier.server.services;
    expect(
      verifyLogProof(proof, { logKeys: [logKey], leafHash: leafHash(utf8(entry['leaf'] as string)) }),
    ).toEqual([]);
    const { json } = await verifier.call({ url: `/v1/log/consistency?from=${first.size}` });
    const now = parseCheckpoint(utf8(json['checkpoint'] as string)).claimed;
    verifyConsistency({
      oldSize: first.size,
      oldRoot: first.root,
      size: now.size,
      root: now.root,
      proof: (json['proof'] as string[]).map((hash) => fromBase64(hash)),
    });
    expect((await verifier.call({ url: `/tile/0/000.p/${now.size}` })).status).toBe(200);
    expect((await verifier.call({ url: `/tile/entries/000.p/${now.size}`, tls: admin })).status).toBe(200);
    for (const url of [
      `/tile/0/000.p/${now.size + 1n}`,
      '/tile/0/000',
      '/tile/64/000',
      '/tile/0/0',
      `/v1/log/proof/${now.size}`,
      '/v1/log/consistency?from=0',
    ])
      expect((await verifier.call({ url })).status, url).toBe(404);
  });
});

describe('connections', () => {
  it('that are half open or slow leave others served; TLS 1.2 is refused; no session is resumed', async () => {
    const { port } = verifier.server.address;
    const idle = Array.from({ length: 50 }, () => net.connect(port, '127.0.0.1'));
    expect((await verifier.call({ url: '/healthz' })).status).toBe(200);
    for (const socket of idle) socket.destroy();
    const connect = (options: tls.ConnectionOptions) =>
      new Promise<tls.TLSSocket>((resolve, reject) => {
        const socket = tls.connect({ port, host: '127.0.0.1', rejectUnauthorized: false, ...options }, () => {
          resolve(socket);
        });
        socket.on('error', reject);
      });
    await expect(connect({ maxVersion: 'TLSv1.2' })).rejects.toThrow();
    const first = await connect({});
    const session = await new Promise<Buffer | undefined>((resolve) => {
      first.once('session', resolve);
      setTimeout(() => {
        resolve(undefined);
      }, 300);
    });
    first.destroy();
    const second = await connect(session === undefined ? {} : { session });
    expect(second.isSessionReused()).toBe(false);
    second.destroy();
  });

  it.each([
    ['no HTTP', 'garbage\r\n\r\n', 400, 'malformed-request'],
    ['headers that are too large', `GET / HTTP/1.1\r\nx: ${'a'.repeat(1 << 17)}\r\n\r\n`, 413, 'too-large'],
  ])('with %s get the problem document of every other refusal', async (_name, bytes, status, code) => {
    const { port } = verifier.server.address;
    const text = await new Promise<string>((resolve) => {
      let all = '';
      const socket = tls.connect({ port, host: '127.0.0.1', rejectUnauthorized: false }, () => {
        socket.write(bytes);
      });
      socket.on('data', (chunk: Buffer) => (all += chunk.toString()));
      socket.on('error', () => undefined);
      socket.on('close', () => {
        resolve(all);
      });
    });
    const [head = '', body = ''] = text.split('\r\n\r\n');
    expect(head).toContain(`HTTP/1.1 ${String(status)} `);
    expect(head).toContain('content-type: application/problem+json');
    expect(JSON.parse(body)).toMatchObject({ status, code, stage: 'request' });
  });

  it('ask at most as often as configured, by address and by certificate', async () => {
    const other = path.join(temporaryDirectory(), 'limited');
    install(other);
    const limited = await startVerifier(other, {
      SEALGATE_LIMITS_REQUESTS_PER_MINUTE_PER_ADDRESS: '6',
      SEALGATE_LIMITS_REQUESTS_PER_MINUTE_PER_CERTIFICATE: '2',
    });
    const mine = operatorTls(other);
    const codes = async (times: number, tlsOptions?: object) => {
      const out: number[] = [];
      for (let i = 0; i < times; i++)
        out.push(
          (await limited.call({ url: '/v1/operators', ...(tlsOptions && { tls: tlsOptions }) })).status,
        );
      return out;
    };
    expect(await codes(3, mine)).toEqual([200, 200, 429]);
    expect(await codes(4)).toEqual([401, 401, 401, 429]);
    await limited.server.stop();
  });
});

describe('a store that is behind', () => {
  it('is refused, as is a forged high-water file; a later one goes on', async () => {
    const other = path.join(temporaryDirectory(), 'restored');
    install(other);
    const first = await startVerifier(other);
    await first.server.stop();
    copyFileSync(path.join(other, 'data/store.db'), path.join(other, 'old.db'));
    const again = await startVerifier(other);
    await again.call({
      method: 'POST',
      url: '/v1/invitations',
      tls: operatorTls(other),
      body: invitation('a'),
    });
    await again.server.stop();
    const third = await startVerifier(other);
    await third.server.stop();
    copyFileSync(path.join(other, 'data/store.db'), path.join(other, 'new.db'));
    copyFileSync(path.join(other, 'old.db'), path.join(other, 'data/store.db'));
    await expectRejection('log-behind', startVerifier(other));
    copyFileSync(path.join(other, 'new.db'), path.join(other, 'data/store.db'));
    const highWater = readFileSync(path.join(other, 'high-water'), 'utf8');
    writeFileSync(path.join(other, 'high-water'), highWater.replace('\n2\n', '\n1\n'));
    await expectRejection('log-signature', startVerifier(other));
  });
});
