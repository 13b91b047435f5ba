/** A version as three or four parts of a product number and a pre-release tag (Semantic Versioning 2.0.0 §9–11). */
interface Version {
  readonly numbers: readonly number[];
  readonly prerelease: readonly string[];
}

const GRAMMAR =
  /^(\d{1,15}(?:\.\d{1,15}){0,3})(?:-([0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?(?:\+[0-9A-Za-z.-]+)?$/;

/** True for what {@link versionAtLeast} can compare: `1`, `1.4`, `1.4.2`, `1.4.2.7`, `2.0.0-rc.1`, `1.0.0+build`. */
export function isVersion(text: string): boolean {
  return text.length <= 128 && parse(text) !== undefined;
}

/** Whether `version` is not older than `minimum`; false when either is no version: absent or odd is never enough. */
export function versionAtLeast(version: string, minimum: string): boolean {
  const [a, b] = [parse(version), parse(minimum)];
  if (a === undefined || b === undefined) return false;
  for (let i = 0; i < 4; i++) {
    const difference = (a.numbers[i] ?? 0) - (b.numbers[i] ?? 0);
    if (difference !== 0) return difference > 0;
  }
  return comparePrerelease(a.prerelease, b.prerelease) >= 0;
}

function parse(text: string): Version | undefined {
  const match = GRAMMAR.exec(text);
  if (match === null) return undefined;
  const [, numbers = '', prerelease] = match;
  const parts = numbers.split('.');
  if (parts.some((part) => part.length > 1 && part.startsWith('0'))) return undefined;
  return { numbers: parts.map(Number), prerelease: prerelease?.split('.') ?? [] };
}

/** SemVer §11.3–11.4: a release is newer than its pre-releases; numeric parts are older than words. */
function comparePrerelease(a: readonly string[], b: readonly string[]): number {
  if (a.length === 0 || b.length === 0) return b.length - a.length;
  for (let i = 0; i < Math.max(a.length, b.length); i++) {
    const [x, y] = [a[i], b[i]];
    if (x === undefined) return -1;
    if (y === undefined) return 1;
    const difference = comparePart(x, y);
    if (difference !== 0) return difference;
  }
  return 0;
}

function comparePart(x: string, y: string): number {
  const numeric = /^\d{1,15}$/;
  if (numeric.test(x) && numeric.test(y)) return Number(x) - Number(y);
  if (numeric.test(x) !== numeric.test(y)) return numeric.test(x) ? -1 : 1;
  return x === y ? 0 : x < y ? -1 : 1;
}
