import { open } from 'node:fs/promises';
import path from 'node:path';
import type { Host } from '../agent/index.ts';
import { ReleaseLost } from '../agent/open-release.ts';
import type {
  ActiveExecution,
  ExecutionDenial,
  LocalCaller,
  RenewedExecution,
  RunEnd,
  RunStreams,
  RunnerPort,
} from '../agent/runner-port.ts';
import { Refusal, refuse } from '../base/index.ts';
import type { Clock, JsonObject, Random } from '../base/index.ts';
import { askExecution } from './ask-execution.ts';
import type { OpenedExecution } from './ask-execution.ts';
import { grouped, makeRunGroup } from './cgroup.ts';
import type { RunGroup } from './cgroup.ts';
import { startChild } from './child.ts';
import type { Child, ChildEnd, ChildStreams } from './child.ts';
import { ChildSocket, childSocketPath, mayStartOthers } from './child-socket.ts';
import { credentialFiles, releasedCredentials } from './credential-files.ts';
import { CredentialsDirectory, credentialsPlace } from './credentials-dir.ts';
import { Execution, tellOutcome } from './execution.ts';
import { newExecutionId } from './execution-id.ts';
import type { Installation } from './installation.ts';
import { clearExecution, lockExecution, sweep } from './places.ts';
import type { Places } from './places.ts';
import { RunDesk } from './run-desk.ts';
import type { TakeTurn } from './run-desk.ts';
import { prepareRun } from './prepare-run.ts';
import type { PreparedRun } from './prepare-run.ts';
import { namedParent } from './parent-holder.ts';
import type { ParentHolder } from './parent-holder.ts';
import { parseRunOrder } from './run-order.ts';
import type { Prove, RunOrder, RunUser } from './run-order.ts';
import { bubblewrap, probeIsolation, withoutNamespaces } from './sandbox.ts';
import type { ConfinedCommand, Confinement, Isolation } from './sandbox.ts';
import { leaseUser } from './user-lease.ts';
import type { UserLease } from './user-lease.ts';

/** What a gateway works with. */
export interface GatewayOptions {
  /** The enrolled host; asked for each time, since a daemon may have to open it anew. */
  readonly host: () => Promise<Host>;
  readonly clock: Clock;
  readonly random: Random;
  readonly environment: NodeJS.ProcessEnv;
  /** Where credentials are put instead of the usual place: tmpfs. */
  readonly credentials?: string;
  /** Allow artifact copies on a file system in memory: for platforms whose runtime is not measured. */
  readonly anywhere?: boolean;
  /** Instead of what this machine is found to allow. */
  readonly isolation?: Isolation;
  /** Directories besides the gateway's own that a child doesn't see: the agent's socket. */
  readonly hidden?: readonly string[];
  /** What this program found out about its own files (`verifyInstallation`), for reports. */
  readonly installation?: Installation['state'];
  /** Between TERM and KILL; default 10 s. */
  readonly graceMs?: number;
}

/** What a run is connected to. */
export interface RunIo {
  readonly streams: ChildStreams;
  readonly onSignal?: (listener: (signal: NodeJS.Signals) => void) => void;
  /** Told when the child runs, and of what could not be reported. */
  readonly event?: (event: JsonObject) => void;
  /** Ends what runs; a refusal as its reason is why. */
  readonly signal?: AbortSignal;
  /** Proves that the parent is held that the order names without its key. */
  readonly prove?: Prove;
}

/**
 * The governed runtime gateway of a host: it measures an artifact, asks for its execution, judges the answer, unseals the
 * credentials and runs the artifact, confined, with nothing but what was allowed.
 */
export class Gateway implements RunnerPort {
  readonly #options: GatewayOptions;
  readonly #executions = new Map<string, Execution>();
  readonly #desk = new RunDesk();
  /** Asked for and not yet started, with why one must not start any more. */
  readonly #coming = new Map<string, ExecutionDenial | null>();
  #places: Promise<Places & { readonly wiped: readonly string[] }> | undefined;

  constructor(options: GatewayOptions) {
    this.#options = options;
  }

  /** Once in this object's life: what others left while it lives is theirs to wipe. */
  async recover(): Promise<readonly string[]> {
    return (await this.#usePlaces()).wiped;
  }

  active(): readonly ActiveExecution[] {
    return [...this.#executions.values()].map((execution) => execution.active());
  }

  async renew(renewed: readonly RenewedExecution[]): Promise<void> {
    // One that ends meanwhile must not cost the others their renewal.
    const results = await Promise.allSettled(
      renewed.map(async (one) => await this.#executions.get(one.executionId)?.renew(one)),
    );
    const failed = results.find((result) => result.status === 'rejected');
    if (failed !== undefined) throw failed.reason;
  }

  async end(executionIds: readonly string[], reason: ExecutionDenial): Promise<void> {
    // What was revoked between its commit and its start is not there yet.
    for (const id of executionIds) if (this.#coming.has(id)) this.#coming.set(id, reason);
    const named = executionIds.flatMap((id) => this.#executions.get(id) ?? []);
    await Promise.all(named.map((execution) => execution.end(reason)));
  }

  /** {@link RunnerPort.run}: an order of the local socket, by whom the kernel says. */
  async run(order: JsonObject, { uid, gid }: LocalCaller, streams: RunStreams): Promise<RunEnd> {
    return await this.runArtifact(parseRunOrder(order), { uid, gid }, ioOf(streams));
  }

  /**
   * Runs one artifact to its end (PROTOCOL 5 and 9).
   * @throws VerifierRefusal, Refusal: then nothing ran
   */
  async runArtifact(order: RunOrder, caller: RunUser, io: RunIo): Promise<RunEnd> {
    return await this.#runUnder(namedParent(order, io.prove), order, caller, io);
  }

  async #runUnder(parent: ParentHolder | null, order: RunOrder, caller: RunUser, io: RunIo): Promise<RunEnd> {
    return await this.#desk.run(caller.uid, () => this.#runCounted(parent, order, caller, io));
  }

  async #runCounted(
    parent: ParentHolder | null,
    order: RunOrder,
    caller: RunUser,
    io: RunIo,
  ): Promise<RunEnd> {
    const isolation = this.#options.isolation ?? (await probeIsolation());
    if (isolation === undefined)
      return refuse('gateway-isolation', 'neither bubblewrap nor setpriv works on this machine');
    const places = await this.#usePlaces();
    const { clock, random, anywhere = false } = this.#options;
    const executionId = newExecutionId(clock, random);
    const lock = await lockExecution(places, executionId);
    this.#coming.set(executionId, null);
    let lease: UserLease | undefined;
    let group: RunGroup | undefined;
    try {
      const host = await this.#options.host();
      lease = await leaseUser(places.run, caller, random);
      const turn: TakeTurn = (task) => this.#desk.turn(caller.uid, task);
      const asked = { order, caller, user: lease.user, executionId, parent };
      const prepared = await prepareRun(host, { ...asked, places, isolation, anywhere, clock, turn });
      const opened = await turn(() => {
        // Who left while others had their turns needs no quote, no decision and no release.
        requireCaller(io);
        return this.#ask(host, prepared);
      });
      group = await makeRunGroup(executionId);
      return await this.#start(host, prepared, opened, places, { io, fence: { lease, group } });
    } finally {
      this.#executions.delete(executionId);
      this.#coming.delete(executionId);
      // First what runs, then what it could use.
      await group?.remove();
      await lease?.release();
      await clearExecution(places, executionId, lock);
    }
  }

  /** Where files go; what a crashed gateway left there is removed first. */
  async #usePlaces(): Promise<Places & { readonly wiped: readonly string[] }> {
    const make = async (): Promise<Places & { readonly wiped: readonly string[] }> => {
      const { state } = await this.#options.host();
      const { credentials, environment } = this.#options;
      const places = {
        run: path.join(state.path, 'run'),
        credentials: await credentialsPlace(credentials, environment),
      };
      return { ...places, wiped: await sweep(places) };
    };
    const places = (this.#places ??= make());
    try {
      return await places;
    } catch (error) {
      this.#places = undefined;
      throw error;
    }
  }

  async #ask(host: Host, prepared: PreparedRun, attempt = 1): Promise<OpenedExecution> {
    const { plan } = prepared;
    const named = plan.parent?.authorization();
    try {
      return await askExecution(host, plan, this.#options.clock);
    } catch (error) {
      const { parent } = plan;
      const renewed = named !== parent?.authorization() || (parent?.elsewhere === true && attempt === 1);
      if (parent !== null && parentMoved(error, renewed) && attempt < MAX_ATTEMPTS)
        return await this.#ask(host, prepared, attempt + 1);
      if (error instanceof ReleaseLost) {
        const { executionId } = plan.request;
        const report = { executionId, event: 'ended', reason: 'release-lost' } as const;
        // The refusal is what counts; without a report the execution becomes `expired`.
        await tellOutcome(host, report, plan.workload).catch(() => undefined);
      }
      throw error;
    }
  }

  async #start(
    host: Host,
    prepared: PreparedRun,
    { request, answer, opened }: OpenedExecution,
    places: Places,
    { io, fence }: { readonly io: RunIo; readonly fence: Fence },
  ): Promise<RunEnd> {
    const { plan, user } = prepared;
    const { executionId } = request;
    this.#requireNotEnded(executionId);
    const directory = await CredentialsDirectory.create(places.credentials, executionId, user);
    const { token: authorization, claims } = answer.authorization;
    const credentials = releasedCredentials(opened, request.credentials);
    const filesFor = { authorization, workload: plan.workload, svidCas: host.trust.cas.svid };
    await directory.write(credentialFiles(credentials, request.credentials, filesFor));
    const children = mayStartOthers(claims) ? await this.#listen(directory, user) : undefined;
    try {
      const { clock, graceMs, host: hosts } = this.#options;
      const execution = new Execution({
        ...{ host: hosts, executionId, workload: plan.workload, credentials: directory },
        ...{ asked: request.credentials, claims, authorization, clock },
        child: await this.#launch(prepared, places, directory, { io, fence }),
        ...(graceMs === undefined ? {} : { graceMs }),
      });
      children?.serve(execution);
      const ended = await this.#watch(execution, prepared, io);
      await directory.wipe();
      // What it started has ended too, and says so, before it does.
      await children?.close();
      await this.#tell(io, { executionId, event: 'ended', ...outcomeOf(ended) }, prepared);
      const report = { ...reportOf(request, answer), installation: this.#options.installation ?? null };
      return { ...ended, denial: execution.denial, report };
    } finally {
      await children?.close();
    }
  }

  /** @throws Refusal `revoked` when it was ended before it began */
  #requireNotEnded(executionId: string): void {
    const denial = this.#coming.get(executionId) ?? null;
    if (denial !== null) refuse('revoked', 'it was revoked before it was started', { denial });
  }

  /** An execution under way, until what runs has ended. */
  async #watch(execution: Execution, prepared: PreparedRun, io: RunIo): Promise<ChildEnd> {
    const { id: executionId } = execution;
    this.#executions.set(executionId, execution);
    const ended = this.#coming.get(executionId) ?? null;
    this.#coming.delete(executionId);
    try {
      if (ended !== null) await execution.end(ended);
      connectSignals(execution, io);
      io.event?.({ event: 'started', executionId });
      await this.#tell(io, { executionId, event: 'started' }, prepared);
      return await execution.ended();
    } finally {
      this.#executions.delete(executionId);
    }
  }

  /** The socket by which what runs asks for children. */
  async #listen(directory: CredentialsDirectory, user: RunUser): Promise<ChildSocket> {
    return await ChildSocket.listen({
      path: childSocketPath(directory.path),
      user,
      run: (order, parent, { uid, gid }, streams) =>
        this.#runUnder(parent, order, { uid, gid }, ioOf(streams)),
    });
  }

  async #launch(
    { command, copy, isolation, user, plan }: PreparedRun,
    places: Places,
    directory: CredentialsDirectory,
    { io, fence }: { readonly io: RunIo; readonly fence: Fence },
  ): Promise<Child> {
    const { state } = await this.#options.host();
    const confinement: Confinement = {
      user,
      cwd: plan.request.cwd,
      environment: plan.request.environment,
      hidden: [state.path, places.credentials, ...(this.#options.hidden ?? [])],
      shown: [copy.directory, directory.path],
    };
    const endRest = async (): Promise<void> => {
      await fence.group?.kill();
      await fence.lease.killAll();
    };
    const enter = (confined: ConfinedCommand): ConfinedCommand => grouped(confined, fence.group);
    // The last moment: what was revoked since the answer, or whose caller or parent is gone, isn't started to be ended.
    this.#requireNotEnded(plan.request.executionId);
    requireCaller(io);
    if (isolation === 'bubblewrap')
      return await startChild(enter(bubblewrap(command, confinement)), io.streams, { endRest });
    const artifact = await open(copy.path, 'r');
    try {
      const terms = { endRest, keep: artifact.fd };
      return await startChild(enter(withoutNamespaces(command, confinement)), io.streams, terms);
    } finally {
      await artifact.close();
    }
  }

  /** A report that isn't delivered changes nothing about what ran: it is told to the caller instead. */
  async #tell(io: RunIo, report: Parameters<typeof tellOutcome>[1], { plan }: PreparedRun): Promise<void> {
    try {
      await tellOutcome(await this.#options.host(), report, plan.workload);
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      io.event?.({ event: 'not-reported', outcome: report.event, reason });
    }
  }
}

/** What keeps together all that an execution ever starts. */
interface Fence {
  readonly lease: UserLease;
  readonly group: RunGroup | undefined;
}

/** How often a child is asked for whose ancestors are renewed or report meanwhile. */
const MAX_ATTEMPTS = 5;

/** Denied for what an ancestor was a moment ago; that costs no budget, and another request may well be allowed. */
function parentMoved(error: unknown, renewed: boolean): boolean {
  if (!(error instanceof Refusal)) return false;
  const { check } = error;
  return check === 'state-moved' || (renewed && check === 'parent-state');
}

/** @throws Refusal `caller-gone`, or why it shall not run any more */
function requireCaller({ signal }: RunIo): void {
  if (signal?.aborted !== true) return;
  const reason: unknown = signal.reason;
  if (reason instanceof Refusal) throw reason;
  refuse('caller-gone', 'whoever asked for it is gone');
}

/** What a caller of a local socket is connected by. */
function ioOf(streams: RunStreams): RunIo {
  const { stdin, stdout, stderr, signal, event, prove } = streams;
  return {
    streams: { stdin, stdout, stderr },
    event,
    signal,
    ...(prove === undefined ? {} : { prove }),
    onSignal: (listener) => {
      streams.onSignal((name) => {
        listener(`SIG${name.replace(/^SIG/, '')}` as NodeJS.Signals);
      });
    },
  };
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

function connectSignals(execution: Execution, io: RunIo): void {
  io.onSignal?.((signal) => {
    execution.signal(signal);
  });
  const leave = (): void => {
    // What could not be wiped is wiped once more when the run ends; nobody is left to be told.
    execution.end(reasonOf(io.signal)).catch(() => undefined);
  };
  if (io.signal?.aborted === true) leave();
  else io.signal?.addEventListener('abort', leave, { once: true });
}

function reasonOf(signal: AbortSignal | undefined): ExecutionDenial {
  const reason: unknown = signal?.reason;
  return reason instanceof Refusal
    ? { check: reason.check, reason: reason.reason }
    : { check: 'caller-gone', reason: 'whoever asked for it is gone' };
}

const outcomeOf = ({ status, signal }: ChildEnd): { status: number } | { signal: string } =>
  signal === null ? { status: status ?? 0 } : { signal };
