import { describe, expect, it } from 'vitest';
import { appraise, isAffirming, learnReferences } from '../../src/appraisal/index.ts';
import { Refusal } from '../../src/base/index.ts';
import { examineEventLog, parseEventLog, replayEventLog } from '../../src/evidence/index.ts';
import { digest } from '../../src/tpm/index.ts';
import { verifyPcrValues } from '../../src/tpm/quote/pcr-values.ts';
import { bootEvidence } from '../support/boot-evidence.ts';
import { readEventLog } from '../support/eventlogs.ts';

/** A real log, against the values that its own machine would quote. */
function examined(name: string) {
  const bytes = readEventLog(name);
  const replayed = replayEventLog(parseEventLog(bytes), 'sha256');
  const values = Array.from({ length: 10 }, (_, pcr) => replayed.get(pcr) ?? new Uint8Array(32));
  const pcrSelection = [{ bank: 'sha256' as const, pcrs: values.map((_, pcr) => pcr) }];
  const attested = { type: 'quote', pcrSelection, pcrDigest: digest('sha256', ...values) } as const;
  const table = new Map([['sha256', new Map(values.map((value, pcr) => [pcr, value]))] as const]);
  return examineEventLog(bytes, verifyPcrValues({ attested }, 'sha256', table));
}

const { quote, eventLog: sound } = bootEvidence('secure-boot');

describe('a host whose event log breaks a rule', () => {
  it.each([
    // SecureBoot of length 0.
    ['go-attestation/crypto_agile_eventlog', 'f6'],
    ['tpm2-tools/event-sd-boot-fedora37.bin', 'f6'],
  ])('is not affirmed by reference values that were learned from it: %s', (name, rule) => {
    const { verified: eventLog, failures } = examined(name);
    expect(failures).toEqual([]);
    expect(eventLog?.problems.map((problem) => problem.rule)).toContain(rule);
    const { references } = learnReferences({ platform: 'vm', quote, eventLog, ima: null });
    const appraisal = appraise({ quote, eventLog, ima: null, failures: [] }, references);
    // What is compared is as it was learned: the rule alone says no.
    expect(appraisal.checks.filter(({ ok }) => !ok)).toEqual([]);
    expect(appraisal.status).toBe('warning');
    expect(appraisal.vector.executables).toBe(33);
    expect(new Set(appraisal.failures.map(({ check }) => check))).toEqual(new Set([rule]));
    expect(isAffirming(appraisal)).toBe(false);
  });

  it('nor where nothing is asked of the log, and nor when what came of it does not verify', () => {
    const { verified: eventLog } = examined('tpm2-tools/event-sd-boot-fedora37.bin');
    const references = { version: 1, platform: 'vm', tpm: { firmwareFloor: '0'.repeat(16) } } as const;
    expect(appraise({ quote, eventLog: sound, ima: null, failures: [] }, references).status).toBe(
      'affirming',
    );
    expect(appraise({ quote, eventLog, ima: null, failures: [] }, references).status).toBe('warning');
    const failures = [new Refusal('e24', 'the log is of another boot')];
    const unverified = appraise({ quote, eventLog: null, ima: null, failures }, references);
    expect(unverified).toMatchObject({ status: 'warning', failures });
    // What nobody gave, and nothing asks for, is nothing against the host.
    const notGiven = [new Refusal('no-event-log', 'no event log was given')];
    const none = appraise({ quote, eventLog: null, ima: null, failures: [], notGiven }, references);
    expect(none).toMatchObject({ status: 'affirming', failures: [] });
  });
});
