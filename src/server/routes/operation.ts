import { expiryOf } from '../../config/index.ts';
import type { Expiry } from '../../config/index.ts';
import { parseHost } from '../../enrollment/index.ts';
import type { Services } from '../services.ts';
import type { Metrics } from '../metrics.ts';
import { route } from '../route.ts';
import type { Route } from '../route.ts';

const CERTIFICATES = ['tls', 'tls-ca', 'operator-ca', 'agent-ca', 'svid-ca', 'ak-ca'] as const;

/** How the process is: for load balancers, monitoring and tools. */
export function operationRoutes(metrics: Metrics, openApi: () => object): readonly Route[] {
  return [
    route({
      method: 'GET',
      url: '/healthz',
      summary: 'The process answers',
      access: { who: 'anyone' },
      handle: () => Promise.resolve({ status: 200, json: { ok: true } }),
    }),
    route({
      method: 'GET',
      url: '/readyz',
      summary: 'The store answers and no certificate has ended',
      access: { who: 'anyone' },
      handle: async ({ services, now }) => {
        // The head is remembered, a leaf is read: what is remembered answers for no store.
        await services.store.leaves(0, 1);
        const ends = expiries(services, now).filter(({ level }) => level !== 'ok');
        const ok = !ends.some(({ level }) => level === 'expired');
        const warnings = ends.map(({ what, level }) => ({ what, level }));
        return { status: ok ? 200 : 503, json: { ok, warnings } };
      },
    }),
    route({
      method: 'GET',
      url: '/metrics',
      summary: 'Prometheus metrics',
      access: { who: 'operator', role: 'audit' },
      handle: async ({ services, now }) => {
        const head = await services.store.head();
        metrics.standing(await hostStates(services), services.live.size, services.events.size);
        metrics.staged(services.staged.totals());
        metrics.witnesses(services.witnessing?.standing() ?? []);
        const seconds = expiries(services, now).map(({ what, notAfter }) => ({
          what,
          seconds: (notAfter - now) / 1000,
        }));
        return {
          status: 200,
          type: metrics.contentType,
          data: await metrics.page(Number(head?.size ?? 0), seconds),
        };
      },
    }),
    route({
      method: 'GET',
      url: '/openapi.json',
      summary: 'This API as OpenAPI 3.1',
      access: { who: 'anyone' },
      handle: () =>
        Promise.resolve({
          status: 200,
          type: 'application/json; charset=utf-8',
          data: JSON.stringify(openApi()),
        }),
    }),
  ];
}

/** Hosts by state; each is read, since a record may be counted only after its MAC. */
async function hostStates({ records }: Services): Promise<ReadonlyMap<string, number>> {
  const counts = new Map<string, number>();
  let after: string | undefined;
  for (;;) {
    const rows = await records.list('host', { limit: 1000, ...(after === undefined ? {} : { after }) });
    for (const row of rows) {
      const { state } = parseHost(row).host;
      counts.set(state, (counts.get(state) ?? 0) + 1);
    }
    after = rows.at(-1)?.id;
    if (rows.length < 1000) return counts;
  }
}

function expiries({ ring }: Services, now: number): readonly Expiry[] {
  return CERTIFICATES.map((name) => expiryOf(name, ring.certificate(name), now));
}
