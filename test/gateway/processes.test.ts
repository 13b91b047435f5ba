import { readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { expect, it } from 'vitest';

const GATEWAY = path.resolve(import.meta.dirname, '../../src/gateway');
/** What child_process starts a process by. */
const STARTS = /\b(?:spawn|execFile|exec|fork|spawnSync|execFileSync|execSync)\(/;

it('the gateway starts no process that would inherit the TPM: each file that starts any does it by one door', () => {
  const files = readdirSync(GATEWAY, { recursive: true, encoding: 'utf8' }).filter((file) =>
    file.endsWith('.ts'),
  );
  const starting = files.filter((file) => {
    const text = readFileSync(path.join(GATEWAY, file), 'utf8');
    return /import \{[^}]*\} from 'node:child_process'/.test(text) && STARTS.test(text);
  });
  expect(starting.length).toBeGreaterThan(3);
  for (const file of starting.filter((one) => !one.endsWith('start-process.ts')))
    expect(readFileSync(path.join(GATEWAY, file), 'utf8'), file).toMatch(/startProcess(?:Now)?\(/);
});
