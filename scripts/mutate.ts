/**
 * Applies the patches of scripts/mutations/ to a copy of the project, one at a time, and runs the test that must then
 * fail. A mutation that survives means a check that no test guards. Each test file is first seen to pass unpatched.
 */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, mkdtempSync, readFileSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import type { Mutation } from './lib/mutations.ts';

const USAGE = `usage: scripts/mutate [--list] [--changed[=COMMIT]] [--jobs N] [WORD...]

Breaks each check on purpose, in a copy of the project, and sees its test fail.
  WORD              only mutations whose name, file or test contains one of the words
  --changed=COMMIT  only those whose file or test is another than in COMMIT (--changed alone: than the last commit)
  --list            say which, and run nothing
  --jobs N          at one time (2)

Exit 0 when every mutation was caught, 1 when one survived, 2 for wrong usage.
Example: scripts/mutate --changed=HEAD~3 enroll
`;

/** Characters that are shown of a test that fails by itself. */
const MOST_OUTPUT = 4000;

const ROOT = path.dirname(path.dirname(fileURLToPath(import.meta.url)));

interface Options {
  readonly words: readonly string[];
  /** The commit to compare with. */
  readonly changed: string | undefined;
  readonly list: boolean;
  readonly jobs: number;
}

/** @throws TypeError for what {@link USAGE} doesn't have */
function readOptions(argv: readonly string[]): Options | 'help' {
  // `--changed` alone has a value too, so that parseArgs doesn't take the next word for it.
  const args = argv.map((argument) => (argument === '--changed' ? '--changed=HEAD' : argument));
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: {
      changed: { type: 'string' },
      list: { type: 'boolean', default: false },
      jobs: { type: 'string', default: '2' },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  if (values.help) return 'help';
  const jobs = Number(values.jobs);
  if (!Number.isInteger(jobs) || jobs < 1 || jobs > 64)
    throw new TypeError('--jobs is a number from 1 to 64');
  return { words: positionals, changed: values.changed, list: values.list, jobs };
}

/** @throws TypeError when no mutation is left */
async function loadMutations({ words, changed }: Options): Promise<Mutation[]> {
  const folder = path.join(ROOT, 'scripts/mutations');
  const all: Mutation[] = [];
  for (const file of readdirSync(folder).sort()) {
    const module = (await import(pathToFileURL(path.join(folder, file)).href)) as {
      mutations: readonly Mutation[];
    };
    all.push(...module.mutations);
  }
  if (new Set(all.map(({ name }) => name)).size !== all.length) throw new Error('two mutations share a name');
  const touched = changed === undefined ? undefined : changedSince(changed);
  const chosen = all.filter(
    ({ name, file, test }) =>
      (words.length === 0 || words.some((word) => [name, file, test].some((text) => text.includes(word)))) &&
      (touched === undefined || touched.has(file) || touched.has(test)),
  );
  // Nothing changed is nothing to do; a word that finds nothing is a typing error.
  if (chosen.length === 0 && touched === undefined)
    throw new TypeError(`no mutation has ${words.join(' or ')}`);
  return chosen;
}

function changedSince(commit: string): ReadonlySet<string> {
  const git = (...args: string[]): string[] =>
    execFileSync('git', args, { cwd: ROOT, encoding: 'utf8' }).split('\n').filter(Boolean);
  return new Set([
    ...git('diff', '--name-only', '--end-of-options', commit),
    ...git('ls-files', '--others', '--exclude-standard'),
  ]);
}

/** Mutations by their test, those first that have the most. */
function byTest(mutations: readonly Mutation[]): (readonly [string, readonly Mutation[]])[] {
  const groups = new Map<string, Mutation[]>();
  for (const mutation of mutations) {
    const group = groups.get(mutation.test) ?? [];
    group.push(mutation);
    groups.set(mutation.test, group);
  }
  return [...groups].sort(([, a], [, b]) => b.length - a.length);
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

interface TestRun {
  readonly passed: boolean;
  /** What it printed. */
  readonly output: string;
}

async function runTest(copy: string, test: string): Promise<TestRun> {
  const child = spawn(process.execPath, ['node_modules/vitest/vitest.mjs', 'run', test, '--bail=1'], {
    cwd: copy,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => {
      output += text;
    });
  const [status] = (await once(child, 'close')) as [number | null];
  return { passed: status === 0, output };
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
  const { passed: survived } = await runTest(copy, mutation.test);
  writeFileSync(file, original);
  return survived ? `survived ${mutation.test}` : undefined;
}

async function inCopies<T>(
  items: readonly T[],
  jobs: number,
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
  await Promise.all(Array.from({ length: Math.min(jobs, items.length) }, worker));
}

async function run(mutations: readonly Mutation[], jobs: number): Promise<number> {
  const failures: string[] = [];
  const say = (name: string, problem: string | undefined): void => {
    if (problem === undefined) {
      process.stdout.write(`caught   ${name}\n`);
      return;
    }
    failures.push(name);
    process.stdout.write(`SURVIVED ${name}: ${problem}\n`);
  };
  await inCopies(byTest(mutations), jobs, async (copy, [test, group]) => {
    // Where the test fails anyway, that it fails with a mutation says nothing.
    const sound = await runTest(copy, test);
    if (!sound.passed) {
      process.stdout.write(`${sound.output.slice(-MOST_OUTPUT)}\n`);
      for (const { name } of group) say(name, `${test} fails without any mutation`);
      return;
    }
    for (const mutation of group) say(mutation.name, await tryMutation(copy, mutation));
  });
  if (failures.length > 0) process.stdout.write(`again: scripts/mutate ${failures.join(' ')}\n`);
  process.stdout.write(
    `mutate: ${String(mutations.length)} mutations, ${String(failures.length)} not caught\n`,
  );
  return failures.length === 0 ? 0 : 1;
}

async function main(argv: readonly string[]): Promise<number> {
  try {
    const options = readOptions(argv);
    if (options === 'help') {
      process.stdout.write(USAGE);
      return 0;
    }
    const mutations = await loadMutations(options);
    if (!options.list) return await run(mutations, options.jobs);
    for (const { name, file, test } of mutations) process.stdout.write(`${name}  ${file}  ${test}\n`);
    return 0;
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    process.stderr.write(`scripts/mutate: ${error.message}\n\n${USAGE}`);
    return 2;
  }
}

process.exitCode = await main(process.argv.slice(2));
