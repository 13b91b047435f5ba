import { spawn } from 'node:child_process';
import path from 'node:path';
import type { Swtpm } from '../../../src/testing/index.ts';

interface Holdings {
  readonly descriptors: number;
  readonly transient: number;
  readonly sessions: number;
  readonly rss: number;
}

/** What a process held that used a TPM over and over, after its warm-up and at its end. */
export interface Churned {
  readonly before: Holdings;
  readonly after: Holdings;
}

/**
 * Uses a TPM in a process of its own, half of the operations failing; see churn.ts.
 *
 * V8's young generation is fixed at its smallest: it grows in steps over thousands of operations, by more than the
 * rest of the process, and what is to be measured is what calls leave behind.
 */
export async function churn(
  swtpm: Swtpm,
  warmUp: number,
  operations: number,
  mode: 'plain' | 'gc' = 'plain',
): Promise<Churned> {
  const script = path.join(import.meta.dirname, 'churn.ts');
  const flags = ['--expose-gc', '--max-semi-space-size=1', '--import', 'tsx', script];
  const child = spawn(process.execPath, [...flags, swtpm.tcti, String(warmUp), String(operations), mode], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const output: Record<'stdout' | 'stderr', string> = { stdout: '', stderr: '' };
  child.stdout.on('data', (chunk: Buffer) => (output.stdout += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (output.stderr += chunk.toString()));
  const code = await new Promise((resolve) => {
    child.on('close', (status, signal) => {
      resolve(status ?? signal);
    });
  });
  if (code !== 0) throw new Error(`the child ended with ${String(code)}: ${output.stderr}`);
  return JSON.parse(output.stdout) as Churned; // what churn.ts prints
}
