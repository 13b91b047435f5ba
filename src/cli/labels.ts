import { UsageError } from './errors.ts';

const NAME = /^[a-z0-9][a-z0-9._/-]{0,62}$/;

/** `key=value` options as labels. @throws UsageError */
export function labelsOf(options: readonly string[]): Readonly<Record<string, string>> {
  return Object.fromEntries(
    options.map((option) => {
      const [key = '', ...rest] = option.split('=');
      if (!NAME.test(key) || rest.length === 0)
        throw new UsageError(`${option}: a label is key=value, its key of a-z, 0-9 and . _ / -`);
      return [key, rest.join('=')];
    }),
  );
}

/** `key=value` sets a label, `key-` takes it away (as kubectl has it). @throws UsageError */
export function labelChangesOf(changes: readonly string[]): Readonly<Record<string, string | null>> {
  const removed = changes.filter((change) => !change.includes('=') && change.endsWith('-'));
  const set = labelsOf(changes.filter((change) => !removed.includes(change)));
  const names = removed.map((change) => change.slice(0, -1));
  const twice = names.find((name) => Object.hasOwn(set, name));
  if (twice !== undefined) throw new UsageError(`${twice}: set and taken away at once`);
  const wrong = names.find((name) => !NAME.test(name));
  if (wrong !== undefined) throw new UsageError(`${wrong}: not the name of a label`);
  return { ...set, ...Object.fromEntries(names.map((name) => [name, null])) };
}
