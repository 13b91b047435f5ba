import { existsSync } from 'node:fs';
import type { Command } from 'commander';
import { Refusal } from '../../base/index.ts';
import { logKeysOf, readKeyRing } from '../../config/index.ts';
import { requireHighWater } from '../../server/high-water.ts';
import { checkStore, deriveKey, openSqlite, tileStore } from '../../store/index.ts';
import type { StoreFinding, StoreReport } from '../../store/index.ts';
import { systemClock } from '../clock.ts';
import { findConfig } from '../config-file.ts';
import type { FoundConfig } from '../config-file.ts';
import { UsageError } from '../errors.ts';
import { paint, printJson, printable, table } from '../output.ts';
import type { CommandContext } from '../context.ts';
import { group } from './group.ts';

const HELP = `
Changes nothing, and may run beside the verifier. Checked are: the database's own integrity; the MAC of every row that
decides; every entry of the log and the tree made of them, against its hash tiles and the signed head; and that the log
continues the checkpoint in the high-water file.

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
    .action(async (options: { readonly config?: string }) => {
      const report = await check(findConfig(options.config), progressOf(context));
      if (report.findings.length > 0) context.exit(1);
      print(context, report);
    });
}

async function check(found: FoundConfig, onProgress: (rows: number) => void): Promise<StoreReport> {
  const { config, files } = found;
  if (!existsSync(files.store)) throw new UsageError(`there is no store ${files.store}`);
  const ring = readKeyRing(files);
  const logKeys = logKeysOf(ring, config);
  const db = openSqlite(files.store);
  try {
    const macKey = deriveKey(ring.secret('master'), 'record-mac');
    const report = await checkStore(db, { macKey, logKeys }, onProgress);
    const findings = [...report.findings];
    try {
      const head = { size: BigInt(report.entries), tiles: tileStore(db) };
      await requireHighWater(files.highWater, head, logKeys);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      findings.push({ check: error.check, reason: error.reason });
    }
    return { ...report, findings };
  } finally {
    await db.destroy();
  }
}

function progressOf({ io }: CommandContext): (rows: number) => void {
  let last = systemClock.now();
  return (rows) => {
    const now = systemClock.now();
    if (now - last < 1000) return;
    last = now;
    io.stderr(`${String(rows)} rows\n`);
  };
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
