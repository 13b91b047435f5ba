import rateLimit from '@fastify/rate-limit';
import swagger from '@fastify/swagger';
import Fastify from 'fastify';
import type { FastifyInstance, FastifyReply, FastifyRequest, RouteOptions } from 'fastify';
import type { LeafActor } from '../audit/index.ts';
import { parseJsonObject } from '../base/index.ts';
import { judgeCaller } from './caller.ts';
import type { Caller } from './caller.ts';
import type { Services } from './services.ts';
import { addressOf, limitConnections } from './connection-limit.ts';
import type { DenialTally } from './denial-tally.ts';
import { Metrics } from './metrics.ts';
import { refuseOtherMethods } from './other-methods.ts';
import { presentedBy } from './presented.ts';
import { AdminProblem, problemOf } from './problem.ts';
import { RefusalLog } from './refusal-log.ts';
import type { Call, Reply, Route } from './route.ts';
import { allRoutes } from './routes/index.ts';
import { serverOptions } from './server-options.ts';
import type { LogSink } from './server-options.ts';

/** Builds the server over its services; nothing listens yet. */
export async function buildApp(services: Services, sink?: LogSink): Promise<FastifyInstance> {
  const app = Fastify(serverOptions(services, sink)) as unknown as FastifyInstance;
  const metrics = new Metrics();
  const refusals = new RefusalLog(services);
  app.server.headersTimeout = services.config.limits.headersSeconds * 1000;
  app.server.maxConnections = services.config.limits.connections;
  limitConnections(app.server, services.config.limits.connectionsPerAddress);
  acceptStrictJson(app, services);
  answerProblems(app, metrics, refusals, services.denials);
  await app.register(rateLimit, { global: false });
  limitAddresses(app, services);
  await app.register(swagger, {
    openapi: { openapi: '3.1.0', info: { title: 'Sealgate verifier', version: '0.1.0' } },
  });
  const limited = certificateLimit(app, services);
  // A server that stops waits for its connections: these would not end by themselves.
  app.addHook('preClose', (done) => {
    services.events.close();
    done();
  });
  app.after(() => {
    const routes = allRoutes(services, metrics, () => app.swagger());
    for (const one of routes) addRoute(app, services, one, { limited, refusals });
    refuseOtherMethods(app, routes);
  });
  await app.ready();
  return app;
}

/** What a route says of its bodies' JSON, where Fastify keeps it. */
interface JsonConfig {
  readonly jsonLimits?: Route['json'];
}

/** One parser for one content type; the strict one, so that nobody reads a body in two ways. */
function acceptStrictJson(app: FastifyInstance, { config }: Services): void {
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('application/json', { parseAs: 'buffer' }, (request, body, done) => {
    try {
      const bytes = new Uint8Array(body as Buffer);
      const { jsonLimits } = request.routeOptions.config as JsonConfig;
      const limits = { maxBytes: config.limits.evidenceBytes, maxDepth: 32, ...jsonLimits };
      done(null, parseJsonObject(bytes, 'body', limits));
    } catch (error) {
      done(error as Error);
    }
  });
}

function answerProblems(
  app: FastifyInstance,
  metrics: Metrics,
  refusals: RefusalLog,
  denials: DenialTally,
): void {
  const answer = async (error: unknown, request: FastifyRequest, reply: FastifyReply): Promise<void> => {
    const problem = await refusals.logged(problemOf(error, request.id), request);
    denials.count(problem);
    metrics.denied(problem.stage, problem.code);
    if (problem.fault) request.log.error({ err: error }, 'fault');
    else request.log.info({ stage: problem.stage, code: problem.code, check: problem.check }, 'denied');
    await reply.status(problem.status).type('application/problem+json').send(JSON.stringify(problem.body));
  };
  app.setErrorHandler(answer);
  app.setNotFoundHandler(async (request, reply) => {
    await answer(new AdminProblem('not-found', 'there is no such resource'), request, reply);
  });
  app.addHook('onResponse', (request, reply, done) => {
    const route = request.routeOptions.url ?? 'none';
    metrics.request(
      { route, method: request.method, status: String(reply.statusCode) },
      reply.elapsedTime / 1000,
    );
    done();
  });
}

/** Requests by address: of the whole server, so that it comes before any certificate is looked at. */
function limitAddresses(app: FastifyInstance, { config }: Services): void {
  const check = app.createRateLimit({
    max: config.limits.requestsPerMinutePerAddress,
    timeWindow: 60_000,
    keyGenerator: (request) => addressOf(request.ip),
  });
  app.addHook('onRequest', async (request) => {
    const result = await check(request);
    if (!result.isAllowed && result.isExceeded)
      throw new AdminProblem('rate-limited', 'too many requests from this address');
  });
}

type Limit = (request: FastifyRequest) => Promise<void>;

/** Requests by certificate: by what TLS proved, so that nobody uses up the share of a host without its key. */
function certificateLimit(app: FastifyInstance, { config }: Services): Limit {
  const check = app.createRateLimit({
    max: config.limits.requestsPerMinutePerCertificate,
    timeWindow: 60_000,
    keyGenerator: (request) => presentedBy(request.raw.socket)?.fingerprint ?? 'none',
  });
  return async (request) => {
    if (presentedBy(request.raw.socket) === undefined) return;
    const result = await check(request);
    if (!result.isAllowed && result.isExceeded)
      throw new AdminProblem('rate-limited', 'too many requests with this certificate');
  };
}

function addRoute(
  app: FastifyInstance,
  services: Services,
  one: Route,
  { limited, refusals }: { readonly limited: Limit; readonly refusals: RefusalLog },
): void {
  const { limits, trustDomain } = services.config;
  const callers = new WeakMap<FastifyRequest, Caller>();
  addIn(app, one, {
    method: one.method,
    url: one.url,
    exposeHeadRoute: false,
    config: { jsonLimits: one.json } as object,
    bodyLimit: bodyLimit(one, limits),
    schema: {
      summary: one.summary,
      description: `Caller: ${describeAccess(one)}.`,
      ...(one.params === undefined ? {} : { params: one.params }),
      ...(one.query === undefined ? {} : { querystring: one.query }),
      ...(one.body === undefined ? {} : { body: one.body }),
    },
    // Before the body is read: nobody buys work without being known.
    onRequest: async (request) => {
      await limited(request);
      const { ring, records, clock } = services;
      const onKnown = (who: LeafActor): void => {
        refusals.know(request, who);
      };
      const context = { ring, records, trustDomain, now: clock.now(), onKnown };
      callers.set(request, await judgeCaller(one.access, presentedBy(request.raw.socket), context));
    },
    handler: async (request, reply) => {
      const caller = callers.get(request);
      if (caller === undefined) throw new AdminProblem('not-permitted', 'the caller was not judged');
      const { params, query, body } = request;
      const lastEventId = request.headers['last-event-id'];
      const call = { caller, params, query, body, now: services.clock.now(), services, lastEventId };
      // Fastify validated params, query and body by the schemas that the handler's types come from.
      const answer = await one.handle(call as unknown as Call<never, never, never>);
      return await send(reply, answer, request.headers['if-none-match']);
    },
  });
}

/** Bodies are JSON, by the one strict parser; a route that takes bytes gets a scope in which nothing is parsed. */
function addIn(app: FastifyInstance, { bytes }: Route, options: RouteOptions): void {
  if (bytes === undefined) {
    app.route(options);
    return;
  }
  void app.register((scope, _options, done) => {
    scope.removeAllContentTypeParsers();
    scope.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, parsed) => {
      parsed(null, new Uint8Array(body as Buffer));
    });
    scope.route(options);
    done();
  });
}

/** What a host may send that is quarantined, or whose certificate has ended, where it need not show its logs. */
const ATTESTATION_ONLY_BYTES = 16 * 1024;

function bodyLimit({ access, bytes, evidence }: Route, limits: Services['config']['limits']): number {
  if (bytes !== undefined) return bytes;
  if (evidence === true) return limits.evidenceBytes;
  const attestationOnly = access.who === 'agent' && access.standing === 'attestation';
  return attestationOnly ? Math.min(ATTESTATION_ONLY_BYTES, limits.bodyBytes) : limits.bodyBytes;
}

function describeAccess({ access }: Route): string {
  if (access.who === 'anyone') return 'anyone';
  if (access.who === 'operator-or-agent') return 'operator (any), agent (active)';
  return access.who === 'agent' ? `agent (${access.standing})` : `operator (${access.role})`;
}

async function send(reply: FastifyReply, answer: Reply, known: string | undefined): Promise<FastifyReply> {
  reply.status(answer.status);
  if ('json' in answer) return await reply.header('cache-control', 'no-store').send(answer.json);
  if ('stream' in answer)
    return await reply.header('cache-control', 'no-store').type(answer.type).send(answer.stream);
  reply.header('cache-control', answer.cache ?? 'no-store');
  if (answer.etag !== undefined) {
    reply.header('etag', answer.etag);
    if (known === answer.etag) return await reply.status(304).send();
  }
  reply.type(answer.type);
  return await reply.send(typeof answer.data === 'string' ? answer.data : Buffer.from(answer.data));
}
