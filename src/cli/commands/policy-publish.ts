import { existsSync } from 'node:fs';
import type { Command } from 'commander';
import { parseDsse } from '../../artifact/index.ts';
import { LIMITS, isJsonObject, parseJsonObject, refuse } from '../../base/index.ts';
import type { JsonObject } from '../../base/index.ts';
import { policyHistory, publishPolicy, showPolicy, stagePolicy } from '../../client/index.ts';
import type { VerifierClient } from '../../client/index.ts';
import { BUNDLE_LIMITS } from '../../policy/index.ts';
import type { PolicyChange } from '../../policy/index.ts';
import { UsageError, refuseState } from '../errors.ts';
import { readInput } from '../input.ts';
import { cell } from '../output.ts';
import { changesOf, changesText } from '../policy-changes.ts';
import { withProfileOptions, withVerifier } from '../profile-file.ts';
import type { ProfileOptions } from '../profile-file.ts';
import { printDone, printList } from '../report.ts';
import type { CommandContext } from '../context.ts';
import { group } from './group.ts';

/** `sealgate policy stage|publish`: from a signed bundle to the active one. */
export function registerPolicyPublish(program: Command, context: CommandContext): void {
  const policy = group(program, 'policy', 'reference values and policy');
  withProfileOptions(
    policy.command('stage <bundle>').description('stage a signed bundle: judged and kept, not active'),
  )
    .option('--signatures <file>', 'the signed manifest (default: BUNDLE.dsse.json)')
    .addHelpText('after', '\nExample:\n  sealgate policy stage bundle.json\n')
    .action(async (file: string, options: ProfileOptions & { signatures?: string }) => {
      const bundle = parseJsonObject(
        readInput(file, 'policy bundle', BUNDLE_LIMITS.maxBytes),
        'policy bundle',
        BUNDLE_LIMITS,
      );
      const manifest = readManifest(options.signatures ?? `${file}.dsse.json`);
      await withVerifier(options, async (client) => {
        await printStep(context, client, 'staged', await stagePolicy(client, bundle, manifest));
      });
    });
  withProfileOptions(policy.command('publish [digest]').description('make the staged bundle the active one'))
    .addHelpText(
      'after',
      '\nWithout a digest the staged bundle is published, whichever it is.\n' +
        '\nExample:\n  sealgate policy publish sha256:9f86d0…\n',
    )
    .action(async (digest: string | undefined, options: ProfileOptions) => {
      await withVerifier(options, async (client) => {
        const answer = await publishPolicy(client, digest ?? (await stagedDigest(client)));
        await printStep(context, client, 'published', answer);
      });
    });
}

/** What the verifier has active and staged, or with `history` every bundle that was active, its chain checked. */
export async function showRemotePolicy(
  context: CommandContext,
  options: ProfileOptions & { readonly history?: boolean },
): Promise<void> {
  await withVerifier(options, async (client) => {
    if (options.history !== true) {
      const { active = null, staged = null } = await showPolicy(client);
      const changes = isJsonObject(staged) ? await changesOf(client, staged) : null;
      printChanged(context, active === null ? 'no policy is active' : 'active', { active, staged }, changes);
      return;
    }
    const policies: JsonObject[] = [];
    for await (const one of policyHistory(client)) policies.push(one);
    requireChain(policies);
    printList(context, 'policies', policies, {
      version: (one) => cell(one['version']),
      policy: (one) => cell(one['digest']),
      published: (one) => cell(one['at']),
      entry: (one) => cell(one['auditIndex']),
    });
  });
}

/** A bundle that was staged or published, and what it changes of the one before. */
async function printStep(
  context: CommandContext,
  client: VerifierClient,
  word: string,
  answer: JsonObject,
): Promise<void> {
  printChanged(context, word, answer, await changesOf(client, answer));
}

function printChanged(
  context: CommandContext,
  word: string,
  facts: JsonObject,
  changes: readonly PolicyChange[] | null,
): void {
  if (context.json) {
    const all = changes?.map((change) => ({ ...change })) ?? null;
    printDone(context, word, { ...facts, changes: all });
    return;
  }
  printDone(context, word, facts);
  if (changes !== null) context.io.stdout(`changes\n${changesText(changes)}`);
}

/** Newest first: each names the one before it, without a gap, down to version 1. */
function requireChain(policies: readonly JsonObject[]): void {
  for (const [i, { version, previous }] of policies.entries()) {
    const before = policies[i + 1];
    const follows = before === undefined ? version === 1 && previous === null : previous === before['digest'];
    if (!follows || version !== policies.length - i)
      refuse('policy-history', 'the history is not one chain down to version 1', {
        version: version ?? null,
      });
  }
}

function readManifest(file: string): JsonObject {
  if (!existsSync(file))
    throw new UsageError(`no signed manifest ${file}: sealgate policy sign makes it, or give --signatures`);
  const bytes = readInput(file, 'DSSE envelope', LIMITS.signature);
  parseDsse(bytes);
  return parseJsonObject(bytes, 'DSSE envelope', { maxBytes: LIMITS.signature, maxDepth: 8 });
}

async function stagedDigest(client: VerifierClient): Promise<string> {
  const { staged = null } = await showPolicy(client);
  const digest = isJsonObject(staged) ? staged['digest'] : undefined;
  if (typeof digest !== 'string')
    refuseState('not-found', 'nothing is staged', 'sealgate policy stage stages a signed bundle.');
  return digest;
}
