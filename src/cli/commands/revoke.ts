import type { Command } from 'commander';
import { revokeSubject } from '../../client/index.ts';
import { UsageError } from '../errors.ts';
import { withProfileOptions, withVerifier } from '../profile-file.ts';
import type { ProfileOptions } from '../profile-file.ts';
import { printDone } from '../report.ts';
import type { CommandContext } from '../context.ts';
import { group } from './group.ts';

/** What can be revoked, and what its id is. */
const KINDS: Readonly<Record<string, string>> = {
  host: 'its hostId',
  ak: 'the TPM name of the attestation key, hex',
  'ek-ca': 'SHA-256 of the CA certificate, hex',
  artifact: 'its digest, sha256:hex',
  signer: 'the signer’s key id',
  initiator: 'ISSUER#SUBJECT',
  authority: 'the key id of the policy authority',
  policy: 'the policyHash, sha256:hex',
  execution: 'its executionId',
};

type RevokeOptions = ProfileOptions & { readonly reason: string };

/** `sealgate revoke KIND ID` and `sealgate exec revoke`. */
export function registerRevoke(program: Command, context: CommandContext): void {
  const exec = group(program, 'exec', 'executions: what was asked for, runs and ran');
  withProfileOptions(
    exec
      .command('revoke <execution>')
      .description('revoke an execution: it and everything below it ends, on every host'),
  )
    .requiredOption('--reason <text>', 'why; it is in the audit log')
    .addHelpText(
      'after',
      '\nExample:\n  sealgate exec revoke 0198f2a0-5c1e-7f3a-9d52-0c4a8e7b1d20 --reason "wrong input"\n',
    )
    .action(async (id: string, options: RevokeOptions) => {
      await revoke(context, 'execution', id, options);
    });
  withProfileOptions(
    program
      .command('revoke <kind> <id>')
      .description('stop believing something; what rests on it ends, on every host'),
  )
    .requiredOption('--reason <text>', 'why; it is in the audit log')
    .addHelpText(
      'after',
      `\nKinds and their ids:\n${Object.entries(KINDS)
        .map(([kind, id]) => `  ${kind.padEnd(10)} ${id}\n`)
        .join('')}\nExample:\n  sealgate revoke artifact sha256:9f86d0… --reason "CVE-2026-1234"\n`,
    )
    .action(async (kind: string, id: string, options: RevokeOptions) => {
      if (!Object.hasOwn(KINDS, kind))
        throw new UsageError(`the kind is one of ${Object.keys(KINDS).join(', ')}`);
      await revoke(context, kind, id, options);
    });
}

/** Says what was affected: executions that were ended, and the hosts that are told. */
async function revoke(
  context: CommandContext,
  kind: string,
  id: string,
  options: RevokeOptions,
): Promise<void> {
  await withVerifier(options, async (client) => {
    const answer = await revokeSubject(client, { kind, id }, options.reason);
    const { state = null, ended = null, hosts = null, executions = null, auditIndex = null } = answer;
    printDone(context, 'revoked', { kind, id, state, ended, hosts, executions, auditIndex });
  });
}
