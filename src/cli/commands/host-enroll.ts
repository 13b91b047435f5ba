import { readFileSync } from 'node:fs';
import path from 'node:path';
import type { Command } from 'commander';
import { DEFAULT_STATE, enrollHost, tctiOf } from '../../agent/index.ts';
import { refuse } from '../../base/index.ts';
import { EK_TEMPLATES } from '../../tpm/index.ts';
import type { EkTemplateName } from '../../tpm/index.ts';
import { UsageError } from '../errors.ts';
import { readSecretInput } from '../input.ts';
import { printJson, printable, table } from '../output.ts';
import type { CommandContext } from '../context.ts';
import { group } from './group.ts';

interface EnrollOptions {
  readonly url: string;
  readonly caFingerprint: string;
  readonly name: string;
  readonly tokenFile?: string;
  readonly tcti?: string;
  readonly state: string;
  readonly ekTemplate?: string;
  readonly eventlog?: string;
  readonly ima?: string;
}

const HELP = `
The join token is read from a file of mode 0600 or, with "-", from standard input: never from the command line, where
every process of this host could read it. Without a token the verifier must have this TPM's EK on its list, or an operator
approves the host; then this command waits, and can be ended and given again.

Example:
  sudo sealgate host enroll --url https://verifier.example.org:8443 --ca-fingerprint 3f… --name host-a --token-file token
`;
const MAX_TOKEN = 1024;

/** `sealgate host enroll`: on a host, once. */
export function registerHostEnroll(program: Command, context: CommandContext): void {
  group(program, 'host', 'hosts: enrolling, seeing and governing them')
    .command('enroll')
    .description('enroll this host and its TPM with a verifier')
    .requiredOption('--url <url>', 'the verifier: https://HOST:PORT')
    .requiredOption('--ca-fingerprint <hex>', 'SHA-256 of its CA certificate, as host invite prints it')
    .requiredOption('--name <name>', 'what the host is to be called; the invitation decides')
    .option('--token-file <file>', 'the join token; "-" reads standard input')
    .option('--tcti <tcti>', 'how to reach the TPM')
    .option('--state <directory>', 'where the host keeps its state', DEFAULT_STATE)
    .option('--ek-template <name>', 'which EK (default: those with a certificate are tried)')
    .option('--eventlog <file>', 'the firmware’s event log, when not the kernel’s')
    .option('--ima <file>', 'the binary IMA list, when not the kernel’s')
    .option('--json', 'one JSON document')
    .addHelpText('after', HELP)
    .action((options: EnrollOptions) => enroll(context, options));
}

async function enroll({ io, json }: CommandContext, options: EnrollOptions): Promise<void> {
  const { url, caFingerprint, name, tokenFile, ekTemplate, eventlog, ima, state } = options;
  const token = tokenFile === undefined ? undefined : readToken(tokenFile);
  const identity = await enrollHost({
    url,
    caFingerprint: caFingerprint
      .toLowerCase()
      .replace(/^sha256:/, '')
      .replaceAll(':', ''),
    name,
    state,
    tcti: tctiOf(options.tcti, process.env),
    ...(token === undefined ? {} : { token }),
    ...(ekTemplate === undefined ? {} : { ekTemplate: templateOf(ekTemplate) }),
    ...(eventlog === undefined ? {} : { eventLog: path.resolve(eventlog) }),
    ...(ima === undefined ? {} : { imaList: path.resolve(ima) }),
    onPending: (hostId) => {
      io.stderr(
        `waiting for an operator to approve this host:\n  sealgate host approve ${hostId}\n` +
          'Ctrl-C ends the waiting; the same command takes it up again.\n',
      );
    },
  });
  const { hostId, trustDomain, ekTemplate: ek, akHandle } = identity;
  const members = { hostId, name, trustDomain, url, ekTemplate: ek, akHandle: `0x${akHandle.toString(16)}` };
  if (json) {
    printJson(io, { ok: true, denial: null, ...members, state: path.resolve(state) });
    return;
  }
  io.stdout('enrolled\n');
  io.stdout(table(Object.entries(members).map(([key, value]) => [`  ${key}`, printable(value)])));
}

/** @throws Refusal `secret-file`, `malformed`; UsageError when it can't be opened */
function readToken(file: string): string {
  const bytes = file === '-' ? new Uint8Array(readFileSync(0)) : readSecretInput(file, MAX_TOKEN);
  const text = Buffer.from(bytes).toString('latin1').trim();
  if (!/^[A-Za-z0-9_-]{43}$/.test(text)) refuse('malformed', '--token-file: no join token is there');
  return text;
}

function templateOf(name: string): EkTemplateName {
  const found = EK_TEMPLATES.find((template) => template.name === name);
  if (found !== undefined) return found.name;
  const known = EK_TEMPLATES.map((template) => template.name).join(', ');
  throw new UsageError(`--ek-template: no template ${name}; known are ${known}`);
}
