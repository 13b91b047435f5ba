import { Type } from '../../config/index.ts';
import { PACKAGE_TYPE } from '../../lifecycle/index.ts';
import { decisionPackage, executionPackage } from '../package.ts';
import { route } from '../route.ts';
import type { Reply, Route } from '../route.ts';

const closed = { additionalProperties: false } as const;
const ID = Type.Object(
  { executionId: Type.String({ pattern: '^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$' }) },
  closed,
);
const INDEX = Type.Object({ index: Type.String({ pattern: '^(?:0|[1-9][0-9]{0,15})$' }) }, closed);

/** Packages: a decision with everything that it takes to verify and to repeat it (docs/PACKAGE.md). */
export const PACKAGE_ROUTES: readonly Route[] = [
  route({
    method: 'GET',
    url: '/v1/executions/:executionId/package',
    summary: 'An execution as one package that is verified offline: request, evidence, policy, log entries',
    // Arguments, environments and evidence are in it.
    access: { who: 'operator', role: 'audit' },
    params: ID,
    handle: async ({ services, params }) => file(await executionPackage(services, params.executionId)),
  }),
  route({
    method: 'GET',
    url: '/v1/log/entries/:index/package',
    summary: 'The package of a decision by its place in the log, a denial’s too',
    access: { who: 'operator', role: 'audit' },
    params: INDEX,
    handle: async ({ services, params }) => file(await decisionPackage(services, BigInt(params.index))),
  }),
];

const file = (data: string): Reply => ({ status: 200, type: PACKAGE_TYPE, data, cache: 'no-store' });
