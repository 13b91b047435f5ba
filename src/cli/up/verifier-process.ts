import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { createInterface } from 'node:readline';
import { startProcess } from '../../../native/process-gate.ts';
import { refuse } from '../../base/index.ts';

const START_MS = 60_000;
const STOP_MS = 10_000;
/** Lines of its log that are kept, for saying why it ended. */
const KEPT_LINES = 50;

/** `sealgate serve` as a process of its own: what holds the verifier's keys is not the process that plays the host. */
export class VerifierProcess {
  readonly #child: ChildProcess;
  readonly #log: string[] = [];

  private constructor(child: ChildProcess) {
    this.#child = child;
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  /** Starts it over an installation and waits until it listens. @throws Refusal `verifier-start` with its own words */
  static async start(config: string): Promise<VerifierProcess> {
    const [, script = ''] = process.argv;
    const command = [...process.execArgv, script, 'serve', '--config', config];
    // The TPM is prepared meanwhile, and the verifier must not keep a connection to it.
    const { verifier, listening } = await startProcess(() => {
      const child = spawn(process.execPath, command, { stdio: ['ignore', 'pipe', 'pipe'] });
      const started = new VerifierProcess(child);
      started.#keep(child.stderr);
      return { verifier: started, listening: started.#listening() };
    });
    try {
      await listening;
      return verifier;
    } catch (error) {
      verifier.#child.kill('SIGKILL');
      throw error;
    }
  }

  /** SIGTERM, and SIGKILL if it doesn't end in time. May be called again. */
  async stop(): Promise<void> {
    const child = this.#child;
    if (child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, 'exit');
    child.kill('SIGTERM');
    const timer = setTimeout(() => child.kill('SIGKILL'), STOP_MS);
    await ended;
    clearTimeout(timer);
  }

  #keep(stream: ChildProcess['stderr']): void {
    if (stream === null) return;
    createInterface(stream).on('line', (line) => {
      this.#log.push(line);
      if (this.#log.length > KEPT_LINES) this.#log.shift();
    });
  }

  async #listening(): Promise<void> {
    const { stdout } = this.#child;
    if (stdout === null) throw new TypeError('the child has no output');
    const lines = createInterface(stdout);
    await new Promise<void>((resolve, reject) => {
      const fail = (): void => {
        try {
          refuse('verifier-start', `the verifier did not start: ${this.#log.slice(-5).join(' | ')}`);
        } catch (error) {
          reject(error instanceof Error ? error : new Error(String(error)));
        }
      };
      const timer = setTimeout(fail, START_MS);
      this.#child.once('exit', fail);
      this.#child.once('error', reject);
      lines.on('line', (line) => {
        if (!line.startsWith('listening on')) return;
        clearTimeout(timer);
        this.#child.removeListener('exit', fail);
        resolve();
      });
    });
  }
}

/** A TCP port of the loopback interface that nobody uses now. */
export async function freePort(): Promise<number> {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  server.close();
  await once(server, 'close');
  return port;
}
