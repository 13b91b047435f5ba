import { fromHex, refuse, shape } from '../../base/index.ts';
import type { JsonValue, Shape } from '../../base/index.ts';
import { findKernelHash } from './kernel-hashes.ts';
import type { KernelHash } from './kernel-hashes.ts';

/**
 * What may be in an IMA list: reference values, written by people and by `policy learn`. Nothing listed means nothing
 * allowed. Paths are text as `pathText` writes them; patterns are those of `GlobSet`; digests are
 * `sha256:` + hex, with `verity:` before it for fs-verity digests.
 */
export interface ImaRules {
  /** Digests allowed for a path: several while an update is rolled out (old ∪ new). */
  readonly files: Readonly<Record<string, readonly string[]>>;
  /** Digests allowed under every path that matches. */
  readonly globs: readonly { readonly path: string; readonly digests: readonly string[] }[];
  /** Paths that are allowed if a key of one of the named keyrings signed the file. */
  readonly signed: readonly { readonly path: string; readonly keyrings: readonly string[] }[];
  /** Keyrings: certificates or public keys, DER as base64. */
  readonly keyrings: Readonly<Record<string, readonly string[]>>;
  /**
   * Keys that the host may load into its own keyrings (`.ima`): SHA-256 of the buffer that `ima-buf` measured. Such a
   * key then belongs to the keyring of that name.
   */
  readonly measuredKeyrings: Readonly<Record<string, readonly string[]>>;
  /** Other buffers that may be measured, by the event's name: their digests, or `any`. */
  readonly buffers: Readonly<Record<string, readonly string[] | 'any'>>;
  /** Paths that are not judged. They are still replayed and counted, and never outweigh `denied`. */
  readonly excludes: readonly string[];
  /** What is never allowed, whatever else says so. `keys`: SHA-256 of the SubjectPublicKeyInfo. */
  readonly denied: {
    readonly paths: readonly string[];
    readonly digests: readonly string[];
    readonly keys: readonly string[];
  };
  /** Paths whose violations are tolerated. No digest covers the path of a violation: the host could write another. */
  readonly violations: readonly string[];
}

/** Rules that allow nothing. */
export const NO_IMA_RULES: ImaRules = {
  files: {},
  globs: [],
  signed: [],
  keyrings: {},
  measuredKeyrings: {},
  buffers: {},
  excludes: [],
  denied: { paths: [], digests: [], keys: [] },
  violations: [],
};

const { list, map, object, oneOf, text } = shape;
const MANY = 1_000_000;
const path = text({ max: 16_384, want: 'a path' });
const name = text({ max: 255, want: 'a name' });
const ANY_NAME = /^[^]{1,16384}$/u;
const digests = list(text({ max: 160, want: 'a digest like sha256:…' }), 1000);
const sha256s = list(text({ pattern: /^sha256:[0-9a-f]{64}$/, want: 'sha256: and 64 hex digits' }), 1000);
const any = oneOf('any');

/** The JSON form of {@link ImaRules}; every member is required, so that a misspelt one can't be missed. */
export const imaRulesShape: Shape<ImaRules> = object({
  files: map(ANY_NAME, digests, MANY),
  globs: list(object({ path, digests }), 10_000),
  signed: list(object({ path, keyrings: list(name, 64) }), 10_000),
  keyrings: map(ANY_NAME, list(text({ max: 32_768, want: 'base64' }), 256), 64),
  measuredKeyrings: map(ANY_NAME, sha256s, 64),
  buffers: map(ANY_NAME, (value, at, fail) => (Array.isArray(value) ? sha256s : any)(value, at, fail), 1000),
  excludes: list(path, 10_000),
  denied: object({ paths: list(path, 10_000), digests: list(name, 100_000), keys: sha256s }),
  violations: list(path, 10_000),
});

/** Reads rules that somebody wrote. @throws Refusal `malformed` naming the member */
export function parseImaRules(value: JsonValue): ImaRules {
  return imaRulesShape(value, 'ima', (at, want) =>
    refuse('malformed', `IMA rules: ${at} must be ${want}`, { structure: 'IMA rules', member: at }),
  );
}

/** A digest as entries are compared with it. */
export interface RuleDigest {
  readonly type: 'ima' | 'verity';
  readonly algorithm: KernelHash;
  readonly bytes: Uint8Array;
}

/** Reads `sha256:…` or `verity:sha256:…`. @throws Refusal `malformed` */
export function parseRuleDigest(digest: string): RuleDigest {
  const verity = digest.startsWith('verity:');
  const [algorithmName, hex, ...more] = (verity ? digest.slice('verity:'.length) : digest).split(':');
  const algorithm = findKernelHash(algorithmName ?? '');
  if (algorithm === undefined || hex?.length !== 2 * algorithm.size || more.length > 0) {
    return refuse('malformed', 'IMA rules: not a digest', { structure: 'IMA rules', digest });
  }
  return { type: verity ? 'verity' : 'ima', algorithm, bytes: fromHex(hex, 'IMA rules') };
}

/** The text of a digest, the counterpart of {@link parseRuleDigest}. */
export function digestText(type: 'ima' | 'verity', algorithm: KernelHash, hex: string): string {
  return `${type === 'verity' ? 'verity:' : ''}${algorithm.name}:${hex}`;
}
