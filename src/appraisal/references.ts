import type { Fail, JsonObject, JsonValue, Shape } from '../base/index.ts';
import { refuse, shape } from '../base/index.ts';
import { NO_IMA_RULES, imaRulesShape } from '../evidence/ima/index.ts';
import type { ImaRules } from '../evidence/ima/index.ts';
import type { HashName } from '../tpm/index.ts';

/** A digest that is allowed, and what people call it. Several may stand for one thing: old ∪ new during an update. */
export interface AllowedDigest {
  /** SHA-256, hex. */
  readonly sha256: string;
  /** For people; nothing is decided by it. */
  readonly label?: string;
}

/**
 * What a kernel command line may be: one of `lines` exactly, or made only of `arguments` (exactly) and of arguments that
 * begin with one of `prefixes`, with all of `required` among them.
 */
export interface CommandLineRule {
  readonly lines: readonly string[];
  readonly arguments: readonly string[];
  readonly prefixes: readonly string[];
  readonly required: readonly string[];
}

/** Reference values for the boot, from the event log's verified facts. A member that is there must hold. */
export interface EventLogReferences {
  readonly secureBoot?: { readonly enabled: boolean; readonly enforced: boolean };
  readonly commandLine?: CommandLineRule;
  /** Authenticode digests: *all* images that were started must be listed (f9). */
  readonly bootApplications?: readonly AllowedDigest[];
  readonly drivers?: readonly AllowedDigest[];
  /** Everything GRUB and the kernel's stub read: configuration, modules, kernels, initrds. */
  readonly bootFiles?: readonly AllowedDigest[];
  /** Sections of a unified kernel image, by name. */
  readonly unifiedKernelImage?: Readonly<Record<string, readonly AllowedDigest[]>>;
  readonly stubParameters?: readonly AllowedDigest[];
  readonly systemExtensions?: readonly AllowedDigest[];
  readonly mok?: readonly AllowedDigest[];
  readonly firmware?: readonly AllowedDigest[];
  readonly grubCommands?: readonly string[];
  /** SHA-256 of certificates or digests that images were allowed by. */
  readonly authorities?: readonly string[];
  /** SHA-256 of the certificates that PK, KEK and db may hold. */
  readonly platformKey?: readonly string[];
  readonly keyExchangeKeys?: readonly string[];
  readonly db?: readonly string[];
  /** SHA-256 digests that dbx must hold. */
  readonly requiredDbx?: readonly string[];
  readonly sbatLevels?: readonly string[];
}

/** What must be true for an IMA list to mean anything (PROTOCOL 7, coverage). */
export interface CoverageReferences {
  /**
   * Names of built-in policies (`tcb`) of which one must be asked for on the verified command line, by its rule. Absent
   * and without `policyFiles`: what the kernel was told to measure isn't asked for, and `executables` is 3 at best.
   */
  readonly builtInPolicies?: readonly string[];
  /** Digests of custom policies, as measured, and what each of them exempts from measuring. */
  readonly policyFiles: readonly { readonly sha256: string; readonly exempt: readonly string[] }[];
  /** `lockdown=` level that the verified command line must have, if any. */
  readonly lockdown: 'none' | 'integrity' | 'confidentiality';
  /** SHA-256 of the command lines that kexec may load; empty: no kexec. */
  readonly kexec: readonly string[];
}

/** Reference values of one platform. What has no member here is not asked for; an empty list allows nothing. */
export interface ReferenceValues {
  readonly version: 1;
  readonly platform: string;
  /** `manufacturers`: four letters of the TPM's or its certificate's; `firmwareFloor`: 16 hex digits. */
  readonly tpm?: { readonly manufacturers?: readonly string[]; readonly firmwareFloor?: string };
  /** Sets of PCR values; each PCR of each set must have one of its values. */
  readonly pcrs?: readonly {
    readonly name: string;
    readonly bank: HashName;
    readonly values: Readonly<Record<string, readonly string[]>>;
  }[];
  readonly eventLog?: EventLogReferences;
  readonly ima?: { readonly rules: ImaRules; readonly coverage: CoverageReferences };
  /** The gateway's manifest: path → SHA-256 of files that must have been measured. */
  readonly gateway?: { readonly files: Readonly<Record<string, string>> };
  /** Values that are allowed besides, each for a time: how packages are updated without a gap. */
  readonly updates?: readonly ReferenceUpdate[];
}

/** Lists of an event log's references that an update may add to. */
export const UPDATED_LISTS = [
  'bootApplications',
  'drivers',
  'bootFiles',
  'stubParameters',
  'systemExtensions',
  'mok',
  'firmware',
] as const satisfies readonly (keyof EventLogReferences)[];

/** Values that are allowed from one moment to another, both included, besides the ordinary ones. */
export interface ReferenceUpdate {
  readonly name: string;
  /** `2026-11-23T00:00:00Z`. */
  readonly notBefore: string;
  readonly notAfter: string;
  /** Of `ima.rules`: digests by path. */
  readonly files?: Readonly<Record<string, readonly string[]>>;
  /** By the name of the set, then by PCR. */
  readonly pcrs?: Readonly<Record<string, Readonly<Record<string, readonly string[]>>>>;
  /** Of `eventLog`: its lists of digests. */
  readonly eventLog?: Partial<Record<(typeof UPDATED_LISTS)[number], readonly AllowedDigest[]>>;
  /** Of `eventLog.commandLine.lines`. */
  readonly commandLines?: readonly string[];
}

const { hex32, list, literal, map, object, oneOf, text, boolean } = shape;
const MANY = 100_000;
const name = text({ max: 512 });
const line = text({ min: 0, max: 8192 });
const digests: Shape<readonly AllowedDigest[]> = list(object({ sha256: hex32 }, { label: line }), MANY);
const hashes = list(hex32, MANY);
const lines = list(line, 10_000);
const hexOfBank = text({
  pattern: /^(?:[0-9a-f]{40}|[0-9a-f]{64}|[0-9a-f]{96}|[0-9a-f]{128})$/,
  want: 'a digest in hex',
});

const EVENT_LOG: Shape<EventLogReferences> = object(
  {},
  {
    secureBoot: object({ enabled: boolean, enforced: boolean }),
    commandLine: object({ lines, arguments: lines, prefixes: list(name, 10_000), required: lines }),
    bootApplications: digests,
    drivers: digests,
    bootFiles: digests,
    unifiedKernelImage: map(/^[ -~]{1,64}$/, digests, 64),
    stubParameters: digests,
    systemExtensions: digests,
    mok: digests,
    firmware: digests,
    grubCommands: lines,
    authorities: hashes,
    platformKey: hashes,
    keyExchangeKeys: hashes,
    db: hashes,
    requiredDbx: hashes,
    sbatLevels: lines,
  },
);

const COVERAGE: Shape<CoverageReferences> = object(
  {
    policyFiles: list(object({ sha256: hex32, exempt: list(name, 64) }), 64),
    lockdown: oneOf('none', 'integrity', 'confidentiality'),
    kexec: hashes,
  },
  { builtInPolicies: list(name, 16) },
);

/** Few: rules are compiled for every combination of windows that are open together. */
const MAX_UPDATES = 8;
const time = text({ pattern: /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/, want: 'a time like 2026-11-22T20:00:00Z' });
const PCR = /^(?:[0-9]|1[0-9]|2[0-3])$/;
const pcrValues = map(PCR, list(hexOfBank, 1000), 24);
const ruleDigests = list(text({ max: 160, want: 'a digest like sha256:…' }), 1000);
const UPDATE: Shape<ReferenceUpdate> = object(
  { name, notBefore: time, notAfter: time },
  {
    files: map(/^[^]{1,16384}$/u, ruleDigests, MANY),
    pcrs: map(/^[^]{1,512}$/u, pcrValues, 64),
    eventLog: object(
      {},
      {
        bootApplications: digests,
        drivers: digests,
        bootFiles: digests,
        stubParameters: digests,
        systemExtensions: digests,
        mok: digests,
        firmware: digests,
      },
    ),
    commandLines: lines,
  },
);

const REFERENCES: Shape<ReferenceValues> = object(
  { version: literal(1), platform: name },
  {
    tpm: object(
      {},
      {
        manufacturers: list(name, 64),
        firmwareFloor: text({ pattern: /^[0-9a-f]{16}$/, want: '16 hex digits' }),
      },
    ),
    pcrs: list(
      object({
        name,
        bank: oneOf('sha256', 'sha384', 'sha512'),
        values: pcrValues,
      }),
      64,
    ),
    eventLog: EVENT_LOG,
    ima: object({ rules: imaRulesShape, coverage: COVERAGE }),
    gateway: object({ files: map(/^\/[^\0]{1,4095}$/, hex32, MANY) }),
    updates: list(UPDATE, MAX_UPDATES),
  },
);

const fail: Fail = (path, want) => refuse('references-form', `${path} is not ${want}`, { member: path });

/** Size bounds of a reference file. */
export const REFERENCES_LIMITS = { maxBytes: 64 * 1024 * 1024, maxDepth: 16, maxValues: 4_000_000 } as const;

/**
 * Reads reference values: a closed object. References that speak of nothing would affirm anything, so they are refused.
 * @throws Refusal `references-form`
 */
export function parseReferences(value: JsonValue): ReferenceValues {
  const references = REFERENCES(value, 'references', fail);
  const { tpm, pcrs, eventLog, ima, gateway } = references;
  const empty = [tpm, eventLog].every((part) => part === undefined || Object.keys(part).length === 0);
  for (const [i, { values }] of (pcrs ?? []).entries()) {
    const lists = Object.values(values);
    if (lists.length === 0) fail(`references.pcrs[${String(i)}].values`, 'about any PCR');
  }
  if (empty && (pcrs ?? []).length === 0 && ima === undefined) fail('references', 'about anything');
  if (gateway !== undefined && ima === undefined) fail('references.gateway', 'usable without ima');
  requireCommandLineRule(references);
  requireUpdates(references);
  return references;
}

/** Windows that are none, or that add to what nothing asks for, would be updates that don't take place. */
function requireUpdates({ updates = [], pcrs = [], eventLog, ima }: ReferenceValues): void {
  const names = updates.map((update) => update.name);
  if (new Set(names).size !== names.length) fail('references.updates', 'a list with each name once');
  for (const [i, update] of updates.entries()) {
    const at = `references.updates[${String(i)}]`;
    if (!(Date.parse(update.notBefore) < Date.parse(update.notAfter))) fail(at, 'a window that is not empty');
    if (update.files !== undefined && ima === undefined) fail(`${at}.files`, 'usable without ima');
    for (const [set, values] of Object.entries(update.pcrs ?? {})) {
      const pinned = pcrs.find((one) => one.name === set)?.values ?? {};
      const other = Object.keys(values).find((pcr) => !Object.hasOwn(pinned, pcr));
      if (other !== undefined) fail(`${at}.pcrs`, `of PCRs that the set ${set} pins: ${other} is not`);
    }
    for (const list of Object.keys(update.eventLog ?? {}))
      if (eventLog === undefined || !Object.hasOwn(eventLog, list))
        fail(`${at}.eventLog.${list}`, 'usable without that list in eventLog');
    if (update.commandLines !== undefined && eventLog?.commandLine === undefined)
      fail(`${at}.commandLines`, 'usable without eventLog.commandLine');
  }
}

/**
 * A built-in IMA policy and lockdown are asked for on the command line, and another argument of the same line can take
 * them back (`lsm=` without lockdown, `ima_template=`, another root): they are only as good as a rule for the whole line.
 */
function requireCommandLineRule({ ima, eventLog }: ReferenceValues): void {
  if (ima === undefined || eventLog?.commandLine !== undefined) return;
  const { builtInPolicies = [], lockdown } = ima.coverage;
  const without = 'usable without a rule for the kernel command line (eventLog.commandLine)';
  if (builtInPolicies.length > 0) fail('references.ima.coverage.builtInPolicies', without);
  if (lockdown !== 'none') fail('references.ima.coverage.lockdown', without);
}

/** IMA rules of the references; rules that allow nothing where there are none. */
export function imaRulesOf(references: ReferenceValues): ImaRules {
  return references.ima?.rules ?? NO_IMA_RULES;
}

/** The references as JSON for a file. */
export function referencesJson(references: ReferenceValues): JsonObject {
  return references as unknown as JsonObject;
}
