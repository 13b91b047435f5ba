import { createHash, createPublicKey, randomUUID } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { compactVerify, decodeProtectedHeader, importJWK } from 'jose';
import type { JWK } from 'jose';
import { inflateSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { leafBody } from '../../src/audit/index.ts';
import {
  STATUS_LIST_SIZE,
  STATUS_LIST_TYPE,
  keysFor,
  signJws,
  signStatusList,
  statusFrom,
  verifyStatusList,
} from '../../src/authorization/index.ts';
import type { AuthorizationClaims } from '../../src/authorization/index.ts';
import type { JsonObject } from '../../src/base/index.ts';
import { VERIFIER_SCHEMA, readConfig, readKeyRing, verifierFiles } from '../../src/config/index.ts';
import { EXECUTION, executionBody } from '../../src/lifecycle/index.ts';
import type { ExecutionRecord } from '../../src/lifecycle/index.ts';
import { buildApp } from '../../src/server/app.ts';
import { compose } from '../../src/server/compose.ts';
import type { Services } from '../../src/server/services.ts';
import { statusIndexes } from '../../src/server/status-lists.ts';
import { systemRandom } from '../support/random.ts';
import { expectRejection } from '../support/refusals.ts';
import { install } from '../support/verifier.ts';
import { executionRecord } from './execution-record.ts';

const directory = mkdtempSync(path.join(tmpdir(), 'sealgate-status-'));
const file = path.join(directory, 'sealgate.yaml');
let services: Services;
let app: Awaited<ReturnType<typeof buildApp>>;
// Ahead of the store's own clock, so that it is this one that moves time.
let now = Date.now() + 3_600_000;
const seconds = (): number => Math.floor(services.clock.now() / 1000);

async function start(): Promise<void> {
  const { config } = readConfig(VERIFIER_SCHEMA, new Uint8Array(readFileSync(file)), {});
  services = await compose({
    config,
    files: verifierFiles(file, config),
    clock: { now: () => now },
    random: systemRandom,
    onError: (error) => {
      throw error;
    },
  });
  app = await buildApp(services);
}
async function stop(): Promise<void> {
  await app.close();
  await services.close();
}

beforeAll(async () => {
  install(directory);
  await start();
});
afterAll(async () => {
  await stop();
  rmSync(directory, { recursive: true });
});

const NAME = 'verifier-1-0';
const uri = `https://localhost:8443/v1/status-lists/${NAME}`;
const get = (url: string, headers: Record<string, string> = {}) =>
  app.inject({ method: 'GET', url, headers });
const listUrl = `/v1/status-lists/${NAME}`;

/** A record as a decision writes it, through the same ledger. */
const record = (idx: number, state: ExecutionRecord['state'], list = uri): ExecutionRecord =>
  executionRecord({ state, status: { idx, uri: list } }, now);

async function write(
  idx: number,
  state: ExecutionRecord['state'],
  id: string = randomUUID(),
  list = uri,
): Promise<string> {
  const writes = [{ kind: EXECUTION, id, body: executionBody(record(idx, state, list)) }];
  const leaf = leafBody({ v: 1, kind: 'opening', origin: 'test', previous: null });
  expect((await services.ledger.commit({ leaf, preconditions: [], once: [], writes, bodies: [] })).ok).toBe(
    true,
  );
  return id;
}

const claimsAt = (idx: number, list = uri) =>
  ({ status: { status_list: { idx, uri: list } } }) as AuthorizationClaims;

/** What a relying party that fetches everything now says. */
async function statusOf(idx: number): Promise<string> {
  const jwks = (await get('/.well-known/jwks.json')).json<JsonObject>();
  const token = (await get(listUrl)).body;
  return (await statusFrom([token], keysFor(jwks, 'status'), seconds()))(claimsAt(idx));
}

describe('status lists of a verifier', () => {
  it('are not there before an execution has an index in them', async () => {
    expect((await get(listUrl)).statusCode).toBe(404);
    expect((await get('/v1/status-lists/..%2f..')).statusCode).toBe(400);
    expect((await get('/v1/status-lists/other-0')).statusCode).toBe(404);
  });

  it('have a bit for each execution, set when it is revoked or has ended', async () => {
    const ended = ['ended', 'failed', 'revoked', 'expired', 'lost'] as const;
    await write(3, 'issued');
    await write(4, 'running');
    for (const [i, state] of ended.entries()) await write(10 + i, state);
    expect(await statusOf(3)).toBe('valid');
    expect(await statusOf(4)).toBe('valid');
    for (const [i, state] of ended.entries()) expect(await statusOf(10 + i), state).toBe('revoked');
    expect(await statusOf(STATUS_LIST_SIZE)).toBe('unknown');
  });

  it('change with the commit that ends an execution, not a moment later', async () => {
    const id = await write(100, 'running');
    expect(await statusOf(100)).toBe('valid');
    const before = (await get(listUrl)).headers.etag;
    const current = await services.records.get({ kind: EXECUTION, id });
    await write(100, 'revoked', id);
    expect(current?.version).toBe(1);
    expect(await statusOf(100)).toBe('revoked');
    expect((await get(listUrl)).headers.etag).not.toBe(before);
  });

  it('are a draft-ietf-oauth-status-list token: typ, sub, at most 60 s, ttl, zlib, lowest bit first', async () => {
    const answer = await get(listUrl);
    expect(answer.statusCode).toBe(200);
    expect(answer.headers['content-type']).toBe('application/statuslist+jwt');
    expect(decodeProtectedHeader(answer.body)).toEqual({
      alg: 'ES256',
      kid: expect.any(String) as string,
      typ: 'statuslist+jwt',
    });
    const jwks = (await get('/.well-known/jwks.json')).json<{
      keys: (JWK & { sealgate_purpose: string })[];
    }>();
    const key = jwks.keys.find(({ sealgate_purpose: purpose }) => purpose === 'status');
    const { payload } = await compactVerify(answer.body, await importJWK(key ?? {}, 'ES256'));
    const claims = JSON.parse(Buffer.from(payload).toString()) as {
      sub: string;
      iat: number;
      exp: number;
      ttl: number;
      status_list: { bits: number; lst: string };
    };
    expect(claims.sub).toBe(uri);
    expect(claims.exp - claims.iat).toBeLessThanOrEqual(60);
    expect(claims.ttl).toBeLessThan(claims.exp - claims.iat);
    expect(claims.status_list.bits).toBe(1);
    const bits = inflateSync(Buffer.from(claims.status_list.lst, 'base64url'));
    expect(bits.length).toBe(STATUS_LIST_SIZE / 8);
    // 3 and 4 run; 10 to 14 ended.
    expect(bits[0]).toBe(0);
    expect(bits[1]).toBe(0b0111_1100);
  });

  it('are cacheable, and the same for as long as nothing changes', async () => {
    const first = await get(listUrl);
    expect(first.headers['cache-control']).toBe('max-age=15');
    const again = await get(listUrl, { 'if-none-match': String(first.headers.etag) });
    expect([again.statusCode, again.body]).toEqual([304, '']);
    now += 14_000;
    expect((await get(listUrl)).body).toBe(first.body);
    now += 2_000;
    const renewed = await get(listUrl, { 'if-none-match': String(first.headers.etag) });
    expect(renewed.statusCode).toBe(200);
    // Whoever fetched just before still has a list that is good for the whole of its ttl.
    expect(JSON.parse(Buffer.from(renewed.body.split('.')[1] ?? '', 'base64url').toString())).toMatchObject({
      iat: seconds(),
      exp: seconds() + 60,
    });
  });

  it('follow from the records: after a restart they say the same', async () => {
    await stop();
    await start();
    for (const [idx, status] of [
      [3, 'valid'],
      [4, 'valid'],
      [10, 'revoked'],
      [14, 'revoked'],
      [100, 'revoked'],
    ] as const)
      expect(await statusOf(idx), String(idx)).toBe(status);
  });

  it('are bounded: indexes go on in the next list', async () => {
    const indexes = statusIndexes('https://v.example', 'r1', EPOCH, 7);
    const base = 'https://v.example/v1/status-lists';
    expect(await indexes.assign('a')).toEqual({ idx: 0, uri: `${base}/r1-0123abcd-7-0` });
    for (let i = 2; i < STATUS_LIST_SIZE; i++) await indexes.assign('b');
    expect(await indexes.assign('c')).toEqual({ idx: STATUS_LIST_SIZE - 1, uri: `${base}/r1-0123abcd-7-0` });
    expect(await indexes.assign('d')).toEqual({ idx: 0, uri: `${base}/r1-0123abcd-7-1` });
    const other = `https://localhost:8443/v1/status-lists/verifier-1-1`;
    await write(3, 'revoked', randomUUID(), other);
    expect((await get('/v1/status-lists/verifier-1-1')).statusCode).toBe(200);
    expect(await statusOf(3)).toBe('valid');
  });
});

/** Of a store: hex. */
const EPOCH = '0123abcd456789ab';

describe('indexes', () => {
  it('are given out once, whatever became of decisions before a restart', async () => {
    const give = async (size: number, count: number, epoch = EPOCH): Promise<string[]> => {
      const indexes = statusIndexes('https://v.example', 'r1', epoch, size);
      const given = [];
      for (let i = 0; i < count; i++) {
        const { uri, idx } = await indexes.assign(String(i));
        given.push(`${uri}#${String(idx)}`);
      }
      return given;
    };
    // Ten commits failed and left no leaf; the eleventh was the only one that was durable.
    const before = await give(5, 11);
    const after = await give(6, 20);
    expect(after.filter((one) => before.includes(one))).toEqual([]);
    expect(new Set(after).size).toBe(after.length);
    // A restored store is smaller again, and knows nothing of what was given out since.
    const restored = await give(5, 11, 'fedcba9876543210');
    expect(restored.filter((one) => before.includes(one))).toEqual([]);
  });
});

describe('keys for relying parties', () => {
  it('say their purpose, and none is accepted for another', async () => {
    const jwks = (await get('/.well-known/jwks.json')).json<JsonObject>();
    const ring = readKeyRing(verifierFiles(file, services.config));
    const purposes = [
      ['authorization', 'authorization'],
      ['attestation-result', 'ear'],
      ['status', 'status'],
      ['jwt-svid', 'jwt-svid'],
    ] as const;
    const terms = { uri, bits: new Uint8Array(8), issuedAt: seconds(), expires: seconds() + 60, ttl: 15 };
    for (const [purpose, name] of purposes) {
      const own = ring.privateKey(name);
      const [published, ...more] = keysFor(jwks, purpose);
      expect(more).toEqual([]);
      expect(published?.key.equals(createPublicKey(own))).toBe(true);
      const list = await signStatusList(terms, { key: own, kid: published?.kid ?? '', algorithm: 'ES256' });
      const verifying = verifyStatusList(list, keysFor(jwks, 'status'), seconds());
      if (purpose === 'status') expect((await verifying).at(3)).toBe('valid');
      else await expectRejection('signature_invalid', verifying);
    }
  });

  it('are in the SPIFFE bundle only where they are of SVIDs', async () => {
    const { keys } = (await get('/.well-known/spiffe-bundle')).json<{ keys: Record<string, unknown>[] }>();
    expect(keys.map(({ use, kid }) => [use, typeof kid])).toEqual([
      ['x509-svid', 'undefined'],
      ['jwt-svid', 'string'],
    ]);
    expect(keys.every((key) => !('d' in key))).toBe(true);
  });
});

describe('what a relying party refuses of a status list', () => {
  const signer = async () => {
    const key = readKeyRing(verifierFiles(file, services.config)).privateKey('status');
    const [trusted] = keysFor((await get('/.well-known/jwks.json')).json<JsonObject>(), 'status');
    return { key, kid: trusted?.kid ?? '', algorithm: 'ES256' as const };
  };
  const claims = {
    sub: uri,
    iat: 1000,
    exp: 1060,
    ttl: 15,
    status_list: { bits: 1, lst: 'eNpjYGBgAAAABAAB' },
  };

  it('wrong time, life, form, type, compression', async () => {
    const key = await signer();
    const keys = [{ ...key, key: createPublicKey(key.key) }];
    const good = await signJws(claims, STATUS_LIST_TYPE, key);
    expect((await verifyStatusList(good, keys, 1059)).at(31)).toBe('valid');
    await expectRejection('status-list', verifyStatusList(good, keys, 1060));
    await expectRejection('status-list', verifyStatusList(good, keys, 969));
    await expectRejection(
      'signature_invalid',
      verifyStatusList(await signJws(claims, 'JWT', key), keys, 1000),
    );
    await expectRejection('signature_invalid', verifyStatusList(good, [], 1000));
    await expectRejection('malformed', verifyStatusList('x', keys, 1000));
    for (const change of [
      { exp: 1061 },
      { exp: 1000 },
      { sub: 1 },
      { status_list: { bits: 4, lst: 'eNpjYGBgAAAABAAB' } },
      { status_list: { bits: 1, lst: 'AAAA' } },
      { status_list: { bits: 1, lst: '' } },
      { more: 1 },
    ]) {
      const bad = await signJws({ ...claims, ...change }, STATUS_LIST_TYPE, key);
      await expectRejection('status-list', verifyStatusList(bad, keys, 1000));
    }
  });

  it('bits without end: inflating is bounded', async () => {
    const { deflateSync } = await import('node:zlib');
    const key = await signer();
    const lst = deflateSync(Buffer.alloc(64 * 1024 * 1024), { level: 9 }).toString('base64url');
    const bomb = await signJws({ ...claims, status_list: { bits: 1, lst } }, STATUS_LIST_TYPE, key);
    await expectRejection(
      'status-list',
      verifyStatusList(bomb, [{ ...key, key: createPublicKey(key.key) }], 1000),
    );
    expect(createHash('sha256').update(bomb).digest().length).toBe(32);
  });

  it('a list that would be believed too long is not signed', async () => {
    const key = await signer();
    const terms = { uri, bits: new Uint8Array(1), issuedAt: 0, ttl: 15 };
    await expect(signStatusList({ ...terms, expires: 61 }, key)).rejects.toThrow(RangeError);
    await expect(signStatusList({ ...terms, expires: 0 }, key)).rejects.toThrow(RangeError);
  });
});
