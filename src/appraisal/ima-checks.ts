import type { JsonValue } from '../base/index.ts';
import type { VerifiedEventLog } from '../evidence/eventlog/index.ts';
import { imaCoverage, missingFromManifest } from '../evidence/ima/index.ts';
import type { ImaCoverage, ImaFindings, VerifiedIma } from '../evidence/ima/index.ts';
import type { AppraisalCheck, AppraisalCheckId, TrustValue } from './check.ts';
import { miss, pass } from './check.ts';
import { splitArguments } from './command-line.ts';
import type { CoverageReferences, ReferenceValues } from './references.ts';

/** Checks of the measured files, and what the kernel was never told to measure. */
export interface ImaAppraisal {
  readonly checks: readonly AppraisalCheck[];
  /** File systems and paths from which something could run unmeasured; empty: nothing. */
  readonly exempt: readonly string[];
}

/** Judges verified IMA findings; the rules themselves were applied when the list was verified. */
export function appraiseIma(
  ima: VerifiedIma,
  log: VerifiedEventLog | null,
  references: ReferenceValues,
): ImaAppraisal {
  if (references.ima === undefined) return { checks: [], exempt: [] };
  const { rules, coverage: wanted } = references.ima;
  const words = argumentsOfEvery(log?.facts.kernelCommandLine ?? []);
  const known = wanted.policyFiles.map(({ sha256, exempt }) => ({ digest: `sha256:${sha256}`, exempt }));
  const coverage = imaCoverage(ima, words, known, rules.excludes.length > 0);
  const checks = [
    ...fileChecks(ima.findings),
    ...policyCheck(coverage, wanted),
    lockdownCheck(words, wanted),
    kexecCheck(ima.findings, wanted),
    ...gatewayChecks(ima, references),
  ];
  return { checks, exempt: coverage.exempt };
}

/** Arguments that every command line gives to the kernel: what follows `--` is for init, and one line is not enough. */
function argumentsOfEvery(lines: readonly string[]): string[] {
  const [first = [], ...others] = lines.map((line) => {
    const words = splitArguments(line);
    const end = words.indexOf('--');
    return end === -1 ? words : words.slice(0, end);
  });
  return first.filter((word) => others.every((words) => words.includes(word)));
}

function fileChecks(findings: ImaFindings): AppraisalCheck[] {
  const { denied, unknown, run, unknownKeys, unknownBuffers } = findings;
  const keys = unknownKeys.total + unknownBuffers.total;
  const named = (list: readonly { readonly path: string }[]): JsonValue =>
    list.slice(0, 20).map(({ path }) => path);
  return [
    counted(
      'ima-denied',
      denied.total,
      'files that are never allowed',
      named(denied.list),
      96,
      denied.list[0]?.entry,
    ),
    counted(
      'ima-file',
      unknown.total,
      'files that no rule knows',
      named(unknown.list),
      33,
      unknown.list[0]?.entry,
    ),
    counted(
      'ima-violation',
      findings.violationsNotTolerated,
      'violations',
      findings.violationsNotTolerated,
      33,
    ),
    counted(
      'ima-run',
      run.unauthorised.total,
      'files below the run directory that nobody authorized',
      named(run.unauthorised.list),
      33,
    ),
    counted('ima-key', keys, 'keys or buffers that no rule knows', keys, 33),
  ];
}

function counted(
  id: AppraisalCheckId,
  total: number,
  what: string,
  got: JsonValue,
  failed: TrustValue,
  entry?: number,
): AppraisalCheck {
  const subject = { id, claim: 'executables', failed } as const;
  if (total === 0) return pass(subject, 0, 0);
  return miss(subject, `${String(total)} ${what}`, 0, { total, first: got }, entry);
}

/**
 * That the kernel was told to measure: by the verified command line, or by a custom policy that was itself measured.
 * References that ask for neither (they could learn neither) still refuse a custom policy that they don't know.
 */
function policyCheck(
  { builtinPolicies, policyFiles }: ImaCoverage,
  wanted: CoverageReferences,
): AppraisalCheck[] {
  const subject = { id: 'ima-policy', claim: 'executables', failed: 33 } as const;
  const known = new Set(wanted.policyFiles.map(({ sha256 }) => `sha256:${sha256}`));
  const loaded = policyFiles.map(({ digest }) => digest);
  // A custom policy replaces the built-in one: an unknown one may measure nothing at all.
  if (loaded.some((digest) => !known.has(digest))) {
    return [miss(subject, 'a custom IMA policy that is not listed was loaded', [...known], loaded)];
  }
  if (loaded.length > 0) return [pass(subject, [...known], loaded)];
  if (wanted.builtInPolicies === undefined && known.size === 0) return [];
  const expected = [...(wanted.builtInPolicies ?? [])];
  if (builtinPolicies.some((name) => expected.includes(name)))
    return [pass(subject, expected, [...builtinPolicies])];
  const reason = 'no verified command line tells the kernel to measure as the references ask';
  return [miss(subject, reason, expected, [...builtinPolicies])];
}

function lockdownCheck(words: readonly string[], { lockdown }: CoverageReferences): AppraisalCheck {
  const subject = { id: 'lockdown', claim: 'configuration', failed: 32 } as const;
  const levels = words.filter((word) => word.startsWith('lockdown='));
  if (lockdown === 'none') return pass(subject, lockdown, levels);
  const enough =
    lockdown === 'integrity'
      ? ['lockdown=integrity', 'lockdown=confidentiality']
      : ['lockdown=confidentiality'];
  // The kernel takes the last one; all must be strong enough, so that their order doesn't matter.
  if (levels.length > 0 && levels.every((level) => enough.includes(level)))
    return pass(subject, lockdown, levels);
  return miss(subject, `the verified command line does not ask for lockdown=${lockdown}`, lockdown, levels);
}

/** Another kernel may have run: loaded by kexec, or shown by a second boot_aggregate. */
function kexecCheck(findings: ImaFindings, { kexec }: CoverageReferences): AppraisalCheck {
  const subject = { id: 'ima-kexec', claim: 'configuration', failed: 32 } as const;
  const strange = findings.kexec.list.filter(({ digest }) => !kexec.includes(digest.replace(/^sha256:/, '')));
  const unseen = findings.kexec.total - findings.kexec.list.length;
  if (strange.length > 0 || unseen > 0) {
    return miss(
      subject,
      'a kernel that is not listed was loaded by kexec',
      [...kexec],
      findings.kexec.total,
      strange[0]?.entry,
    );
  }
  if (findings.bootAggregates.total > 1 && kexec.length === 0) {
    return miss(
      subject,
      'a second boot_aggregate: kernels were chained by kexec',
      1,
      findings.bootAggregates.total,
    );
  }
  return pass(subject, [...kexec], findings.kexec.total);
}

function gatewayChecks(ima: VerifiedIma, { gateway }: ReferenceValues): AppraisalCheck[] {
  if (gateway === undefined) return [];
  const subject = { id: 'gateway-measured', claim: 'executables', failed: 33 } as const;
  const total = Object.keys(gateway.files).length;
  // The list was judged with this manifest, or with none: then nothing of it was seen.
  const missing = ima.manifestPaths.length === total ? missingFromManifest(ima) : Object.keys(gateway.files);
  if (total > 0 && missing.length === 0) return [pass(subject, total, total)];
  const reason = `files of the gateway were not measured as its manifest has them: ${missing.slice(0, 5).join(', ')}`;
  return [miss(subject, reason, total, { missing: missing.slice(0, 20) })];
}
