import { open } from 'node:fs/promises';
import type { Host } from '../agent/index.ts';
import type { LocalCaller, RunEnd } from '../agent/runner-port.ts';
import type { Clock, JsonObject } from '../base/index.ts';
import type { OpenedExecution } from './ask-execution.ts';
import { grouped } from './confine/cgroup.ts';
import type { RunGroup } from './confine/cgroup.ts';
import { startChild } from './confine/child.ts';
import type { Child, ChildEnd } from './confine/child.ts';
import { ChildSocket, childSocketPath, mayStartOthers } from './delegate/child-socket.ts';
import { credentialFiles, releasedCredentials } from './credentials/credential-files.ts';
import { CredentialsDirectory } from './credentials/credentials-dir.ts';
import { Execution, tellOutcome } from './execution.ts';
import type { Executions } from './executions.ts';
import type { Installation } from './installation.ts';
import type { ParentHolder } from './delegate/parent-holder.ts';
import type { Places } from './places.ts';
import type { PreparedRun } from './prepare-run.ts';
import { connectSignals, ioOf, requireCaller } from './run-io.ts';
import type { RunIo } from './run-io.ts';
import type { RunOrder, RunUser } from './run-order.ts';
import { bubblewrap, withoutNamespaces } from './confine/sandbox.ts';
import type { ConfinedCommand, Confinement } from './confine/sandbox.ts';
import type { UserLease } from './confine/user-lease.ts';

/** What starting an execution needs of its gateway. */
export interface StartTerms {
  /** The enrolled host as it is now. */
  readonly host: () => Promise<Host>;
  readonly clock: Clock;
  readonly executions: Executions;
  readonly places: Places;
  /** Directories besides the gateway's own that a child doesn't see. */
  readonly hidden: readonly string[];
  readonly installation: Installation['state'] | null;
  /** Between TERM and KILL, milliseconds; undefined: the usual time. */
  readonly graceMs: number | undefined;
  /** Runs what the execution starts. */
  readonly runChild: (
    parent: ParentHolder,
    order: RunOrder,
    caller: LocalCaller,
    io: RunIo,
  ) => Promise<RunEnd>;
}

/** What keeps together all that an execution ever starts. */
export interface Fence {
  readonly lease: UserLease;
  readonly group: RunGroup | undefined;
}

/** One allowed execution and what it is connected to. */
export interface StartedRun {
  /** The host that it was asked for by. */
  readonly asker: Host;
  readonly prepared: PreparedRun;
  readonly allowed: OpenedExecution;
  readonly fence: Fence;
  readonly io: RunIo;
}

/**
 * Runs what was allowed to its end (PROTOCOL 9, "How it runs"): its credentials are put in place, it is started confined,
 * may start others by its child socket, and all of it is gone when this returns.
 * @throws Refusal `revoked`, `caller-gone` when it must not start any more, `gateway-isolation`; then nothing ran
 */
export async function startExecution(terms: StartTerms, run: StartedRun): Promise<RunEnd> {
  const { asker, prepared, io } = run;
  const { request, answer, opened } = run.allowed;
  const { executionId } = request;
  const { executions, places, clock, graceMs } = terms;
  executions.requireNotEnded(executionId);
  const { plan, user } = prepared;
  const directory = await CredentialsDirectory.create(places.credentials, executionId, user);
  const { token: authorization, claims } = answer.authorization;
  const credentials = releasedCredentials(opened, request.credentials);
  const filesFor = { authorization, workload: plan.workload, svidCas: asker.trust.cas.svid };
  await directory.write(credentialFiles(credentials, request.credentials, filesFor));
  const children = mayStartOthers(claims) ? await listen(terms, directory, user) : undefined;
  try {
    const execution = new Execution({
      ...{ host: terms.host, executionId, workload: plan.workload, credentials: directory },
      ...{ asked: request.credentials, claims, authorization, clock },
      child: await launch(terms, run, directory),
      onRenew: prepared.onRenew,
      ...(graceMs === undefined ? {} : { graceMs }),
    });
    children?.serve(execution);
    const ended = await watch(terms, execution, run);
    await directory.wipe();
    // What it started has ended too, and says so, before it does.
    await children?.close();
    await tell(terms, { executionId, event: 'ended', ...outcomeOf(ended) }, { prepared, io });
    const report = { ...reportOf(request, answer), installation: terms.installation };
    return { ...ended, denial: execution.denial, report };
  } finally {
    await children?.close();
  }
}

/** The socket by which what runs asks for children. */
async function listen(
  { runChild }: StartTerms,
  directory: CredentialsDirectory,
  user: RunUser,
): Promise<ChildSocket> {
  return await ChildSocket.listen({
    path: childSocketPath(directory.path),
    user,
    run: (order, parent, caller, streams) => runChild(parent, order, caller, ioOf(streams)),
  });
}

async function launch(
  { host, places, hidden, executions }: StartTerms,
  { prepared, fence, io }: StartedRun,
  directory: CredentialsDirectory,
): Promise<Child> {
  const { command, copy, isolation, user, plan } = prepared;
  const { state } = await host();
  const confinement: Confinement = {
    user,
    cwd: plan.request.cwd,
    environment: plan.request.environment,
    hidden: [state.path, places.credentials, ...hidden],
    shown: [copy.directory, directory.path],
  };
  const endRest = async (): Promise<void> => {
    await fence.group?.kill();
    await fence.lease.killAll();
  };
  const enter = (confined: ConfinedCommand): ConfinedCommand => grouped(confined, fence.group);
  // What was revoked since the answer, or whose caller or parent is gone, isn't started to be ended.
  const requireWanted = (): void => {
    executions.requireNotEnded(plan.request.executionId);
    requireCaller(io);
  };
  if (isolation === 'bubblewrap')
    return await startChild(enter(bubblewrap(command, confinement)), io.streams, { endRest, requireWanted });
  const artifact = await open(copy.path, 'r');
  try {
    const kept = { endRest, requireWanted, keep: artifact.fd };
    return await startChild(enter(withoutNamespaces(command, confinement)), io.streams, kept);
  } finally {
    await artifact.close();
  }
}

/** An execution under way, until what runs has ended. */
async function watch(
  terms: StartTerms,
  execution: Execution,
  { prepared, io }: StartedRun,
): Promise<ChildEnd> {
  const { id: executionId } = execution;
  try {
    await terms.executions.started(execution);
    connectSignals(execution, io);
    io.event?.({ event: 'started', executionId });
    await tell(terms, { executionId, event: 'started' }, { prepared, io });
    return await execution.ended();
  } finally {
    terms.executions.forget(executionId);
  }
}

/** A report that isn't delivered changes nothing about what ran: it is told to the caller instead. */
async function tell(
  { host }: StartTerms,
  report: Parameters<typeof tellOutcome>[1],
  { prepared, io }: Pick<StartedRun, 'prepared' | 'io'>,
): Promise<void> {
  try {
    await tellOutcome(await host(), report, prepared.plan.workload);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    io.event?.({ event: 'not-reported', outcome: report.event, reason });
  }
}

function reportOf(
  request: OpenedExecution['request'],
  { auditIndex, policy, authorization: { claims } }: OpenedExecution['answer'],
): JsonObject {
  return {
    v: 1,
    executionId: request.executionId,
    auditIndex,
    policy: { version: policy.version, hash: policy.hash },
    artifact: { name: request.artifact.name, digest: request.artifact.digest },
    authorization: { jti: claims.jti, expires: new Date(claims.exp * 1000).toISOString() },
    credentials: [...request.credentials],
    isolated: request.isolated,
  };
}

const outcomeOf = ({ status, signal }: ChildEnd): { status: number } | { signal: string } =>
  signal === null ? { status: status ?? 0 } : { signal };
