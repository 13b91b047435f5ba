import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const ROOT = path.resolve(import.meta.dirname, '../..');
const manifest = JSON.parse(readFileSync(path.join(ROOT, 'package.json'), 'utf8')) as {
  exports: Record<string, { default: string }>;
};
const entryPoints = Object.keys(manifest.exports).map((name) => name.replace(/^\./, 'sealgate'));

/** Without what npm hands on when it runs the suite: this project's own settings would bind the user's installation. */
const userEnvironment = Object.fromEntries(
  Object.entries(process.env).filter(([name]) => !/^npm_/i.test(name)),
);

/** The package as a user installs it: packed, then installed into an empty folder. */
describe('the packed project', () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'sealgate-pack-'));
  let tarball = '';
  afterAll(() => {
    rmSync(folder, { recursive: true, force: true });
  });
  beforeAll(() => {
    expect(existsSync(path.join(ROOT, 'dist/src/cli/main.js')), 'dist/ is missing: npm run build').toBe(true);
    const [packed] = JSON.parse(
      execFileSync('npm', ['pack', '--json', '--pack-destination', folder], {
        cwd: ROOT,
        encoding: 'utf8',
        stdio: ['ignore', 'pipe', 'ignore'],
      }),
    ) as { filename: string }[];
    tarball = path.join(folder, packed?.filename ?? 'none');
  });

  it.each([
    ['without install scripts', ['--ignore-scripts']],
    // ffi-napi's own install script may fail to compile; it is optional, so the installation must succeed without it.
    ['with install scripts', ['--no-ignore-scripts']],
  ])(
    'installs %s and every entry point can be imported',
    (name, flags) => {
      const target = mkdtempSync(path.join(folder, 'install-'));
      writeFileSync(path.join(target, 'package.json'), '{"private":true,"type":"module"}');
      execFileSync('npm', ['install', '--no-audit', '--no-fund', '--prefer-offline', ...flags, tarball], {
        cwd: target,
        env: userEnvironment,
        stdio: 'ignore',
      });
      // Where ffi-napi could not be compiled, node-tpm2 says that it is missing, and everything else works.
      const program = entryPoints
        .map((entry) => `console.log(${JSON.stringify(entry)}, await load(${JSON.stringify(entry)}));`)
        .join('\n');
      const load = `const load = async (entry) => {
      try { return Object.keys(await import(entry)).length > 0; }
      catch (error) { return error.code === 'ERR_MODULE_NOT_FOUND' && error.message.includes("'ffi-napi'") ? 'needs ffi-napi' : String(error); }
    };\n`;
      const output = execFileSync(process.execPath, ['--input-type=module', '-e', load + program], {
        cwd: target,
        env: userEnvironment,
        encoding: 'utf8',
      });
      const compiled = !output.includes('sealgate/native needs ffi-napi');
      if (flags.includes('--ignore-scripts')) expect(compiled, name).toBe(true);
      const expected = (entry: string) =>
        entry === 'sealgate/native' && !compiled ? 'needs ffi-napi' : 'true';
      expect(output.trim().split('\n'), name).toEqual(
        entryPoints.map((entry) => `${entry} ${expected(entry)}`),
      );
      const help = execFileSync(path.join(target, 'node_modules/.bin/sealgate'), ['--help'], {
        encoding: 'utf8',
      });
      expect(help).toContain('Usage: sealgate');
    },
    300_000,
  );
});
