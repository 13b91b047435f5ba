import { route } from '../route.ts';
import type { Route } from '../route.ts';

/** What everybody may know of this verifier's keys; believed only through its chain of signatures. */
export const TRUST_ROUTES: readonly Route[] = [
  route({
    method: 'GET',
    url: '/v1/trust-bundles',
    summary: 'Trust bundles from version 1 to the newest: a list of DSSE envelopes',
    access: { who: 'anyone' },
    handle: ({ services }) => Promise.resolve({ status: 200, json: [...services.trust.chain] }),
  }),
];
