import { generateKeyPairSync } from 'node:crypto';
import { stat } from 'node:fs/promises';
import path from 'node:path';
import type { Host } from '../agent/index.ts';
import { parseDsse } from '../artifact/index.ts';
import { fromBase64url, isJsonObject, parseJsonObject, refuse, toHex } from '../base/index.ts';
import type { JsonValue } from '../base/index.ts';
import type { ExecutionPlan } from './ask-execution.ts';
import { CredentialsDirectory } from './credentials-dir.ts';
import { interpreterOf } from './interpreter.ts';
import type { Places } from './places.ts';
import { copyPrivately } from './private-copy.ts';
import type { PrivateCopy } from './private-copy.ts';
import type { RunOrder, RunUser } from './run-order.ts';
import type { Isolation } from './sandbox.ts';

/** An execution that is ready to be asked for: everything that selects what will run is fixed. */
export interface PreparedRun {
  readonly plan: ExecutionPlan;
  readonly copy: PrivateCopy;
  readonly user: RunUser;
  readonly isolation: Isolation;
  /** What is started: interpreter and its argument for scripts, then argv. */
  readonly command: readonly string[];
}

/** What preparing needs besides the order. */
export interface Preparation {
  readonly order: RunOrder;
  readonly caller: RunUser;
  readonly executionId: string;
  readonly places: Places;
  readonly isolation: Isolation;
  /** Allow copies on a file system in memory. */
  readonly anywhere: boolean;
}

/** Who nobody is: an artifact never runs as root. */
const NOBODY = 65_534;

/**
 * Copies and measures the artifact, finds its interpreter, makes the workload key, and writes down what the child will
 * get: nothing is decided later.
 * @throws Refusal `artifact-…`, `not-executable`
 */
export async function prepareRun(host: Host, preparation: Preparation): Promise<PreparedRun> {
  const { order, caller, executionId, places, isolation } = preparation;
  const copy = await copyPrivately(order.artifact, path.join(places.run, executionId), preparation.anywhere);
  const entry = entryOf(copy, order.entry);
  await requireExecutable(entry, copy);
  const interpreter = await interpreterOf(entry);
  requirePlainPath(interpreter?.path ?? entry);
  const user = userOf(caller);
  const program = programOf(entry, copy, isolation);
  const argv = [program, ...order.args];
  const { privateKey: workload, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const { x = '', y = '' } = publicKey.export({ format: 'jwk' });
  const { signatures } = order;
  return {
    copy,
    user,
    isolation,
    command: interpreter === null ? argv : [interpreter.path, ...interpreter.args, ...argv],
    plan: {
      workload,
      tree: copy.measured.manifest,
      initiatorKey: order.initiatorKey,
      parentKey: order.parentKey,
      request: {
        v: 1,
        purpose: 'execution',
        verifier: host.identity.trustDomain,
        hostId: host.identity.hostId,
        executionId,
        artifact: {
          name: nameOf(order),
          digest: `sha256:${toHex(copy.measured.digests.sha256)}`,
          type: copy.measured.type,
          signatures,
        },
        argv,
        environment: {
          ...order.environment,
          CREDENTIALS_DIRECTORY: CredentialsDirectory.pathOf(places.credentials, executionId),
        },
        cwd: order.cwd,
        uid: user.uid,
        gid: user.gid,
        interpreter,
        privileged: false,
        isolated: isolation === 'bubblewrap' && user.uid !== process.getuid?.(),
        scopes: order.scopes,
        credentials: order.credentials,
        initiator: order.initiator,
        parent: order.parent,
        workloadPublic: { kty: 'EC', crv: 'P-256', x, y },
      },
    },
  };
}

/** env(1) would take it for an assignment, and run what comes after it. @throws Refusal `not-executable` */
function requirePlainPath(program: string): void {
  if (program.includes('='))
    refuse('not-executable', 'a path with "=" can’t be started', {
      entry: path.basename(program),
      missing: false,
    });
}

/** The file that starts, in the copy. @throws Refusal `run-order`, `not-executable` */
function entryOf({ path: root, measured }: PrivateCopy, entry: string): string {
  if (measured.type === 'file') {
    if (entry !== '') refuse('run-order', 'a file has nothing below it', { entry });
    return root;
  }
  const found = path.resolve(root, entry);
  if (!found.startsWith(`${root}/`))
    refuse('not-executable', 'of a tree a file below its root is run', { entry });
  return found;
}

/** @throws Refusal `not-executable`; its detail says whether the file is missing */
async function requireExecutable(entry: string, { path: root }: PrivateCopy): Promise<void> {
  const found = await stat(entry).catch(() => undefined);
  if (found === undefined)
    return refuse('not-executable', 'there is no such file in the tree', {
      entry: path.relative(root, entry),
      missing: true,
    });
  if (!found.isFile() || (found.mode & 0o111) === 0)
    refuse('not-executable', 'the file is not executable', { entry: path.basename(entry), missing: false });
}

function userOf({ uid, gid }: RunUser): RunUser {
  return uid === 0 ? { uid: NOBODY, gid: NOBODY } : { uid, gid: gid === 0 ? NOBODY : gid };
}

/** The descriptor that a child without namespaces reaches its artifact by: directories above it are closed to it. */
export const ARTIFACT_DESCRIPTOR = 3;

/** The path that the child starts by; it is argv[0], and so part of the request. */
function programOf(entry: string, { path: root }: PrivateCopy, isolation: Isolation): string {
  if (isolation === 'bubblewrap' || process.getuid?.() !== 0) return entry;
  return path.join(`/proc/self/fd/${String(ARTIFACT_DESCRIPTOR)}`, path.relative(root, entry));
}

const LIMITS = { maxBytes: 1024 * 1024, maxDepth: 12 };

/**
 * The name to ask under: what the statement says that was given with the artifact, else the file's own. The verifier and
 * {@link verifyAnswer} take none but the signed one.
 */
function nameOf({ artifact, signatures }: RunOrder): string {
  for (const { format, data } of signatures) {
    if (format !== 'dsse') continue;
    const { subject } = parseJsonObject(
      parseDsse(fromBase64url(data, 'signature')).payload,
      'statement',
      LIMITS,
    );
    const [first] = Array.isArray(subject) ? (subject as readonly JsonValue[]) : [];
    if (isJsonObject(first) && typeof first['name'] === 'string') return first['name'];
  }
  return path.basename(artifact);
}
