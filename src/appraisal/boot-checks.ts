import type { JsonValue } from '../base/index.ts';
import type { Measurement, VerifiedEventLog } from '../evidence/eventlog/index.ts';
import { describeEvent } from '../evidence/eventlog/index.ts';
import type { AppraisalCheck, AppraisalCheckId } from './check.ts';
import { miss, pass } from './check.ts';
import { commandLineProblem } from './command-line.ts';
import type { AllowedDigest, EventLogReferences } from './references.ts';

/** Checks of the boot, most telling first: the first that fails speaks for the host. */
export function bootChecks(log: VerifiedEventLog, references: EventLogReferences): AppraisalCheck[] {
  return [
    ...secureBootChecks(log, references),
    ...commandLineChecks(log, references),
    ...measurementChecks(log, references),
    ...ukiChecks(log, references),
    ...setChecks(log, references),
  ];
}

const CONFIGURATION = { claim: 'configuration', failed: 32 } as const;
const EXECUTABLE = { claim: 'executables', failed: 33 } as const;

function secureBootChecks({ facts }: VerifiedEventLog, { secureBoot }: EventLogReferences): AppraisalCheck[] {
  if (secureBoot === undefined) return [];
  const subject = { id: 'secure-boot', ...CONFIGURATION } as const;
  const got = facts.secureBoot;
  if (got === undefined) return [absent(subject.id, 'configuration', 'secure boot state', { ...secureBoot })];
  const same = got.enabled === secureBoot.enabled && got.enforced === secureBoot.enforced;
  if (same) return [pass(subject, { ...secureBoot }, { ...got })];
  const reason = got.enabled
    ? 'secure boot is enabled but not as required (enforced differs)'
    : 'secure boot is not as required';
  return [miss(subject, reason, { ...secureBoot }, { ...got })];
}

function commandLineChecks(
  { facts }: VerifiedEventLog,
  { commandLine }: EventLogReferences,
): AppraisalCheck[] {
  if (commandLine === undefined) return [];
  const subject = { id: 'command-line', ...CONFIGURATION } as const;
  const expected = commandLine as unknown as JsonValue;
  const lines = facts.kernelCommandLine;
  if (lines === undefined || lines.length === 0)
    return [absent(subject.id, 'configuration', 'kernel command line', expected)];
  return lines.map((line) => {
    const problem = commandLineProblem(line, commandLine);
    return problem === undefined
      ? pass(subject, expected, line)
      : miss(subject, `the kernel command line is not allowed: ${problem.reason}`, expected, line);
  });
}

/** Lists of digests: every measurement of the kind must be listed, in any order. */
const LISTS = [
  ['bootApplications', 'boot-application', 'an image that was started'],
  ['bootFiles', 'boot-file', 'a file that the boot loader read'],
  ['drivers', 'boot-driver', 'a firmware driver'],
  ['mok', 'mok', 'a list of machine owner keys'],
  ['stubParameters', 'stub-parameter', 'a parameter of systemd-stub'],
  ['systemExtensions', 'system-extension', 'a system extension'],
] as const;

function measurementChecks(log: VerifiedEventLog, references: EventLogReferences): AppraisalCheck[] {
  const checks: AppraisalCheck[] = [];
  for (const [member, id, what] of LISTS) {
    const allowed = references[member];
    if (allowed !== undefined) checks.push(...allListed(log, id, what, log.facts[member], allowed));
  }
  if (references.firmware !== undefined) {
    const measurements = log.facts.firmware?.measurements;
    checks.push(
      ...allListed(log, 'firmware-measurement', 'a firmware measurement', measurements, references.firmware),
    );
  }
  return checks;
}

function allListed(
  log: VerifiedEventLog,
  id: AppraisalCheckId,
  what: string,
  measurements: readonly Measurement[] | undefined,
  allowed: readonly AllowedDigest[],
): AppraisalCheck[] {
  if (measurements === undefined) return [absent(id, 'executables', what, allowed.length)];
  const known = new Set(allowed.map(({ sha256 }) => sha256));
  const strange = measurements.filter(({ digests }) => !known.has(digests.sha256 ?? ''));
  if (strange.length === 0) return [pass({ id, ...EXECUTABLE }, allowed.length, measurements.length)];
  return strange.map((measurement) => {
    // Nothing covers the event's text: it helps a person to find the thing, and is marked as a claim.
    const { event, claimed } = claimedEvent(log, measurement);
    const { digests } = measurement;
    const reason = `${what} is not listed (event ${String(event)}${claimed === '' ? '' : `, said to be ${claimed}`})`;
    return miss(
      { id, ...EXECUTABLE },
      reason,
      allowed.length,
      { sha256: digests.sha256 ?? null, claimed },
      event,
    );
  });
}

function claimedEvent(log: VerifiedEventLog, measurement: Measurement): { event: number; claimed: string } {
  const event = log.eventOf(measurement);
  if (event === undefined) return { event: -1, claimed: '' };
  const { data } = describeEvent(event, log.ties[event.index] ?? 'no');
  return { event: event.index, claimed: data.slice(0, 200) };
}

function ukiChecks(log: VerifiedEventLog, { unifiedKernelImage }: EventLogReferences): AppraisalCheck[] {
  if (unifiedKernelImage === undefined) return [];
  const sections = log.facts.unifiedKernelImage?.sections;
  if (sections === undefined)
    return [absent('uki-section', 'executables', 'unified kernel image', Object.keys(unifiedKernelImage))];
  return sections.map((section) => {
    const { name, digests } = section;
    const allowed = unifiedKernelImage[name] ?? [];
    const subject = { id: 'uki-section', ...EXECUTABLE } as const;
    const got = { section: name, sha256: digests.sha256 ?? null };
    if (allowed.some(({ sha256 }) => sha256 === digests.sha256)) return pass(subject, allowed.length, got);
    return miss(
      subject,
      `section ${name} of the kernel image is not listed`,
      allowed.length,
      got,
      claimedEvent(log, section).event,
    );
  });
}

/** Sets of texts and digests. */
function setChecks({ facts }: VerifiedEventLog, references: EventLogReferences): AppraisalCheck[] {
  const checks: AppraisalCheck[] = [];
  const within = (
    id: AppraisalCheckId,
    what: string,
    got: readonly string[] | undefined,
    allowed: readonly string[] | undefined,
  ): void => {
    if (allowed !== undefined) checks.push(subset(id, what, got, allowed));
  };
  const authorities = facts.authorities?.filter(({ kind }) => kind === 'certificate' || kind === 'hash');
  within(
    'boot-authority',
    'boot authorities',
    authorities?.map(({ sha256 }) => sha256),
    references.authorities,
  );
  within('grub-command', 'GRUB commands', facts.grubCommands, references.grubCommands);
  for (const database of ['platformKey', 'keyExchangeKeys', 'db'] as const) {
    const found = facts[database];
    const entries = found && [
      ...found.certificates.map(({ sha256 }) => sha256),
      ...found.hashes,
      ...(found.others > 0 ? ['other'] : []),
    ];
    within('key-database', database, entries, references[database]);
  }
  const sbat = facts.sbatLevel === undefined ? undefined : [facts.sbatLevel];
  within('sbat-level', 'SBAT level', sbat, references.sbatLevels);
  if (references.requiredDbx !== undefined) checks.push(dbxCheck(facts.dbx?.hashes, references.requiredDbx));
  return checks;
}

function subset(
  id: AppraisalCheckId,
  what: string,
  got: readonly string[] | undefined,
  allowed: readonly string[],
): AppraisalCheck {
  if (got === undefined) return absent(id, 'configuration', what, [...allowed]);
  const strange = got.filter((value) => !allowed.includes(value));
  if (strange.length === 0) return pass({ id, ...CONFIGURATION }, [...allowed], [...got]);
  return miss({ id, ...CONFIGURATION }, `${what}: not listed: ${strange.join(', ')}`, [...allowed], [...got]);
}

function dbxCheck(hashes: readonly string[] | undefined, required: readonly string[]): AppraisalCheck {
  if (hashes === undefined) return absent('dbx', 'configuration', 'dbx', required.length);
  const known = new Set(hashes);
  const missing = required.filter((hash) => !known.has(hash));
  const subject = { id: 'dbx', ...CONFIGURATION } as const;
  if (missing.length === 0) return pass(subject, required.length, hashes.length);
  return miss(
    subject,
    `dbx lacks ${String(missing.length)} required entries`,
    missing.slice(0, 20),
    hashes.length,
  );
}

/** A fact that the references ask for and the log doesn't prove: absent is a denial. */
function absent(
  id: AppraisalCheckId,
  claim: 'configuration' | 'executables',
  what: string,
  expected: JsonValue,
): AppraisalCheck {
  return miss({ id, claim, failed: 36 }, `${what}: the event log proves nothing about it`, expected, null);
}
