import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { createPrivateKey, generateKeyPairSync } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { formatVkey, noteSigner } from '../../src/audit/index.ts';
import {
  encodePresentation,
  httpRequestDigest,
  parseVkey,
  present,
  verifyLogged,
} from '../../src/authorization/verify.ts';
import { utf8 } from '../../src/base/index.ts';
import { DecisionHost, DecisionWorld, claimsOf } from '../server/decision-world.ts';
import type { Allowed } from '../server/decision-world.ts';
import { expectRefusal } from '../support/refusals.ts';
import { temporaryDirectory } from '../support/temporary.ts';

const AUDIENCE = 'https://orders.example.org';
const body = utf8('{"item":1}');
const request = { method: 'POST', target: '/orders', body };
const digest = httpRequestDigest(request);

// The example service as a process of its own, a verifier over HTTPS, a host with an emulated TPM.
describe('the example service', () => {
  let world: DecisionWorld;
  let host: DecisionHost;
  let service: ChildProcess;
  let url = '';
  const ROOT = path.resolve(import.meta.dirname, '../..');

  beforeAll(async () => {
    expect(
      existsSync(path.join(ROOT, 'dist/src/authorization/verify.js')),
      'dist/ is missing: npm run build',
    ).toBe(true);
    const directory = temporaryDirectory();
    world = await DecisionWorld.open(path.join(directory, 'v'));
    await world.publish({ maxChildren: 4 });
    host = await DecisionHost.enroll(world, 'host-a');
    const config = {
      verifier: `https://localhost:${String(world.verifier.server.address.port)}`,
      ca: path.join(world.directory, 'certificates/tls-ca.pem'),
      issuer: 'https://localhost:8443',
      trustDomain: 'example.org',
      audience: AUDIENCE,
      statusLists: 'https://localhost:8443/v1/status-lists/',
      // Every request looks: a test doesn't wait for a list to become old.
      statusMaxAge: 0,
      ceilings: { depth: 8, lifetime: 300, scopes: ['orders.*'] },
    };
    writeFileSync(path.join(directory, 'config.json'), JSON.stringify(config));
    service = spawn(
      process.execPath,
      [path.join(ROOT, 'share/examples/relying-party/server.js'), path.join(directory, 'config.json')],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    );
    const lines = createInterface({ input: service.stdout ?? process.stdin })[Symbol.asyncIterator]();
    const [line] = await Promise.race([
      lines.next().then(({ value }) => [String(value)]),
      new Promise<string[]>((_, reject) =>
        service.once('exit', () => {
          reject(new Error('the service ended'));
        }),
      ),
    ]);
    url = (JSON.parse(line ?? '{}') as { listening: string }).listening;
  }, 180_000);
  afterAll(async () => {
    service.kill('SIGTERM');
    await host.close();
    await world.verifier.server.stop();
  });

  async function nonce(): Promise<string> {
    return ((await (await fetch(`${url}/nonces`, { method: 'POST' })).json()) as { nonce: string }).nonce;
  }
  const tokenOf = ({ answer }: Allowed): string => String(answer['authorization']);
  /** As a workload calls the service: with the authorizations of its chain and its own key. */
  async function order(chain: readonly string[], key: KeyObject, sent = body, proven = body) {
    const binding = {
      audience: AUDIENCE,
      nonce: await nonce(),
      requestDigest: httpRequestDigest({ ...request, body: proven }),
    };
    const authorization = encodePresentation(await present(chain, binding, key));
    return await send(authorization, sent);
  }
  async function send(authorization: string, sent = body) {
    const headers = { authorization, 'content-type': 'application/json' };
    const answer = await fetch(`${url}/orders`, { method: 'POST', headers, body: Buffer.from(sent) });
    return { status: answer.status, json: (await answer.json()) as Record<string, unknown> };
  }
  const run = (options: Parameters<DecisionHost['run']>[0] = {}) =>
    host.run({
      ...options,
      request: { scopes: ['orders.write', 'orders.read'], credentials: [], ...options.request },
    });

  it('takes orders of an execution and of its child, and knows on whose behalf', async () => {
    const root = await run();
    const { sub } = claimsOf(tokenOf(root));
    expect(await order([tokenOf(root)], root.workload)).toEqual({
      status: 201,
      json: {
        accepted: true,
        origin: sub,
        execution: root.request.executionId,
        lineage: root.request.executionId,
      },
    });
    const child = await run({ under: root, request: { scopes: ['orders.write'] } });
    expect(await order([tokenOf(root), tokenOf(child)], child.workload)).toMatchObject({
      status: 201,
      json: { execution: child.request.executionId, lineage: root.request.executionId, origin: sub },
    });
    // The child alone is no chain; the parent's authorization is not the child's.
    expect((await order([tokenOf(child)], child.workload)).json['error']).toBe('par_hash_mismatch');
    expect((await order([tokenOf(root)], child.workload)).json['error']).toBe('holder_binding_failed');
    const reader = await run({ under: root, request: { scopes: ['orders.read'] } });
    expect((await order([tokenOf(root), tokenOf(reader)], reader.workload)).json['error']).toBe(
      'scope_not_granted',
    );
  });

  it('refuses a stolen authorization, a replay, another body, no authorization', async () => {
    const mine = await run();
    const thief = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
    expect((await order([tokenOf(mine)], thief)).json['error']).toBe('holder_binding_failed');
    expect((await order([tokenOf(mine)], mine.workload, utf8('{"item":2}'))).json['error']).toBe(
      'holder_binding_failed',
    );
    const binding = { audience: AUDIENCE, nonce: await nonce(), requestDigest: digest };
    const shown = encodePresentation(await present([tokenOf(mine)], binding, mine.workload));
    expect((await send(shown)).status).toBe(201);
    expect((await send(shown)).json['error']).toBe('holder_binding_failed');
    expect((await send('Bearer x')).json['error']).toBe('presentation-form');
    expect((await send(`Sealgate ${'A'.repeat(64)}`)).status).toBe(401);
  });

  it('refuses what was revoked: the execution, and a child whose parent was', async () => {
    const root = await run();
    const child = await run({ under: root });
    expect((await order([tokenOf(root), tokenOf(child)], child.workload)).status).toBe(201);
    const revocation = { kind: 'execution', id: root.request.executionId, reason: 'test' };
    expect((await world.operate('POST', '/v1/revocations', revocation)).status).toBe(201);
    expect((await order([tokenOf(root)], root.workload)).json['error']).toBe('revoked');
    expect((await order([tokenOf(root), tokenOf(child)], child.workload)).json['error']).toBe('revoked');
  });

  it('takes a JWT-SVID for itself, and no other token in its place', async () => {
    const one = await host.run({ request: { credentials: ['token'] } }, 'keep');
    const opened = await host.open(one.answer['sealed'], one.own, one.session);
    await one.session.flush();
    const [{ token }] = opened['credentials'] as [{ token: string }];
    const who = async (bearer: string) => {
      const answer = await fetch(`${url}/whoami`, { headers: { authorization: `Bearer ${bearer}` } });
      return { status: answer.status, json: (await answer.json()) as Record<string, unknown> };
    };
    expect(await who(token)).toEqual({ status: 200, json: { id: 'spiffe://example.org/vm/report' } });
    expect((await who(tokenOf(one))).status).toBe(401);
    expect((await who(String(one.answer['attestationResult']))).status).toBe(401);
    expect((await who('')).status).toBe(401);
  });

  it('can see that an authorization was decided in public', async () => {
    const one = await run();
    const other = await run();
    const token = tokenOf(one);
    const claims = claimsOf(token);
    const evidence = ({ answer }: Allowed) => ({
      leaf: new Uint8Array(Buffer.from(String(answer['leaf']), 'base64url')),
      proof: utf8(String(answer['proof'])),
    });
    const key = createPrivateKey(readFileSync(path.join(world.directory, 'keys/log.key')));
    const vkey = formatVkey(noteSigner('example.org/log', 'note', key).key);
    const trust = { logKeys: [parseVkey(vkey)] };
    expect(verifyLogged(token, claims, evidence(one), trust)).toMatchObject({
      outcome: 'allow',
      executions: [one.request.executionId],
    });
    expectRefusal('logged-authorization', () => verifyLogged(token, claims, evidence(other), trust));
    expectRefusal('logged-authorization', () => verifyLogged(`${token}A`, claims, evidence(one), trust));
    expectRefusal('logged-authorization', () =>
      verifyLogged(token, claims, { ...evidence(one), renewed: [token] }, trust),
    );
    const elsewhere = { ...claims, policy: { ...claims.policy, digest: `sha256:${'0'.repeat(64)}` } };
    expectRefusal('logged-authorization', () => verifyLogged(token, elsewhere, evidence(one), trust));
    expectRefusal('log-signature', () => verifyLogged(token, claims, evidence(one), { logKeys: [] }));
    expectRefusal('log-inclusion', () =>
      verifyLogged(token, claims, { ...evidence(one), leaf: utf8('{}') }, trust),
    );
  });
});
