import { open } from 'node:fs/promises';
import path from 'node:path';
import type { Host } from '../agent/index.ts';
import type {
  ActiveExecution,
  ExecutionDenial,
  LocalCaller,
  RenewedExecution,
  RunEnd,
  RunStreams,
  RunnerPort,
} from '../agent/runner-port.ts';
import { refuse } from '../base/index.ts';
import type { Clock, JsonObject, Random } from '../base/index.ts';
import { ReleaseLost, askExecution } from './ask-execution.ts';
import type { OpenedExecution } from './ask-execution.ts';
import { startChild } from './child.ts';
import type { Child, ChildEnd, ChildStreams } from './child.ts';
import { credentialFiles, releasedCredentials } from './credential-files.ts';
import { CredentialsDirectory, credentialsPlace } from './credentials-dir.ts';
import { Execution, tellOutcome } from './execution.ts';
import { newExecutionId } from './execution-id.ts';
import { clearExecution, lockExecution, sweep } from './places.ts';
import type { Places } from './places.ts';
import { prepareRun } from './prepare-run.ts';
import type { PreparedRun } from './prepare-run.ts';
import { parseRunOrder } from './run-order.ts';
import type { RunOrder, RunUser } from './run-order.ts';
import { bubblewrap, probeIsolation, withoutNamespaces } from './sandbox.ts';
import type { Confinement, Isolation } from './sandbox.ts';

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
  /** Between TERM and KILL; default 10 s. */
  readonly graceMs?: number;
}

/** What a run is connected to. */
export interface RunIo {
  readonly streams: ChildStreams;
  readonly onSignal?: (listener: (signal: NodeJS.Signals) => void) => void;
  /** Told when the child runs, and of what could not be reported. */
  readonly event?: (event: JsonObject) => void;
  /** Ends what runs. */
  readonly signal?: AbortSignal;
}

/**
 * The governed runtime gateway of a host: it measures an artifact, asks for its execution, judges the answer, unseals the
 * credentials and runs the artifact, confined, with nothing but what was allowed.
 */
export class Gateway implements RunnerPort {
  readonly #options: GatewayOptions;
  readonly #executions = new Map<string, Execution>();
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
    const named = executionIds.flatMap((id) => this.#executions.get(id) ?? []);
    await Promise.all(named.map((execution) => execution.end(reason)));
  }

  /** {@link RunnerPort.run}: an order of the local socket, by whom the kernel says. */
  async run(order: JsonObject, { uid, gid }: LocalCaller, streams: RunStreams): Promise<RunEnd> {
    const { stdin, stdout, stderr, signal, event } = streams;
    return await this.runArtifact(
      parseRunOrder(order),
      { uid, gid },
      {
        streams: { stdin, stdout, stderr },
        event,
        signal,
        onSignal: (listener) => {
          streams.onSignal((name) => {
            listener(`SIG${name.replace(/^SIG/, '')}` as NodeJS.Signals);
          });
        },
      },
    );
  }

  /**
   * Runs one artifact to its end (PROTOCOL 5 and 9).
   * @throws VerifierRefusal, Refusal: then nothing ran
   */
  async runArtifact(order: RunOrder, caller: RunUser, io: RunIo): Promise<RunEnd> {
    const isolation = this.#options.isolation ?? (await probeIsolation());
    if (isolation === undefined)
      return refuse('gateway-isolation', 'neither bubblewrap nor setpriv works on this machine');
    const places = await this.#usePlaces();
    const { clock, random, anywhere = false } = this.#options;
    const executionId = newExecutionId(clock, random);
    const lock = await lockExecution(places, executionId);
    try {
      const host = await this.#options.host();
      const preparation = { order, caller, executionId, places, isolation, anywhere };
      const prepared = await prepareRun(host, preparation);
      const opened = await this.#ask(host, prepared);
      return await this.#start(host, prepared, opened, places, io);
    } finally {
      this.#executions.delete(executionId);
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

  async #ask(host: Host, { plan }: PreparedRun): Promise<OpenedExecution> {
    try {
      return await askExecution(host, plan, this.#options.clock);
    } catch (error) {
      if (error instanceof ReleaseLost) {
        const { executionId } = error;
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
    io: RunIo,
  ): Promise<RunEnd> {
    const { plan, user } = prepared;
    const { executionId } = request;
    const directory = await CredentialsDirectory.create(places.credentials, executionId, user);
    const { token: authorization, claims } = answer.authorization;
    const credentials = releasedCredentials(opened, request.credentials);
    const filesFor = { authorization, workload: plan.workload, svidCas: host.trust.cas.svid };
    await directory.write(credentialFiles(credentials, request.credentials, filesFor));
    const child = await this.#launch(prepared, places, directory, io);
    const { clock, graceMs, host: hosts } = this.#options;
    const execution = new Execution({
      ...{ host: hosts, executionId, workload: plan.workload, credentials: directory },
      ...{ asked: request.credentials, claims, child, clock },
      ...(graceMs === undefined ? {} : { graceMs }),
    });
    this.#executions.set(executionId, execution);
    connectSignals(execution, io);
    const report: JsonObject = {
      v: 1,
      executionId,
      auditIndex: answer.auditIndex,
      policy: { version: answer.policy.version, hash: answer.policy.hash },
      artifact: { name: request.artifact.name, digest: request.artifact.digest },
      authorization: { jti: claims.jti, expires: new Date(claims.exp * 1000).toISOString() },
      credentials: [...request.credentials],
      isolated: request.isolated,
    };
    io.event?.({ event: 'started', executionId });
    await this.#tell(io, { executionId, event: 'started' }, prepared);
    const ended = await execution.ended();
    this.#executions.delete(executionId);
    await directory.wipe();
    await this.#tell(io, { executionId, event: 'ended', ...outcomeOf(ended) }, prepared);
    return { ...ended, denial: execution.denial, report };
  }

  async #launch(
    { command, copy, isolation, user, plan }: PreparedRun,
    places: Places,
    directory: CredentialsDirectory,
    io: RunIo,
  ): Promise<Child> {
    const { state } = await this.#options.host();
    const confinement: Confinement = {
      user,
      cwd: plan.request.cwd,
      environment: plan.request.environment,
      hidden: [state.path, places.credentials, ...(this.#options.hidden ?? [])],
      shown: [copy.directory, directory.path],
    };
    if (isolation === 'bubblewrap') return await startChild(bubblewrap(command, confinement), io.streams);
    const artifact = await open(copy.path, 'r');
    try {
      return await startChild(withoutNamespaces(command, confinement), io.streams, artifact.fd);
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

function connectSignals(execution: Execution, io: RunIo): void {
  io.onSignal?.((signal) => {
    execution.signal(signal);
  });
  const leave = (): void => {
    // What could not be wiped is wiped once more when the run ends; nobody is left to be told.
    execution.end({ check: 'caller-gone', reason: 'whoever asked for it is gone' }).catch(() => undefined);
  };
  if (io.signal?.aborted === true) leave();
  else io.signal?.addEventListener('abort', leave, { once: true });
}

const outcomeOf = ({ status, signal }: ChildEnd): { status: number } | { signal: string } =>
  signal === null ? { status: status ?? 0 } : { signal };
