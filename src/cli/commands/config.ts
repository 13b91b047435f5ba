import { existsSync, readdirSync } from 'node:fs';
import path from 'node:path';
import type { Command } from 'commander';
import { Refusal } from '../../base/index.ts';
import type { JsonObject, JsonValue } from '../../base/index.ts';
import { VERIFIER_SCHEMA, configKeys, expiryOf, readKeyRing, readTrustBundles } from '../../config/index.ts';
import type { Expiry } from '../../config/index.ts';
import { toDenial } from '../../lifecycle/denial.ts';
import { systemClock } from '../clock.ts';
import { findConfig } from '../config-file.ts';
import type { FoundConfig } from '../config-file.ts';
import { paint, printJson, printable, table } from '../output.ts';
import { printDenial } from '../report.ts';
import type { CommandContext } from '../context.ts';
import { group } from './group.ts';

interface Options {
  readonly config?: string;
}

/** `sealgate config schema|show|check`. */
export function registerConfig(program: Command, context: CommandContext): void {
  const config = group(program, 'config', 'the configuration of a verifier');
  config
    .command('schema')
    .description('print the JSON Schema of sealgate.yaml, for editors')
    .option('--json', 'one JSON document (it is one anyway)')
    .addHelpText('after', '\nExample:\n  sealgate config schema > sealgate.schema.json\n')
    .action(() => {
      // A TypeBox schema is the JSON Schema itself; its type just has no index signature.
      const schema = VERIFIER_SCHEMA as unknown as JsonObject;
      printJson(context.io, { $schema: 'https://json-schema.org/draft/2020-12/schema', ...schema });
    });
  config
    .command('show')
    .description('print every key, its value and where it comes from')
    .option('--config <file>', 'the configuration file')
    .option('--json', 'one JSON document')
    .addHelpText('after', '\nExample:\n  SEALGATE_LISTEN_PORT=9443 sealgate config show\n')
    .action((options: Options) => {
      show(context, findConfig(options.config));
    });
  config
    .command('check')
    .description('judge the configuration, the keys, their modes, and what is about to end')
    .option('--config <file>', 'the configuration file')
    .option('--json', 'one JSON document')
    .addHelpText('after', '\nExample:\n  sealgate config check --config /etc/sealgate/sealgate.yaml\n')
    .action((options: Options) => {
      check(context, findConfig(options.config));
    });
}

function show({ io, json }: CommandContext, { config, sources, files }: FoundConfig): void {
  const rows = [...sources].map(([{ path }, source]) => {
    const value = path.reduce<unknown>((at, name) => (at as JsonObject)[name], config) as JsonValue;
    return { key: path.join('.'), value, source };
  });
  if (json) printJson(io, { ok: true, denial: null, file: files.config, keys: rows });
  else {
    io.stdout(`${printable(files.config)}\n`);
    io.stdout(table(rows.map(({ key, value, source }) => [key, printable(JSON.stringify(value)), source])));
  }
}

function check(context: CommandContext, { config, files }: FoundConfig): void {
  const { io, json } = context;
  const expiries: Expiry[] = [];
  try {
    const ring = readKeyRing(files);
    readTrustBundles(files, config, ring);
    const now = systemClock.now();
    for (const name of ['tls-ca', 'tls', 'operator-ca', 'agent-ca', 'svid-ca', 'ak-ca'] as const)
      expiries.push(expiryOf(name, ring.certificate(name), now));
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    context.exit(1);
    printDenial(toDenial(error), io, json, { file: files.config, expiries: [], warnings: [] });
    return;
  }
  const warnings = [...expiryWarnings(expiries), ...offlineWarnings(files), ...variableWarnings(process.env)];
  const expired = expiries.some(({ level }) => level === 'expired');
  if (expired) context.exit(1);
  const plain = expiries.map((one) => ({ ...one, notAfter: new Date(one.notAfter).toISOString() }));
  if (json) {
    printJson(io, {
      ok: !expired,
      denial: null,
      file: files.config,
      trustDomain: config.trustDomain,
      expiries: plain,
      warnings,
    });
    return;
  }
  io.stdout(
    `${paint(io, expired ? 'red' : 'green', expired ? 'not usable' : 'in order')} ${printable(files.config)}\n`,
  );
  io.stdout(table(plain.map(({ what, notAfter, days }) => [`  ${what}`, notAfter, `${String(days)} days`])));
  for (const warning of warnings) io.stdout(`${paint(io, 'yellow', 'warning')} ${printable(warning)}\n`);
}

const WARNINGS = {
  '30-days': 'ends in 30 days or less',
  '7-days': 'ends in 7 days or less',
  '1-day': 'ends within a day',
  expired: 'has ended',
};

function expiryWarnings(expiries: readonly Expiry[]): string[] {
  return expiries.flatMap(({ what, level }) => (level === 'ok' ? [] : [`${what} ${WARNINGS[level]}`]));
}

/** Keys that a running verifier doesn't need are worth most to who steals them. */
function offlineWarnings(files: FoundConfig['files']): string[] {
  const directory = path.join(path.dirname(files.config), 'offline');
  const names = existsSync(directory) ? readdirSync(directory).sort() : [];
  return names
    .filter((name) => name.endsWith('.key'))
    .map((name) => `the key ${name.slice(0, -4)} is still on this machine: take it offline`);
}

/** A misspelt override would be the default, silently. */
function variableWarnings(environment: NodeJS.ProcessEnv): string[] {
  const known = new Set([...configKeys(VERIFIER_SCHEMA).map(({ variable }) => variable), ...OTHER_VARIABLES]);
  return Object.keys(environment)
    .filter((name) => name.startsWith('SEALGATE_') && !known.has(name))
    .map((name) => `the environment has ${name}, which is no key`);
}

/** Read elsewhere: where a user's own files are, and where the configuration is. */
const OTHER_VARIABLES = ['SEALGATE_HOME', 'SEALGATE_CONFIG'];
