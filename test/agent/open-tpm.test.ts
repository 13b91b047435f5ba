import { execFile } from 'node:child_process';
import { cpSync, mkdirSync, readdirSync, rmSync, symlinkSync } from 'node:fs';
import path from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { DEFAULT_TCTI, openTpm, tctiOf } from '../../src/agent/open-tpm.ts';
import { startSwtpm } from '../../src/testing/index.ts';
import { temporaryDirectory } from '../support/temporary.ts';

const ROOT = path.resolve(import.meta.dirname, '../..');
const FFI = ['ffi-napi', 'ref-napi'];
const directory = temporaryDirectory();

/** A copy of the program with all packages but the two optional ones. */
function installWithoutFfi(): void {
  for (const name of ['src', 'native']) {
    cpSync(path.join(ROOT, name), path.join(directory, name), { recursive: true });
  }
  cpSync(path.join(ROOT, 'package.json'), path.join(directory, 'package.json'));
  mkdirSync(path.join(directory, 'node_modules'));
  for (const name of readdirSync(path.join(ROOT, 'node_modules'))) {
    if (FFI.includes(name)) continue;
    symlinkSync(path.join(ROOT, 'node_modules', name), path.join(directory, 'node_modules', name));
  }
}

/** Runs the copy's command line. */
function run(...argv: string[]): Promise<{ exit: number; stdout: string }> {
  const args = ['--import', 'tsx', path.join('src', 'cli', 'main.ts'), ...argv];
  return new Promise((resolve) => {
    const child = execFile(process.execPath, args, { cwd: directory }, (_, stdout) => {
      resolve({ exit: child.exitCode ?? -1, stdout });
    });
  });
}

describe('without the FFI packages', () => {
  beforeAll(installWithoutFfi);

  it('everything but the TPM works', async () => {
    const { exit, stdout } = await run('--version');
    expect([exit, stdout.trim()]).toEqual([0, '0.1.0']);
  });

  it('a command that needs the TPM says what to install', async () => {
    const { exit, stdout } = await run('tpm', 'info', '--json');
    expect(exit).toBe(1);
    expect(JSON.parse(stdout)).toMatchObject({
      ok: false,
      denial: {
        check: 'tpm-bindings',
        code: 'verifier-fault',
        remedy: expect.stringContaining('ffi-napi') as string,
      },
    });
  });

  it('and so it does when they have no binary for this machine', async () => {
    for (const name of FFI) {
      const copy = path.join(directory, 'node_modules', name);
      cpSync(path.join(ROOT, 'node_modules', name), copy, { recursive: true });
      for (const built of ['prebuilds', 'build'])
        rmSync(path.join(copy, built), { recursive: true, force: true });
      mkdirSync(path.join(copy, 'prebuilds'));
    }
    const { exit, stdout } = await run('tpm', 'info', '--json');
    expect(exit).toBe(1);
    expect(JSON.parse(stdout)).toMatchObject({
      denial: {
        check: 'tpm-bindings',
        reason: expect.stringContaining('No native build was found') as string,
      },
    });
  });
});

describe('the TPM that is opened', () => {
  it('is the one that is named, else that of the environment, else the kernel’s', () => {
    const environment = { SEALGATE_TCTI: 'swtpm:path=/ours', TPM2TOOLS_TCTI: 'swtpm:path=/tools' };
    expect(tctiOf('cmd:x', environment)).toBe('cmd:x');
    expect(tctiOf(undefined, environment)).toBe('swtpm:path=/ours');
    expect(tctiOf(undefined, { TPM2TOOLS_TCTI: 'swtpm:path=/tools' })).toBe('swtpm:path=/tools');
    expect(tctiOf(undefined, {})).toBe(DEFAULT_TCTI);
  });

  it('answers', async () => {
    await using swtpm = await startSwtpm({ clone: true });
    await using tpm = await openTpm(swtpm.tcti);
    expect(await tpm.getRandom(8)).toHaveLength(8);
  });
});
