// A service that workloads call with their Sealgate authorization: it has no TPM, and asks the verifier for nothing but
// its public keys and status lists. Usage: node server.js config.json (see README.md).
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { request } from 'node:https';
import Fastify from 'fastify';
import { Refusal, RelyingParty, decodePresentation, httpRequestDigest } from 'sealgate/verify';

const config = JSON.parse(readFileSync(process.argv[2], 'utf8'));
const ca = readFileSync(config.ca);
const seconds = () => Math.floor(Date.now() / 1000);

/** GET from the verifier, whose CA is pinned; no redirects, a bounded answer. */
function fetchFromVerifier(path, headers = {}) {
  return new Promise((resolve, reject) => {
    const asked = request(new URL(path, config.verifier), { ca, headers, timeout: 5000 }, (response) => {
      const parts = [];
      let size = 0;
      response.on('data', (part) => {
        size += part.length;
        if (size > 512 * 1024) response.destroy(new Error('the answer is too large'));
        else parts.push(part);
      });
      response.on('error', reject);
      response.on('end', () => {
        if (response.statusCode === 200) resolve(Buffer.concat(parts).toString('utf8'));
        else reject(new Error(`${path}: ${response.statusCode}`));
      });
    });
    asked.on('timeout', () => asked.destroy(new Error(`${path}: no answer`)));
    asked.on('error', reject);
    asked.end();
  });
}

const fetchKeys = async () => JSON.parse(await fetchFromVerifier('/.well-known/jwks.json'));
const party = new RelyingParty({
  issuer: config.issuer,
  trustDomain: config.trustDomain,
  audience: config.audience,
  statusLists: config.statusLists,
  ceilings: config.ceilings,
  jwks: await fetchKeys(),
  random: { bytes: (length) => new Uint8Array(randomBytes(length)) },
});
// A failure leaves the keys that are here: what they signed ends within minutes, and unknown keys are never believed.
setInterval(() => void fetchKeys().then((jwks) => party.setKeys(jwks), () => undefined), 300_000).unref();

/** Lists that this presentation needs and that are old. One that can't be had makes its status unknown, which denies. */
async function refreshStatus(presentation) {
  for (const uri of party.wantedStatusLists(presentation, seconds(), config.statusMaxAge)) {
    const name = uri.slice(config.statusLists.length);
    if (!/^[a-z0-9][a-z0-9.-]*$/.test(name)) continue;
    const token = await fetchFromVerifier(`/v1/status-lists/${name}`).catch(() => undefined);
    if (token !== undefined) await party.takeStatusList(token, seconds()).catch(() => undefined);
  }
}

// A chain of nine authorizations is larger than Node's default limit for headers.
const app = Fastify({ http: { maxHeaderSize: 256 * 1024 }, bodyLimit: 64 * 1024 });
app.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, done) => done(null, body));
app.removeContentTypeParser('application/json');
app.setErrorHandler(async (error, _request, reply) => {
  if (!(error instanceof Refusal)) return reply.status(error.statusCode ?? 500).send({ error: 'failed' });
  return reply.status(401).header('www-authenticate', 'Sealgate').send({ error: error.check, reason: error.reason });
});

/** Scopes that a route needs, granted by the caller's authorization; the handler gets who it is. */
const requires = (...scopes) => async (request) => {
  const presentation = decodePresentation(request.headers.authorization);
  await refreshStatus(presentation);
  const requestDigest = httpRequestDigest({
    method: request.method,
    target: request.url,
    body: new Uint8Array(request.body ?? []),
  });
  request.caller = await party.verify(presentation, { scopes, requestDigest }, seconds());
};
app.decorateRequest('caller', null);

app.post('/nonces', async () => ({ nonce: party.nonce(seconds()) }));
app.post('/orders', { preHandler: requires('orders.write') }, async ({ caller }, reply) => {
  const { sub, client_id: execution, txn } = caller.claims;
  return reply.status(201).send({ accepted: true, origin: sub, execution, lineage: txn });
});
// The same with a JWT-SVID: a bearer token of the workload's identity, where no delegation has to be looked at.
app.get('/whoami', async (request) => {
  const [, token = ''] = /^Bearer ([\w.-]+)$/.exec(request.headers.authorization ?? '') ?? [];
  const { id } = await party.verifySvid(token, seconds());
  return { id: id.text };
});

const address = await app.listen({ host: config.address ?? '127.0.0.1', port: config.port ?? 0 });
console.log(JSON.stringify({ listening: address }));
for (const signal of ['SIGTERM', 'SIGINT']) process.once(signal, () => void app.close());
