import type { JsonObject } from '../base/index.ts';
import type { ExecutionRecord } from '../lifecycle/index.ts';

/** An execution as operators see it: no token, no key, no argument. */
export function executionJson(executionId: string, record: ExecutionRecord): JsonObject {
  const { state, hostId, artifact, parent, root, depth, policyHash, credentials, sequence } = record;
  const { initiator, exit, reason, boot, jti, requestDigest, executedDigest } = record;
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
    // What the kernel measured; null where nothing measures, and for a tree.
    executedDigest: executedDigest === null ? null : `sha256:${executedDigest}`,
    startedAt: new Date(record.started * 1000).toISOString(),
    expiresAt: new Date(record.expires * 1000).toISOString(),
    exit: exit && { ...exit },
    reason,
  };
}
