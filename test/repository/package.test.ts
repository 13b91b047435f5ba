import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Refusal } from '../../src/base/index.ts';
import { toDenial } from '../../src/lifecycle/denial.ts';

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

  /** What a program in the folder prints. */
  function run(target: string, program: string): string {
    return execFileSync(process.execPath, ['--input-type=module', '-e', program], {
      cwd: target,
      env: userEnvironment,
      encoding: 'utf8',
    }).trim();
  }

  /** Each entry point, and whether importing it gives something. */
  function imports(target: string): string[] {
    const load = `const load = (entry) => import(entry).then((it) => Object.keys(it).length > 0, String);`;
    const lines = entryPoints.map((entry) => `console.log('${entry}', await load('${entry}'));`);
    return run(target, [load, ...lines].join('\n')).split('\n');
  }

  /** The check that refuses to open a TPM by a TCTI that nobody has. */
  function openingATpm(target: string): string {
    return run(
      target,
      `const { Tpm } = await import('sealgate/native');
       await Tpm.open('nobody:').then(() => console.log('opened'), (error) => console.log(error.check));`,
    );
  }

  it('holds the program that the remedy for missing bindings names', () => {
    const listed = execFileSync('tar', ['-tzf', tarball], { encoding: 'utf8' }).split('\n');
    expect(toDenial(new Refusal('tpm-bindings', 'x')).remedy).toContain('scripts/build-ffi');
    expect(listed).toContain('package/scripts/build-ffi');
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
      expect(imports(target), name).toEqual(entryPoints.map((entry) => `${entry} true`));
      const ffi = path.join(target, 'node_modules/ffi-napi');
      // Where ffi-napi could not be compiled npm leaves it out, and opening a TPM says so.
      expect(openingATpm(target), name).toBe(existsSync(ffi) ? 'tpm-tcti' : 'tpm-bindings');
      if (flags.includes('--ignore-scripts')) {
        expect(existsSync(ffi), 'the binaries that ffi-napi ships').toBe(true);
        for (const optional of ['ffi-napi', 'ref-napi'])
          rmSync(path.join(target, 'node_modules', optional), { recursive: true });
        expect(imports(target), 'without ffi-napi').toEqual(entryPoints.map((entry) => `${entry} true`));
        expect(openingATpm(target)).toBe('tpm-bindings');
      }
      const help = execFileSync(path.join(target, 'node_modules/.bin/sealgate'), ['--help'], {
        encoding: 'utf8',
      });
      expect(help).toContain('Usage: sealgate');
    },
    300_000,
  );
});
