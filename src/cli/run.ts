import { Command, CommanderError } from 'commander';
import { Refusal } from '../base/index.ts';
import { VerifierRefusal } from '../client/verifier-refusal.ts';
import { toDenial } from '../lifecycle/denial.ts';
import { commandFiles } from './commands/index.ts';
import { UsageError } from './errors.ts';
import type { CommandContext, ExitCode } from './context.ts';
import { printJson, printable } from './output.ts';
import type { Io } from './output.ts';
import { printDenial } from './report.ts';

/**
 * Parses the arguments, runs the command and turns every outcome into one exit code and, with `--json`, exactly one
 * document on stdout.
 */
export async function runCli(argv: readonly string[], io: Io): Promise<ExitCode> {
  // What is after -- belongs to the command that `run` starts.
  const [own = argv] = argv.includes('--') ? [argv.slice(0, argv.indexOf('--'))] : [];
  const json = own.includes('--json');
  let exit: ExitCode = 0;
  try {
    const program = await buildProgram(argv, { io, json, exit: (code) => (exit = code) });
    await program.parseAsync([...argv], { from: 'user' });
    return exit;
  } catch (error) {
    return report(error, io, json);
  }
}

async function buildProgram(argv: readonly string[], context: CommandContext): Promise<Command> {
  const { io, json } = context;
  const program = new Command('sealgate')
    .description('Hardware-attested runtime verifier: what can’t be verified is denied.')
    .version('0.1.0')
    .exitOverride()
    .configureOutput({
      writeOut: io.stdout,
      // With --json the usage error is part of the one document.
      writeErr: (text) => {
        if (!json) io.stderr(text);
      },
    })
    .showHelpAfterError('(add --help for usage)');
  for (const { load } of commandFiles(argv)) (await load())(program, context);
  inheritSettings(program);
  return program;
}

/** Commander copies settings at creation only; commands registered with `.addCommand` need them too. */
function inheritSettings(command: Command): void {
  for (const child of command.commands) {
    child.copyInheritedSettings(command);
    inheritSettings(child);
  }
}

function report(error: unknown, io: Io, json: boolean): ExitCode {
  if (error instanceof CommanderError) {
    if (error.exitCode === 0) return 0;
    return usage(error.message, io, json, true);
  }
  if (error instanceof UsageError) return usage(error.message, io, json, false);
  if (error instanceof VerifierRefusal) {
    const { denial, auditIndex = null } = error;
    printDenial(denial, io, json, { auditIndex });
    if (!json && auditIndex !== null) io.stderr(`  audit   entry ${auditIndex}\n`);
    return 1;
  }
  if (error instanceof Refusal) {
    printDenial(toDenial(error), io, json);
    return 1;
  }
  // Anything else is a fault of this program or of the machine: denied, never a pass.
  const message = error instanceof Error ? error.message : String(error);
  printDenial(toDenial(new Refusal('internal', message)), io, json);
  return 1;
}

function usage(message: string, io: Io, json: boolean, alreadyPrinted: boolean): ExitCode {
  if (json) printJson(io, { ok: false, denial: null, usage: message });
  else if (!alreadyPrinted) io.stderr(`sealgate: ${printable(message)}\n`);
  return 2;
}
