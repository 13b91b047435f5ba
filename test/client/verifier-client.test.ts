import type { IncomingMessage, ServerResponse } from 'node:http';
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import { VerifierClient, VerifierRefusal } from '../../src/client/index.ts';
import type { VerifierAddress } from '../../src/client/index.ts';
import { expectRejection } from '../support/refusals.ts';
import { authority, serveSilence, serveTls } from './tls-server.ts';
import type { ServerOptions, TestServer } from './tls-server.ts';

const ca = authority();
const other = authority('Somebody else');
/** The same name with another key. */
const namesake = authority();
const open: TestServer[] = [];
const clients: VerifierClient[] = [];

afterEach(async () => {
  for (const client of clients.splice(0)) await client.close();
  for (const server of open.splice(0)) await server.close();
});
afterAll(() => {
  expect(open).toHaveLength(0);
});

type Handler = (request: IncomingMessage, response: ServerResponse) => void;
const ok: Handler = (_request, response) =>
  response.setHeader('content-type', 'application/json').end('{"a":1}');
const text =
  (body: string, type = 'application/json', status = 200): Handler =>
  (_request, response) =>
    response.writeHead(status, { 'content-type': type }).end(body);

async function server(options: Partial<ServerOptions> = {}, handler: Handler = ok): Promise<TestServer> {
  const made = await serveTls({ ca, ...options }, handler);
  open.push(made);
  return made;
}

async function clientOf({ port }: TestServer, more: Partial<VerifierAddress> = {}): Promise<VerifierClient> {
  const url = `https://localhost:${String(port)}`;
  const made = await VerifierClient.connect({ url, caFingerprint: ca.fingerprint, ...more });
  clients.push(made);
  return made;
}

/** The answer to GET / of such a server. */
async function get(options: Partial<ServerOptions>, handler?: Handler, more?: Partial<VerifierAddress>) {
  const client = await clientOf(await server(options, handler), more);
  return await client.request('GET', '/');
}

describe('whom the client believes', () => {
  it('reads an answer of the pinned verifier, by name and by both kinds of address', async () => {
    expect((await get({})).json).toEqual({ a: 1 });
    const one = await server();
    const url = `https://127.0.0.1:${String(one.port)}`;
    expect((await (await clientOf(one, { url })).request('GET', '/')).status).toBe(200);
  });

  it.each([
    ['another CA in its chain', { ca: other }, 'verifier-pin'],
    ['a CA of the same name', { ca: namesake }, 'verifier-pin'],
    [
      'the pinned CA sent beside a chain of another',
      { ca: namesake, above: [namesake.certificate, ca.certificate] },
      'verifier-pin',
    ],
    [
      'the pinned CA in place of its own, of one name',
      { ca: namesake, above: [ca.certificate] },
      'verifier-pin|x509-signature|x509-untrusted',
    ],
    ['no CA certificate in its chain', { above: [] }, 'verifier-pin'],
    ['an expired certificate', { notAfter: Date.now() - 1000 }, 'x509-expired'],
    ['a certificate for another host', { dns: ['verifier.example.org'], ip: [] }, 'verifier-name'],
    ['a wildcard certificate', { dns: ['*'], ip: [] }, 'verifier-name'],
    ['the certificate of a client', { forClients: true }, 'x509-purpose'],
  ] satisfies [string, Partial<ServerOptions>, string][])(
    'refuses a server with %s, before any request',
    async (_name, options, check) => {
      const one = await server(options);
      const client = await clientOf(one);
      const error = await client.request('GET', '/').catch((thrown: unknown) => thrown);
      expect(error).toMatchObject({ check: expect.stringMatching(new RegExp(`^(?:${check})$`)) as string });
      expect(one.served()).toBe(0);
    },
  );

  it('refuses an address that the certificate doesn’t have', async () => {
    const one = await server({ ip: ['10.0.0.1'] });
    const client = await clientOf(one, { url: `https://127.0.0.1:${String(one.port)}` });
    await expectRejection('verifier-name', client.request('GET', '/'));
  });

  it('judges dates by the clock that it is given', async () => {
    await expectRejection('x509-expired', get({}, ok, { clock: { now: () => Date.now() + 7_200_000 } }));
  });

  it('speaks TLS 1.3 only', async () => {
    await expectRejection('verifier-unreachable', get({ maxVersion: 'TLSv1.2' }));
  });

  it('presents its certificate and key, which must be one', async () => {
    await expectRejection(
      'verifier-address',
      VerifierClient.connect({
        url: 'https://localhost',
        caFingerprint: ca.fingerprint,
        certificatePem: 'x',
      }),
    );
    await expectRejection(
      'verifier-address',
      VerifierClient.connect({
        ...{ url: 'https://localhost', caFingerprint: ca.fingerprint, certificatePem: 'x', keyPem: 'x' },
      }),
    );
  });

  it.each([
    'http://localhost',
    'https://localhost/x',
    'https://a@localhost',
    'https://localhost?x',
    'nothing',
  ])('refuses the address %s', async (url) => {
    await expectRejection('verifier-address', VerifierClient.connect({ url, caFingerprint: ca.fingerprint }));
  });

  it('refuses a fingerprint that can’t be one', async () => {
    await expectRejection(
      'verifier-address',
      VerifierClient.connect({ url: 'https://localhost', caFingerprint: '' }),
    );
  });
});

describe('what the client takes as an answer', () => {
  it('sends JSON and keeps one connection', async () => {
    const seen: unknown[] = [];
    const sockets = new Set<unknown>();
    const one = await server({}, (request, response) => {
      sockets.add(request.socket);
      const parts: Buffer[] = [];
      request.on('data', (part: Buffer) => parts.push(part));
      request.on('end', () => {
        seen.push([
          request.method,
          request.url,
          request.headers['content-type'],
          Buffer.concat(parts).toString(),
        ]);
        ok(request, response);
      });
    });
    const client = await clientOf(one);
    await client.request('POST', '/v1/x?y=1', { body: { b: 'ü' } });
    await client.request('GET', '/v1/x');
    expect(seen).toEqual([
      ['POST', '/v1/x?y=1', 'application/json', '{"b":"ü"}'],
      ['GET', '/v1/x', undefined, ''],
    ]);
    expect(sockets.size).toBe(1);
  });

  it('throws the verifier’s denial with the index of its leaf', async () => {
    const denial = {
      ...{ stage: 'identity', code: 'revoked-authorization', check: 'host-revoked' },
      ...{ reason: 'gone', remedy: 'none', detail: { a: 1 } },
    };
    const body = JSON.stringify({ type: 'x', ...denial, auditIndex: '17', later: true });
    const error = await get({}, text(body, 'application/problem+json; charset=utf-8', 403)).catch(
      (e: unknown) => e,
    );
    expect(error).toBeInstanceOf(VerifierRefusal);
    expect(error).toMatchObject({
      check: 'host-revoked',
      reason: 'gone',
      denial,
      auditIndex: '17',
      status: 403,
    });
  });

  it('follows no redirect', async () => {
    const target = await server();
    const one = await server({}, (_request, response) =>
      response.writeHead(307, { location: `https://localhost:${String(target.port)}/` }).end(),
    );
    await expectRejection('verifier-answer', (await clientOf(one)).request('GET', '/'));
    expect(target.served()).toBe(0);
  });

  it.each([
    ['duplicate members', text('{"a":1,"a":2}')],
    ['an integer over 2^53', text('{"a":9007199254740993}')],
    ['another type', text('{"a":1}', 'text/html')],
    ['a list where an object is due', text('[1]')],
    ['data after the document', text('{"a":1}{}')],
  ])('refuses an answer with %s', async (_name, handler) => {
    const answer = await get({}, handler);
    expect(() => answer.json).toThrow(expect.objectContaining({ check: 'verifier-answer' }) as Error);
  });

  it.each([
    ['a status that isn’t success and no problem of ours', text('{}', 'application/json', 500)],
    ['a problem of somebody else', text('{"title":"x"}', 'application/problem+json', 403)],
    ['more bytes than announced as the limit', text(`{"a":"${'x'.repeat(2 * 1024 * 1024)}"}`)],
    [
      'an endless body without a length',
      (_request: IncomingMessage, response: ServerResponse) => {
        response.setHeader('content-type', 'application/json');
        response.on('error', () => undefined);
        const more = (): void => {
          while (!response.destroyed && response.write('x'.repeat(65_536)));
        };
        response.on('drain', more);
        more();
      },
    ],
    [
      'an encoding that wasn’t asked for',
      (_request: IncomingMessage, response: ServerResponse) =>
        response.writeHead(200, { 'content-type': 'application/json', 'content-encoding': 'gzip' }).end('x'),
    ],
  ])('refuses %s', async (_name, handler) => {
    await expectRejection('verifier-answer', get({}, handler));
  });

  it('takes the statuses that were named, and no others', async () => {
    const client = await clientOf(await server({}, text('{"pending":true}', 'application/json', 202)));
    expect((await client.request('GET', '/', { expect: [200, 202] })).status).toBe(202);
    await expectRejection('verifier-answer', client.request('GET', '/', { expect: [200] }));
  });

  it('reads a list as a list and text as text', async () => {
    expect((await get({}, text('[{"a":1}]'))).list).toEqual([{ a: 1 }]);
    expect((await get({}, text('hello\n', 'text/plain'))).text).toBe('hello\n');
    const bad = await get({}, (_request, response) => response.end(Buffer.from([0xff])));
    expect(() => bad.text).toThrow(expect.objectContaining({ check: 'verifier-answer' }) as Error);
    const object = await get({}, ok);
    expect(() => object.list).toThrow(expect.objectContaining({ check: 'verifier-answer' }) as Error);
  });

  it('gives up: nobody there, no handshake, no answer', async () => {
    const gone = await server();
    await gone.close();
    await expectRejection('verifier-unreachable', (await clientOf(gone)).request('GET', '/'));
    const silent = await serveSilence();
    const client = await clientOf(silent, { connectMs: 100 });
    await expectRejection('verifier-unreachable', client.request('GET', '/'));
    await silent.close();
    await expectRejection(
      'verifier-unreachable',
      get({}, () => undefined, { requestMs: 150 }),
    );
  });

  it('ends with its caller’s signal', async () => {
    const client = await clientOf(await server({}, () => undefined));
    await expect(client.request('GET', '/', { signal: AbortSignal.timeout(50) })).rejects.toMatchObject({
      name: 'TimeoutError',
    });
  });

  it('is usable after close', async () => {
    const client = await clientOf(await server());
    await client.request('GET', '/');
    await client.close();
    expect((await client.request('GET', '/')).status).toBe(200);
  });
});
