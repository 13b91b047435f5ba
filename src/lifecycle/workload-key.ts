import { createPublicKey } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { refuse } from '../base/index.ts';
import type { WorkloadJwk } from './execution-request.ts';

/** The workload's public key. @throws Refusal `workload-key` for a point that is on no curve */
export function workloadKey({ kty, crv, x, y }: WorkloadJwk): KeyObject {
  try {
    return createPublicKey({ key: { kty, crv, x, y }, format: 'jwk' });
  } catch {
    return refuse('workload-key', 'the workload’s key is not a point of P-256');
  }
}
