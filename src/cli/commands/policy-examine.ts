import { existsSync } from 'node:fs';
import path from 'node:path';
import type { Command } from 'commander';
import { parseDsse } from '../../artifact/index.ts';
import { LIMITS, equalBytes, refuse } from '../../base/index.ts';
import type { JsonObject } from '../../base/index.ts';
import {
  BUNDLE_LIMITS,
  CASES_FILE,
  PolicyEngine,
  TRUST_BUNDLE_TYPE,
  buildBundle,
  diffBundles,
  lintBundle,
  loadCedar,
  manifestBytes,
  manifestOf,
  openBundle,
  parseBundle,
  readCases,
  readTrustBundle,
  runCases,
  verifyManifest,
} from '../../policy/index.ts';
import type { CaseResult, PolicyBundle } from '../../policy/index.ts';
import { systemClock } from '../clock.ts';
import { UsageError } from '../errors.ts';
import { readInput } from '../input.ts';
import { factRows, paint, printJson, printable, table } from '../output.ts';
import { readSources } from '../policy-files.ts';
import type { CommandContext } from '../context.ts';
import { group } from './group.ts';
import { changesText } from '../policy-changes.ts';
import { showRemotePolicy } from './policy-publish.ts';
import { showStaged } from '../policy-staged.ts';

/** `sealgate policy show|diff|test`: what a bundle says, offline. */
export function registerPolicyExamine(program: Command, context: CommandContext): void {
  const policy = group(program, 'policy', 'reference values and policy');
  registerShow(policy, context);
  registerDiff(policy, context);
  registerTest(policy, context);
}

interface ShowOptions {
  readonly profile?: string;
  readonly history?: boolean;
  readonly staged?: boolean;
  readonly signatures?: string;
  readonly trustBundle?: string;
}

function registerShow(policy: Command, context: CommandContext): void {
  const { io, json } = context;
  policy
    .command('show [bundle]')
    .description('check a bundle file and say what it grants; without one: what the verifier has active')
    .option('--profile <name>', 'without a bundle: how to reach the verifier ($SEALGATE_PROFILE)')
    .option('--history', 'without a bundle: every policy that was active, its chain checked')
    .option('--staged', 'without a bundle: which decisions the staged policy would have made otherwise')
    .option('--signatures <file>', 'the signed manifest (default: BUNDLE.dsse.json where it is)')
    .option('--trust-bundle <file>', 'trust bundle whose authorities must have signed')
    .option('--json', 'one JSON document')
    .addHelpText(
      'after',
      '\nExample:\n  sealgate policy show bundle.json --trust-bundle trust.json\n  sealgate policy show --history\n' +
        '  sealgate policy show --staged\n',
    )
    .action(async (file: string | undefined, options: ShowOptions) => {
      if (file === undefined) {
        if (options.history === true && options.staged === true)
          throw new UsageError('--history or --staged, one at a time');
        if (options.staged === true) await showStaged(context, options);
        else await showRemotePolicy(context, options);
        return;
      }
      if (options.history === true || options.staged === true || options.profile !== undefined)
        throw new UsageError(
          '--history, --staged and --profile are about the verifier’s policy, not a file’s',
        );
      const facts = showBundle(file, options);
      if (json) printJson(io, { ok: true, denial: null, ...facts });
      else io.stdout(table(factRows(facts)));
    });
}

function showBundle(file: string, options: ShowOptions): JsonObject {
  const bytes = readInput(file, 'policy bundle', BUNDLE_LIMITS.maxBytes);
  const bundle = parseBundle(bytes);
  // A bundle that no engine loads would deny everything once it is active.
  new PolicyEngine(loadCedar).load(bundle.document.cedar);
  const { document } = bundle;
  return {
    policyHash: bundle.hash,
    version: bundle.version,
    previous: bundle.previous,
    trustDomain: bundle.trustDomain,
    validity: { ...document.validity },
    signatures: signaturesOf(file, bytes, bundle, options),
    platforms: [...bundle.platforms.keys()],
    credentials: Object.fromEntries(
      Object.entries(document.credentials).map(([name, { kind, hosts }]) => [
        name,
        { kind, hosts: [...hosts] },
      ]),
    ),
    initiators: bundle.issuers.map(({ issuer }) => issuer),
    policies: document.cedar.policies.map(
      ({ id, policy }) => `${id} (${policy['effect'] === 'permit' ? 'permit' : 'forbid'})`,
    ),
    warnings: [...lintBundle(bundle)],
  };
}

/** `unchecked` without a trust bundle: a count of signatures by anybody would look like a verdict. */
function signaturesOf(
  file: string,
  bytes: Uint8Array,
  bundle: PolicyBundle,
  { signatures = `${path.resolve(file)}.dsse.json`, trustBundle }: ShowOptions,
): JsonObject {
  if (!existsSync(signatures) && trustBundle === undefined) return { state: 'none' };
  const envelope = readInput(signatures, 'DSSE envelope', LIMITS.signature);
  const { payload } = parseDsse(envelope);
  if (trustBundle === undefined) {
    if (!equalBytes(payload, manifestBytes(manifestOf(bundle))))
      refuse('policy-manifest', 'the signatures are over another bundle');
    return { state: 'unchecked' };
  }
  const trusted = parseDsse(readInput(trustBundle, 'trust bundle', LIMITS.signature));
  if (trusted.payloadType !== TRUST_BUNDLE_TYPE)
    refuse('policy-payload-type', `payloadType is not ${TRUST_BUNDLE_TYPE}`);
  // The operator names the trust bundle: its own signatures are judged where it is pinned.
  const { authorities, trustDomain } = readTrustBundle(trusted.payload);
  const verified = verifyManifest(envelope, { authorities, trustDomain, highest: undefined }, systemClock);
  openBundle(verified, bytes);
  return { state: 'verified', signers: [...verified.signers], threshold: authorities.threshold };
}

function registerDiff(policy: Command, { io, json }: CommandContext): void {
  policy
    .command('diff <before> <after>')
    .description('what changed from one bundle to another')
    .option('--json', 'one JSON document')
    .addHelpText('after', '\nExample:\n  sealgate policy diff active.json bundle.json\n')
    .action((before: string, after: string) => {
      const [a, b] = [before, after].map((file) =>
        parseBundle(readInput(file, 'policy bundle', BUNDLE_LIMITS.maxBytes)),
      );
      if (a === undefined || b === undefined) return;
      const changes = diffBundles(a, b);
      if (json) {
        printJson(io, {
          ok: true,
          denial: null,
          before: a.hash,
          after: b.hash,
          changes: changes.map((change) => ({ ...change })),
        });
        return;
      }
      if (changes.length === 0) io.stdout('the same policy\n');
      else io.stdout(changesText(changes));
    });
}

function registerTest(policy: Command, { io, json, exit }: CommandContext): void {
  policy
    .command('test <directory>')
    .description('build a directory and run its cases.yaml: facts and what must come of them')
    .option('--cases <file>', 'other cases than the directory’s own')
    .option('--json', 'one JSON document')
    .addHelpText('after', '\nExample:\n  sealgate policy test policy/\n')
    .action((directory: string, options: { cases?: string }) => {
      const { bundle } = buildBundle(readSources(directory), loadCedar);
      const file = options.cases ?? path.join(directory, CASES_FILE);
      const cases = readCases(readInput(file, 'cases', LIMITS.json), path.basename(file), bundle);
      const results = runCases(bundle, cases, loadCedar);
      const ok = results.every((result) => result.ok);
      if (!ok) exit(1);
      if (json) printJson(io, { ok, denial: null, policyHash: bundle.hash, cases: results.map(resultJson) });
      else for (const result of results) io.stdout(resultLine(io, result));
    });
}

function resultJson({ name, ok, expect, decision }: CaseResult): JsonObject {
  const { allow, ids, errors } = decision;
  return { name, ok, expect, got: allow ? 'allow' : 'deny', ids: [...ids], errors: [...errors] };
}

function resultLine(io: CommandContext['io'], { name, ok, expect, decision }: CaseResult): string {
  const mark = ok ? paint(io, 'green', 'ok  ') : paint(io, 'red', 'FAIL');
  const got = `${decision.allow ? 'allow' : 'deny'} [${[...decision.ids, ...decision.errors].join(', ')}]`;
  return `${mark} ${printable(name)}: ${printable(ok ? got : `expected ${expect}, got ${got}`)}\n`;
}
