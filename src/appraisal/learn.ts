import type { Measurement, VerifiedEventLog } from '../evidence/eventlog/index.ts';
import { describeEvent } from '../evidence/eventlog/index.ts';
import type { ImaEntry, ImaRules, VerifiedIma } from '../evidence/ima/index.ts';
import { NO_IMA_RULES, imaCoverage } from '../evidence/ima/index.ts';
import type { VerifiedQuote } from '../tpm/index.ts';
import { splitArguments } from './command-line.ts';
import type { AllowedDigest, CoverageReferences, EventLogReferences, ReferenceValues } from './references.ts';

/** Verified evidence of a golden host. */
export interface GoldenEvidence {
  readonly platform: string;
  readonly quote: VerifiedQuote;
  readonly eventLog: VerifiedEventLog | null;
  /** Verified under any rules; the entries are those that the quote proves. */
  readonly ima: { readonly verified: VerifiedIma; readonly entries: Iterable<ImaEntry> } | null;
  /** The gateway's manifest, when it is among the evidence. */
  readonly gateway?: Readonly<Record<string, string>>;
}

/** Reference values, and what a person should know about them. */
export interface Learned {
  readonly references: ReferenceValues;
  /** One line each: what was learned, and how much of it. */
  readonly learned: readonly string[];
  /** What could not be learned, or is weaker than it looks. */
  readonly warnings: readonly string[];
}

/**
 * Reference values from the evidence of one good host: they accept the next boot of the same machine and refuse what
 * is different. PCR values themselves are not pinned: facts from the log survive a reboot and say what changed.
 */
export function learnReferences(golden: GoldenEvidence): Learned {
  const learned: string[] = [];
  const warnings: string[] = [];
  const eventLog = golden.eventLog === null ? undefined : learnBoot(golden.eventLog, learned, warnings);
  if (eventLog === undefined) warnings.push('no event log: nothing about the boot was learned');
  const ima = golden.ima === null ? undefined : learnIma(golden.ima, golden.eventLog, learned, warnings);
  if (ima === undefined) warnings.push('no IMA list: nothing about running files was learned');
  if (golden.gateway === undefined) warnings.push('no gateway manifest: gateway-measured is not asked for');
  const gateway =
    golden.gateway !== undefined && ima !== undefined ? { gateway: { files: golden.gateway } } : {};
  const floor = golden.quote.attest.firmwareVersion.toString(16).padStart(16, '0');
  learned.push(`TPM firmware floor ${floor}`);
  const references: ReferenceValues = {
    version: 1,
    platform: golden.platform,
    tpm: { firmwareFloor: floor },
    ...(eventLog === undefined ? {} : { eventLog }),
    ...(ima === undefined ? {} : { ima }),
    ...gateway,
  };
  return { references, learned, warnings };
}

function learnBoot(log: VerifiedEventLog, learned: string[], warnings: string[]): EventLogReferences {
  const { facts } = log;
  const digests = (
    what: string,
    measurements: readonly Measurement[] | undefined,
  ): AllowedDigest[] | undefined => {
    if (measurements === undefined) {
      warnings.push(`${what}: the log proves nothing about it, so nothing is asked`);
      return undefined;
    }
    learned.push(`${what}: ${String(measurements.length)} digests`);
    return allowed(log, measurements);
  };
  const lists = {
    bootApplications: digests('boot applications', facts.bootApplications),
    drivers: digests('firmware drivers', facts.drivers),
    bootFiles: digests('boot files', facts.bootFiles),
    stubParameters: digests('stub parameters', facts.stubParameters),
    systemExtensions: digests('system extensions', facts.systemExtensions),
    mok: digests('machine owner keys', facts.mok),
    firmware: digests('firmware', facts.firmware?.measurements),
  };
  if (facts.secureBoot?.enforced === false) warnings.push('secure boot is not enforced on the golden host');
  const { kernelCommandLine: lines = [] } = facts;
  if (lines.length === 0) warnings.push('no kernel command line was measured');
  return present({
    secureBoot: facts.secureBoot,
    commandLine: lines.length === 0 ? undefined : { lines, arguments: [], prefixes: [], required: [] },
    ...lists,
    unifiedKernelImage: learnSections(log),
    grubCommands: facts.grubCommands && [...new Set(facts.grubCommands)],
    authorities: facts.authorities
      ?.filter(({ kind }) => kind === 'certificate' || kind === 'hash')
      .map(({ sha256 }) => sha256),
    platformKey: certificates(facts.platformKey),
    keyExchangeKeys: certificates(facts.keyExchangeKeys),
    db: certificates(facts.db),
    sbatLevels: facts.sbatLevel === undefined ? undefined : [facts.sbatLevel],
  });
}

/** Members that are there: absent means "not asked", which is not the same as undefined in JSON. */
function present(members: {
  readonly [K in keyof EventLogReferences]: EventLogReferences[K] | undefined;
}): EventLogReferences {
  return Object.fromEntries(Object.entries(members).filter(([, value]) => value !== undefined));
}

function certificates(
  database:
    | {
        readonly certificates: readonly { readonly sha256: string }[];
        readonly hashes: readonly string[];
        readonly others: number;
      }
    | undefined,
): readonly string[] | undefined {
  // Entries of other kinds can't be named by a digest, so a database that has any is not asked for.
  if (database === undefined || database.others > 0) return undefined;
  return [...database.certificates.map(({ sha256 }) => sha256), ...database.hashes];
}

function learnSections(log: VerifiedEventLog): Record<string, AllowedDigest[]> | undefined {
  const sections = log.facts.unifiedKernelImage?.sections;
  if (sections === undefined || sections.length === 0) return undefined;
  const out: Record<string, AllowedDigest[]> = {};
  for (const section of sections) (out[section.name] ??= []).push(...allowed(log, [section]));
  return out;
}

function allowed(log: VerifiedEventLog, measurements: readonly Measurement[]): AllowedDigest[] {
  const byDigest = new Map<string, AllowedDigest>();
  for (const measurement of measurements) {
    const { sha256 } = measurement.digests;
    const at = log.eventOf(measurement);
    if (sha256 === undefined || byDigest.has(sha256)) continue;
    const label = at === undefined ? '' : describeEvent(at, log.ties[at.index] ?? 'no').data.slice(0, 200);
    byDigest.set(sha256, label === '' ? { sha256 } : { sha256, label });
  }
  return [...byDigest.values()];
}

function learnIma(
  { verified, entries }: NonNullable<GoldenEvidence['ima']>,
  log: VerifiedEventLog | null,
  learned: string[],
  warnings: string[],
): { rules: ImaRules; coverage: CoverageReferences } {
  const files = new Map<string, Set<string>>();
  const violations = new Set<string>();
  const buffers = new Map<string, Set<string>>();
  for (const { pcr, path, digest, violation, buffer } of entries) {
    if (pcr !== 10) continue;
    if (violation) violations.add(path);
    else if (path === 'boot_aggregate') continue;
    else addTo(buffer ? buffers : files, path, digest);
  }
  learned.push(
    `IMA: ${String(files.size)} paths, ${String(buffers.size)} buffers, ${String(violations.size)} paths with violations`,
  );
  for (const path of violations) {
    warnings.push(
      `violation tolerated at ${path}: the kernel could not measure it, and no digest covers its name`,
    );
  }
  const asRecord = (map: Map<string, Set<string>>): Record<string, readonly string[]> =>
    Object.fromEntries([...map].map(([path, digests]) => [path, [...digests]]));
  const rules: ImaRules = {
    ...NO_IMA_RULES,
    files: asRecord(files),
    buffers: asRecord(buffers),
    violations: [...violations],
  };
  return { rules, coverage: learnCoverage(verified, log, warnings) };
}

function learnCoverage(
  ima: VerifiedIma,
  log: VerifiedEventLog | null,
  warnings: string[],
): CoverageReferences {
  const words = (log?.facts.kernelCommandLine ?? []).flatMap(splitArguments);
  const { builtinPolicies, policyFiles, exempt } = imaCoverage(ima, words);
  const level = words
    .filter((word) => word.startsWith('lockdown='))
    .at(-1)
    ?.slice('lockdown='.length);
  if (exempt.length > 0) warnings.push(`not measured, so executables are 3 at best: ${exempt.join(', ')}`);
  if (policyFiles.length > 0)
    warnings.push('a custom IMA policy is loaded: list what it exempts in ima.coverage.policyFiles');
  const proven = builtinPolicies.length > 0 || policyFiles.length > 0;
  if (!proven) {
    warnings.push(
      'no verified command line or custom policy tells what the kernel measures: ima-policy is not asked for',
    );
  }
  return {
    ...(proven && { builtInPolicies: builtinPolicies }),
    policyFiles: policyFiles.map(({ digest }) => ({
      sha256: digest.replace(/^sha256:/, ''),
      exempt: ['unknown'],
    })),
    lockdown: level === 'integrity' || level === 'confidentiality' ? level : 'none',
    kexec: ima.findings.kexec.list.map(({ digest }) => digest.replace(/^sha256:/, '')),
  };
}

function addTo(map: Map<string, Set<string>>, key: string, value: string): void {
  const values = map.get(key);
  if (values === undefined) map.set(key, new Set([value]));
  else values.add(value);
}
