import { generateKeyPairSync } from 'node:crypto';
import path from 'node:path';
import type { Host } from '../agent/index.ts';
import { parseDsse } from '../artifact/index.ts';
import { Refusal, fromBase64url, isJsonObject, parseJsonObject, refuse, toHex } from '../base/index.ts';
import type { Clock, JsonValue } from '../base/index.ts';
import type { RenewSignal } from '../client/index.ts';
import { toDenial } from '../lifecycle/index.ts';
import type { Stage } from '../lifecycle/index.ts';
import type { ExecutionPlan } from './ask-execution.ts';
import { CredentialsDirectory } from './credentials/credentials-dir.ts';
import { interpreterOf } from './artifact/interpreter.ts';
import type { Places } from './places.ts';
import { entryPoint } from './artifact/entry-point.ts';
import type { MeasuredArtifact } from './artifact/measure-artifact.ts';
import { copyPath, copyPrivately, showToKernel } from './artifact/private-copy.ts';
import type { PrivateCopy } from './artifact/private-copy.ts';
import { readArtifact } from './artifact/read-artifact.ts';
import { denyUntrusted, requireTrustedHere } from './artifact/trusted-here.ts';
import { childSocketPath } from './delegate/child-socket.ts';
import type { ParentHolder } from './delegate/parent-holder.ts';
import { CHILD_SOCKET_VARIABLE, CREDENTIALS_VARIABLE } from './run-order.ts';
import type { TakeTurn } from './run-desk.ts';
import type { RunOrder, RunUser } from './run-order.ts';
import type { Isolation } from './confine/sandbox.ts';

/** An execution that is ready to be asked for: everything that selects what will run is fixed. */
export interface PreparedRun {
  readonly plan: ExecutionPlan;
  readonly copy: PrivateCopy;
  readonly user: RunUser;
  readonly isolation: Isolation;
  /** What is started: interpreter and its argument for scripts, then argv. */
  readonly command: readonly string[];
  /** What it is told by that its credentials were renewed. */
  readonly onRenew: RenewSignal | undefined;
}

/** What preparing needs besides the order. */
export interface Preparation {
  readonly order: RunOrder;
  readonly caller: RunUser;
  /** Who it runs as. */
  readonly user: RunUser;
  readonly executionId: string;
  readonly places: Places;
  readonly isolation: Isolation;
  /** Allow copies on a file system in memory. */
  readonly anywhere: boolean;
  readonly clock: Clock;
  /** What waits for the TPM goes through this. */
  readonly turn: TakeTurn;
  /** The execution that starts it. */
  readonly parent: ParentHolder | null;
}

/**
 * Reads the artifact with its caller's rights, judges its signatures, and only then copies it to where root's reading has
 * the kernel measure it; finds its interpreter, makes the workload key, and writes down what the child will get: nothing is
 * decided later.
 * @throws Refusal `artifact-…`, `not-executable`, `caller-rights`; VerifierRefusal the logged denial of an artifact that is
 *   not trusted
 */
export async function prepareRun(host: Host, preparation: Preparation): Promise<PreparedRun> {
  const { order, caller, executionId, places, clock } = preparation;
  const read = await readArtifact(caller, order.artifact);
  const directory = path.join(places.run, executionId);
  const root = copyPath(read, directory);
  const draft = draftOf(host, preparation, { measured: read.measured, root });
  try {
    await requireTrustedHere(host, draft.plan.request.artifact, clock);
  } catch (error) {
    if (!(error instanceof Refusal) || !NOT_TRUSTED.has(toDenial(error).stage)) throw error;
    return await preparation.turn(() => denyUntrusted(host, draft.plan, error, clock));
  }
  const entry = entryPoint(read, order.entry);
  const interpreter = await interpreterOf(entry.head);
  const [program = ''] = draft.plan.request.argv;
  requirePlainPath(interpreter?.path ?? program);
  const copy = await copyPrivately(caller, read, directory, preparation.anywhere);
  const { argv } = draft.plan.request;
  return {
    copy,
    user: preparation.user,
    onRenew: order.onRenew,
    isolation: preparation.isolation,
    command: interpreter === null ? argv : [interpreter.path, ...interpreter.args, ...argv],
    plan: {
      ...draft.plan,
      request: { ...draft.plan.request, interpreter },
      reveal: async (policyHash) => {
        // Another policy may have become active since the artifact was judged.
        await requireTrustedHere(host, draft.plan.request.artifact, clock, policyHash);
        return () => showToKernel(copy);
      },
    },
  };
}

/** Stages of the refusals that say that an artifact isn't what policy trusts. */
const NOT_TRUSTED: ReadonlySet<string> = new Set<Stage>(['artifact']);

/** The request as far as it is known without its artifact's words being believed. */
function draftOf(
  host: Host,
  { order, user, executionId, places, isolation, parent }: Preparation,
  { measured, root }: { readonly measured: MeasuredArtifact; readonly root: string },
): Pick<PreparedRun, 'plan'> {
  const { privateKey: workload, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const { x = '', y = '' } = publicKey.export({ format: 'jwk' });
  const credentials = CredentialsDirectory.pathOf(places.credentials, executionId);
  return {
    plan: {
      workload,
      tree: measured.manifest,
      initiatorKey: order.initiatorKey,
      parent,
      reveal: undefined,
      request: {
        v: 1,
        purpose: 'execution',
        verifier: host.identity.trustDomain,
        hostId: host.identity.hostId,
        executionId,
        artifact: {
          name: nameOf(order),
          digest: `sha256:${toHex(measured.digests.sha256)}`,
          type: measured.type,
          signatures: order.signatures,
        },
        argv: [programOf(path.join(root, order.entry), root, isolation), ...order.args],
        environment: {
          ...order.environment,
          [CREDENTIALS_VARIABLE]: credentials,
          [CHILD_SOCKET_VARIABLE]: childSocketPath(credentials),
        },
        cwd: order.cwd,
        uid: user.uid,
        gid: user.gid,
        interpreter: null,
        privileged: false,
        isolated: isolation === 'bubblewrap' && user.uid !== process.getuid?.(),
        scopes: order.scopes,
        credentials: order.credentials,
        initiator: order.initiator,
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

/** The descriptor that a child without namespaces reaches its artifact by: directories above it are closed to it. */
export const ARTIFACT_DESCRIPTOR = 3;

/** The path that the child starts by; it is argv[0], and so part of the request. */
function programOf(entry: string, root: string, isolation: Isolation): string {
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
