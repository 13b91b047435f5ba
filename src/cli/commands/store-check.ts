import { existsSync } from 'node:fs';
import type { Command } from 'commander';
import { Refusal, fromHex } from '../../base/index.ts';
import { readHighWater, requireContinues } from '../../server/high-water.ts';
import { checkStore, openSqlite, tileStore } from '../../store/index.ts';
import type { StoreFinding, StoreReport } from '../../store/index.ts';
import { findConfig } from '../config-file.ts';
import type { FoundConfig } from '../config-file.ts';
import { UsageError } from '../errors.ts';
import { paint, printJson, printable, table } from '../output.ts';
import type { CommandContext } from '../context.ts';
import { closedLogOf, progressOf, storeKeysOf } from '../store-keys.ts';
import { group } from './group.ts';

const HELP = `
Changes nothing, and may run beside the verifier. Checked are: the database's own integrity; the MAC of every row that
decides; every entry of the log and the tree made of them, against its hash tiles and the signed head; and that the log
continues the checkpoint in the high-water file.

--closed FILE looks at the store of a log that was closed (store restore --successor leaves it as store.db.closed-TIME), by the
keys that earlier trust bundles name.

Example:
  sealgate store check --config /etc/sealgate/sealgate.yaml
`;

/** `sealgate store check`: the store on this machine, without the verifier. */
export function registerStoreCheck(program: Command, context: CommandContext): void {
  group(program, 'store', 'the verifier’s store')
    .command('check')
    .description('check the whole store: rows, log, head, high-water mark')
    .option('--config <file>', 'the verifier’s configuration file')
    .option('--json', 'one JSON document')
    .addHelpText('after', HELP)
    .option('--closed <file>', 'the store of a log that was closed, in place of the store')
    .action(async ({ config, closed }: { readonly config?: string; readonly closed?: string }) => {
      const found = findConfig(config);
      const onProgress = progressOf(context, 'rows');
      const report = await (closed === undefined
        ? check(found, onProgress)
        : checkClosed(found, closed, onProgress));
      if (report.findings.length > 0) context.exit(1);
      print(context, report);
    });
}

async function check(found: FoundConfig, onProgress: (rows: number) => void): Promise<StoreReport> {
  const { files } = found;
  if (!existsSync(files.store)) throw new UsageError(`there is no store ${files.store}`);
  const keys = storeKeysOf(found);
  const findings: StoreFinding[] = [];
  // Read before the store is: beside a running verifier the file goes on, and the moment that is checked doesn't.
  const remembered = await noting(findings, () => readHighWater(files.highWater, keys.logKeys));
  const db = openSqlite(files.store);
  try {
    const report = await checkStore(db, keys, onProgress);
    const head = { size: BigInt(report.entries), tiles: tileStore(db) };
    if (remembered !== undefined) await noting(findings, () => requireContinues(head, remembered));
    return { ...report, findings: [...report.findings, ...findings] };
  } finally {
    await db.destroy();
  }
}

/** The store of a log that was closed: sound, and no more than it was closed at. */
async function checkClosed(
  found: FoundConfig,
  file: string,
  onProgress: (rows: number) => void,
): Promise<StoreReport> {
  if (!existsSync(file)) throw new UsageError(`there is no store ${file}`);
  const findings: StoreFinding[] = [];
  const db = openSqlite(file, 'DELETE');
  try {
    const row = await db.selectFrom('meta').select('value').where('name', '=', 'origin').executeTakeFirst();
    const { keys, closed } = closedLogOf(found, row?.value ?? '');
    const report = await checkStore(db, keys, onProgress);
    const size = BigInt(closed.size);
    const head = { size: BigInt(report.entries), tiles: tileStore(db) };
    if (head.size >= size) {
      const root = fromHex(closed.root.slice('sha256:'.length));
      await noting(findings, () => requireContinues(head, { origin: closed.origin, size, root }));
    }
    return { ...report, findings: [...report.findings, ...findings] };
  } finally {
    await db.destroy();
  }
}

/** What a check gives, or undefined and a finding. */
async function noting<T>(findings: StoreFinding[], check: () => Promise<T> | T): Promise<T | undefined> {
  try {
    return await check();
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    findings.push({ check: error.check, reason: error.reason });
    return undefined;
  }
}

function print({ io, json }: CommandContext, report: StoreReport): void {
  const { findings, entries, records, tiles, epoch, origin } = report;
  const ok = findings.length === 0;
  const facts = { entries, records, tiles, epoch, origin };
  if (json) {
    printJson(io, { ok, denial: null, ...facts, findings: findings.map((one) => ({ ...one })) });
    return;
  }
  io.stdout(`${ok ? paint(io, 'green', 'sound') : paint(io, 'red', 'not sound')}\n`);
  io.stdout(table(Object.entries(facts).map(([name, value]) => [`  ${name}`, printable(String(value))])));
  io.stdout(findings.map(findingLine).join(''));
}

const findingLine = ({ check, reason }: StoreFinding): string => `  [${check}] ${printable(reason)}\n`;
