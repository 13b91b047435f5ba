import type { Command } from 'commander';
import type { JsonObject } from '../../base/index.ts';
import { MAX_PACKAGE, openPackage, simulateDecision } from '../../lifecycle/index.ts';
import type { OpenedPackage, Simulated } from '../../lifecycle/index.ts';
import { BUNDLE_LIMITS, loadCedar, parseBundle } from '../../policy/index.ts';
import type { PolicyBundle } from '../../policy/index.ts';
import { readInput } from '../input.ts';
import { paint, printJson, printable } from '../output.ts';
import type { CommandContext } from '../context.ts';
import { group } from './group.ts';

interface Options {
  readonly trustBundle?: string;
  readonly failOnChange?: boolean;
}

/** One recorded decision, as it was and as it would be. */
interface Comparison extends JsonObject {
  readonly package: string;
  readonly executionId: string | null;
  readonly auditIndex: string;
  readonly before: { readonly outcome: string; readonly check: string | null };
  readonly after: { readonly outcome: string; readonly check: string | null; readonly reason: string | null };
  readonly changed: boolean;
}

/** `sealgate policy simulate BUNDLE PACKAGE…`: recorded decisions under another policy, offline. */
export function registerPolicySimulate(program: Command, context: CommandContext): void {
  group(program, 'policy', 'reference values and policy')
    .command('simulate <bundle> <package...>')
    .description('what a bundle would have said to recorded executions (files of exec export)')
    .option('--trust-bundle <file>', 'a trust bundle that is believed, for the packages')
    .option('--fail-on-change', 'exit 1 when a decision would be another one')
    .option('--json', 'one JSON document')
    .addHelpText(
      'after',
      `
Each package is verified and its decision repeated first; then the same stages judge the same request, evidence, state and
time under the bundle, as if it had been active and valid then. Host attestations and packages whose evidence is gone are
"undetermined", and so is what the bundle would ask that was not read then.

Example:
  sealgate exec export 0199a3c2-7c4e-7b1a-9f00-3a5b6c7d8e9f -o execution.json
  sealgate policy simulate bundle.json execution.json
`,
    )
    .action(async (file: string, packages: readonly string[], options: Options) => {
      await simulate(file, packages, options, context);
    });
}

async function simulate(
  file: string,
  packages: readonly string[],
  { trustBundle, failOnChange = false }: Options,
  { io, json, exit }: CommandContext,
): Promise<void> {
  const candidate = parseBundle(readInput(file, 'policy bundle', BUNDLE_LIMITS.maxBytes));
  const pins =
    trustBundle === undefined
      ? {}
      : { trustBundle: readInput(trustBundle, 'trust bundle', 16 * 1024 * 1024) };
  const decisions: Comparison[] = [];
  for (const name of packages) {
    const opened = await openPackage(readInput(name, 'package', MAX_PACKAGE), pins, loadCedar);
    decisions.push(await compare(name, opened, candidate));
  }
  const changed = decisions.filter((one) => one.changed).length;
  if (failOnChange && changed > 0) exit(1);
  if (json) {
    printJson(io, { ok: true, denial: null, policyHash: candidate.hash, decisions, changed });
    return;
  }
  for (const one of decisions) io.stdout(`${lineOf(one, io)}\n`);
  io.stdout(`${String(changed)} of ${String(decisions.length)} would be decided otherwise\n`);
}

async function compare(name: string, opened: OpenedPackage, candidate: PolicyBundle): Promise<Comparison> {
  const { report } = opened;
  const simulated = await simulateDecision(opened, candidate, loadCedar);
  const after = afterOf(simulated);
  return {
    package: name,
    executionId: report.executionId,
    auditIndex: report.decision,
    before: { outcome: report.outcome, check: report.check },
    after,
    changed:
      after.outcome !== 'undetermined' &&
      (after.outcome !== report.outcome || (after.outcome === 'deny' && after.check !== report.check)),
  };
}

const afterOf = (simulated: Simulated | undefined): Comparison['after'] => ({
  outcome: simulated?.outcome ?? 'undetermined',
  check: simulated?.denial?.check ?? null,
  reason:
    simulated === undefined
      ? 'not an execution, or not all of it is there'
      : (simulated.denial?.reason ?? null),
});

function lineOf({ package: name, before, after, changed }: Comparison, io: CommandContext['io']): string {
  const told = ({ outcome, check }: Comparison['before']): string =>
    check === null ? outcome : `${outcome} (${check})`;
  const line = `${printable(name)}  ${told(before)} → ${told(after)}`;
  const why = after.reason === null ? '' : `: ${printable(after.reason)}`;
  return changed
    ? `${paint(io, 'yellow', line)}${why}`
    : `${line}${after.outcome === 'undetermined' ? why : ''}`;
}
