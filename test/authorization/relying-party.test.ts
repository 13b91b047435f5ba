import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { createHash, createPrivateKey, generateKeyPairSync } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  Nonces,
  RelyingParty,
  decodePresentation,
  encodePresentation,
  httpRequestDigest,
  parseVkey,
  present,
  verifyLogged,
} from '../../src/authorization/verify.ts';
import { formatVkey, noteSigner } from '../../src/audit/index.ts';
import type { JsonObject } from '../../src/base/index.ts';
import { utf8 } from '../../src/base/index.ts';
import { es256Key } from '../../scripts/lib/deterministic-es256.ts';
import {
  DOMAIN,
  ISSUER,
  NOW,
  STATUS_URI,
  chainOf,
  issuer,
  listed,
  statusKey,
  statusList,
} from '../../scripts/lib/vectors/world.ts';
import type { Json } from '../../scripts/lib/vectors/world.ts';
import { DecisionHost, DecisionWorld, claimsOf } from '../server/decision-world.ts';
import type { Allowed } from '../server/decision-world.ts';
import { systemRandom } from '../support/random.ts';
import { expectRefusal, expectRejection } from '../support/refusals.ts';
import { temporaryDirectory } from '../support/temporary.ts';

const AUDIENCE = 'https://orders.example.org';
const body = utf8('{"item":1}');
const request = { method: 'POST', target: '/orders', body };
const digest = httpRequestDigest(request);

describe('a relying party', () => {
  const jwks = {
    keys: [
      { ...listed(issuer), use: 'sig', sealgate_purpose: 'authorization' },
      { ...listed(statusKey), use: 'sig', sealgate_purpose: 'status' },
    ],
  } as JsonObject;
  const options = (change: Partial<ConstructorParameters<typeof RelyingParty>[0]> = {}) => ({
    issuer: ISSUER,
    trustDomain: DOMAIN,
    audience: AUDIENCE,
    jwks,
    statusLists: `${ISSUER}/v1/status-lists/`,
    ceilings: { depth: 8, lifetime: 300, scopes: ['orders.*'] },
    random: systemRandom,
    ...change,
  });
  /** The private key of the vectors' workload at a depth. */
  const keyAt = (depth: number): KeyObject =>
    es256Key(
      createHash('sha256')
        .update(`sealgate test key workload ${String(depth)}`)
        .digest(),
    );
  const asked = { scopes: ['orders.read'], requestDigest: digest };

  async function party(change = {}, list = statusList()): Promise<RelyingParty> {
    const made = new RelyingParty(options(change));
    await made.takeStatusList(list, NOW);
    return made;
  }
  const shown = (nonce: string, depth = 2, chain = chainOf(depth + 1), audience = AUDIENCE) =>
    present(chain, { audience, nonce, requestDigest: digest }, keyAt(depth));

  it('accepts a chain whose holder proves itself for this request, once', async () => {
    const orders = await party();
    const presentation = await shown(orders.nonce(NOW));
    expect(decodePresentation(encodePresentation(presentation))).toEqual(presentation);
    const verified = await orders.verify(presentation, asked, NOW);
    expect(verified.claims.sub).toBe('https://idp.example.org#alice');
    expect(verified.ancestors).toHaveLength(2);
    await expectRejection('holder_binding_failed', orders.verify(presentation, asked, NOW));
  });

  it('answers one of two requests that come with one nonce at one time', async () => {
    const orders = await party();
    const presentation = await shown(orders.nonce(NOW));
    const both = await Promise.allSettled([1, 2].map(() => orders.verify(presentation, asked, NOW)));
    expect(both.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
  });

  it('refuses another key, request, audience, nonce, and who shows nothing', async () => {
    const orders = await party();
    const other = { ...asked, requestDigest: httpRequestDigest({ ...request, target: '/orders?all=1' }) };
    const thief = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
    const bind = { audience: AUDIENCE, requestDigest: digest };
    for (const [presentation, what] of [
      [await shown(orders.nonce(NOW)), other],
      [await present(chainOf(3), { ...bind, nonce: orders.nonce(NOW) }, thief), asked],
      [await shown(orders.nonce(NOW), 2, chainOf(3), 'https://other.example.org'), asked],
      [await shown('AAAAAAAAAAAAAAAAAAAAAA'), asked],
      [await shown(orders.nonce(NOW - 60)), asked],
      [{ ...(await shown(orders.nonce(NOW))), proof: 'x.y.z' }, asked],
      [
        {
          ...(await shown(orders.nonce(NOW))),
          key: { kty: 'EC', crv: 'P-256', x: 'A'.repeat(43), y: 'A'.repeat(43) },
        },
        asked,
      ],
    ] as const)
      await expectRejection('holder_binding_failed', orders.verify(presentation, what, NOW));
    for (const header of [undefined, '', 'Bearer x', 'Sealgate', 'Sealgate e30'])
      expectRefusal('presentation-form', () => decodePresentation(header));
    expectRefusal('malformed', () => decodePresentation('Sealgate !'));
    const unknown = { v: 1, ...(await shown('n')), more: 1 };
    expectRefusal('presentation-form', () =>
      decodePresentation(`Sealgate ${Buffer.from(JSON.stringify(unknown)).toString('base64url')}`),
    );
  });

  it('asks for its ceilings and for the audiences that the authorization may be shown to', async () => {
    const shown2 = (claims: Json): Json => {
      const [details] = claims['authorization_details'] as [{ constraints: Json }];
      const constraints = { ...details.constraints, audiences: ['https://mail.example.org'] };
      return { ...claims, authorization_details: [{ ...details, constraints }] };
    };
    const orders = await party();
    const forMail = await shown(orders.nonce(NOW), 1, chainOf(2, shown2));
    await expectRejection('audience_mismatch', orders.verify(forMail, asked, NOW));
    const mail = await party({ audience: 'https://mail.example.org' });
    const right = await shown(mail.nonce(NOW), 1, chainOf(2, shown2), 'https://mail.example.org');
    expect((await mail.verify(right, asked, NOW)).claims.del_depth).toBe(1);
    const strict = await party({ ceilings: { depth: 1, lifetime: 300, scopes: ['orders.*'] } });
    await expectRejection('ceiling_exceeded', strict.verify(await shown(strict.nonce(NOW)), asked, NOW));
    const writes = { ...asked, scopes: ['admin'] };
    await expectRejection('scope_not_granted', orders.verify(await shown(orders.nonce(NOW)), writes, NOW));
  });

  it('knows when it needs a status list, never fetches from elsewhere, and denies without one', async () => {
    const orders = new RelyingParty(options());
    const presentation = await shown(orders.nonce(NOW));
    expect(orders.wantedStatusLists(presentation, NOW, 15)).toEqual([STATUS_URI]);
    await expectRejection('status_unknown', orders.verify(presentation, asked, NOW));
    await orders.takeStatusList(statusList(), NOW);
    // The list was signed 10 s ago.
    expect(orders.wantedStatusLists(presentation, NOW, 15)).toEqual([]);
    expect(orders.wantedStatusLists(presentation, NOW + 6, 15)).toEqual([STATUS_URI]);
    expect(orders.wantedStatusLists(presentation, NOW + 50, 1000)).toEqual([STATUS_URI]);
    const evil = chainOf(1, (claims) => ({
      ...claims,
      status: { status_list: { idx: 1, uri: 'http://169.254.169.254/x' } },
    }));
    const elsewhere = await shown(orders.nonce(NOW), 0, evil);
    expect(orders.wantedStatusLists(elsewhere, NOW, 15)).toEqual([]);
    expect(orders.wantedStatusLists({ ...elsewhere, chain: ['x', 'a.b.c'] }, NOW, 15)).toEqual([]);
    await expectRejection('status_unknown', orders.verify(elsewhere, asked, NOW));
    await expectRejection('malformed', orders.takeStatusList('a.b.c', NOW));
    await expectRejection('signature_invalid', orders.takeStatusList(statusList({}, { by: issuer }), NOW));
    // Its list is over: what was valid is not known to be.
    const late = await shown(orders.nonce(NOW + 60));
    await expectRejection('status_unknown', orders.verify(late, asked, NOW + 60));
  });

  it('sees a revocation with the next list, and an older list doesn’t take it back', async () => {
    const orders = await party();
    await orders.takeStatusList(statusList({ iat: NOW - 5 }, { set: [1000] }), NOW);
    await orders.takeStatusList(statusList({ iat: NOW - 20, exp: NOW + 30 }), NOW);
    await expectRejection('revoked', orders.verify(await shown(orders.nonce(NOW)), asked, NOW));
  });

  it('believes keys as long as they are in the set, each for its purpose', async () => {
    const orders = await party();
    const swapped = {
      keys: [
        { ...listed(issuer), sealgate_purpose: 'status' },
        { ...listed(statusKey), sealgate_purpose: 'authorization' },
      ],
    } as JsonObject;
    orders.setKeys(swapped);
    await expectRejection('signature_invalid', orders.verify(await shown(orders.nonce(NOW)), asked, NOW));
    expectRefusal('authorization-keys', () => {
      orders.setKeys({});
    });
    for (const bad of [
      { keys: [] },
      { keys: [listed(issuer), listed(issuer)] },
      { keys: [{ ...listed(issuer), sealgate_purpose: 'authorization', d: 'AA' }] },
      { keys: [{ ...listed(issuer), sealgate_purpose: 'authorization', alg: 'HS256' }] },
      { keys: ['x'] },
    ])
      expectRefusal('authorization-keys', () => {
        orders.setKeys(bad as JsonObject);
      });
  });

  it('gives out nonces that work once, in their time, without growing', () => {
    const nonces = new Nonces(systemRandom, 60);
    const one = nonces.issue(100);
    expect([nonces.take(one, 159), nonces.take(one, 159)]).toEqual([true, false]);
    expect(nonces.take(nonces.issue(100), 160)).toBe(false);
    expect(nonces.take('never', 100)).toBe(false);
    const few = new Nonces(systemRandom, 60, 10);
    const first = few.issue(100);
    const all = Array.from({ length: 10 }, () => few.issue(100));
    expect([first, ...all].filter((nonce) => few.take(nonce, 100))).toEqual(all);
  });
});

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
    const [line] = await Promise.race([
      createInterface({ input: service.stdout ?? process.stdin })
        [Symbol.asyncIterator]()
        .next()
        .then(({ value }) => [String(value)]),
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
