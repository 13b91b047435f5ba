import { equalBytes, parseJsonObject, refuse, shape, utf8 } from '../base/index.ts';
import type { Fail, JsonObject, Shape } from '../base/index.ts';
import type { KeyObject } from 'node:crypto';
import { asHolder, thumbprint } from './holder-proof.ts';
import { signJws } from './jws.ts';

/** `typ` of what a gateway reports about an execution; no other proof of the workload key is taken for one. */
export const OUTCOME_REPORT_TYPE = 'exec-outcome+jwt';

/** How an execution began or ended, in the gateway's words: signed by the workload key, and no proof of anything else. */
export interface OutcomeReport {
  /** Trust domain of the verifier. */
  readonly aud: string;
  readonly executionId: string;
  readonly event: 'started' | 'ended';
  /** Exit status of a process that ended by itself. */
  readonly status?: number;
  /** Signal that ended it: `SIGTERM`. */
  readonly signal?: string;
  /** Why nothing ran, or why it was ended: `release-lost` when the sealed credentials could not be opened. */
  readonly reason?: string;
}

const { integer, object, oneOf, text } = shape;

const REPORT: Shape<OutcomeReport> = object(
  { aud: text({ max: 255 }), executionId: text({ max: 64 }), event: oneOf('started', 'ended') },
  {
    status: integer(0, 255),
    signal: text({ max: 16, pattern: /^SIG[A-Z0-9]+$/, want: 'a signal' }),
    reason: text({ max: 64, pattern: /^[a-z][a-z0-9-]*$/, want: 'a word' }),
  },
);

const fail: Fail = (path, want) => refuse('outcome-form', `${path} is not ${want}`, { member: path });

/** Signs a report with the private workload key. */
export async function makeOutcomeReport(report: OutcomeReport, key: KeyObject): Promise<string> {
  const kid = await thumbprint(key);
  return await signJws(report as unknown as JsonObject, OUTCOME_REPORT_TYPE, {
    key,
    kid,
    algorithm: 'ES256',
  });
}

/**
 * Checks that the workload key made this report, for this verifier, execution and event.
 * @param key the workload's public key as the execution's record has it
 * @throws Refusal `outcome-form`, `holder_binding_failed`, `malformed`
 */
export async function verifyOutcomeReport(
  proof: string,
  expected: Pick<OutcomeReport, 'aud' | 'executionId' | 'event'>,
  key: KeyObject,
): Promise<OutcomeReport> {
  const payload = await asHolder(proof, OUTCOME_REPORT_TYPE, key);
  const report = REPORT(
    parseJsonObject(payload, 'outcome report', { maxBytes: 2048, maxDepth: 2 }),
    'report',
    fail,
  );
  for (const name of ['aud', 'executionId', 'event'] as const) {
    if (!equalBytes(utf8(report[name]), utf8(expected[name])))
      refuse('holder_binding_failed', `the report's ${name} is another one`, { member: name });
  }
  const { event, status, signal } = report;
  if (event === 'started' && (status ?? signal ?? report.reason) !== undefined)
    fail('report', 'a bare started: it has no outcome yet');
  if (status !== undefined && signal !== undefined) fail('report', 'of a status or of a signal');
  return report;
}
