import type { FastifyInstance } from 'fastify';
import { AdminProblem } from './problem.ts';
import type { Route } from './route.ts';

/**
 * Answers 405 with `Allow` (RFC 9110, 15.5.6) where a path is known and its method isn't, before a caller is judged or a
 * body is read. Which paths there are is in the OpenAPI document that anyone may read.
 */
export function refuseOtherMethods(app: FastifyInstance, routes: readonly Route[]): void {
  for (const url of new Set(routes.map((one) => one.url))) {
    const own: readonly string[] = routes.filter((one) => one.url === url).map(({ method }) => method);
    const allow = own.join(', ');
    const refusal = () => new AdminProblem('method-not-allowed', `here one may only ${allow}`);
    app.route({
      method: app.supportedMethods.filter((method) => !own.includes(method)),
      url,
      exposeHeadRoute: false,
      schema: { hide: true },
      onRequest: (_request, reply, done) => {
        reply.header('allow', allow);
        done(refusal());
      },
      handler: () => {
        throw refusal();
      },
    });
  }
}
