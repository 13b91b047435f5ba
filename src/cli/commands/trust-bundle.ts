import { existsSync } from 'node:fs';
import path from 'node:path';
import type { Command } from 'commander';
import { parseDsse, parsePrivateKey } from '../../artifact/index.ts';
import type { DsseEnvelope } from '../../artifact/index.ts';
import { formatVkey, parseCheckpoint, parseQuorumPolicy, verifyCheckpoint } from '../../audit/index.ts';
import { LIMITS, equalBytes, fromUtf8, refuse, toHex } from '../../base/index.ts';
import type { JsonObject } from '../../base/index.ts';
import { nextDocument, publishTrustBundle, readKeyRing, readTrustBundles } from '../../config/index.ts';
import { TRUST_BUNDLE_TYPE, readTrustBundle, signAsAuthority, trustBundleBytes } from '../../policy/index.ts';
import type { Succession, TrustBundle, TrustBundleDocument, TrustChain } from '../../policy/index.ts';
import { lockFile } from '../../store/index.ts';
import { writeWhole } from '../artifact-files.ts';
import { findConfig } from '../config-file.ts';
import { UsageError } from '../errors.ts';
import { readInput } from '../input.ts';
import { readAnyTrust } from '../trust-bundle-files.ts';
import { printDone } from '../report.ts';
import { logKeysOfChain } from '../store-keys.ts';
import type { CommandContext } from '../context.ts';

const FILE = 'the verifier’s configuration file';

/** `sealgate trust-bundle show|prepare|sign|publish`: whom hosts believe, in versions that the authorities sign. */
export function registerTrustBundle(program: Command, context: CommandContext): void {
  const group = program
    .command('trust-bundle')
    .description('the trust bundle: keys, authorities and witnesses that hosts believe');
  registerShow(group, context);
  registerPrepare(group, context);
  registerSign(group, context);
  registerPublish(group, context);
}

function registerShow(group: Command, context: CommandContext): void {
  group
    .command('show [file]')
    .description(
      'the newest version, or that of a file: signed or not, or the list that a verifier publishes',
    )
    .option('--config <file>', FILE)
    .option('--json', 'one JSON document')
    .addHelpText('after', '\nExample:\n  sealgate trust-bundle show trust-2.json\n')
    .action((file: string | undefined, { config }: { readonly config?: string }) => {
      printDone(
        context,
        'trust bundle',
        bundleJson(file === undefined ? published(config) : readAnyTrust(file)),
      );
    });
}

function registerPrepare(group: Command, context: CommandContext): void {
  group
    .command('prepare')
    .description('write the next version, to be signed: the same, with other witnesses, or closed at more')
    .option('--witnesses <file>', 'a tlog-policy file, or "none": what hosts ask of every checkpoint')
    .option('--known <file>', 'a checkpoint of the log that was closed last: that one is closed at it')
    .option('-o, --output <file>', 'where it goes')
    .option('--config <file>', FILE)
    .option('--json', 'one JSON document')
    .addHelpText(
      'after',
      '\nKeys are exchanged by sealgate key rotate, logs by sealgate store restore --successor. --known is for a host that\nhas seen more of a closed log than it was closed at (log-succession): give the checkpoint of its state directory.\n\nExample:\n  sealgate trust-bundle prepare --witnesses quorum.policy -o trust-2.json\n',
    )
    .action((options: PrepareOptions) => {
      const { witnesses, known } = options;
      if (witnesses === undefined && known === undefined)
        throw new UsageError('say what changes: --witnesses or --known');
      const { chain, current } = publishedChain(options.config);
      const document: TrustBundleDocument = {
        ...nextDocument(current),
        ...(witnesses === undefined ? {} : { witnesses: witnessesOf(witnesses) }),
        ...(known === undefined ? {} : { succession: closedAt(known, chain, current) }),
      };
      const output = options.output ?? `trust-${String(document.version)}.json`;
      writeWhole(output, fromUtf8(trustBundleBytes(document), 'trust bundle'));
      printDone(context, 'prepared', { output, version: document.version });
    });
}

interface PrepareOptions {
  readonly witnesses?: string;
  readonly known?: string;
  readonly output?: string;
  readonly config?: string;
}

/** The succession with its last log closed at a checkpoint of it that somebody has. @throws Refusal `log-origin`, `log-signature` */
function closedAt(file: string, chain: TrustChain['chain'], current: TrustBundle): readonly Succession[] {
  const last = current.succession.at(-1);
  if (last === undefined) throw new UsageError('--known is for a log that was closed, and none was');
  const checkpoint = parseCheckpoint(readInput(file, 'checkpoint', 128 * 1024));
  verifyCheckpoint(
    checkpoint,
    logKeysOfChain(chain).filter(({ name }) => name === last.closed.origin),
  );
  const { origin, size, root } = checkpoint.claimed;
  if (size <= BigInt(last.closed.size))
    throw new UsageError(
      `the log was closed at ${last.closed.size} entries, the checkpoint has ${String(size)}`,
    );
  const closed = { origin, size: String(size), root: `sha256:${toHex(root)}` };
  return [...current.succession.slice(0, -1), { ...last, closed }];
}

function witnessesOf(file: string): string | null {
  if (file === 'none') return null;
  const bytes = readInput(file, 'tlog-policy', 64 * 1024);
  parseQuorumPolicy(bytes);
  return fromUtf8(bytes, 'tlog-policy');
}

function registerSign(group: Command, context: CommandContext): void {
  group
    .command('sign <file>')
    .description('sign a version as one of the authorities: FILE.dsse.json')
    .requiredOption('--key <file>', 'the authority’s private key (PEM)')
    .option('-o, --output <file>', 'where the envelope goes')
    .option('--json', 'one JSON document')
    .addHelpText(
      'after',
      '\nRead what you sign first: sealgate trust-bundle show FILE. Each authority of the version before signs in turn; the\nfile collects the signatures.\n' +
        '\nExample:\n  sealgate trust-bundle sign trust-2.json --key policy-authority-1.key\n',
    )
    .action((file: string, options: { readonly key: string; readonly output?: string }) => {
      const payload = readInput(file, 'trust bundle', LIMITS.signature);
      const bundle = readTrustBundle(payload);
      const { version, digest } = bundle;
      const key = parsePrivateKey(readInput(options.key, 'private key', 65_536));
      const output = options.output ?? `${path.resolve(file)}.dsse.json`;
      const envelope = signAsAuthority(payload, TRUST_BUNDLE_TYPE, key, begun(output, payload));
      writeWhole(output, `${JSON.stringify(envelope)}\n`);
      const signatures = (envelope['signatures'] as readonly unknown[]).length;
      printDone(context, 'signed', {
        ...{ output, version, digest, key: key.publicKey.fingerprint, signatures },
        succession: successionJson(bundle),
      });
    });
}

function registerPublish(group: Command, context: CommandContext): void {
  group
    .command('publish <envelope>')
    .description('make a signed version the newest; the verifier shows it from its next start on')
    .option('--config <file>', FILE)
    .option('--json', 'one JSON document')
    .addHelpText(
      'after',
      '\nEnough authorities of the version before must have signed, and the verifier’s own keys must be in it.\n' +
        '\nExample:\n  sealgate trust-bundle publish trust-2.json.dsse.json --config sealgate.yaml\n',
    )
    .action((file: string, { config: named }: { readonly config?: string }) => {
      const { config, files } = findConfig(named);
      const envelope = readInput(file, 'DSSE envelope', LIMITS.signature);
      const lock =
        lockFile(files.trustBundles) ??
        refuse('trust-bundle-lock', 'another version is being published at this moment');
      try {
        const { current } = publishTrustBundle(envelope, files, config, readKeyRing(files));
        printDone(context, 'published', { ...bundleJson(current), file: files.trustBundles });
      } finally {
        lock.release();
      }
    });
}

function publishedChain(named: string | undefined): TrustChain {
  const { config, files } = findConfig(named);
  return readTrustBundles(files, config, readKeyRing(files));
}
const published = (named: string | undefined): TrustBundle => publishedChain(named).current;

/** The envelope that is there, when it is over exactly these bytes: nobody's signature is carried to others. */
function begun(file: string, payload: Uint8Array): DsseEnvelope | undefined {
  if (!existsSync(file)) return undefined;
  const envelope = parseDsse(readInput(file, 'DSSE envelope', LIMITS.signature));
  if (envelope.payloadType !== TRUST_BUNDLE_TYPE || !equalBytes(envelope.payload, payload)) return undefined;
  return envelope;
}

function bundleJson(bundle: TrustBundle): JsonObject {
  const { version, digest, previous, trustDomain, issuer, authorities, keys, log, document } = bundle;
  return {
    ...{ version, digest, previous, trustDomain, issuer },
    log: log.map(formatVkey),
    keys: Object.fromEntries(Object.entries(keys).map(([name, list]) => [name, list.map(({ kid }) => kid)])),
    authorities: {
      threshold: authorities.threshold,
      keys: authorities.keys.map(({ name, key }) => ({ name, fingerprint: key.fingerprint })),
    },
    witnesses: document.witnesses,
    succession: successionJson(bundle),
  };
}

/** With what is said of each closed log's entries in so many words, for who signs: `forgotten` is what the least is. */
function successionJson({ succession }: TrustBundle): readonly JsonObject[] {
  return succession.map(({ closed, kept, opened }) => ({
    closed: { ...closed },
    ...{ kept, forgotten: String(BigInt(closed.size) - BigInt(kept)) },
    opened: { ...opened },
  }));
}
