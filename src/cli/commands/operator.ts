import { mkdirSync } from 'node:fs';
import path from 'node:path';
import { X509Certificate } from 'node:crypto';
import type { Command } from 'commander';
import { refuse } from '../../base/index.ts';
import type { JsonObject } from '../../base/index.ts';
import { listOperators, revokeOperator } from '../../client/index.ts';
import {
  OPERATOR_DAYS,
  ROLES,
  issueOperator,
  profileText,
  readCertificate,
  readPrivateKey,
  writeNewFile,
} from '../../config/index.ts';
import type { Role } from '../../config/index.ts';
import { OID, attributesOf, parseCertificate, toPem } from '../../x509/index.ts';
import type { Certificate } from '../../x509/index.ts';
import { systemClock } from '../clock.ts';
import { UsageError } from '../errors.ts';
import { readSecretInput } from '../input.ts';
import { cell, table } from '../output.ts';
import { findProfile, withProfileOptions, withVerifier } from '../profile-file.ts';
import type { ProfileOptions } from '../profile-file.ts';
import { systemRandom } from '../random.ts';
import { printDone } from '../report.ts';
import type { CommandContext } from '../context.ts';
import { group } from './group.ts';
import { collect } from './host-list.ts';

interface AddOptions extends ProfileOptions {
  readonly role: readonly string[];
  readonly caKey: string;
  readonly caCertificate: string;
  readonly dir: string;
  readonly days: string;
}

const HELP = `
The operator CA's key is not on the verifier: run this where it is kept. Certificate, key and profile are written; give all
three to the operator, by a way that nobody else reads. Roles: ${ROLES.join(', ')}.

Example:
  sealgate operator add anna --role invite --role approve --profile admin --ca-key /mnt/offline/operator-ca.key
`;

/** `sealgate operator add|ls|revoke`. */
export function registerOperator(program: Command, context: CommandContext): void {
  const operator = group(program, 'operator', 'operators: certificates with roles');
  withProfileOptions(
    operator.command('add <name>').description('issue an operator’s certificate, key and profile'),
  )
    .requiredOption('--role <role>', 'what the operator may do; repeatable', collect, [])
    .requiredOption('--ca-key <file>', 'the operator CA’s private key')
    .option('--ca-certificate <file>', 'its certificate', 'certificates/operator-ca.pem')
    .option('--dir <directory>', 'where the files go; nothing there is overwritten', 'operators')
    .option('--days <days>', 'how long the certificate lives', String(OPERATOR_DAYS))
    .addHelpText('after', HELP)
    .action((name: string, options: AddOptions) => {
      printDone(context, 'issued', add(name, options));
    });
  withProfileOptions(operator.command('ls').description('who asks, and which certificates were revoked'))
    .addHelpText('after', '\nExample:\n  sealgate operator ls\n')
    .action(async (options: ProfileOptions) => {
      await withVerifier(options, async (client) => {
        const { you, revoked } = await listOperators(client);
        if (context.json) {
          printDone(context, '', {
            you: { ...you, roles: [...you.roles] },
            revoked: revoked.map((one) => ({ ...one })),
          });
          return;
        }
        const rows = revoked.map(({ serial, at, reason }) => [cell(serial), cell(at), cell(reason)]);
        context.io.stdout(
          `you are ${cell(you.name)} (${cell(you.roles.join(', '))}), serial ${cell(you.serial)}\n`,
        );
        context.io.stdout(
          rows.length === 0 ? 'no certificate was revoked\n' : table([['REVOKED', 'AT', 'REASON'], ...rows]),
        );
      });
    });
  withProfileOptions(operator.command('revoke <operator>').description('revoke an operator’s certificate'))
    .requiredOption('--reason <text>', 'why')
    .addHelpText(
      'after',
      '\nThe operator is named by the serial number of the certificate, or by the certificate’s file.\n' +
        '\nExample:\n  sealgate operator revoke operators/anna.pem --reason "left the company"\n',
    )
    .action(async (operatorName: string, options: ProfileOptions & { reason: string }) => {
      const serial = serialOf(operatorName);
      await withVerifier(options, async (client) => {
        printDone(context, 'revoked', await revokeOperator(client, serial, options.reason));
      });
    });
}

function add(name: string, options: AddOptions): JsonObject {
  if (!/^[a-z0-9][a-z0-9._-]{0,62}$/.test(name)) throw new UsageError('the name: a-z, 0-9, dot, hyphen');
  const roles = rolesOf(options.role);
  const days = Number(options.days);
  if (!/^[1-9]\d{0,3}$/.test(options.days)) throw new UsageError('--days: a whole number of days');
  const { url, caFingerprint, logKey } = findProfile(options);
  const ca = readCertificate(options.caCertificate);
  const key = readPrivateKey('operator-ca', readSecretInput(options.caKey), 'P-256');
  requirePair(ca, key);
  const trustDomain = trustDomainOf(ca);
  const order = { trustDomain, name, roles };
  const issued = issueOperator(order, { certificate: ca.raw, key }, systemClock.now(), systemRandom, days);
  const certificate = parseCertificate(issued.certificate);
  const at = (ending: string): string => path.resolve(options.dir, `${name}.${ending}`);
  const pins = { url, caFingerprint, logKey, certificate: `${name}.pem`, key: `${name}.key` };
  write(at('key'), issued.keyPem, 0o600);
  write(at('pem'), toPem(issued.certificate), 0o644);
  write(at('yaml'), profileText(pins), 0o600);
  return {
    ...{ name, roles: [...roles], trustDomain, serial: certificate.serial },
    notAfter: new Date(certificate.notAfter).toISOString(),
    ...{ certificate: at('pem'), key: at('key'), profile: at('yaml') },
  };
}

function rolesOf(names: readonly string[]): readonly Role[] {
  const roles = ROLES.filter((role) => names.includes(role));
  if (roles.length !== new Set(names).size) throw new UsageError(`--role: one of ${ROLES.join(', ')}`);
  return roles;
}

/** `init` names the trust domain in the CA: an operator of another one would be refused. */
function trustDomainOf(ca: Certificate): string {
  const found = attributesOf(ca.subject).find(({ oid }) => oid === OID.organizationName);
  if (found === undefined)
    return refuse('key-file', '--ca-certificate: not the operator CA of an installation');
  return found.value;
}

/** With another key, certificates would come out that nobody accepts. */
function requirePair(ca: Certificate, key: ReturnType<typeof readPrivateKey>): void {
  if (!new X509Certificate(ca.raw).checkPrivateKey(key))
    refuse('key-file', '--ca-key is not the key of --ca-certificate');
}

function write(file: string, content: string, mode: number): void {
  try {
    mkdirSync(path.dirname(file), { recursive: true, mode: 0o700 });
    writeNewFile(file, content, mode);
  } catch (error) {
    throw new UsageError(`can't write ${file}: ${error instanceof Error ? error.message : String(error)}`);
  }
}

function serialOf(text: string): string {
  if (/^[0-9a-f]{2,40}$/.test(text)) return text;
  if (text.includes('/') || text.endsWith('.pem')) return readCertificate(text).serial;
  throw new UsageError('name the operator by the serial number (hex) or the certificate’s file');
}
