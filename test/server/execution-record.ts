import { chainOf } from '../../scripts/lib/vectors/world.ts';
import { parseExecutionRecord } from '../../src/lifecycle/index.ts';
import type { JsonObject } from '../../src/base/index.ts';
import type { ExecutionRecord } from '../../src/lifecycle/index.ts';

const CHAIN = chainOf(1);
const HEX = 'a'.repeat(64);

/** The record of an execution that lives for five minutes more. @param now Unix ms */
export function executionRecord(
  own: Pick<ExecutionRecord, 'state' | 'status'> & Partial<ExecutionRecord>,
  now: number,
): ExecutionRecord {
  return parseExecutionRecord({
    v: 1,
    hostId: HEX,
    parent: null,
    root: 'x',
    depth: 0,
    jti: 'j',
    expires: Math.floor(now / 1000) + 300,
    started: Math.floor(now / 1000),
    chain: CHAIN,
    artifact: { name: 'report', digest: `sha256:${HEX}` },
    workloadPublic: { kty: 'EC', crv: 'P-256', x: 'A'.repeat(43), y: 'A'.repeat(43) },
    workloadThumbprint: 'A'.repeat(43),
    ak: 'ab'.repeat(34),
    boot: { resetCount: 1, restartCount: 0 },
    ekRoot: null,
    policyHash: `sha256:${HEX}`,
    requestDigest: HEX,
    credentials: [],
    sequence: 0,
    request: HEX,
    initiator: null,
    executedDigest: null,
    exit: null,
    reason: null,
    revokedBy: null,
    ...own,
  } as JsonObject);
}
