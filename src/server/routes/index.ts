import type { Services } from '../compose.ts';
import type { Metrics } from '../metrics.ts';
import type { Route } from '../route.ts';
import { ENROLLMENT_ROUTES } from './enrollment.ts';
import { HOST_ROUTES } from './hosts.ts';
import { logRoutes } from './log.ts';
import { operationRoutes } from './operation.ts';
import { OPERATOR_ROUTES } from './operators.ts';
import { TRUST_ROUTES } from './trust.ts';

/** Every route there is; tests walk this list. */
export function allRoutes(services: Services, metrics: Metrics, openApi: () => object): readonly Route[] {
  return [
    ...operationRoutes(metrics, openApi),
    ...logRoutes(services.config.log.entries),
    ...ENROLLMENT_ROUTES,
    ...HOST_ROUTES,
    ...OPERATOR_ROUTES,
    ...TRUST_ROUTES,
  ];
}
