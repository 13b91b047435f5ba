import { readFileSync } from 'node:fs';
import { PassThrough } from 'node:stream';
import { Gateway } from '../../gateway/index.ts';
import type { RunOrder } from '../../gateway/index.ts';
import { refuse, toBase64url } from '../../base/index.ts';
import { systemClock } from '../clock.ts';
import { systemRandom } from '../random.ts';
import type { Playground } from './playground.ts';

/** What a governed run printed, and what is known of it. */
export interface GovernedRun {
  readonly output: readonly string[];
  readonly executionId: string;
  readonly auditIndex: string;
  readonly isolated: boolean;
}

/** Runs the playground's artifact through the gateway: `sealgate run --credential workload --credential database -- report`. */
export async function runGoverned(playground: Playground): Promise<GovernedRun> {
  return await runOrder(playground, await orderOf(playground));
}

/** Runs one order to its end. @throws Refusal `playground` when the program fails */
export async function runOrder(playground: Playground, order: RunOrder): Promise<GovernedRun> {
  const { host } = playground;
  const gateway = new Gateway({
    host: () => Promise.resolve(host),
    clock: systemClock,
    random: systemRandom,
    environment: process.env,
    // Without IMA nothing measures the copy, wherever it is.
    anywhere: true,
  });
  const stdout = new PassThrough();
  const parts: Buffer[] = [];
  stdout.on('data', (part: Buffer) => parts.push(part));
  const stdin = new PassThrough();
  stdin.end();
  const end = await gateway.runArtifact(order, ownUser(), {
    streams: { stdin, stdout, stderr: stdout },
  });
  const output = Buffer.concat(parts).toString('utf8').trimEnd().split('\n');
  if (end.status !== 0)
    return refuse('playground', `it ended with ${String(end.status ?? end.signal)}: ${output.join(' | ')}`);
  const { executionId, auditIndex, isolated } = end.report;
  if (typeof executionId !== 'string' || typeof auditIndex !== 'string')
    return refuse('playground', 'the run has no report');
  return { output, executionId, auditIndex, isolated: isolated === true };
}

/** The report, for alice. */
export async function orderOf(playground: Playground): Promise<RunOrder> {
  const { artifact } = playground.files;
  const { token, key } = await playground.initiator();
  const data = toBase64url(new Uint8Array(readFileSync(`${artifact}.dsse.json`)));
  return {
    artifact,
    entry: '',
    args: [],
    environment: {},
    cwd: '/',
    scopes: [],
    credentials: ['workload', 'database'],
    signatures: [{ format: 'dsse', data }],
    initiator: token,
    initiatorKey: key.export({ type: 'pkcs8', format: 'pem' }).toString(),
    parent: null,
    parentKey: null,
  };
}

const ownUser = () => ({ uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 });
