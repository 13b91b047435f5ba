import { realpathSync, statSync } from 'node:fs';
import path from 'node:path';
import { fromUtf8, isJsonObject, parseJsonObject, refuse, utf8 } from '../../base/index.ts';
import type { JsonObject } from '../../base/index.ts';
import { VerifierRefusal } from '../../client/index.ts';
import { sharedFile } from '../shared-files.ts';
import { orderOf, runOrder } from './governed-run.ts';
import type { GovernedRun } from './governed-run.ts';
import type { Playground } from './playground.ts';

/** A program that started another, and what that one had. */
export interface DelegatedRun {
  readonly parent: GovernedRun;
  readonly childId: string;
  /** What the child printed. */
  readonly output: readonly string[];
}

/** What the planner has itself; a child gets a part of it. */
const OWN = { scopes: ['figures.*'], credentials: ['workload', 'database'] } as const;

/** The planner runs, and starts the report with one scope below its own and one credential of its two. */
export async function runDelegated(playground: Playground): Promise<DelegatedRun> {
  const { parent, answer, output } = await plan(playground, {
    scopes: ['figures.eu'],
    credentials: ['workload'],
  });
  const { status, report } = answer;
  if (status !== 0 || !isJsonObject(report) || typeof report['executionId'] !== 'string')
    return refuse('playground', 'the child did not run', { answer });
  return { parent, childId: report['executionId'], output };
}

/** The planner asks for a child with a scope that it doesn't have. @throws VerifierRefusal as it has to */
export async function askForTooMuch(playground: Playground): Promise<void> {
  const { answer } = await plan(playground, { scopes: ['admin.all'], credentials: [] });
  const { denial, verifier } = answer;
  if (!isJsonObject(denial) || verifier === undefined || !isJsonObject(verifier)) return;
  const word = (name: string): string => textOf(denial, name);
  throw new VerifierRefusal(
    {
      stage: word('stage'),
      code: word('code'),
      check: word('check'),
      reason: word('reason'),
      remedy: word('remedy'),
      detail: {},
    },
    Number(verifier['status']),
    textOf(verifier, 'auditIndex'),
  );
}

function textOf(json: JsonObject, name: string): string {
  const value = json[name];
  return typeof value === 'string' ? value : '';
}

interface Planned {
  readonly parent: GovernedRun;
  readonly answer: JsonObject;
  readonly output: readonly string[];
}

async function plan(
  playground: Playground,
  asked: { readonly scopes: readonly string[]; readonly credentials: readonly string[] },
): Promise<Planned> {
  const node = reachable(process.execPath);
  const program = fromUtf8(sharedFile('playground/planner.js'), 'planner').replace('@NODE@', () => node);
  const { artifact, data } = await playground.signArtifact('planner', utf8(program));
  const child = { ...(await orderOf(playground)), ...asked, initiator: null, initiatorKey: null };
  const parent = await runOrder(playground, {
    ...(await orderOf(playground)),
    ...OWN,
    artifact,
    signatures: [{ format: 'dsse', data }],
    args: [JSON.stringify(child)],
  });
  const answer = parseJsonObject(utf8(parent.output[parent.output.length - 1] ?? ''), 'answer', LIMITS);
  return { parent, answer, output: parent.output.slice(0, -1) };
}

const LIMITS = { maxBytes: 64 * 1024, maxDepth: 8 };

/** What runs is another user: node may be where that one can’t get (below /root). @throws Refusal `playground` */
function reachable(file: string): string {
  for (let at = realpathSync(file); at !== '/'; at = path.dirname(at)) {
    if (process.getuid?.() === 0 && (statSync(at).mode & 0o001) === 0)
      refuse('playground', `${at} is closed to other users, and the planner needs node`, { path: at });
  }
  return realpathSync(file);
}
