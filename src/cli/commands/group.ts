import type { Command } from 'commander';

/** A parent command that several files add to (`verify`, `inspect`, `audit`): the existing one, or a new one. */
export function group(program: Command, name: string, description: string): Command {
  return (
    program.commands.find((command) => command.name() === name) ??
    program.command(name).description(description)
  );
}
