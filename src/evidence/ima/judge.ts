import { createHash } from 'node:crypto';
import { Reader, fromBase64 } from '../../base/index.ts';
import { BOOT_AGGREGATE } from './compile.ts';
import type { CompiledImaRules, FileRule, PatternRule } from './compile.ts';
import type { EntryFields, Span } from './fields.ts';
import { addTo, noFindings } from './findings.ts';
import type { FileFinding, ImaFindings } from './findings.ts';
import { Keyrings, createSignatureCache } from './keyrings.ts';
import type { SignatureCache } from './keyrings.ts';
import { pathText } from './path-text.ts';
import { IMA_PCR } from './pcr-chains.ts';
import type { EntryView, ReplayOrder } from './replay.ts';
import { digestText } from './rules.ts';
import type { RuleDigest } from './rules.ts';

/** A file below the run directory, as the kernel measured it. */
export interface RunFile {
  readonly entry: number;
  readonly path: string;
  /** Lowercase hex; null when it isn't a sha256 of the content. */
  readonly sha256: string | null;
  readonly authorised: boolean;
}

/** What the judge needs besides the rules. */
export interface JudgeContext {
  /** Whether a digest (sha256, lowercase hex) was authorised to run on this host. None are when left out. */
  readonly isAuthorised?: (sha256: string) => boolean;
  readonly signatures?: SignatureCache;
  /** Findings over the entries before the first that is judged now. */
  readonly before?: ImaFindings;
}

/** Unauthorised files below the run directory that are listed for one verification; more are counted. */
const MAX_RUN_FILES = 4096;
const KEXEC_CMDLINE = 'kexec-cmdline';

/** Judges the entries of PCR 10 by rules; its findings become facts when the replay reaches the quoted value. */
export class ImaJudge {
  readonly findings: ImaFindings;
  /** Of the entries judged now, not of earlier ones; of an authorised digest its first. */
  readonly runFiles: RunFile[] = [];
  readonly #authorised = new Set<string>();
  #unauthorised = 0;
  readonly #rules: CompiledImaRules;
  readonly #keyrings: Keyrings;
  readonly #isAuthorised: (sha256: string) => boolean;
  readonly #measured: Set<string>;

  constructor(rules: CompiledImaRules, context: JudgeContext = {}) {
    this.#rules = rules;
    this.findings = context.before === undefined ? noFindings() : structuredClone(context.before);
    this.#isAuthorised = context.isAuthorised ?? (() => false);
    this.#keyrings = new Keyrings(rules.rules, context.signatures ?? createSignatureCache());
    this.#measured = new Set(this.findings.measured);
    for (const { keyring, der } of this.findings.keys) {
      this.#keyrings.addMeasured(keyring, fromBase64(der, 'IMA state'));
    }
  }

  /** Entries that needn't be visited: the rules list them, and nothing else applies to them. */
  get known(): NonNullable<ReplayOrder['known']> {
    const { findings } = this;
    return {
      digests: this.#rules.known,
      add: (count) => {
        findings.files += count;
        findings.known += count;
      },
    };
  }

  /** One entry. Entries of other PCRs prove nothing here: PCR 10 is what the list was matched with. */
  visit(entry: EntryView): void {
    if (entry.pcr !== IMA_PCR) return;
    const { fields, batch } = entry;
    const path = latin1(batch, fields.name);
    if (entry.violation) this.#violation(entry.number, path);
    else if (path === BOOT_AGGREGATE && this.#bootAggregate(entry)) return;
    else if (entry.template.buffer) this.#buffer(entry, path);
    else this.#file(entry, path);
  }

  /** The findings with everything that was kept in a faster form. */
  finish(): ImaFindings {
    this.findings.measured = [...this.#measured];
    return this.findings;
  }

  #violation(entry: number, path: string): void {
    addTo(this.findings.violations, () => ({ entry, claimedPath: pathText(path) }));
    const tolerated = this.#patternsOf(path).some(({ kind }) => kind === 'violation');
    if (!tolerated) this.findings.violationsNotTolerated++;
  }

  /**
   * Every entry of that name is counted: a second one is a kernel that kexec started. But any file can be called so (a
   * detached mount has bare names), so all but the first, and those that say the same, are judged like every file.
   * @returns true when there is nothing more to judge
   */
  #bootAggregate({ number, fields, batch }: EntryView): boolean {
    const { bootAggregates } = this.findings;
    const digest = textOf(fields, batch);
    addTo(bootAggregates, () => ({ entry: number, digest }));
    return number === 0 || bootAggregates.list[0]?.digest === digest;
  }

  #file(entry: EntryView, path: string): void {
    this.findings.files++;
    const rule = this.#rules.files.get(path);
    if (rule?.special === false && this.#matches(rule, entry)) {
      this.findings.known++;
      return;
    }
    this.#judge(entry, path, rule);
  }

  /** Everything but the common case of a listed file; in the order of what outweighs what. */
  #judge(entry: EntryView, path: string, rule: FileRule | undefined): void {
    const patterns = this.#patternsOf(path);
    if (rule?.policyFile === true) this.#policyFile(entry, path);
    if (this.#isDenied(entry.fields, entry.batch, patterns)) {
      addTo(this.findings.denied, () => finding(entry, path, 'denied'));
    } else if (path.startsWith(this.#rules.runDirectory)) this.#runFile(entry, path);
    else if (rule !== undefined && this.#matches(rule, entry)) this.findings.known++;
    else if (this.#matchesGlob(patterns, entry)) this.findings.known++;
    else if (patterns.some(({ kind }) => kind === 'exclude')) this.findings.excluded++;
    else this.#signedOrUnknown(entry, path, patterns, rule);
  }

  #signedOrUnknown(
    entry: EntryView,
    path: string,
    patterns: readonly PatternRule[],
    rule: FileRule | undefined,
  ): void {
    const keyrings = patterns.flatMap((pattern) => (pattern.kind === 'signed' ? pattern.keyrings : []));
    const reason =
      keyrings.length > 0
        ? this.#checkSignature(entry, keyrings)
        : rule === undefined
          ? 'path is not listed'
          : 'digest is not listed';
    if (reason === '') {
      this.findings.signed++;
      this.findings.known++;
    } else addTo(this.findings.unknown, () => finding(entry, path, reason));
  }

  /** @returns why the signature doesn't count; empty when it does */
  #checkSignature({ fields, batch }: EntryView, keyrings: readonly string[]): string {
    if (fields.signature.at === -1 || fields.signature.length === 0) return 'not signed';
    const verdict = this.#keyrings.check(
      keyrings,
      copy(batch, fields.signature),
      fields.digestType,
      fields.algorithm,
      copy(batch, fields.digest),
    );
    const { signatures } = this.findings;
    signatures.checked++;
    if (verdict.cached) signatures.cached++;
    if (!verdict.valid) signatures.failed++;
    return verdict.reason;
  }

  /** Whether the entry has a digest that the rule or the manifest lists; notes what the manifest wants. */
  #matches(rule: FileRule, { fields, batch }: EntryView): boolean {
    if (rule.manifest !== undefined && sameDigest(rule.manifest.digest, fields, batch)) {
      this.#measured.add(rule.manifest.path);
      return true;
    }
    for (const digest of rule.digests) if (sameDigest(digest, fields, batch)) return true;
    return false;
  }

  #matchesGlob(patterns: readonly PatternRule[], { fields, batch }: EntryView): boolean {
    return patterns.some(
      (pattern) =>
        pattern.kind === 'glob' && pattern.digests.some((digest) => sameDigest(digest, fields, batch)),
    );
  }

  #isDenied(fields: EntryFields, batch: Buffer, patterns: readonly PatternRule[]): boolean {
    if (patterns.some(({ kind }) => kind === 'denied')) return true;
    if (this.#rules.deniedDigests.size === 0) return false;
    const key = `${fields.digestType}:${fields.algorithm.name}:${latin1(batch, fields.digest)}`;
    return this.#rules.deniedDigests.has(key);
  }

  #runFile(entry: EntryView, path: string): void {
    const { fields, batch, number } = entry;
    const isSha256 = fields.digestType === 'ima' && fields.algorithm.name === 'sha256';
    const sha256 = isSha256 ? hex(batch, fields.digest) : null;
    const authorised = sha256 !== null && this.#isAuthorised(sha256);
    if (authorised) this.findings.run.authorised++;
    else addTo(this.findings.run.unauthorised, () => finding(entry, path, 'not authorised on this host'));
    // What is authorised is a set that the verifier chose: none of it may be crowded out by what ran before.
    if (authorised ? this.#authorised.has(sha256) : this.#unauthorised++ >= MAX_RUN_FILES) return;
    if (authorised) this.#authorised.add(sha256);
    this.runFiles.push({ entry: number, path: pathText(path), sha256, authorised });
  }

  #policyFile({ number, fields, batch }: EntryView, path: string): void {
    addTo(this.findings.policyFiles, () => ({
      entry: number,
      path: pathText(path),
      digest: textOf(fields, batch),
    }));
  }

  #buffer({ number, fields, batch }: EntryView, path: string): void {
    const bytes = copy(batch, fields.buffer);
    const digest = `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
    const found = { entry: number, name: pathText(path), digest };
    const { rules } = this.#rules;
    const allowedKeys = ownMember(rules.measuredKeyrings, found.name);
    if (found.name === KEXEC_CMDLINE) addTo(this.findings.kexec, () => found);
    if (allowedKeys !== undefined) {
      if (!allowedKeys.includes(digest)) addTo(this.findings.unknownKeys, () => found);
      else this.#loadKey(number, found.name, digest, bytes);
      return;
    }
    const allowed = ownMember(rules.buffers, found.name);
    if (allowed === 'any' || allowed?.includes(digest) === true) this.findings.buffers++;
    else addTo(this.findings.unknownBuffers, () => found);
  }

  #loadKey(entry: number, keyring: string, digest: string, der: Uint8Array): void {
    const known = this.findings.keys.some((key) => key.keyring === keyring && key.digest === digest);
    if (known) return;
    this.#keyrings.addMeasured(keyring, der);
    this.findings.keys.push({ entry, keyring, digest, der: Buffer.from(der).toString('base64') });
  }

  #patternsOf(path: string): readonly PatternRule[] {
    return this.#rules.patterns.match(path).flatMap((index) => this.#rules.patternRules[index] ?? []);
  }
}

function ownMember<T>(record: Readonly<Record<string, T>>, name: string): T | undefined {
  return Object.hasOwn(record, name) ? record[name] : undefined;
}

function sameDigest(rule: RuleDigest, fields: EntryFields, batch: Buffer): boolean {
  const { at, length } = fields.digest;
  if (at === -1 || rule.algorithm !== fields.algorithm || rule.type !== fields.digestType) return false;
  for (let i = 0; i < length; i++) if (batch[at + i] !== rule.bytes[i]) return false;
  return rule.bytes.length === length;
}

function finding({ number, fields, batch }: EntryView, path: string, reason: string): FileFinding {
  return { entry: number, path: pathText(path), digest: textOf(fields, batch), reason };
}

/** The digest as rules write it; empty for a template without one. */
function textOf(fields: EntryFields, batch: Buffer): string {
  if (fields.digest.at === -1) return '';
  return digestText(fields.digestType, fields.algorithm, hex(batch, fields.digest));
}

function latin1(batch: Buffer, { at, length }: Span): string {
  return at === -1 ? '' : batch.toString('latin1', at, at + length);
}

function hex(batch: Buffer, { at, length }: Span): string {
  return batch.toString('hex', at, at + length);
}

function copy(batch: Buffer, { at, length }: Span): Uint8Array {
  const reader = new Reader(batch, 'IMA list');
  reader.skip(Math.max(at, 0));
  return reader.bytes(at === -1 ? 0 : length).slice();
}
