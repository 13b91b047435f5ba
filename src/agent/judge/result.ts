import { verifyJws } from '../../authorization/index.ts';
import { isJsonObject, parseJsonObject, refuse } from '../../base/index.ts';
import type { JsonObject } from '../../base/index.ts';
import { audienceOf, differing } from './own-decision.ts';
import type { OwnDecision } from './own-decision.ts';

/** `typ` of an EAR. */
const RESULT_TYPE = 'eat+jwt';
const RESULT_LIMITS = { maxBytes: 64 * 1024, maxDepth: 8 };

/**
 * The attestation result: signed by the key for results, about this host, nonce and key, in its time.
 * @returns its claims
 * @throws Refusal `signature_invalid`, `answer-result`, `malformed`
 */
export async function judgeResult(result: string, own: OwnDecision): Promise<JsonObject> {
  const payload = await verifyJws(result, RESULT_TYPE, own.trust.keys.ear, RESULT_LIMITS.maxBytes);
  const claims = parseJsonObject(payload, 'attestation result', RESULT_LIMITS);
  const { aud, eat_nonce: nonce, exp, cnf } = claims;
  const differs = differing({
    aud: aud === audienceOf(own),
    nonce: nonce === own.nonce,
    workload: isJsonObject(cnf) && cnf['jkt'] === own.confirmation,
    time: typeof exp === 'number' && own.now < exp * 1000,
  });
  if (differs.length > 0)
    refuse('answer-result', `the attestation result is about something else: ${differs.join(', ')}`, {
      differs,
    });
  return claims;
}
