import { existsSync, lstatSync, statfsSync } from 'node:fs';
import { execFile } from 'node:child_process';
import path from 'node:path';
import { promisify } from 'node:util';
import { Refusal, refuse, shape } from '../base/index.ts';
import type { JsonObject, JsonValue, Shape } from '../base/index.ts';
import { askAgent } from '../client/local/ask-agent.ts';
import type { EkTemplateName } from '../tpm/index.ts';
import type { Tpm } from '../../native/index.ts';
import { evidenceLogs } from './evidence-logs.ts';
import type { LogPaths } from './evidence-logs.ts';
import { readIdentity } from './host-identity.ts';
import { openTpm } from './open-tpm.ts';
import { StateDirectory } from './state-directory.ts';
import { ekCandidates } from './tpm-enrollment.ts';

/** One thing that a host needs, and how it stands. */
export interface Readiness {
  readonly item: string;
  /** `missing`: nothing runs without it; `warning`: less can be proved or isolated. */
  readonly state: 'ready' | 'warning' | 'missing';
  readonly explanation: string;
}

/** What is looked at. */
export interface CheckOrder {
  readonly tcti: string;
  readonly state: string;
  readonly logs: LogPaths;
  /** Where the agent listens. */
  readonly socket: string;
}

const TMPFS_MAGIC = 0x0102_1994;

/**
 * What on this machine is ready for enrolling and running, each with an explanation; nothing is changed.
 */
export async function checkHost({ tcti, state, logs, socket }: CheckOrder): Promise<readonly Readiness[]> {
  return [
    ...(await checkTpm(tcti)),
    checkDevice(tcti),
    checkLog(
      'event log',
      logs.eventLog,
      () => evidenceLogs(logs).eventLog(),
      'the boot chain can only be judged by PCR values',
    ),
    checkLog(
      'IMA list',
      logs.imaList,
      () => evidenceLogs(logs).imaList(),
      'what runs is not measured: boot with an IMA policy (ima_policy=tcb)',
    ),
    await checkBubblewrap(),
    checkMemoryFiles(),
    checkState(state),
    await checkAgent(socket),
  ].flat();
}

async function checkTpm(tcti: string): Promise<Readiness[]> {
  let tpm: Tpm | undefined;
  try {
    tpm = await openTpm(tcti);
    const { manufacturer, firmwareVersion } = await tpm.properties();
    const certified = await certifiedTemplates(tpm);
    return [
      ready('TPM', `answers at ${tcti}: ${manufacturer}, firmware ${firmwareVersion}`),
      certified.length > 0
        ? ready('EK certificate', `in NV for ${certified.join(', ')}`)
        : warning('EK certificate', 'none in NV: an operator has to list this EK by its hash'),
    ];
  } catch (error) {
    return [missing('TPM', `${tcti}: ${reasonOf(error)}`)];
  } finally {
    await tpm?.close();
  }
}

async function certifiedTemplates(tpm: Tpm): Promise<readonly EkTemplateName[]> {
  const found: EkTemplateName[] = [];
  for (const name of await ekCandidates(tpm))
    if ((await tpm.endorsementCertificate(name)) !== null) found.push(name);
  return found;
}

/** /dev/tpmrm0 is to belong to the agent's user alone: who has it can reset PCR 23. */
function checkDevice(tcti: string): Readiness[] {
  const file = /^device:(\/.+)$/.exec(tcti)?.[1];
  if (file === undefined || !existsSync(file)) return [];
  const { mode, uid } = lstatSync(file);
  const bits = (mode & 0o777).toString(8).padStart(4, '0');
  const own = uid === process.getuid?.() || uid === 0;
  return (mode & 0o077) === 0 && own
    ? [ready('TPM device', `${file} is ${bits}, of uid ${String(uid)}`)]
    : [
        warning(
          'TPM device',
          `${file} is ${bits}, of uid ${String(uid)}: others can speak to the TPM; chown it to the agent's user, chmod 600`,
        ),
      ];
}

function checkLog(item: string, file: string, read: () => Uint8Array | null, without: string): Readiness {
  try {
    const bytes = read();
    return bytes === null
      ? warning(item, `${file} is not there or empty: ${without}`)
      : ready(item, `${file}, ${String(bytes.length)} bytes`);
  } catch (error) {
    return warning(item, `${file}: ${reasonOf(error)}`);
  }
}

/** Whether bubblewrap can make the namespaces that executions run in. */
async function checkBubblewrap(): Promise<Readiness> {
  const run = promisify(execFile);
  const args = ['--unshare-pid', '--unshare-ipc', '--ro-bind', '/', '/', '--proc', '/proc', 'true'];
  try {
    await run('bwrap', args, { timeout: 10_000 });
    return ready('bubblewrap', 'makes namespaces for executions');
  } catch (error) {
    const absent = error instanceof Error && 'code' in error && error.code === 'ENOENT';
    return warning(
      'bubblewrap',
      absent
        ? 'is not installed (apt-get install bubblewrap): executions are not isolated'
        : 'can’t make namespaces here: executions are not isolated',
    );
  }
}

/** Credentials lie in memory only. */
function checkMemoryFiles(): Readiness {
  const place = ['/run', '/dev/shm'].find((one) => existsSync(one) && statfsSync(one).type === TMPFS_MAGIC);
  return place === undefined
    ? missing('tmpfs', 'neither /run nor /dev/shm is one: credentials would touch a disk')
    : ready('tmpfs', `${place}, for credentials`);
}

function checkState(directory: string): Readiness {
  if (!existsSync(directory))
    return warning('state', `${path.resolve(directory)} is not there: not enrolled`);
  try {
    const { hostId, trustDomain } = readIdentity(StateDirectory.open(directory));
    return ready('state', `enrolled as ${hostId} of ${trustDomain}; every file is 0600`);
  } catch (error) {
    return warning('state', `${path.resolve(directory)}: ${reasonOf(error)}`);
  }
}

/** Whether the agent runs, when it attested, and whether its verifier answers: an outage is seen here before it hurts. */
async function checkAgent(socket: string): Promise<Readiness[]> {
  if (!existsSync(socket)) return [];
  try {
    const { attestation, events, until } = agentStatus(await askAgent(socket, { v: 1, op: 'status' }));
    const ends = until === null ? '' : `; without it what runs here ends at ${until}`;
    const { at, failure } = attestation;
    const last = at === null ? 'never attested' : `attested at ${new Date(at).toISOString()}`;
    if (failure !== null) return [warning('agent', `${last}; since then ${failure.reason}${ends}`)];
    if (!events.connected)
      return [warning('agent', `${last}; not told of revocations: the verifier is away${ends}`)];
    return [ready('agent', `${last}, told of revocations at once`)];
  } catch (error) {
    return [warning('agent', `${socket}: ${reasonOf(error)}`)];
  }
}

const anything: Shape<JsonValue> = (value) => value;
const STATUS = shape.object(
  {
    attestation: shape.object(
      {
        at: shape.nullable(shape.integer()),
        failure: shape.nullable(shape.object({ check: shape.text(), reason: shape.text() })),
      },
      { auditIndex: anything, policyVersion: anything, failingSince: anything },
    ),
    events: shape.object(
      { connected: shape.boolean },
      { since: anything, lastEventId: anything, failure: anything },
    ),
    until: shape.nullable(shape.text({ max: 64 })),
  },
  {
    v: anything,
    hostId: anything,
    name: anything,
    url: anything,
    trustDomain: anything,
    executions: anything,
  },
);
const agentStatus = (json: JsonObject): ReturnType<typeof STATUS> =>
  STATUS(json, 'status', (at, want) => refuse('local-frame', `${at} is not ${want}`));

const reasonOf = (error: unknown): string =>
  error instanceof Refusal ? error.reason : error instanceof Error ? error.message : String(error);
const ready = (item: string, explanation: string): Readiness => ({ item, state: 'ready', explanation });
const warning = (item: string, explanation: string): Readiness => ({ item, state: 'warning', explanation });
const missing = (item: string, explanation: string): Readiness => ({ item, state: 'missing', explanation });
