import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { request } from 'node:https';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, expect, it } from 'vitest';
import { parseCheckpoint, verifySignatures } from '../../src/audit/index.ts';
import { utf8 } from '../../src/base/index.ts';
import { askedBy, makeSite, witnesses } from '../server/witness-world.ts';
import type { Site } from '../server/witness-world.ts';
import { temporaryDirectory } from '../support/temporary.ts';

const MAIN = path.resolve(import.meta.dirname, '../../src/cli/main.ts');
const processes: ChildProcess[] = [];
afterAll(async () => {
  for (const one of processes) {
    const ended = once(one, 'exit');
    if (one.exitCode === null && one.kill('SIGTERM')) await ended;
  }
});

/** `sealgate serve` in a process of its own, once it listens. */
async function serve({ directory, environment }: Site): Promise<void> {
  const argv = ['--import', 'tsx', MAIN, 'serve', '--config', path.join(directory, 'sealgate.yaml')];
  const child = spawn(process.execPath, argv, {
    stdio: ['ignore', 'pipe', 'ignore'],
    env: { ...process.env, ...environment, SEALGATE_LISTEN_ADDRESS: '127.0.0.1' },
  });
  processes.push(child);
  for await (const line of createInterface({ input: child.stdout })) if (line.startsWith('listening')) return;
  throw new Error('the verifier did not start');
}

function checkpoint({ directory, port }: Site): Promise<string> {
  const ca = readFileSync(path.join(directory, 'certificates/tls-ca.pem'));
  return new Promise((resolve, reject) => {
    request({ host: '127.0.0.1', port, path: '/checkpoint', ca, agent: false }, (response) => {
      let text = '';
      response.on('data', (part: Buffer) => (text += part.toString('utf8')));
      response.on('end', () => {
        resolve(text);
      });
    })
      .on('error', reject)
      .end();
  });
}

it('two verifiers in processes of their own witness each other', async () => {
  const scratch = temporaryDirectory();
  const a = await makeSite(path.join(scratch, 'a'), 'a.example');
  const b = await makeSite(path.join(scratch, 'b'), 'b.example');
  askedBy(a, [b], 1);
  askedBy(b, [a], 1);
  witnesses(a, [b.logKey]);
  witnesses(b, [a.logKey]);
  await Promise.all([serve(a), serve(b)]);
  for (const [one, other] of [
    [a, b],
    [b, a],
  ] as const) {
    const signers = async (): Promise<number> => {
      const { note } = parseCheckpoint(utf8(await checkpoint(one)));
      return verifySignatures(note, [one.logKey, other.witnessKey]).length;
    };
    await expect.poll(signers, { timeout: 60_000, interval: 500 }).toBe(2);
  }
}, 240_000);
