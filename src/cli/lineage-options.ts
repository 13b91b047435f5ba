import type { Command } from 'commander';
import { systemClock } from './clock.ts';
import { UsageError } from './errors.ts';
import type { LineageOptions } from './lineage-reader.ts';
import type { CommandContext } from './context.ts';

/** Flags of commands that read lineage. */
export interface LineageFlags {
  readonly limit?: string;
  readonly after?: string;
  readonly logKey?: string;
  readonly wholeLog?: boolean;
}

const DEFAULT_LIMIT = 200;
/** What one run holds in memory. */
const MOST = 10_000;

/** Adds `--limit`, `--after`, `--log-key`, `--whole-log`. */
export function lineageOptions(command: Command): Command {
  return command
    .option('--limit <n>', `executions at the most (default ${String(DEFAULT_LIMIT)})`)
    .option('--after <entry>', 'go on after this entry, as the page before said')
    .option('--log-key <vkey>', 'the log’s public key (default: of the profile)')
    .option('--whole-log', 'read every entry of the log and trust no index: nothing can be left out');
}

/** @throws UsageError */
export function pagingOf({ limit, after, logKey, wholeLog }: LineageFlags): LineageOptions {
  const count = number('--limit', limit ?? String(DEFAULT_LIMIT));
  if (count < 1 || count > MOST) throw new UsageError(`--limit is 1 to ${String(MOST)}`);
  return {
    limit: count,
    after: after === undefined ? null : number('--after', after),
    wholeLog: wholeLog === true,
    ...(logKey === undefined ? {} : { logKey }),
  };
}

function number(name: string, text: string): number {
  if (!/^(?:0|[1-9]\d{0,14})$/.test(text)) throw new UsageError(`${name} is a decimal number`);
  return Number(text);
}

/** Tells on stderr how far the reading of a whole log is, once a second. */
export function progressOf({ io }: CommandContext): Pick<LineageOptions, 'onProgress'> {
  let last = systemClock.now();
  return {
    onProgress: (entries) => {
      const now = systemClock.now();
      if (now - last < 1000) return;
      last = now;
      io.stderr(`${String(entries)} entries\n`);
    },
  };
}
