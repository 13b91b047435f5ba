import type { Command } from 'commander';
import { Refusal, refuse } from '../../base/index.ts';
import type { JsonObject } from '../../base/index.ts';
import { toDenial } from '../../lifecycle/denial.ts';
import { MAX_PACKAGE, verifyPackage } from '../../lifecycle/index.ts';
import type { PackagePins, PackageReport } from '../../lifecycle/index.ts';
import { loadCedar } from '../../policy/index.ts';
import { readInput } from '../input.ts';
import { factRows, paint, printJson, printable, table } from '../output.ts';
import { pinnedLogKeys } from '../remembered-checkpoint.ts';
import { printDenial } from '../report.ts';
import type { CommandContext } from '../context.ts';
import { group } from './group.ts';

interface Options {
  readonly trustBundle?: string;
  readonly logKey?: string;
  readonly profile?: string;
  readonly strict?: boolean;
}

/** What can stand in `unchecked`, as people read it. */
const UNCHECKED: Readonly<Record<string, string>> = {
  'trust-bundle': 'whether these are the verifier’s keys (give --trust-bundle)',
  'other-entries': 'whether the log has more about it: an entry left out, or one after this checkpoint',
  state:
    'what the verifier read when it decided (host record, clock marks, revocations): it is its word of that time',
  witnesses: 'the witnesses that the trust bundle names: too few of them cosigned this checkpoint',
  'log-key': 'whether the log still stood by its signature: it is by a key that was rotated away since',
  'authorization-in-log':
    'an authorization of the chain that no entry here names: its verifier signed it, the log may not have it',
  decision: 'the decision itself: what it takes to make it again is missing',
  'challenge-mac': 'that the nonce was the verifier’s own: its key is a secret',
  'sealed-object': 'the sealed object: its key was random and is gone; its digest is in the log',
  'initiator-token': 'the initiator’s token, which is not kept: its claims are those that were verified then',
  'commit-state': 'what the commit saw: that it denied is the log’s word',
};

const HELP = `
Everything that is there is verified: the chain of trust bundles, the log's signature and the inclusion of each entry,
digests of request, evidence, policy and answers, signatures of policy, attestation result and authorizations, and the
decision itself, made again from its inputs to the same bytes. What is missing (evidence is deleted after its retention
time) and what nobody can verify is listed. Exit 0: all that is there verifies. --strict also asks for a decision that
was repeated, with nothing missing, for a pinned trust bundle, and for a key that the log still has.

Example:
  sealgate verify package execution.json --trust-bundle trust-bundle.json --strict
`;

/** `sealgate verify package FILE`: a decision, offline, without trusting who made it. */
export function registerVerifyPackage(program: Command, context: CommandContext): void {
  group(program, 'verify', 'verify evidence, authorizations and proofs offline; exit 0 only if it verifies')
    .command('package <file>')
    .description('verify an exported execution, and repeat its decision to the same bytes')
    .option(
      '--trust-bundle <file>',
      'a trust bundle that is believed: one envelope, or the list from version 1',
    )
    .option('--log-key <vkey>', 'the log’s public key: NAME+ID+KEY')
    .option('--profile <name>', 'take the log’s key from this profile')
    .option(
      '--strict',
      'exit 1 unless it is complete, repeated, and under a pinned trust bundle and its log key',
    )
    .option('--json', 'one JSON document')
    .addHelpText('after', HELP)
    .action(async (file: string, options: Options) => {
      await run(file, options, context);
    });
}

async function run(file: string, options: Options, context: CommandContext): Promise<void> {
  const pins = pinsOf(options);
  const bytes = readInput(file, 'package', MAX_PACKAGE);
  let report: PackageReport | null = null;
  try {
    report = await verifyPackage(bytes, pins, loadCedar);
    if (options.strict === true) requireComplete(report);
    printReport(report, context);
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    context.exit(1);
    printDenial(toDenial(error, 'audit'), context.io, context.json, {
      package: report && reportJson(report),
    });
  }
}

/** @throws Refusal `package-incomplete` */
function requireComplete({ repeated, missing, trust, unchecked }: PackageReport): void {
  if (!repeated || missing.length > 0)
    refuse('package-incomplete', 'the decision could not be repeated', { missing: [...missing] });
  if (!trust.pinned)
    refuse('package-incomplete', 'no trust bundle is pinned', { unchecked: ['trust-bundle'] });
  if (unchecked.includes('log-key'))
    refuse(
      'package-incomplete',
      'the log’s key was rotated away, or its log closed: export again, or pin a key that was not with --log-key',
      {
        unchecked: ['log-key'],
      },
    );
}

function pinsOf({ trustBundle, ...log }: Options): PackagePins {
  const logKeys = pinnedLogKeys(log);
  return {
    ...(trustBundle === undefined
      ? {}
      : { trustBundle: readInput(trustBundle, 'trust bundle', 16 * 1024 * 1024) }),
    ...(logKeys === undefined ? {} : { logKeys }),
  };
}

function reportJson(report: PackageReport): JsonObject {
  // It consists of JSON values only; interfaces just have no index signature.
  return report as unknown as JsonObject;
}

function printReport(report: PackageReport, { io, json }: CommandContext): void {
  if (json) {
    printJson(io, { ok: true, denial: null, ...reportJson(report) });
    return;
  }
  const { repeated, missing, unchecked, log, trust, state } = report;
  io.stdout(`${repeated ? paint(io, 'green', 'verified, and repeated') : paint(io, 'yellow', 'verified')}\n`);
  const facts: JsonObject = {
    ...(report.executionId === null ? {} : { execution: report.executionId }),
    decision: `${report.outcome}${report.check === null ? '' : ` (${report.check})`}, entry ${report.decision}`,
    ...(state === null
      ? {}
      : { state: `${state.state}, as the ${state.reportedBy} says in entry ${state.index}` }),
    log: `${log.origin}, looked at up to ${log.size} entries`,
    trust: `${trust.trustDomain}, bundle ${String(trust.version)}${trust.pinned ? ', pinned' : ''}`,
  };
  io.stdout(table(factRows(facts, '  ')));
  for (const { index, time, kind } of report.entries)
    io.stdout(`  entry ${printable(index)}  ${printable(time)}  ${kind}\n`);
  for (const name of missing) io.stdout(`  missing: ${printable(name)}\n`);
  for (const name of unchecked) io.stdout(`  not checked: ${UNCHECKED[name] ?? name}\n`);
}
