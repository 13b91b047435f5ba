import type { Command } from 'commander';
import { revokeSubject, showExecution } from '../../client/index.ts';
import { UsageError } from '../errors.ts';
import { cell } from '../output.ts';
import { withProfileOptions, withVerifier } from '../profile-file.ts';
import type { ProfileOptions } from '../profile-file.ts';
import { printDone } from '../report.ts';
import type { CommandContext } from '../run.ts';
import { registerExecList } from './exec-list.ts';
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

/** `sealgate exec ls|show|revoke` and `sealgate revoke KIND ID`. */
export function registerExec(program: Command, context: CommandContext): void {
  const exec = group(program, 'exec', 'executions: what was asked for, runs and ran');
  registerExecList(exec, context);
  withProfileOptions(exec.command('show <execution>').description('show one execution'))
    .addHelpText('after', '\nExample:\n  sealgate exec show 0198f2a0-5c1e-7f3a-9d52-0c4a8e7b1d20\n')
    .action(async (id: string, options: ProfileOptions) => {
      await withVerifier(options, async (client) => {
        const { state = null, ...facts } = await showExecution(client, id);
        printDone(context, cell(state), { state, ...facts });
      });
    });
  registerRevoke(program, exec, context);
}

function registerRevoke(program: Command, exec: Command, context: CommandContext): void {
  withProfileOptions(
    exec
      .command('revoke <execution>')
      .description('revoke an execution: it is ended, and nothing is renewed'),
  )
    .requiredOption('--reason <text>', 'why')
    .addHelpText(
      'after',
      '\nExample:\n  sealgate exec revoke 0198f2a0-5c1e-7f3a-9d52-0c4a8e7b1d20 --reason "wrong input"\n',
    )
    .action(async (id: string, options: ProfileOptions & { reason: string }) => {
      await revoke(context, 'execution', id, options);
    });
  withProfileOptions(
    program.command('revoke <kind> <id>').description('stop believing something; decided anew from here on'),
  )
    .requiredOption('--reason <text>', 'why; it is in the audit log')
    .addHelpText(
      'after',
      `\nKinds and their ids:\n${Object.entries(KINDS)
        .map(([kind, id]) => `  ${kind.padEnd(10)} ${id}\n`)
        .join('')}\nExample:\n  sealgate revoke artifact sha256:9f86d0… --reason "CVE-2026-1234"\n`,
    )
    .action(async (kind: string, id: string, options: ProfileOptions & { reason: string }) => {
      if (!Object.hasOwn(KINDS, kind))
        throw new UsageError(`the kind is one of ${Object.keys(KINDS).join(', ')}`);
      await revoke(context, kind, id, options);
    });
}

async function revoke(
  context: CommandContext,
  kind: string,
  id: string,
  options: ProfileOptions & { readonly reason: string },
): Promise<void> {
  await withVerifier(options, async (client) => {
    const answer = await revokeSubject(client, { kind, id }, options.reason);
    const { state = null, auditIndex = null } = answer;
    printDone(context, 'revoked', { kind, id, state, auditIndex });
  });
}
