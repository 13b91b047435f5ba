import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll } from 'vitest';
import { profileText } from '../../src/config/index.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { install, startVerifier } from '../support/verifier.ts';
import type { TestVerifier } from '../support/verifier.ts';
import { cli } from '../support/cli.ts';
import type { CliResult } from '../support/cli.ts';

/** A verifier of a test file, and the command line with a profile of its admin. */
export interface Remote {
  readonly directory: string;
  verifier(): TestVerifier;
  /** Path of the admin's profile, whose URL is the verifier's. */
  profile(): string;
  /** Runs a command with the admin's profile. */
  run(...argv: string[]): Promise<CliResult>;
  /** The same with `--json`: exit code and the one document. */
  json(...argv: string[]): Promise<{ readonly exit: number; readonly document: Record<string, unknown> }>;
}

/** Sets a verifier up before the tests of a file and stops it afterwards. */
export function remoteVerifier(): Remote {
  const directory = path.join(temporaryDirectory(), 'v');
  const profiles = path.join(directory, 'operators');
  let verifier: TestVerifier | undefined;
  const running = (): TestVerifier => {
    if (verifier === undefined) throw new Error('the verifier was not started');
    return verifier;
  };
  beforeAll(async () => {
    install(directory);
    verifier = await startVerifier(directory);
    const { address, services } = verifier.server;
    mkdirSync(profiles, { recursive: true });
    const url = `https://localhost:${String(address.port)}`;
    const { logVkey } = await import('../../src/server/index.ts');
    const pins = { url, caFingerprint: services.caFingerprint, logKey: logVkey(services) };
    const file = path.join(profiles, 'test.yaml');
    writeFileSync(file, profileText({ ...pins, certificate: 'admin.pem', key: 'admin.key' }));
    chmodSync(file, 0o600);
  });
  afterAll(async () => {
    await verifier?.server.stop();
  });
  const profile = (): string => path.join(profiles, 'test.yaml');
  return {
    directory,
    verifier: running,
    profile,
    run: (...argv) => cli(...argv, '--profile', profile()),
    json: async (...argv) => {
      const { exit, stdout } = await cli(...argv, '--profile', profile(), '--json');
      return { exit, document: JSON.parse(stdout) as Record<string, unknown> };
    },
  };
}
