import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { profileText } from '../../src/config/index.ts';
import { logVkey } from '../../src/server/index.ts';
import { makeSite } from '../server/witness-world.ts';
import { cli } from '../support/cli.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { startVerifier } from '../support/verifier.ts';
import type { TestVerifier } from '../support/verifier.ts';

const page = readFileSync(path.resolve(import.meta.dirname, '../../docs/AUDIT.md'), 'utf8');
/** Every line of the page's shell blocks, in order. */
const lines = [...page.matchAll(/```sh\n([\s\S]*?)```/g)]
  .flatMap(([, block = '']) => block.split('\n'))
  .filter((line) => line !== '');

const directory = path.join(temporaryDirectory(), 'v');
const before = { directory: process.cwd(), profiles: process.env['SEALGATE_PROFILES'] };
let verifier: TestVerifier;
let environment: Record<string, string>;
let logKey: string;

beforeAll(async () => {
  const site = await makeSite(directory, 'example.org');
  ({ environment } = site);
  verifier = await startVerifier(directory, environment);
  const { services } = verifier.server;
  logKey = logVkey(services);
  const profiles = path.join(directory, 'operators');
  mkdirSync(profiles, { recursive: true });
  const pins = { url: site.url, caFingerprint: services.caFingerprint, logKey };
  const text = profileText({ ...pins, certificate: 'admin.pem', key: 'admin.key' });
  writeFileSync(path.join(profiles, 'auditor.yaml'), text, { mode: 0o600 });
  process.env['SEALGATE_PROFILES'] = profiles;
  process.chdir(directory);
});
afterAll(async () => {
  process.chdir(before.directory);
  if (before.profiles === undefined) delete process.env['SEALGATE_PROFILES'];
  else process.env['SEALGATE_PROFILES'] = before.profiles;
  await verifier.server.stop();
});

/** What an auditor types, as it stands on the page. */
async function run(line: string): Promise<void> {
  if (line.startsWith('# restart')) {
    await verifier.server.stop();
    // The store's thread finds its loader from here.
    process.chdir(before.directory);
    verifier = await startVerifier(directory, environment);
    process.chdir(directory);
    return;
  }
  if (line.startsWith('curl ')) {
    const [, url = '', file = ''] = /https:\/\/[^/]+(\S+) > (\S+)$/.exec(line) ?? [];
    writeFileSync(file, (await verifier.call({ url })).text);
    return;
  }
  const words = line.replace('"$LOG_KEY"', logKey).split(' ');
  expect(words.shift()).toBe('sealgate');
  // A host's checkpoint: here the auditor's own, in another file.
  if (words.includes('host-7.checkpoint'))
    copyFileSync('operators/auditor.checkpoint', path.join(directory, 'host-7.checkpoint'));
  const { exit, stdout, stderr } = await cli(...words);
  expect(exit, `${line}\n${stderr}${stdout}`).toBe(0);
}

describe('the auditor’s walk of docs/AUDIT.md', () => {
  it('has its steps', () => {
    expect(lines.length).toBeGreaterThan(14);
  });

  it('runs as it is written', async () => {
    for (const line of lines) await run(line);
    expect(readFileSync('sealgate.prom', 'utf8')).toContain('sealgate_monitor_log_entries');
    expect(readFileSync('log/checkpoint', 'utf8')).toMatch(/^example\.org\/log\n/);
    expect((await cli('trust-bundle', 'show', '--config', 'sealgate.yaml')).stdout).toMatch(/version +3/);
  });
});
