/**
 * Applies every patch of scripts/mutations/ to a copy of the project, one at a time, and runs the test that must then
 * fail. A mutation that survives means a check that no test guards. Each test file is first seen to pass unpatched.
 */
import { spawn } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import type { Mutation } from './lib/mutations.ts';

const ROOT = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const JOBS = 2;

async function loadMutations(filter: readonly string[]): Promise<Mutation[]> {
  const folder = path.join(ROOT, 'scripts/mutations');
  const all: Mutation[] = [];
  for (const file of readdirSync(folder).sort()) {
    const module = (await import(pathToFileURL(path.join(folder, file)).href)) as {
      mutations: readonly Mutation[];
    };
    all.push(...module.mutations);
  }
  const names = new Set(all.map((mutation) => mutation.name));
  if (names.size !== all.length) throw new Error('two mutations share a name');
  for (const name of filter) if (!names.has(name)) throw new Error(`no mutation ${name}`);
  return filter.length === 0 ? all : all.filter((mutation) => filter.includes(mutation.name));
}

/** A private copy of the tracked folders; node_modules and dist are shared, no mutation touches them. */
function copyProject(): string {
  const copy = mkdtempSync(path.join(tmpdir(), 'sealgate-mutate-'));
  for (const entry of readdirSync(ROOT)) {
    if (['node_modules', 'dist', '.git', '.cache', 'coverage'].includes(entry)) continue;
    cpSync(path.join(ROOT, entry), path.join(copy, entry), { recursive: true });
  }
  for (const shared of ['node_modules', 'dist'])
    symlinkSync(path.join(ROOT, shared), path.join(copy, shared));
  return copy;
}

function runTest(copy: string, test: string): Promise<boolean> {
  const child = spawn(process.execPath, ['node_modules/vitest/vitest.mjs', 'run', test, '--bail=1'], {
    cwd: copy,
    stdio: 'ignore',
  });
  return new Promise((resolve) =>
    child.once('exit', (status) => {
      resolve(status === 0);
    }),
  );
}

/** Undefined when the mutation was noticed, else what is wrong. */
async function tryMutation(copy: string, mutation: Mutation): Promise<string | undefined> {
  const file = path.join(copy, mutation.file);
  const original = readFileSync(file, 'utf8');
  if (original.split(mutation.find).length !== 2) return 'the text to find does not occur exactly once';
  writeFileSync(
    file,
    original.replace(mutation.find, () => mutation.replace),
  );
  const survived = await runTest(copy, mutation.test);
  writeFileSync(file, original);
  return survived ? `survived ${mutation.test}` : undefined;
}

async function inCopies<T>(
  items: readonly T[],
  work: (copy: string, item: T) => Promise<void>,
): Promise<void> {
  const queue = [...items];
  const worker = async (): Promise<void> => {
    const copy = copyProject();
    try {
      for (let item = queue.shift(); item !== undefined; item = queue.shift()) await work(copy, item);
    } finally {
      rmSync(copy, { recursive: true, force: true });
    }
  };
  await Promise.all(Array.from({ length: JOBS }, worker));
}

async function main(): Promise<number> {
  const mutations = await loadMutations(process.argv.slice(2));
  let failures = 0;
  const say = (name: string, problem: string | undefined): void => {
    if (problem !== undefined) failures++;
    process.stdout.write(
      `${problem === undefined ? 'caught  ' : 'SURVIVED'} ${name}${problem === undefined ? '' : `: ${problem}`}\n`,
    );
  };
  await inCopies([...new Set(mutations.map((mutation) => mutation.test))], async (copy, test) => {
    if (!(await runTest(copy, test))) say(test, 'fails without any mutation');
  });
  await inCopies(mutations, async (copy, mutation) => {
    say(mutation.name, await tryMutation(copy, mutation));
  });
  process.stdout.write(`mutate: ${String(mutations.length)} mutations, ${String(failures)} not caught\n`);
  return failures === 0 && mutations.length > 0 ? 0 : 1;
}

process.exitCode = await main();
