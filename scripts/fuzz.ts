/**
 * Mutation fuzzing with a corpus that V8's precise coverage keeps: an input that reaches a block no input reached
 * before is kept and mutated further. A target may only return or throw a Refusal; anything else (another error, a
 * run over the time limit) is a crash, whose input is written to .cache/fuzz/ and whose seed is printed.
 */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { Session } from 'node:inspector';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { Refusal } from '../src/base/index.ts';
import { mutate, seededRandom } from './lib/mutation.ts';

/** A parser under test: where its inputs start, and what is run on each. */
export interface FuzzTarget {
  readonly seeds: () => Uint8Array[];
  readonly run: (input: Uint8Array) => void;
}

const ROOT = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
/** Longer than any parser may take on an input of a few kilobytes, even on a busy machine. */
const SLOW_MS = 2_000;
const MAX_INPUT = 256 * 1024;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    all: { type: 'boolean' },
    list: { type: 'boolean' },
    seconds: { type: 'string' },
    seed: { type: 'string' },
    jobs: { type: 'string', default: '1' },
    help: { type: 'boolean', short: 'h' },
  },
});

const USAGE = `usage: scripts/fuzz NAME… [--seconds N] [--seed N]   one after the other; without --seconds the first until it is stopped
       scripts/fuzz --all --seconds N [--jobs N]   every target, each for N seconds, in N processes
       scripts/fuzz --list
`;

async function main(): Promise<number> {
  const targets = await loadTargets();
  if (values.list) {
    process.stdout.write([...targets.keys()].map((name) => `${name}\n`).join(''));
    return 0;
  }
  const seconds = values.seconds === undefined ? Infinity : Number(values.seconds);
  if (values.all) return await fuzzAll([...targets.keys()], seconds, Number(values.jobs));
  const unknown = positionals.filter((name) => !targets.has(name));
  if (values.help || positionals.length === 0 || unknown.length > 0 || Number.isNaN(seconds)) {
    process.stderr.write(unknown.length > 0 ? `no target ${unknown.join(' ')}\n${USAGE}` : USAGE);
    return values.help ? 0 : 2;
  }
  const coverage = new Coverage();
  await coverage.start();
  let status = 0;
  for (const [name, target] of targets) {
    if (!positionals.includes(name)) continue;
    await coverage.forget();
    const seed = Number(values.seed ?? Date.now() % 1_000_000);
    // A target that crashes doesn't keep the others from being fuzzed.
    status = Math.max(status, await fuzz({ name, target, coverage, seconds, seed }));
  }
  return status;
}

async function loadTargets(): Promise<Map<string, FuzzTarget>> {
  const folder = path.join(ROOT, 'scripts/fuzz-targets');
  const targets = new Map<string, FuzzTarget>();
  for (const file of readdirSync(folder).sort()) {
    const module = (await import(pathToFileURL(path.join(folder, file)).href)) as {
      targets: Record<string, FuzzTarget>;
    };
    for (const [name, target] of Object.entries(module.targets)) targets.set(name, target);
  }
  return targets;
}

/** Every target in one of `jobs` processes: loading the project takes longer than a short time box. */
async function fuzzAll(names: readonly string[], seconds: number, jobs: number): Promise<number> {
  const shards = Array.from({ length: jobs }, (_, job) => names.filter((_name, i) => i % jobs === job));
  const passed = await Promise.all(
    shards.filter((shard) => shard.length > 0).map((shard) => fuzzShard(shard, seconds)),
  );
  const missing = names.filter((name) => !passed.some((shard) => shard.has(name)));
  process.stdout.write(
    `fuzz: ${String(names.length)} targets, ${String(missing.length)} failed ${missing.join(' ')}\n`,
  );
  return missing.length === 0 && names.length > 0 ? 0 : 1;
}

/** @returns the targets that were fuzzed to the end; one whose process died is none */
async function fuzzShard(names: readonly string[], seconds: number): Promise<ReadonlySet<string>> {
  const child = spawn(path.join(ROOT, 'scripts/fuzz'), [...names, '--seconds', String(seconds)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const passed = new Set<string>();
  for await (const line of createInterface({ input: child.stdout })) {
    process.stdout.write(`${line}\n`);
    const name = /^fuzz ([^ ]+): ok, /.exec(line)?.[1];
    if (name !== undefined) passed.add(name);
  }
  return passed;
}

interface Run {
  readonly name: string;
  readonly target: FuzzTarget;
  readonly coverage: Coverage;
  readonly seconds: number;
  readonly seed: number;
}

async function fuzz({ name, target, coverage, seconds, seed }: Run): Promise<number> {
  const random = seededRandom(seed);
  const corpus = target.seeds();
  if (corpus.length === 0) throw new Error(`${name} has no seeds`);
  for (const input of corpus) {
    const crash = execute(target, input);
    if (crash !== undefined) return reportCrash(name, input, crash, seed);
  }
  await coverage.isNew();
  const end = performance.now() + seconds * 1000;
  let runs = 0;
  while (performance.now() < end) {
    const parent = corpus[random(corpus.length)] ?? new Uint8Array();
    const input = mutate(parent, corpus, random, MAX_INPUT);
    const crash = execute(target, input);
    if (crash !== undefined) return reportCrash(name, input, crash, seed);
    // Reading coverage costs more than most parsers; one input in four is looked at.
    if (runs++ % 4 === 0 && (await coverage.isNew())) corpus.push(input);
  }
  process.stdout.write(
    `fuzz ${name}: ok, ${String(runs)} runs, corpus ${String(corpus.length)}, seed ${String(seed)}\n`,
  );
  return 0;
}

/** The error that isn't a refusal, if any. */
function execute(target: FuzzTarget, input: Uint8Array): unknown {
  const start = process.cpuUsage();
  try {
    target.run(input);
  } catch (error) {
    if (!(error instanceof Refusal)) return error;
  }
  // Processor time: on a busy machine the clock says little about the input.
  const { user, system } = process.cpuUsage(start);
  const took = (user + system) / 1000;
  return took > SLOW_MS ? new Error(`took ${took.toFixed(0)} ms`) : undefined;
}

function reportCrash(name: string, input: Uint8Array, error: unknown, seed: number): number {
  const folder = path.join(ROOT, '.cache/fuzz');
  mkdirSync(folder, { recursive: true });
  const file = path.join(folder, `${name}-${createHash('sha256').update(input).digest('hex').slice(0, 16)}`);
  writeFileSync(file, input);
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
  process.stderr.write(
    `fuzz ${name}: CRASH, seed ${String(seed)}, input ${path.relative(ROOT, file)}\n${text}\n`,
  );
  return 1;
}

/** Block coverage of the project's own code since the last look. */
class Coverage {
  readonly #session = new Session();
  #seen = new Set<string>();

  async start(): Promise<void> {
    this.#session.connect();
    await this.#post('Profiler.enable');
    await this.#post('Profiler.startPreciseCoverage', { callCount: true, detailed: true });
  }

  /** Everything is new again, and what ran before this counts for nothing: another target begins. */
  async forget(): Promise<void> {
    await this.isNew();
    this.#seen = new Set();
  }

  /** True when a block ran that no input reached before. */
  async isNew(): Promise<boolean> {
    const { result } = (await this.#post('Profiler.takePreciseCoverage')) as {
      result: {
        url: string;
        functions: { ranges: { startOffset: number; endOffset: number; count: number }[] }[];
      }[];
    };
    const before = this.#seen.size;
    for (const script of result) {
      if (!script.url.includes('/src/')) continue;
      for (const { ranges } of script.functions) {
        for (const range of ranges) {
          if (range.count > 0)
            this.#seen.add(`${script.url}:${String(range.startOffset)}-${String(range.endOffset)}`);
        }
      }
    }
    return this.#seen.size > before;
  }

  #post(method: string, parameters: object = {}): Promise<unknown> {
    return new Promise((resolve, reject) => {
      this.#session.post(method, parameters, (error, result) => {
        if (error) reject(error);
        else resolve(result);
      });
    });
  }
}

process.exitCode = await main();
