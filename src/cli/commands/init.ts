import path from 'node:path';
import type { Command } from 'commander';
import { TRUST_DOMAIN, planInstallation, writeInstallation } from '../../config/index.ts';
import type { Installation } from '../../config/index.ts';
import { systemClock } from '../clock.ts';
import { UsageError } from '../errors.ts';
import { paint, printJson, printable, table } from '../output.ts';
import { systemRandom } from '../random.ts';
import type { CommandContext } from '../context.ts';

interface Options {
  readonly trustDomain: string;
  readonly dir: string;
  readonly url: string;
  readonly operator: string;
  readonly policyAuthorities: string;
  readonly policyThreshold?: string;
}

/** `sealgate init`: a verifier's keys, certificates, configuration and first operator. */
export function registerInit(program: Command, context: CommandContext): void {
  program
    .command('init')
    .description('set up a verifier: configuration, keys, first operator certificate')
    .option('--trust-domain <domain>', 'a part of every id; it can’t be changed later', 'sealgate.local')
    .option('--dir <directory>', 'where to; nothing that is there is overwritten', 'sealgate')
    .option('--url <url>', 'where hosts and operators reach the verifier', 'https://localhost:8443')
    .option('--operator <name>', 'name of the first operator, who is an admin', 'admin')
    .option('--policy-authorities <number>', 'keys of policy authorities to make (1 to 16)', '1')
    .option('--policy-threshold <number>', 'how many of them must sign a policy (default: more than half)')
    .option('--json', 'one JSON document')
    .addHelpText(
      'after',
      '\nExample:\n  sealgate init --trust-domain example.org --dir /etc/sealgate --url https://verifier.example.org:8443\n',
    )
    .action((options: Options) => {
      init(context, options);
    });
}

function init(context: CommandContext, options: Options): void {
  const { trustDomain, operator } = options;
  if (!new RegExp(TRUST_DOMAIN).test(trustDomain)) throw new UsageError('--trust-domain: not a trust domain');
  if (!/^[a-z0-9][a-z0-9._-]{0,62}$/.test(operator))
    throw new UsageError('--operator: a-z, 0-9, dot, hyphen');
  const directory = path.resolve(options.dir);
  const now = systemClock.now();
  const authorities = authoritiesOf(options);
  const order = {
    trustDomain,
    authorities,
    url: httpsUrl(options.url),
    origin: `${trustDomain}/log`,
    operator,
    now,
  };
  const installation = planInstallation(order, systemRandom);
  writeInstallation(directory, installation.files);
  report(context, directory, trustDomain, installation);
}

/** How many authorities, and how many of them must sign: by default more than half. */
function authoritiesOf({ policyAuthorities, policyThreshold }: Options): {
  count: number;
  threshold: number;
} {
  const number = (flag: string, text: string, most: number): number => {
    const value = /^[1-9][0-9]?$/.test(text) ? Number(text) : 0;
    if (value < 1 || value > most) throw new UsageError(`${flag}: a number from 1 to ${String(most)}`);
    return value;
  };
  const count = number('--policy-authorities', policyAuthorities, 16);
  const half = String(Math.floor(count / 2) + 1);
  return { count, threshold: number('--policy-threshold', policyThreshold ?? half, count) };
}

/** Scheme, host and port; nothing else belongs into a verifier's address. */
function httpsUrl(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (
    url?.protocol !== 'https:' ||
    url.pathname !== '/' ||
    url.username + url.password + url.search + url.hash !== ''
  )
    throw new UsageError('--url: https://HOST:PORT and nothing more');
  return url.origin;
}

function report(
  { io, json }: CommandContext,
  directory: string,
  trustDomain: string,
  { caFingerprint, logKey, takeOffline, backUp, profile }: Installation,
): void {
  const at = (name: string): string => path.join(directory, name);
  const config = at('sealgate.yaml');
  if (json) {
    printJson(io, {
      ok: true,
      denial: null,
      directory,
      trustDomain,
      config,
      caFingerprint,
      logKey,
      profile: at(profile),
      takeOffline: takeOffline.map(at),
      backUp: backUp.map(at),
    });
    return;
  }
  io.stdout(`${paint(io, 'green', 'ready')} verifier of ${trustDomain} in ${printable(directory)}\n`);
  io.stdout(
    table([
      ['  CA fingerprint', caFingerprint],
      ['  log key', logKey],
      ['  admin profile', printable(at(profile))],
    ]),
  );
  io.stdout(
    `\n${paint(io, 'bold', 'Take offline')}: move these away from this machine; the verifier runs without them.\n`,
  );
  for (const name of takeOffline) io.stdout(`  ${printable(at(name))}\n`);
  io.stdout(`\n${paint(io, 'bold', 'Back up')}, where nobody else reads it:\n`);
  for (const name of backUp) io.stdout(`  ${printable(at(name))}\n`);
  io.stdout(`\nNext: sealgate serve --config ${printable(config)}\n`);
}
