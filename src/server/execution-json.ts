import type { JsonObject } from '../base/index.ts';
import type { ExecutionRecord } from '../lifecycle/index.ts';

/** An execution as operators see it: no token, no key, no argument. */
export function executionJson(executionId: string, record: ExecutionRecord): JsonObject {
  const { state, hostId, artifact, parent, root, depth, policyHash, credentials, sequence } = record;
  const { initiator, exit, reason, boot, jti, requestDigest } = record;
  return {
    executionId,
    state,
    hostId,
    artifact: { ...artifact },
    parent,
    root,
    depth,
    policyHash,
    requestDigest,
    jti,
    sequence,
    credentials,
    initiator: initiator && { issuer: initiator.issuer, subject: initiator.subject },
    boot: { ...boot },
    startedAt: new Date(record.started * 1000).toISOString(),
    expiresAt: new Date(record.expires * 1000).toISOString(),
    exit: exit && { ...exit },
    reason,
  };
}
