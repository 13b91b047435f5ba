import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { cli } from '../support/cli.ts';

const page = readFileSync(path.resolve(import.meta.dirname, '../../docs/OPERATIONS.md'), 'utf8');

/** Every command of a page: in shell blocks, and between backticks. */
function commands(): readonly string[] {
  const blocks = [...page.matchAll(/```sh\n([\s\S]*?)```/g)].flatMap(([, block = '']) => block.split('\n'));
  const inline = [...page.matchAll(/`(sealgate [^`]+)`/g)].map(([, command = '']) => command);
  return [...new Set([...blocks, ...inline])]
    .map((line) => line.replace(/^.*\| (?=sealgate)/, '').replace(/^sudo /, ''))
    .filter((line) => line.startsWith('sealgate '));
}

/** Help of the command that a line names: as many words as its usage line repeats. */
async function helpOf(words: readonly string[]): Promise<{ readonly usage: string; readonly text: string }> {
  const { exit, stdout } = await cli(...words, '--help');
  expect(exit, words.join(' ')).toBe(0);
  return { usage: stdout.split('\n')[0] ?? '', text: stdout };
}

describe('docs/OPERATIONS.md', () => {
  it('has commands', () => {
    expect(commands().length).toBeGreaterThan(30);
  });

  it.each(commands())('%s: exists, with these flags', async (line) => {
    const words = line.split(' ').slice(1);
    const [first = '', second = ''] = words;
    const top = await helpOf([first]);
    expect(top.usage).toContain(`Usage: sealgate ${first}`);
    const isGroup = top.usage.includes('[command]');
    const { usage, text } = isGroup ? await helpOf([first, second]) : top;
    if (isGroup) expect(usage).toContain(`Usage: sealgate ${first} ${second}`);
    for (const [flag] of line.matchAll(/(?<= )--?[a-z][a-z-]*/g))
      expect(text).toMatch(new RegExp(`(?:^|[ ,])${flag}\\b`, 'm'));
  });
});
