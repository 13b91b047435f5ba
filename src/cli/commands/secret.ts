import { readFileSync } from 'node:fs';
import type { Command } from 'commander';
import type { JsonObject } from '../../base/index.ts';
import { refuse, toBase64url } from '../../base/index.ts';
import { listSecrets, putSecret, removeSecret } from '../../client/index.ts';
import type { VerifierClient } from '../../client/index.ts';
import { UsageError, refuseState } from '../errors.ts';
import { readInput } from '../input.ts';
import { cell } from '../output.ts';
import { withProfileOptions, withVerifier } from '../profile-file.ts';
import type { ProfileOptions } from '../profile-file.ts';
import { printDone, printList } from '../report.ts';
import type { CommandContext } from '../context.ts';
import { group } from './group.ts';

/** Bytes of a secret. */
const MAX_SECRET = 64 * 1024;

const VALUE = `
The value is what the file or standard input has, byte for byte (a newline at its end is a part of it). It is never an
argument: those are seen by every process of this machine.
`;

/** `sealgate secret put|ls|rotate|rm`. Values go in and never come out: only attested hosts get them, sealed. */
export function registerSecret(program: Command, context: CommandContext): void {
  const secret = group(program, 'secret', 'secrets that the verifier releases to attested executions');
  withProfileOptions(
    secret
      .command('put <name> [file]')
      .description('store a secret; without a file or with "-": standard input'),
  )
    .addHelpText('after', `${VALUE}\nExample:\n  printf %s "$PASSWORD" | sealgate secret put db-password\n`)
    .action(async (name: string, file: string | undefined, options: ProfileOptions) => {
      const value = readValue(file);
      await withVerifier(options, async (client) => {
        if (await exists(client, name))
          refuseState(
            'conflict',
            `there is a secret ${name}`,
            'sealgate secret rotate stores the next version.',
          );
        printDone(context, 'stored', await putSecret(client, name, toBase64url(value)));
      });
    });
  withProfileOptions(secret.command('rotate <name> [file]').description('store the next version of a secret'))
    .addHelpText('after', `${VALUE}\nExample:\n  sealgate secret rotate db-password new-password\n`)
    .action(async (name: string, file: string | undefined, options: ProfileOptions) => {
      const value = readValue(file);
      await withVerifier(options, async (client) => {
        if (!(await exists(client, name)))
          refuseState(
            'not-found',
            `there is no secret ${name}`,
            'sealgate secret put stores the first version.',
          );
        printDone(context, 'rotated', await putSecret(client, name, toBase64url(value)));
      });
    });
  withProfileOptions(secret.command('ls').description('names, versions and times; never values'))
    .addHelpText('after', '\nExample:\n  sealgate secret ls\n')
    .action(async (options: ProfileOptions) => {
      await withVerifier(options, async (client) => {
        const secrets: JsonObject[] = [];
        for await (const one of listSecrets(client)) secrets.push(one);
        printList(context, 'secrets', secrets, {
          name: (one) => cell(one['name']),
          version: (one) => cell(one['version']),
          state: (one) => cell(one['state']),
          changed: (one) => cell(one['changed']),
        });
      });
    });
  withProfileOptions(
    secret.command('rm <name>').description('remove a secret’s value; what was opened stays known'),
  )
    .addHelpText('after', '\nExample:\n  sealgate secret rm db-password\n')
    .action(async (name: string, options: ProfileOptions) => {
      await withVerifier(options, async (client) => {
        printDone(context, 'removed', await removeSecret(client, name));
      });
    });
}

async function exists(client: VerifierClient, name: string): Promise<boolean> {
  for await (const one of listSecrets(client)) if (one['name'] === name) return one['state'] !== 'removed';
  return false;
}

function readValue(file = '-'): Uint8Array {
  if (file === '-' && process.stdin.isTTY)
    throw new UsageError('give the value in a file, or by standard input from another command');
  const value = file === '-' ? new Uint8Array(readFileSync(0)) : readInput(file, 'secret', MAX_SECRET);
  if (value.length === 0) refuse('malformed', 'the value is empty');
  if (value.length > MAX_SECRET) refuse('malformed', `the value is over ${String(MAX_SECRET)} bytes`);
  return value;
}
