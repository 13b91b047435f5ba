import { runCli } from '../../src/cli/run.ts';

/** What a command printed and its exit code. */
export interface CliResult {
  readonly exit: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs the command line in this process, without colour. */
export async function cli(...argv: string[]): Promise<CliResult> {
  let stdout = '';
  let stderr = '';
  const exit = await runCli(argv, {
    stdout: (text) => (stdout += text),
    stderr: (text) => (stderr += text),
    colour: false,
  });
  return { exit, stdout, stderr };
}
