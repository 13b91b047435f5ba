import { existsSync } from 'node:fs';
import path from 'node:path';
import { appraise, imaRulesOf, parseReferences, REFERENCES_LIMITS } from '../appraisal/index.ts';
import type { Appraisal, ReferenceValues } from '../appraisal/index.ts';
import { LIMITS, Refusal, fromHex, fromUtf8, parseJson } from '../base/index.ts';
import type { JsonObject, JsonValue } from '../base/index.ts';
import {
  compileImaRules,
  examineEventLog,
  problemRefusals,
  replayEventLog,
  verifyIma,
} from '../evidence/index.ts';
import type {
  EventLogExamination,
  PcrSource,
  Quirk,
  VerifiedEventLog,
  VerifiedIma,
} from '../evidence/index.ts';
import type { VerifiedPcrs, VerifiedQuote } from '../tpm/index.ts';
import { UsageError } from './errors.ts';
import { readInput } from './input.ts';
import { examineQuoteFiles, quoteAnswer } from './quote-examination.ts';
import type { QuoteFiles, QuoteOutcome } from './quote-examination.ts';

/** Names of the files in a directory of evidence. */
export const EVIDENCE_FILES = {
  attest: 'quote.msg',
  signature: 'quote.sig',
  ak: 'ak.pub',
  nonce: 'nonce.hex',
  pcrs: 'quoted_pcrs.json',
  eventlog: 'eventlog.bin',
  ima: 'ima_binary.bin',
  manifest: 'sealgate.manifest.json',
} as const;

/** Evidence as flags name it; without `eventlog` or `ima`, that log was not given. */
export interface EvidenceFiles extends QuoteFiles {
  readonly eventlog?: string;
  readonly ima?: string;
  /** Firmware habits that are allowed by name. */
  readonly quirk?: readonly Quirk[];
}

/** The files of a directory: the quote's are needed, the logs are taken when they are there. */
export function filesIn(directory: string): EvidenceFiles {
  const file = (name: keyof typeof EVIDENCE_FILES): string => path.join(directory, EVIDENCE_FILES[name]);
  const optional = (name: 'pcrs' | 'eventlog' | 'ima') =>
    existsSync(file(name)) ? { [name]: file(name) } : {};
  const nonce = fromUtf8(readInput(file('nonce'), 'nonce', 1024), 'nonce').trim();
  // A file whose content doesn't parse is refused evidence, not a mistake in the command line.
  fromHex(nonce, EVIDENCE_FILES.nonce);
  return {
    attest: file('attest'),
    signature: file('signature'),
    ak: file('ak'),
    nonce,
    ...optional('pcrs'),
    ...optional('eventlog'),
    ...optional('ima'),
  };
}

/** Everything that an examination of evidence found. */
export interface EvidenceOutcome {
  readonly failures: readonly Refusal[];
  readonly unchecked: readonly string[];
  readonly quote: QuoteOutcome;
  readonly eventLog: EventLogExamination | null;
  readonly ima: VerifiedIma | null;
  readonly appraisal: Appraisal | null;
}

/** Verifies a quote, then the logs against its values, then all of it against reference values. */
export function examineEvidence(files: EvidenceFiles, references: ReferenceValues | null): EvidenceOutcome {
  const quote = examineQuoteFiles(files);
  const verified = quote.examination.verified ?? null;
  const pcrs = verified?.pcrs ?? null;
  // Nothing is said about logs until the values that they are compared with are proved.
  if (verified === null || pcrs === null) {
    const failures = [...quote.failures, ...(verified !== null ? withoutValues(files, references) : [])];
    return {
      failures,
      unchecked: quote.examination.unchecked,
      quote,
      eventLog: null,
      ima: null,
      appraisal: null,
    };
  }
  const eventLog = readEventLog(files, pcrs);
  const ima = readIma(files, verified, pcrs, eventLog?.verified ?? null, references);
  const logFailures = [...(eventLog?.failures ?? []), ...(ima.failure === null ? [] : [ima.failure])];
  const appraisal =
    references === null
      ? null
      : appraise(
          {
            quote: verified,
            eventLog: eventLog?.verified ?? null,
            ima: ima.verified,
            failures: logFailures,
            notGiven: notGiven(files),
          },
          references,
        );
  return {
    failures: appraisal?.failures ?? [
      // Without an appraisal as with one: a log that breaks a rule is no evidence.
      ...problemRefusals(eventLog?.verified?.problems ?? []),
      ...logFailures,
    ],
    unchecked: [
      ...quote.examination.unchecked,
      ...uncheckedPcrs(pcrs, eventLog, ima.verified),
      ...(ima.verified?.unchecked ?? []),
      ...(ima.verified !== null && references?.ima === undefined ? ['ima-files'] : []),
    ],
    quote,
    eventLog,
    ima: ima.verified,
    appraisal,
  };
}

/** Logs or references were given, and there is nothing to hold them against. */
function withoutValues(files: EvidenceFiles, references: ReferenceValues | null): Refusal[] {
  if (files.eventlog === undefined && files.ima === undefined && references === null) return [];
  return [new Refusal('e21', 'logs can be compared only with quoted PCR values: give --pcrs')];
}

function readEventLog(files: EvidenceFiles, pcrs: VerifiedPcrs): EventLogExamination | null {
  if (files.eventlog === undefined) return null;
  return examineEventLog(readInput(files.eventlog, 'event log', LIMITS.eventLog), pcrs, new Set(files.quirk));
}

function readIma(
  files: EvidenceFiles,
  quote: VerifiedQuote,
  pcrs: VerifiedPcrs,
  log: VerifiedEventLog | null,
  references: ReferenceValues | null,
): { readonly verified: VerifiedIma | null; readonly failure: Refusal | null } {
  if (files.ima === undefined) return { verified: null, failure: null };
  const rules = references === null ? undefined : imaRulesOf(references);
  const manifest = references?.gateway === undefined ? {} : { manifest: references.gateway.files };
  try {
    const list = readInput(files.ima, 'IMA list', LIMITS.imaList);
    const compiled = compileImaRules(rules ?? imaRulesOf({ version: 1, platform: 'none' }), manifest);
    const logPcrs = log === null ? {} : { logPcrs: replayed(log) };
    return {
      verified: verifyIma([list], { pcrs, boot: quote.attest.clockInfo, rules: compiled, ...logPcrs }),
      failure: null,
    };
  } catch (error) {
    if (error instanceof Refusal) return { verified: null, failure: error };
    throw error;
  }
}

/** PCR values that a verified log gives, for a boot_aggregate over a bank that isn't quoted. */
function replayed({ log }: VerifiedEventLog): PcrSource {
  return {
    get: (bank, index) => (log.banks.includes(bank) ? replayEventLog(log, bank).get(index) : undefined),
  };
}

/** What references may need and nobody gave: a verdict of its own with its remedy, never "nothing to check". */
function notGiven(files: EvidenceFiles): Refusal[] {
  return [
    ...(files.eventlog === undefined ? [new Refusal('no-event-log', 'no event log was given')] : []),
    ...(files.ima === undefined ? [new Refusal('ima-empty', 'no IMA list was given')] : []),
  ];
}

/** Quoted PCRs that no log explained: without an event log all but 10, without an IMA list 10. */
function uncheckedPcrs(
  pcrs: VerifiedPcrs,
  eventLog: EventLogExamination | null,
  ima: VerifiedIma | null,
): string[] {
  return [...pcrs].flatMap(({ bank, index }) => {
    const checked =
      index === 10 ? ima?.banks.has(bank) === true : eventLog?.match?.matches[bank]?.[index] !== undefined;
    return checked ? [] : [`${bank}:${String(index)}`];
  });
}

/** The outcome as the members of the answer. */
export function evidenceAnswer(
  { quote, unchecked, eventLog, ima, appraisal }: EvidenceOutcome,
  judged: boolean,
): JsonObject {
  const verified = eventLog?.verified ?? null;
  return {
    ...quoteAnswer(quote),
    unchecked: [...unchecked],
    eventLog:
      eventLog === null
        ? null
        : {
            matches: (eventLog.match?.matches ?? {}) as JsonValue,
            facts: (verified?.facts ?? null) as JsonValue,
          },
    ima: ima === null ? null : imaAnswer(ima, judged),
    appraisal: appraisal === null ? null : appraisalAnswer(appraisal),
  };
}

function imaAnswer({ entries, consumed, findings }: VerifiedIma, judged: boolean): JsonObject {
  const { unknown, violations } = findings;
  return {
    entries,
    consumed,
    violations: violations.total,
    // Without rules no file is known or unknown.
    unknown: judged ? unknown.total : null,
    unknownFiles: judged
      ? unknown.list.map(({ path: file, digest, entry }) => ({ path: file, digest, entry }))
      : [],
  };
}

function appraisalAnswer({ status, vector, checks, exempt }: Appraisal): JsonObject {
  return {
    status,
    vector: { ...vector },
    exempt: [...exempt],
    checks: checks.map(({ id, ok, expected, got, event, reason }) => ({
      id,
      ok,
      expected,
      got,
      event: event ?? null,
      reason: reason ?? null,
    })),
  };
}

/** Reads a file of reference values. @throws Refusal `malformed`, `references-form`; UsageError */
export function readReferences(file: string): ReferenceValues {
  const bytes = readInput(file, 'reference values', REFERENCES_LIMITS.maxBytes);
  return parseReferences(parseJson(bytes, 'reference values', REFERENCES_LIMITS));
}

/** Flags that name evidence: a directory, or all files of a quote. @throws UsageError */
export function evidenceOf(options: Partial<EvidenceFiles> & { readonly dir?: string }): EvidenceFiles {
  const { dir, attest, signature, ak, nonce, ...rest } = options;
  if (dir !== undefined) {
    if (attest !== undefined) throw new UsageError('give --dir or --attest, not both');
    const { select, quirk } = rest;
    return {
      ...filesIn(dir),
      ...(select === undefined ? {} : { select }),
      ...(quirk === undefined ? {} : { quirk }),
    };
  }
  if (
    attest === undefined ||
    signature === undefined ||
    ak === undefined ||
    nonce === undefined ||
    rest.pcrs === undefined
  ) {
    throw new UsageError('give --dir DIR, or --attest, --signature, --ak, --nonce and --pcrs');
  }
  return { attest, signature, ak, nonce, ...rest };
}
