import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { REFUSED_OUTCOMES } from '../../src/authorization/index.ts';
import { exampleFiles } from '../../scripts/lib/vectors/cases.ts';
import { cli } from '../support/cli.ts';

const ROOT = path.resolve(import.meta.dirname, '../..');
const page = readFileSync(path.join(ROOT, 'docs/AUTHORIZATION.md'), 'utf8');

interface Step {
  readonly command: string;
  /** Lines that its output must have. */
  readonly shows: readonly string[];
  readonly exit: number;
}

/** The commands of the page's console blocks, in their order. */
function steps(): Step[] {
  const blocks = [...page.matchAll(/^```console\n([^]*?)^```$/gm)].map(([, block = '']) => block);
  return blocks.flatMap((block) =>
    block
      .split(/^\$ /m)
      .slice(1)
      .map((text) => {
        const [command = '', ...lines] = text.trimEnd().split('\n');
        const exit = /^exit (\d+)$/.exec(lines.at(-1) ?? '')?.[1];
        return { command, shows: exit === undefined ? lines : lines.slice(0, -1), exit: Number(exit ?? 0) };
      }),
  );
}

describe('docs/AUTHORIZATION.md', () => {
  it.each(steps())('$command', async ({ command, shows, exit }) => {
    const [program, ...args] = command.split(' ');
    expect(program).toBe('sealgate');
    const inRepository = args.map((arg) => (/^(?:share|test)\//.test(arg) ? path.join(ROOT, arg) : arg));
    const result = await cli(...inRepository);
    const output = result.stdout + result.stderr;
    expect(result.exit, output).toBe(exit);
    expect(shows.length).toBeGreaterThan(0);
    for (const line of shows) expect(output).toContain(line);
  });

  it('has the worked example, with refusals', () => {
    const all = steps();
    expect(all.length).toBeGreaterThanOrEqual(7);
    expect(all.filter(({ exit }) => exit === 1).length).toBeGreaterThanOrEqual(4);
  });

  it('names every outcome, in the order of the checks', () => {
    const listed = [...page.matchAll(/^\| `([a-z_]+)`\s+\|/gm)].map(([, name]) => name);
    expect(listed.filter((name) => REFUSED_OUTCOMES.some((one) => one === name))).toEqual(REFUSED_OUTCOMES);
  });

  it('has example files that the script makes, byte for byte', () => {
    for (const [name, text] of exampleFiles())
      expect(readFileSync(path.join(ROOT, 'share/examples/authorization', name), 'utf8') === text, name).toBe(
        true,
      );
  });
});
