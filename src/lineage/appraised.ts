import { createHash } from 'node:crypto';
import type { DecisionLeaf } from '../audit/index.ts';
import { fromBase64url, isJsonObject, parseJsonObject, refuse, toHex, utf8 } from '../base/index.ts';
import type { JsonObject } from '../base/index.ts';

/** Name of the attestation result among a decision's evidence. */
const RESULT = 'attestation-result';
const MAX_RESULT = 64 * 1024;

/** In which environment something was allowed: what the attestation result (EAR) says. */
export interface Appraised {
  /** AR4SI tier: 0 none, 2 affirming, 32 warning, 96 contraindicated. */
  readonly status: number;
  readonly vector: JsonObject;
}

/** The digest of a decision's attestation result; undefined for one without. */
export function resultDigest({ digests }: DecisionLeaf): string | undefined {
  return digests.evidence.find(({ name }) => name === RESULT)?.sha256;
}

/**
 * Reads an attestation result that the log names by its digest; that is its proof, so its signature isn't looked at.
 * @throws Refusal `lineage-result` when it is another one, or says no status
 */
export function readResult(leaf: DecisionLeaf, jwt: string): Appraised {
  const data = utf8(jwt);
  const digest = `sha256:${toHex(new Uint8Array(createHash('sha256').update(data).digest()))}`;
  if (data.length > MAX_RESULT || digest !== resultDigest(leaf))
    refuse('lineage-result', 'the attestation result is not the one that the log names');
  const claims = parseJsonObject(
    fromBase64url(jwt.split('.')[1] ?? '', 'attestation result'),
    'attestation result',
    {
      maxBytes: MAX_RESULT,
    },
  );
  const submodules = claims['submods'];
  const host = isJsonObject(submodules) ? submodules['host'] : undefined;
  const status = isJsonObject(host) ? (host['ear.status'] ?? host['ear_status']) : undefined;
  const vector = isJsonObject(host)
    ? (host['ear.trustworthiness-vector'] ?? host['ear_trustworthiness_vector'])
    : undefined;
  if (typeof status !== 'number' || !isJsonObject(vector))
    return refuse('lineage-result', 'the attestation result says no status');
  return { status, vector };
}
