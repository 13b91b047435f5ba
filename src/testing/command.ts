import { spawn } from 'node:child_process';
import { startProcess } from '../../native/process-gate.ts';

/** A program that this machine doesn't have; the message says what to install. */
export class MissingToolError extends Error {
  override readonly name = 'MissingToolError';
  readonly tool: string;

  constructor(tool: string, debianPackage: string) {
    super(`${tool} isn't installed: apt-get install ${debianPackage}`);
    this.tool = tool;
  }
}

/** How {@link runTool} runs a program. */
export interface ToolOptions {
  /** Added to the environment of this process. */
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  /** Milliseconds until it is killed and the call fails; default 30 000. */
  readonly timeout?: number;
}

/** The Debian 12 package that has a program, for the message of {@link MissingToolError}. */
function packageOf(tool: string): string {
  if (tool === 'swtpm') return 'swtpm';
  if (tool.startsWith('swtpm')) return 'swtpm-tools';
  return tool.startsWith('tpm2') ? 'tpm2-tools' : tool;
}

/**
 * Runs a program to its end.
 * @returns what it wrote to stdout
 * @throws MissingToolError when it isn't there; Error with the end of its output when it fails or takes too long
 */
export function runTool(tool: string, args: readonly string[], options: ToolOptions = {}): Promise<string> {
  return startProcess(() => run(tool, args, options)).then(({ output }) => output);
}

/** In an object, since a promise would be waited for. */
function run(
  tool: string,
  args: readonly string[],
  options: ToolOptions,
): { readonly output: Promise<string> } {
  const timeout = options.timeout ?? 30_000;
  const output = new Promise<string>((resolve, reject) => {
    const child = spawn(tool, args, {
      cwd: options.cwd,
      env: { ...process.env, ...options.env },
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout,
      killSignal: 'SIGKILL',
    });
    const out: Buffer[] = [];
    const all: Buffer[] = [];
    child.stdout.on('data', (chunk: Buffer) => {
      out.push(chunk);
      all.push(chunk);
    });
    child.stderr.on('data', (chunk: Buffer) => all.push(chunk));
    child.on('error', (error) => {
      reject(
        'code' in error && error.code === 'ENOENT' ? new MissingToolError(tool, packageOf(tool)) : error,
      );
    });
    child.on('close', (code, signal) => {
      if (code === 0) resolve(Buffer.concat(out).toString('utf8'));
      else reject(failure(tool, code, signal, timeout, Buffer.concat(all).toString('utf8')));
    });
  });
  return { output };
}

function failure(
  tool: string,
  code: number | null,
  signal: NodeJS.Signals | null,
  timeout: number,
  output: string,
): Error {
  const how =
    signal === 'SIGKILL'
      ? `was killed (after ${String(timeout)} ms it is)`
      : `ended with ${signal ?? String(code)}`;
  return new Error(`${tool} ${how}: ${output.trim().slice(-2000)}`);
}
