import { Option } from 'commander';
import type { Command } from 'commander';
import type { JsonObject } from '../../base/index.ts';
import { addToStore, defaultRole, removeFromStore } from '../../x509/index.ts';
import type { TrustEntry, TrustPurpose } from '../../x509/index.ts';
import { readCertificates } from '../certificate-files.ts';
import { systemClock } from '../clock.ts';
import { UsageError } from '../errors.ts';
import { paint, printJson, printable, table } from '../output.ts';
import type { CommandContext } from '../context.ts';
import { shippedRoots } from '../shipped-roots.ts';
import { defaultTrustFile, readTrustFile, updateTrustFile } from '../trust-file.ts';
import { group } from './group.ts';

interface TrustOptions {
  readonly vendor?: string;
  readonly purpose?: TrustPurpose;
  readonly anchor?: boolean;
  readonly available?: boolean;
  readonly trustFile?: string;
}

const PURPOSE = 'what the certificates are trusted for: EK or AK certificates';
const TRUST_FILE =
  'where the roots are kept (default: $SEALGATE_HOME/trust.json or ~/.config/sealgate/trust.json)';

/** `sealgate trust add|ls|rm`: which roots EK and AK certificates may end at. */
export function registerTrust(program: Command, context: CommandContext): void {
  const trust = group(program, 'trust', 'the roots that EK and AK certificates may end at');
  const command = (name: string, description: string, example: string): Command =>
    trust
      .command(name)
      .description(description)
      .option('--trust-file <file>', TRUST_FILE)
      .option('--json', 'one JSON document')
      .addHelpText('after', `\nExample:\n${example}\n`);

  command(
    'add [files...]',
    'trust certificates: a shipped manufacturer’s, or files (PEM or DER)',
    '  sealgate trust add --vendor infineon\n  sealgate trust add our-root.pem --purpose ak',
  )
    .option('--vendor <name>', 'the shipped certificates of this manufacturer; see: trust ls --available')
    .addOption(new Option('--purpose <purpose>', PURPOSE).choices(['ek', 'ak']).default('ek'))
    .option('--anchor', 'let paths end at these certificates although they are not self-signed')
    .action((files: readonly string[], options: TrustOptions) => {
      add(context, files, options);
    });
  command(
    'ls',
    'list trusted certificates with their fingerprints',
    '  sealgate trust ls\n  sealgate trust ls --available',
  )
    .addOption(new Option('--purpose <purpose>', PURPOSE).choices(['ek', 'ak']))
    .option('--available', 'list what is shipped and can be added')
    .action((options: TrustOptions) => {
      list(context, options);
    });
  command(
    'rm [fingerprint]',
    'no longer trust a certificate, or a manufacturer’s',
    '  sealgate trust rm 899e35474c9807eb\n  sealgate trust rm --vendor infineon',
  )
    .option('--vendor <name>', 'everything that was added for this manufacturer')
    .addOption(new Option('--purpose <purpose>', PURPOSE).choices(['ek', 'ak']))
    .action((fingerprint: string | undefined, options: TrustOptions) => {
      remove(context, fingerprint, options);
    });
}

function add(context: CommandContext, files: readonly string[], options: TrustOptions): void {
  if ((files.length === 0) === (options.vendor === undefined))
    throw new UsageError('give either files or --vendor NAME');
  const entries =
    options.vendor === undefined ? fromFiles(files, options) : fromVendor(options.vendor, options);
  const file = options.trustFile ?? defaultTrustFile();
  updateTrustFile(file, (store) => entries.reduce(addToStore, store));
  show(context, file, 'added', entries);
  if (!context.json && !entries.some(({ role }) => role === 'anchor')) {
    context.io.stdout(
      'none of these is self-signed: they help to build paths, but no path ends at them (see --anchor)\n',
    );
  }
}

function fromFiles(
  files: readonly string[],
  { purpose = 'ek', anchor }: TrustOptions,
): readonly TrustEntry[] {
  return readCertificates(files).map((certificate) => ({
    purpose,
    role: anchor === true ? 'anchor' : defaultRole(certificate),
    vendor: undefined,
    certificate,
  }));
}

function fromVendor(vendor: string, { purpose = 'ek', anchor }: TrustOptions): readonly TrustEntry[] {
  const all = shippedRoots();
  const found = all.filter((shipped) => shipped.vendor === vendor);
  if (found.length === 0) {
    const names = [...new Set(all.map((shipped) => shipped.vendor))].join(', ');
    throw new UsageError(`no certificates of ${vendor} are shipped; there are: ${names}`);
  }
  return found.map(({ role, certificate }) => ({
    purpose,
    role: anchor === true ? 'anchor' : role,
    vendor,
    certificate,
  }));
}

function list(context: CommandContext, options: TrustOptions): void {
  const file = options.trustFile ?? defaultTrustFile();
  const store = readTrustFile(file);
  const trusted = store.entries.filter(
    ({ purpose }) => options.purpose === undefined || purpose === options.purpose,
  );
  if (options.available !== true) {
    show(context, file, 'certificates', trusted);
    return;
  }
  const rows = shippedRoots().map((shipped) => ({
    ...certificateJson({ ...shipped, purpose: 'ek' }),
    // Shipped is not trusted: the purposes for which the operator added it.
    purpose: trusted
      .filter(({ certificate }) => certificate.fingerprint === shipped.certificate.fingerprint)
      .map((entry) => entry.purpose),
  }));
  if (context.json) printJson(context.io, { ok: true, denial: null, file, available: rows });
  else context.io.stdout(lines(context, rows));
}

function remove(context: CommandContext, fingerprint: string | undefined, options: TrustOptions): void {
  const { vendor, purpose } = options;
  if ((fingerprint === undefined) === (vendor === undefined))
    throw new UsageError('give either a fingerprint or --vendor NAME');
  const digits = fingerprint?.replaceAll(':', '').toLowerCase();
  if (digits !== undefined && !/^[0-9a-f]{1,64}$/.test(digits))
    throw new UsageError('a fingerprint is hexadecimal digits, or the first of them');
  const file = options.trustFile ?? defaultTrustFile();
  const selection = {
    ...(digits === undefined ? {} : { fingerprint: digits }),
    ...(vendor === undefined ? {} : { vendor }),
    ...(purpose === undefined ? {} : { purpose }),
  };
  let removed: readonly TrustEntry[] = [];
  updateTrustFile(file, (store) => {
    const result = removeFromStore(store, selection);
    removed = result.removed;
    return result.store;
  });
  show(context, file, 'removed', removed);
}

function show(context: CommandContext, file: string, member: string, entries: readonly TrustEntry[]): void {
  const rows = entries.map(certificateJson);
  if (context.json) {
    printJson(context.io, { ok: true, denial: null, file, [member]: rows });
    return;
  }
  if (member !== 'certificates')
    context.io.stdout(`${member} ${String(rows.length)} in ${printable(file)}\n`);
  context.io.stdout(
    rows.length === 0
      ? 'nothing is trusted: sealgate trust add --vendor NAME or FILE\n'
      : lines(context, rows),
  );
}

function certificateJson({ purpose, role, vendor, certificate }: TrustEntry): JsonObject {
  return {
    fingerprint: certificate.fingerprint,
    purpose,
    role,
    vendor: vendor ?? null,
    subject: certificate.subject.text,
    notBefore: new Date(certificate.notBefore).toISOString(),
    notAfter: new Date(certificate.notAfter).toISOString(),
    expired: systemClock.now() >= certificate.notAfter + 1000,
  };
}

function lines({ io }: CommandContext, rows: readonly JsonObject[]): string {
  const text = (value: JsonObject[string] | undefined): string =>
    Array.isArray(value) ? value.join('+') || 'off' : typeof value === 'string' ? printable(value) : '-';
  const cells = rows.map((row) => [
    text(row['fingerprint']),
    text(row['purpose']),
    text(row['role']),
    text(row['vendor']),
    text(row['notAfter']).slice(0, 10),
    `${text(row['subject'])}${row['expired'] === true ? ` ${paint(io, 'red', '(expired)')}` : ''}`,
  ]);
  return table([['FINGERPRINT (SHA-256)', 'TRUSTED', 'ROLE', 'VENDOR', 'UNTIL', 'SUBJECT'], ...cells]);
}
