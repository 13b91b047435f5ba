import { jcsSha256, toHex } from '../../base/index.ts';
import type { JsonValue } from '../../base/index.ts';
import { GlobSet } from './glob.ts';
import { KnownDigests } from './known-digests.ts';
import { pathBytes } from './path-text.ts';
import { parseRuleDigest } from './rules.ts';
import type { ImaRules, RuleDigest } from './rules.ts';

/** What entries are judged by, besides the rules. */
export interface ImaExpectations {
  /** Path → sha256 (hex) of files that must have been measured: the gateway's manifest. Such files are known. */
  readonly manifest?: Readonly<Record<string, string>>;
  /** Where artifacts are run from, with a slash at the end: only authorised digests may be measured below it. */
  readonly runDirectory?: string;
  /** Paths of IMA policy files, whose digests become coverage facts. */
  readonly policyFiles?: readonly string[];
}

/** Default of {@link ImaExpectations.runDirectory}. */
export const RUN_DIRECTORY = '/var/lib/sealgate/run/';
/** Default of {@link ImaExpectations.policyFiles}: what systemd and dracut load. */
export const POLICY_FILES: readonly string[] = ['/etc/ima/ima-policy', '/etc/sysconfig/ima-policy'];

/** Name of the entry that ties the list to its boot; no file is judged under it. */
export const BOOT_AGGREGATE = 'boot_aggregate';

/** Everything known about one path. */
export interface FileRule {
  /** Allowed digests, without the denied ones. */
  readonly digests: RuleDigest[];
  /** Digest that the manifest wants, and the path's text. */
  manifest: { readonly digest: RuleDigest; readonly path: string } | undefined;
  /** A path to which more applies than its digests: denied, a policy file, or below the run directory. */
  special: boolean;
  policyFile: boolean;
}

/** What a matching pattern says. */
export type PatternRule =
  | { readonly kind: 'glob'; readonly digests: readonly RuleDigest[] }
  | { readonly kind: 'signed'; readonly keyrings: readonly string[] }
  | { readonly kind: 'exclude' }
  | { readonly kind: 'denied' }
  | { readonly kind: 'violation' };

/** Rules in the form that entries are judged with. */
export interface CompiledImaRules {
  readonly rules: ImaRules;
  /** Keyed by byte string. */
  readonly files: ReadonlyMap<string, FileRule>;
  /** Those of {@link files} that nothing else applies to, by template digest. */
  readonly known: KnownDigests;
  readonly patterns: GlobSet;
  /** By index of the pattern in {@link patterns}. */
  readonly patternRules: readonly PatternRule[];
  /** `algorithm:` and the digest as a byte string. */
  readonly deniedDigests: ReadonlySet<string>;
  /** Byte string. */
  readonly runDirectory: string;
  readonly manifestPaths: readonly string[];
  /** SHA-256 over rules and expectations: findings made by others can't be gone on from. */
  readonly digest: string;
}

/**
 * Prepares rules once for any number of lists.
 * @throws Refusal `malformed` for digests, paths and patterns that mean nothing
 */
export function compileImaRules(rules: ImaRules, expectations: ImaExpectations = {}): CompiledImaRules {
  const runDirectory = pathBytes(expectations.runDirectory ?? RUN_DIRECTORY);
  const deniedDigests = new Set(rules.denied.digests.map((digest) => digestKey(parseRuleDigest(digest))));
  const patternRules = compilePatterns(rules);
  const patterns = new GlobSet(patternRules.map(({ pattern }) => pattern));
  const files = compileFiles(rules, expectations, deniedDigests);
  for (const [path, rule] of files) {
    const denied = patterns.match(path).some((index) => patternRules[index]?.rule.kind === 'denied');
    rule.special = denied || rule.policyFile || path.startsWith(runDirectory);
  }
  const identity: JsonValue = { rules: rules as unknown as JsonValue, expectations: { ...expectations } };
  return {
    rules,
    files,
    known: KnownDigests.of(plainFiles(files)),
    patterns,
    patternRules: patternRules.map(({ rule }) => rule),
    deniedDigests,
    runDirectory,
    manifestPaths: Object.keys(expectations.manifest ?? {}),
    digest: toHex(jcsSha256(identity)),
  };
}

/** What an entry can be accepted for by its template digest alone. */
function plainFiles(files: ReadonlyMap<string, FileRule>): (readonly [string, RuleDigest])[] {
  return [...files].flatMap(([path, { digests, manifest, special }]) =>
    special || manifest !== undefined || path === BOOT_AGGREGATE
      ? []
      : digests.filter(({ type }) => type === 'ima').map((digest) => [path, digest] as const),
  );
}

/** The key of a digest in {@link CompiledImaRules.deniedDigests}. */
export function digestKey({ type, algorithm, bytes }: RuleDigest): string {
  return `${type}:${algorithm.name}:${Buffer.from(bytes).toString('latin1')}`;
}

function compilePatterns(rules: ImaRules): { pattern: string; rule: PatternRule }[] {
  return [
    ...rules.globs.map(({ path, digests }) => ({
      pattern: path,
      rule: { kind: 'glob', digests: digests.map(parseRuleDigest) } as const,
    })),
    ...rules.signed.map(({ path, keyrings }) => ({
      pattern: path,
      rule: { kind: 'signed', keyrings } as const,
    })),
    ...rules.excludes.map((pattern) => ({ pattern, rule: { kind: 'exclude' } as const })),
    ...rules.denied.paths.map((pattern) => ({ pattern, rule: { kind: 'denied' } as const })),
    ...rules.violations.map((pattern) => ({ pattern, rule: { kind: 'violation' } as const })),
  ];
}

function compileFiles(
  rules: ImaRules,
  expectations: ImaExpectations,
  denied: ReadonlySet<string>,
): Map<string, FileRule> {
  const files = new Map<string, FileRule>();
  const ruleOf = (text: string): FileRule => {
    const path = pathBytes(text);
    const known = files.get(path);
    if (known !== undefined) return known;
    const rule = { digests: [], manifest: undefined, special: false, policyFile: false };
    files.set(path, rule);
    return rule;
  };
  for (const [path, digests] of Object.entries(rules.files)) {
    const parsed = digests.map(parseRuleDigest);
    ruleOf(path).digests.push(...parsed.filter((digest) => !denied.has(digestKey(digest))));
  }
  for (const [path, sha256] of Object.entries(expectations.manifest ?? {})) {
    const digest = parseRuleDigest(`sha256:${sha256}`);
    if (!denied.has(digestKey(digest))) ruleOf(path).manifest = { digest, path };
  }
  for (const path of expectations.policyFiles ?? POLICY_FILES) ruleOf(path).policyFile = true;
  return files;
}
