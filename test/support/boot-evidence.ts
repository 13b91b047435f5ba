import path from 'node:path';
import { learnReferences } from '../../src/appraisal/index.ts';
import type { Learned, ReferenceValues } from '../../src/appraisal/index.ts';
import {
  NO_IMA_RULES,
  compileImaRules,
  readImaEntries,
  verifyEventLog,
  verifyIma,
} from '../../src/evidence/index.ts';
import type { CompiledImaRules, ImaEntry, VerifiedEventLog, VerifiedIma } from '../../src/evidence/index.ts';
import { verifyQuote } from '../../src/tpm/index.ts';
import type { VerifiedPcrs, VerifiedQuote } from '../../src/tpm/index.ts';
import { bootKey, bootQuote } from './boots.ts';
import { dataFile } from './vectors.ts';

/** The directory of a recorded boot, with the file names of a directory of evidence. */
export const bootDirectory = (boot: string): string =>
  path.resolve(import.meta.dirname, '../data/boots', boot);

/** Verified evidence of a recorded boot. */
export interface BootEvidence {
  readonly quote: VerifiedQuote;
  readonly pcrs: VerifiedPcrs;
  readonly eventLog: VerifiedEventLog;
  readonly ima: VerifiedIma;
  readonly entries: readonly ImaEntry[];
}

/** Verifies a recorded boot; IMA entries are judged by `rules`. */
export function bootEvidence(
  boot: string,
  rules: CompiledImaRules = compileImaRules(NO_IMA_RULES),
): BootEvidence {
  const { attest, signature, pcrs: claimed, nonce, selection } = bootQuote(boot);
  const quote = verifyQuote({ attest, signature, pcrs: claimed }, bootKey(boot), { nonce, selection });
  const { pcrs } = quote;
  if (pcrs === null) throw new Error('the recorded quote has its values');
  const eventLog = verifyEventLog(dataFile(`boots/${boot}/eventlog.bin`), pcrs);
  const list = dataFile(`boots/${boot}/ima_binary.bin`);
  const ima = verifyIma([list], { pcrs, boot: quote.attest.clockInfo, rules });
  const entries: ImaEntry[] = [];
  readImaEntries([list], ima.consumed, (entry) => entries.push(entry));
  return { quote, pcrs, eventLog, ima, entries };
}

/** What a recorded boot teaches: reference values and a report. */
export function learnBoot(boot: string): Learned {
  const { quote, eventLog, ima, entries } = bootEvidence(boot);
  return learnReferences({ platform: boot, quote, eventLog, ima: { verified: ima, entries } });
}

/** Reference values learned from a recorded boot. */
export function learnedFrom(boot: string): ReferenceValues {
  return learnBoot(boot).references;
}
