import type { Command } from 'commander';
import { openTpm, tctiOf } from '../../agent/open-tpm.ts';
import { valuesJson } from '../../agent/collect-evidence.ts';
import { refuse, toBase64, toHex } from '../../base/index.ts';
import type { JsonObject, JsonValue } from '../../base/index.ts';
import { EK_TEMPLATES, hostId, parsePcrSelectionText, parsePublic } from '../../tpm/index.ts';
import type { EkTemplateName, PcrSelection } from '../../tpm/index.ts';
import { fromNv, parseEkCertificate, toPem } from '../../x509/index.ts';
import { certificateJson } from '../certificate-json.ts';
import { UsageError, inUsage } from '../errors.ts';
import { printJson, printable, table } from '../output.ts';
import { publicJson } from '../tpm-json.ts';
import type { CommandContext } from '../context.ts';
import { group } from './group.ts';
import type { EndorsementCertificate, Tpm } from '../../../native/index.ts';

interface TpmOptions {
  readonly tcti?: string;
}

const HELP = `
--tcti is a configuration string of tpm2-tss. Default: SEALGATE_TCTI, else TPM2TOOLS_TCTI, else device:/dev/tpmrm0.
`;

const TEMPLATE_NAMES = EK_TEMPLATES.map(({ name }) => name).join(', ');

/** `sealgate tpm info|pcrs|ek`: looks at a TPM; changes nothing in it. */
export function registerTpm(program: Command, context: CommandContext): void {
  const commands = group(program, 'tpm', 'look at a TPM; nothing in it is changed');
  tpmCommand(
    commands,
    'info',
    'manufacturer, firmware, PCR banks, algorithms, lockout',
    'sealgate tpm info --tcti swtpm:path=/run/tpm',
  ).action(async (options: TpmOptions) => {
    await info(context, options);
  });
  tpmCommand(
    commands,
    'pcrs',
    'PCR values of every active bank',
    'sealgate tpm pcrs --select sha256:0,1,7 --json > pcrs.json',
  )
    .option('--select <selection>', 'which ones, like sha256:0,1,7+sha384:0 (default: all)')
    .action(async (options: TpmOptions & { readonly select?: string }) => {
      await pcrs(context, options);
    });
  tpmCommand(
    commands,
    'ek',
    'an endorsement key, its name, host id and certificate',
    'sealgate tpm ek --template L-1 --json',
  )
    .option('--template <name>', TEMPLATE_NAMES, 'L-1')
    .action(async (options: TpmOptions & { readonly template: string }) => {
      await ek(context, options);
    });
}

function tpmCommand(parent: Command, name: string, description: string, example: string): Command {
  return parent
    .command(name)
    .description(description)
    .option('--tcti <tcti>', 'how to reach the TPM')
    .option('--json', 'one JSON document')
    .addHelpText('after', `${HELP}\nExample:\n  ${example}\n`);
}

async function withTpm<T>({ tcti }: TpmOptions, use: (tpm: Tpm) => Promise<T>): Promise<T> {
  await using tpm = await openTpm(tctiOf(tcti, process.env));
  return await use(tpm);
}

async function info({ io, json }: CommandContext, options: TpmOptions): Promise<void> {
  const properties = await withTpm(options, (tpm) => tpm.properties());
  // Properties hold nothing but texts, numbers, flags and lists of them.
  const answer = properties as unknown as JsonObject;
  if (json) {
    printJson(io, { ok: true, denial: null, ...answer });
    return;
  }
  const rows = Object.entries(answer).map(([name, value]) => [name, shown(value)]);
  io.stdout(table(rows));
}

/** `{"sha256":{"0":"hex"}}` and nothing else: what `verify quote --pcrs` reads. */
async function pcrs(
  { io, json }: CommandContext,
  options: TpmOptions & { readonly select?: string },
): Promise<void> {
  const selection =
    options.select === undefined
      ? undefined
      : inUsage('--select', () => parsePcrSelectionText(options.select ?? ''));
  const { values } = await withTpm(options, async (tpm) => tpm.pcrRead(selection ?? (await everything(tpm))));
  if (json) {
    printJson(io, valuesJson(values));
    return;
  }
  for (const [bank, ofBank] of values) {
    io.stdout(`${bank}\n`);
    io.stdout(table([...ofBank].map(([index, value]) => [`  ${String(index).padStart(2)}`, toHex(value)])));
  }
}

/** All PCRs of the active banks whose hash has a name here. */
async function everything(tpm: Tpm): Promise<PcrSelection> {
  const { pcrBanks } = await tpm.properties();
  const banks = ['sha1', 'sha256', 'sha384', 'sha512'] as const;
  return banks.flatMap((bank) => {
    const active = pcrBanks[bank] ?? [];
    return active.length === 0 ? [] : [{ bank, pcrs: active }];
  });
}

async function ek(
  { io, json }: CommandContext,
  options: TpmOptions & { readonly template: string },
): Promise<void> {
  const template = templateOf(options.template);
  const answer = await withTpm(options, async (tpm) => describeEk(tpm, template));
  if (json) {
    printJson(io, { ok: true, denial: null, ...answer });
    return;
  }
  const { certificate, ...key } = answer;
  io.stdout(table(Object.entries(key).map(([name, value]) => [name, shown(value)])));
  io.stdout(certificate === null ? 'certificate  none in NV\n' : `certificate  ${shown(certificate)}\n`);
}

function templateOf(name: string): EkTemplateName {
  const known = EK_TEMPLATES.find((template) => template.name === name);
  if (known === undefined) throw new UsageError(`--template: one of ${TEMPLATE_NAMES}`);
  return known.name;
}

async function describeEk(tpm: Tpm, template: EkTemplateName): Promise<JsonObject> {
  await using key = await tpm.endorsementKey(template);
  const area = parsePublic(key.publicBytes);
  const id = hostId(area);
  const found = await tpm.endorsementCertificate(template);
  return {
    template,
    name: toHex(key.name),
    hostId: id,
    public: toBase64(key.publicBytes),
    area: publicJson(area),
    certificate: found === null ? null : certificateOf(found, id),
  };
}

/** @throws Refusal `tpm-ek-certificate`: there are TPMs whose certificate was made for another key */
function certificateOf({ nvIndex, content }: EndorsementCertificate, id: string): JsonObject {
  const { der } = fromNv(content);
  const certificate = parseEkCertificate(der);
  const index = `0x${nvIndex.toString(16).padStart(8, '0')}`;
  if (certificate.publicKey.keyId !== id)
    refuse(
      'tpm-ek-certificate',
      `the certificate at ${index} is for another key than the TPM's endorsement key`,
      {
        nvIndex: index,
        certificate: certificate.fingerprint,
        hostId: id,
      },
    );
  return { nvIndex: index, pem: toPem(der), ...certificateJson(certificate) };
}

const shown = (value: JsonValue | undefined): string =>
  printable(typeof value === 'string' ? value : JSON.stringify(value ?? null));
