import { existsSync } from 'node:fs';
import path from 'node:path';
import { learnReferences } from '../appraisal/index.ts';
import type { Learned } from '../appraisal/index.ts';
import { LIMITS, Refusal, isJsonObject, parseJson, refuse } from '../base/index.ts';
import { readImaEntries } from '../evidence/index.ts';
import type { ImaEntry } from '../evidence/index.ts';
import type { EvidenceFiles, EvidenceOutcome } from './evidence-examination.ts';
import { EVIDENCE_FILES, examineEvidence, filesIn } from './evidence-examination.ts';
import { readInput } from './input.ts';

/**
 * Reference values from a directory of evidence, which must verify by itself first.
 * @param platform name; the directory's own when left out
 * @throws Refusal with every check of the evidence that failed
 */
export function learnFromDirectory(from: string, platform?: string): Learned {
  const files = filesIn(from);
  const outcome = examineEvidence(files, null);
  if (outcome.failures.length > 0) throw Refusal.join(outcome.failures);
  const quote =
    outcome.quote.examination.verified ?? refuse('e21', 'PCR values are needed to learn from evidence');
  const manifest = readManifest(path.join(from, EVIDENCE_FILES.manifest));
  return learnReferences({
    platform: platform ?? path.basename(path.resolve(from)),
    quote,
    eventLog: outcome.eventLog?.verified ?? null,
    ima: imaOf(files, outcome),
    ...(manifest === undefined ? {} : { gateway: manifest }),
  });
}

/** The entries that the quote proves, read once more from the list. */
function imaOf(files: EvidenceFiles, { ima }: EvidenceOutcome) {
  if (ima === null || files.ima === undefined) return null;
  const entries: ImaEntry[] = [];
  readImaEntries([readInput(files.ima, 'IMA list', LIMITS.imaList)], ima.consumed, (entry) =>
    entries.push(entry),
  );
  return { verified: ima, entries };
}

/** The gateway's manifest: `{"files": {"/path": "sha256 hex"}}`. */
function readManifest(file: string): Record<string, string> | undefined {
  if (!existsSync(file)) return undefined;
  const value = parseJson(readInput(file, 'gateway manifest', LIMITS.json), 'gateway manifest', {
    maxBytes: LIMITS.json,
  });
  const files = isJsonObject(value) ? value['files'] : undefined;
  if (!isJsonObject(files))
    return refuse('malformed', 'gateway manifest: no files', { structure: 'gateway manifest' });
  return Object.fromEntries(
    Object.entries(files).map(([name, sha256]) => [
      name,
      typeof sha256 === 'string' && /^[0-9a-f]{64}$/.test(sha256)
        ? sha256
        : refuse('malformed', 'gateway manifest: a digest is not SHA-256 in hex', {
            structure: 'gateway manifest',
          }),
    ]),
  );
}
