import type { VerifiedIma } from './verify.ts';

/** A custom policy that reference values know. */
export interface KnownPolicy {
  /** Digest of the policy file as IMA measures it when it is loaded (POLICY_CHECK), `sha256:…`. */
  readonly digest: string;
  /** What it leaves unmeasured that can be executed; empty when nothing. */
  readonly exempt: readonly string[];
}

/**
 * What the kernel was told to measure: a list that matches a quote proves no more than that. Facts, if the arguments
 * are verified ones.
 */
export interface ImaCoverage {
  /** Names given as `ima_policy=`, and `tcb` for `ima_tcb`. */
  readonly builtinPolicies: readonly string[];
  /** `ima_appraise=`; null when not given. */
  readonly appraise: string | null;
  readonly policyFiles: readonly { readonly path: string; readonly digest: string }[];
  /** Kernels loaded by kexec, as far as they were measured. */
  readonly kexecLoads: number;
  /** More than one: kernels were chained. */
  readonly bootAggregates: number;
  /** Executable content that was not, or may not have been, measured or judged. Empty only when nothing is. */
  readonly exempt: readonly string[];
}

/** Built-in policies that measure what is executed (ima_policy.c: default_measurement_rules). */
const MEASURING = new Set(['tcb']);
/** DONT_MEASURE rules of that policy which hold executables: TMPFS_MAGIC is also what memfd and shm are on. */
const TCB_EXEMPT = ['tmpfs', 'memfd'];

/**
 * @param commandLine arguments of the kernel, from a verified event log
 * @param policies custom policies that are known
 * @param excludes true when file rules exclude paths
 */
export function imaCoverage(
  ima: VerifiedIma,
  commandLine: readonly string[],
  policies: readonly KnownPolicy[] = [],
  excludes = false,
): ImaCoverage {
  const builtinPolicies = [
    ...(commandLine.includes('ima_tcb') ? ['tcb'] : []),
    // The kernel splits at blanks and bars; a blank needs quotes around the argument.
    ...valuesOf(commandLine, 'ima_policy').flatMap((value) =>
      value.split(/[ |]/).filter((name) => name !== ''),
    ),
  ];
  const { findings } = ima;
  const exempt = new Set(measuredExempt(ima, builtinPolicies, policies));
  if (excludes) exempt.add('excluded paths');
  if (ima.otherPcrs.size > 0) exempt.add('measured into another PCR');
  return {
    builtinPolicies,
    appraise: valuesOf(commandLine, 'ima_appraise').at(-1) ?? null,
    policyFiles: findings.policyFiles.list.map(({ path, digest }) => ({ path, digest })),
    kexecLoads: findings.kexec.total,
    bootAggregates: findings.bootAggregates.total,
    exempt: [...exempt],
  };
}

/** A custom policy replaces the built-in ones when it is loaded; until then those hold. */
function measuredExempt(
  { findings }: VerifiedIma,
  builtin: readonly string[],
  policies: readonly KnownPolicy[],
): readonly string[] {
  const beforeCustom = builtin.some((name) => MEASURING.has(name)) ? TCB_EXEMPT : ['everything: no policy'];
  const { list, total } = findings.policyFiles;
  if (total === 0) return beforeCustom;
  if (total > list.length) return ['unknown policy'];
  return list.flatMap(
    ({ digest }) => policies.find((known) => known.digest === digest)?.exempt ?? ['unknown policy'],
  );
}

function valuesOf(commandLine: readonly string[], name: string): readonly string[] {
  const prefix = `${name}=`;
  return commandLine
    .filter((argument) => argument.startsWith(prefix))
    .map((argument) => argument.slice(prefix.length).replaceAll('"', ''));
}
