import { existsSync, readFileSync, renameSync } from 'node:fs';
import type { KeyObject } from 'node:crypto';
import type { Command } from 'commander';
import { formatVkey, noteSigner, parseCheckpoint, verifySignatures } from '../../audit/index.ts';
import { fromUtf8, jwkThumbprint, refuse } from '../../base/index.ts';
import type { JsonObject } from '../../base/index.ts';
import {
  KEYS,
  ROTATED_BY_BUNDLE,
  bundleHas,
  documentWithKeys,
  isRotatedByBundle,
  logOrigin,
  makeKey,
  readKeyRing,
  readTrustBundles,
  rotationOf,
  witnessName,
  writeNewFile,
} from '../../config/index.ts';
import type { KeyName, KeyRing, RotatedKey } from '../../config/index.ts';
import { trustBundleBytes } from '../../policy/index.ts';
import { writeWhole } from '../artifact-files.ts';
import { findConfig } from '../config-file.ts';
import type { FoundConfig } from '../config-file.ts';
import { UsageError } from '../errors.ts';
import { printDone, printList } from '../report.ts';
import type { CommandContext } from '../context.ts';

interface RotateOptions {
  readonly config?: string;
  readonly prepare?: true;
  readonly finish?: true;
  readonly output?: string;
}

const HELP = `
Two steps, each with a trust bundle that the authorities sign offline:

  sealgate key rotate log --prepare -o trust-2.json     makes keys/log.next.key; checkpoints are signed by both from the
                                                        next start on
  sealgate trust-bundle sign trust-2.json --key authority-1.key
  sealgate trust-bundle publish trust-2.json.dsse.json  then restart the verifier: hosts walk the chain
  sealgate key rotate log --finish -o trust-3.json      the next key becomes the key, the old one is gone
  sealgate trust-bundle sign …, publish …, restart

Give hosts and auditors time between the steps: who has not heard of version 2 when the old key goes still walks the
chain; an auditor's profile has to name the new log key before that.

Example:
  sealgate key rotate log --prepare -o trust-2.json --config /etc/sealgate/sealgate.yaml
`;

/** `sealgate key ls|rotate`: the verifier's keys, on its machine. */
export function registerKey(program: Command, context: CommandContext): void {
  const key = program.command('key').description('the verifier’s keys: looked at, rotated');
  key
    .command('ls')
    .description('every key, what it is for and how it is exchanged')
    .option('--config <file>', 'the verifier’s configuration file')
    .option('--json', 'one JSON document')
    .addHelpText('after', '\nExample:\n  sealgate key ls --config sealgate.yaml\n')
    .action(({ config }: { readonly config?: string }) => {
      const found = findConfig(config);
      const ring = readKeyRing(found.files);
      printList(
        context,
        'keys',
        KEYS.map((spec) => keyJson(spec.name, found, ring)),
        {
          name: textOf('name'),
          type: textOf('type'),
          public: textOf('public'),
          next: textOf('next'),
        },
      );
    });
  key
    .command('rotate <name>')
    .description(`exchange a key with overlap: ${ROTATED_BY_BUNDLE.join(', ')}`)
    .option('--prepare', 'make the next key, and the trust bundle that has both')
    .option('--finish', 'use the next key alone, and make the trust bundle without the old one')
    .option('-o, --output <file>', 'where the trust bundle goes, to be signed')
    .option('--config <file>', 'the verifier’s configuration file')
    .option('--json', 'one JSON document')
    .addHelpText('after', HELP)
    .action((name: string, options: RotateOptions) => {
      if (options.prepare === options.finish) throw new UsageError('give either --prepare or --finish');
      if (!KEYS.some((spec) => spec.name === name))
        throw new UsageError(`no key ${name}; there are: ${KEYS.map((spec) => spec.name).join(', ')}`);
      if (!isRotatedByBundle(name))
        throw new UsageError(`${name} is not rotated by a trust bundle: ${rotationOf(name as KeyName)}`);
      const found = findConfig(options.config);
      const facts = options.prepare === true ? prepare(name, found, options) : finish(name, found, options);
      printDone(context, options.prepare === true ? 'prepared' : 'finished', { name, ...facts });
    });
}

const textOf =
  (member: string) =>
  (item: JsonObject): string => {
    const value = item[member];
    return typeof value === 'string' ? value : '-';
  };

function keyJson(name: KeyName, { config, files }: FoundConfig, ring: KeyRing): JsonObject {
  const { type, purpose, online } =
    KEYS.find((spec) => spec.name === name) ?? refuse('key-file', 'no such key');
  const next = ring.successor(name);
  const names = { log: logOrigin(config), witness: witnessName(config) };
  const shown = (key: KeyObject): string =>
    name === 'log' || name === 'witness'
      ? formatVkey(noteSigner(names[name], name === 'log' ? 'note' : 'cosignature', key).key)
      : jwkThumbprint(key);
  return {
    ...{ name, type, purpose, online, file: online ? files.key(name) : null },
    public: online && type !== 'secret' ? shown(ring.privateKey(name)) : null,
    next: next === undefined ? null : shown(next),
    rotation: rotationOf(name),
  };
}

/** The next key (made once), and the trust bundle that has both. */
function prepare(name: RotatedKey, { config, files }: FoundConfig, { output }: RotateOptions): JsonObject {
  const ring = readKeyRing(files);
  const { current } = readTrustBundles(files, config, ring);
  let next = ring.successor(name);
  if (next === undefined) {
    const made = makeKey(name);
    writeNewFile(files.nextKey(name), made.pem, 0o600);
    next = made.key;
  }
  const keys = [ring.privateKey(name), next];
  const document = documentWithKeys(current, name, keys, logOrigin(config));
  return { nextKey: files.nextKey(name), ...written(document, output) };
}

/** The next key becomes the key; the trust bundle loses the old one. */
function finish(name: RotatedKey, { config, files }: FoundConfig, { output }: RotateOptions): JsonObject {
  const ring = readKeyRing(files);
  const { current } = readTrustBundles(files, config, ring);
  const origin = logOrigin(config);
  const next = ring.successor(name) ?? refuse('key-rotation', 'there is no next key: --prepare comes first');
  if (!bundleHas(current, name, next, origin))
    refuse('key-rotation', 'no published trust bundle has the next key: hosts would refuse it', {
      version: current.version,
    });
  if (name === 'log') requireSignedBy(files.highWater, next, origin);
  const document = documentWithKeys(current, name, [next], origin);
  const done = written(document, output);
  // One step: there is a key at every moment, and afterwards the old one is nowhere.
  renameSync(files.nextKey(name), files.key(name));
  return { key: files.key(name), ...done };
}

/** A log whose newest checkpoint the next key hasn't signed would start with a head that nobody can verify. */
function requireSignedBy(highWater: string, next: KeyObject, origin: string): void {
  const signed =
    existsSync(highWater) &&
    verifySignatures(parseCheckpoint(new Uint8Array(readFileSync(highWater))).note, [
      noteSigner(origin, 'note', next).key,
    ]).length === 1;
  if (!signed)
    refuse(
      'key-rotation',
      'the log’s newest checkpoint is not signed by the next key: restart the verifier first',
    );
}

function written(document: Parameters<typeof trustBundleBytes>[0], output: string | undefined): JsonObject {
  const file = output ?? `trust-${String(document.version)}.json`;
  writeWhole(file, fromUtf8(trustBundleBytes(document), 'trust bundle'));
  return { output: file, version: document.version };
}
