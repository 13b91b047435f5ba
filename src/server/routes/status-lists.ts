import { Type } from '../../config/index.ts';
import { AdminProblem } from '../problem.ts';
import { route } from '../route.ts';
import type { Route } from '../route.ts';
import { STATUS_TTL_SECONDS } from '../status-lists.ts';

/** Signed status lists for relying parties (draft-ietf-oauth-status-list §8). */
export const STATUS_ROUTES: readonly Route[] = [
  route({
    method: 'GET',
    url: '/v1/status-lists/:list',
    summary: 'A signed list of revoked and ended authorizations (application/statuslist+jwt)',
    access: { who: 'anyone' },
    params: Type.Object(
      {
        list: Type.String({
          pattern: '^[a-z0-9][a-z0-9.-]{0,78}$',
          description: 'As authorizations name it.',
        }),
      },
      { additionalProperties: false },
    ),
    handle: async ({ services, params }) => {
      const signed = await services.statusLists.signed(params.list);
      if (signed === undefined) throw new AdminProblem('not-found', 'no authorization has its status there');
      return {
        status: 200,
        type: 'application/statuslist+jwt',
        data: signed.token,
        cache: `max-age=${String(STATUS_TTL_SECONDS)}`,
        etag: signed.etag,
      };
    },
  }),
];
