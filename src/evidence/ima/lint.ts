import { Refusal } from '../../base/index.ts';
import { compileImaRules } from './compile.ts';
import type { CompiledImaRules } from './compile.ts';
import { pathBytes } from './path-text.ts';
import type { ImaRules } from './rules.ts';

/** Something in rules that is probably not meant. */
export interface RuleWarning {
  /** Where, e.g. `excludes[0]`. */
  readonly member: string;
  readonly message: string;
}

/** Reviews rules; errors that {@link compileImaRules} would throw are reported as warnings, too. */
export function lintImaRules(rules: ImaRules): readonly RuleWarning[] {
  const warnings: RuleWarning[] = [
    ...rules.excludes.flatMap((pattern, i) => lintExclude(pattern, i)),
    ...allPaths(rules).flatMap(({ member, path }) => lintBlank(member, path)),
    ...lintDigests(rules),
    ...lintKeyrings(rules),
    ...rules.violations.map((pattern, i) => ({
      member: `violations[${String(i)}]`,
      message: `tolerates violations at ${pattern}; no digest covers the path of a violation, so a host can give any violation this one`,
    })),
    ...Object.entries(rules.buffers).flatMap(([name, allowed]) =>
      allowed === 'any' ? [{ member: `buffers.${name}`, message: 'any content is allowed' }] : [],
    ),
  ];
  return [...warnings, ...lintCompiled(rules)];
}

/** Every exclude is worth a look: what it covers is measured and then believed. */
function lintExclude(pattern: string, index: number): readonly RuleWarning[] {
  const member = `excludes[${String(index)}]`;
  const warnings = [{ member, message: `files at ${pattern} are not judged, whatever they are` }];
  if (/^\/?\*\*(?:\/\*+)?$/.test(pattern)) warnings.push({ member, message: 'excludes everything' });
  if (!pattern.startsWith('/') && !pattern.startsWith('*')) {
    warnings.push({ member, message: 'is not an absolute path; patterns match the whole path' });
  }
  if (pattern.endsWith('/')) {
    warnings.push({
      member,
      message: 'matches nothing: paths do not end with a slash; say /** for all below it',
    });
  }
  return warnings;
}

function allPaths(rules: ImaRules): readonly { member: string; path: string }[] {
  const indexed = (member: string, paths: readonly string[]): { member: string; path: string }[] =>
    paths.map((path, i) => ({ member: `${member}[${String(i)}]`, path }));
  return [
    ...Object.keys(rules.files).map((path) => ({ member: `files.${path}`, path })),
    ...indexed(
      'globs',
      rules.globs.map(({ path }) => path),
    ),
    ...indexed(
      'signed',
      rules.signed.map(({ path }) => path),
    ),
    ...indexed('excludes', rules.excludes),
    ...indexed('denied.paths', rules.denied.paths),
    ...indexed('violations', rules.violations),
  ];
}

/** The kernel writes `_` for a blank in every name (ima_write_template_field_data). */
function lintBlank(member: string, path: string): readonly RuleWarning[] {
  return path.includes(' ')
    ? [{ member, message: 'has a blank: the kernel writes _ instead, so it matches nothing' }]
    : [];
}

function lintDigests(rules: ImaRules): readonly RuleWarning[] {
  const lists = [
    ...Object.entries(rules.files).map(([path, digests]) => ({ member: `files.${path}`, digests })),
    ...rules.globs.map(({ digests }, i) => ({ member: `globs[${String(i)}]`, digests })),
  ];
  return lists.flatMap(({ member, digests }) => [
    ...(digests.length === 0 ? [{ member, message: 'lists no digest, so it allows nothing' }] : []),
    ...(digests.some((digest) => /^(?:verity:)?(?:md4|md5|sha1):/.test(digest))
      ? [{ member, message: 'lists a digest that can be forged (MD4, MD5, SHA-1)' }]
      : []),
  ]);
}

function lintKeyrings(rules: ImaRules): readonly RuleWarning[] {
  const known = new Set([...Object.keys(rules.keyrings), ...Object.keys(rules.measuredKeyrings)]);
  return rules.signed.flatMap(({ keyrings }, i) => [
    ...(keyrings.length === 0 ? [{ member: `signed[${String(i)}]`, message: 'names no keyring' }] : []),
    ...keyrings
      .filter((name) => !known.has(name))
      .map((name) => ({ member: `signed[${String(i)}]`, message: `names the unknown keyring ${name}` })),
  ]);
}

/** What needs the compiled form: allowed paths that another rule overrules. */
function lintCompiled(rules: ImaRules): readonly RuleWarning[] {
  let compiled: CompiledImaRules;
  try {
    compiled = compileImaRules(rules);
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    return [{ member: '', message: error.reason }];
  }
  return Object.keys(rules.files).flatMap((path) => {
    const bytes = pathBytes(path);
    const kinds = compiled.patterns.match(bytes).map((index) => compiled.patternRules[index]?.kind);
    const member = `files.${path}`;
    return [
      ...(kinds.includes('denied') ? [{ member, message: 'is denied by denied.paths' }] : []),
      ...(kinds.includes('exclude')
        ? [{ member, message: 'is excluded, too: any digest passes there' }]
        : []),
      ...(bytes.startsWith(compiled.runDirectory)
        ? [{ member, message: 'is below the run directory, where only authorised digests count' }]
        : []),
    ];
  });
}
