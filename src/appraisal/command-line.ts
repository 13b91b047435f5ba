import type { CommandLineRule } from './references.ts';

/** Why a command line is not allowed. */
export interface CommandLineProblem {
  readonly reason: string;
  readonly arguments: readonly string[];
}

/**
 * Compares one kernel command line with its rule. Arguments are what the kernel splits at spaces outside double quotes
 * (kernel documentation, kernel-parameters); the first word may be the image's name, as GRUB writes it.
 */
export function commandLineProblem(line: string, rule: CommandLineRule): CommandLineProblem | undefined {
  if (rule.lines.includes(line)) return undefined;
  const words = splitArguments(line);
  const free = rule.arguments.length > 0 || rule.prefixes.length > 0 || rule.required.length > 0;
  if (!free) return differenceFrom(words, rule.lines);
  const strange = words.filter(
    (word) =>
      !rule.arguments.includes(word) &&
      !rule.required.includes(word) &&
      !rule.prefixes.some((prefix) => word.startsWith(prefix)),
  );
  if (strange.length > 0)
    return { reason: `arguments that are not allowed: ${strange.join(' ')}`, arguments: strange };
  const missing = rule.required.filter((word) => !words.includes(word));
  if (missing.length > 0)
    return { reason: `arguments that are required are missing: ${missing.join(' ')}`, arguments: missing };
  return undefined;
}

/** Says which arguments differ from the allowed line that is nearest. */
function differenceFrom(words: readonly string[], lines: readonly string[]): CommandLineProblem {
  const differences = lines.map((line) => {
    const allowed = splitArguments(line);
    const added = words.filter((word) => !allowed.includes(word));
    const gone = allowed.filter((word) => !words.includes(word));
    return { added, gone };
  });
  const [nearest] = differences.sort(
    (a, b) => a.added.length + a.gone.length - (b.added.length + b.gone.length),
  );
  if (nearest === undefined) return { reason: 'no command line is allowed', arguments: words };
  const parts = [
    ...(nearest.added.length > 0 ? [`added: ${nearest.added.join(' ')}`] : []),
    ...(nearest.gone.length > 0 ? [`missing: ${nearest.gone.join(' ')}`] : []),
  ];
  const reason = parts.length > 0 ? parts.join('; ') : 'the same arguments in another order or number';
  return { reason, arguments: [...nearest.added, ...nearest.gone] };
}

/** Arguments of a command line; quotes keep spaces together and stay part of the argument. */
export function splitArguments(line: string): string[] {
  return line.match(/(?:"[^"]*"?|[^\s"])+/g) ?? [];
}
