import { Command } from 'commander';
import { describe, expect, it } from 'vitest';
import { COMMANDS, commandFiles } from '../../src/cli/commands/index.ts';
import { cli } from '../support/cli.ts';

const CONTEXT = {
  io: { stdout: () => undefined, stderr: () => undefined, colour: false },
  json: false,
  exit: () => undefined,
};

describe('the table of commands', () => {
  it.each(COMMANDS.map((file) => [file.commands.join(', '), file] as const))(
    'says what is in the file of: %s',
    async (_, { commands, load }) => {
      const program = new Command();
      (await load())(program, CONTEXT);
      const found = program.commands.flatMap((one) =>
        one.commands.length === 0
          ? [one.name()]
          : one.commands.map((inner) => `${one.name()} ${inner.name()}`),
      );
      expect(found.sort()).toEqual([...commands].sort());
    },
  );

  it('loads the file that is named, its group, or all', () => {
    const names = (...argv: string[]) => commandFiles(argv).flatMap(({ commands }) => commands);
    expect(names('verify', 'proof', 'x')).toEqual(['verify proof']);
    expect(names('verify', '--json', 'proof')).toContain('verify proof');
    expect(names('verify')).toEqual(expect.arrayContaining(['verify proof', 'verify quote']));
    expect(names('revoke', 'host')).toEqual(['revoke', 'exec revoke']);
    expect(commandFiles(['nonsense'])).toBe(COMMANDS);
    expect(commandFiles([])).toBe(COMMANDS);
  });

  it('is whole in the help, and a group has all of its commands', async () => {
    const { stdout } = await cli('--help');
    for (const { commands } of COMMANDS)
      for (const one of commands) expect(stdout).toContain(one.split(' ')[0]);
    const audit = await cli('audit', '--help');
    for (const one of ['verify', 'prove', 'export', 'tail', 'monitor']) expect(audit.stdout).toContain(one);
    expect((await cli('exec', '--help')).stdout).toContain('revoke');
    expect((await cli('verify', 'prof')).stderr).toMatch(/proof/);
  });
});
