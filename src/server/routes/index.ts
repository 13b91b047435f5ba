import type { Services } from '../services.ts';
import type { Metrics } from '../metrics.ts';
import type { Route } from '../route.ts';
import { attestationRoutes } from './attestations.ts';
import { CHALLENGE_ROUTES } from './challenges.ts';
import { ENROLLMENT_ROUTES } from './enrollment.ts';
import { EVENT_ROUTES } from './events.ts';
import { executionRoutes } from './executions.ts';
import { HOST_ROUTES } from './hosts.ts';
import { INVITATION_ROUTES } from './invitations.ts';
import { LINEAGE_ROUTES } from './lineage.ts';
import { logRoutes } from './log.ts';
import { operationRoutes } from './operation.ts';
import { OPERATOR_ROUTES } from './operators.ts';
import { PACKAGE_ROUTES } from './packages.ts';
import { POLICY_ROUTES } from './policy.ts';
import { REVOCATION_ROUTES } from './revocations.ts';
import { SECRET_ROUTES } from './secrets.ts';
import { STATUS_ROUTES } from './status-lists.ts';
import { TRUST_ROUTES } from './trust.ts';
import { WELL_KNOWN_ROUTES } from './well-known.ts';
import { WITNESS_ROUTES } from './witness.ts';

/** Every route there is; tests walk this list. */
export function allRoutes(services: Services, metrics: Metrics, openApi: () => object): readonly Route[] {
  return [
    ...operationRoutes(metrics, openApi),
    ...logRoutes(services.config.log.entries),
    ...ENROLLMENT_ROUTES,
    ...CHALLENGE_ROUTES,
    ...executionRoutes(metrics),
    ...attestationRoutes(metrics),
    ...WITNESS_ROUTES,
    ...EVENT_ROUTES,
    ...LINEAGE_ROUTES,
    ...PACKAGE_ROUTES,
    ...REVOCATION_ROUTES,
    ...WELL_KNOWN_ROUTES,
    ...STATUS_ROUTES,
    ...INVITATION_ROUTES,
    ...HOST_ROUTES,
    ...OPERATOR_ROUTES,
    ...TRUST_ROUTES,
    ...POLICY_ROUTES,
    ...SECRET_ROUTES,
  ];
}
