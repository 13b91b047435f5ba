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
import { movedMeanwhile } from '../client/index.ts';
import { askAgain } from './ask-again.ts';
import { makeRunGroup } from './confine/cgroup.ts';
import type { RunGroup } from './confine/cgroup.ts';
import { credentialsPlace } from './credentials/credentials-dir.ts';
import { newExecutionId } from './execution-id.ts';
import { Executions } from './executions.ts';
import type { Installation } from './installation.ts';
import { namedParent } from './delegate/parent-holder.ts';
import type { ParentHolder } from './delegate/parent-holder.ts';
import { clearExecution, lockExecution, sweep } from './places.ts';
import type { Places } from './places.ts';
import { prepareRun } from './prepare-run.ts';
import { RunDesk } from './run-desk.ts';
import type { TakeTurn } from './run-desk.ts';
import { ioOf, pauseAfter, requireCaller } from './run-io.ts';
import type { RunIo } from './run-io.ts';
import { parseRunOrder } from './run-order.ts';
import type { RunOrder, RunUser } from './run-order.ts';
import { probeIsolation } from './confine/sandbox.ts';
import type { Isolation } from './confine/sandbox.ts';
import { startExecution } from './start-execution.ts';
import type { StartTerms } from './start-execution.ts';
import { MACHINE_USERS, leaseUser } from './confine/user-lease.ts';
import type { UserLease } from './confine/user-lease.ts';

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

/** How often an execution is asked for while something moves under each decision. */
const MAX_ATTEMPTS = 5;

/** Another execution is asked for, since the id of this one is spent, as is the token of an initiator without a key. */
const asksAnew = (error: unknown, { initiator, initiatorKey }: RunOrder): boolean =>
  movedMeanwhile(error) && (initiator === null || initiatorKey !== null);

/**
 * The governed runtime gateway of a host: it measures an artifact, asks for its execution, judges the answer, unseals the
 * credentials and runs the artifact, confined, with nothing but what was allowed.
 */
export class Gateway implements RunnerPort {
  readonly #options: GatewayOptions;
  readonly #executions = new Executions();
  readonly #desk = new RunDesk();
  #places: Promise<Places & { readonly wiped: readonly string[] }> | undefined;

  constructor(options: GatewayOptions) {
    this.#options = options;
  }

  /** Once in this object's life: what others left while it lives is theirs to wipe. */
  async recover(): Promise<readonly string[]> {
    return (await this.#usePlaces()).wiped;
  }

  active(): readonly ActiveExecution[] {
    return this.#executions.active();
  }

  async renew(renewed: readonly RenewedExecution[]): Promise<void> {
    await this.#executions.renew(renewed);
  }

  async end(executionIds: readonly string[], reason: ExecutionDenial): Promise<void> {
    await this.#executions.end(executionIds, reason);
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
    return await this.#desk.run(caller.uid, async () => {
      for (let attempt = 1; ; attempt++)
        try {
          return await this.#runOnce(parent, order, caller, io);
        } catch (error) {
          if (attempt === MAX_ATTEMPTS || !asksAnew(error, order)) throw error;
          await pauseAfter(attempt, io, this.#options.random);
        }
    });
  }

  async #runOnce(parent: ParentHolder | null, order: RunOrder, caller: RunUser, io: RunIo): Promise<RunEnd> {
    const isolation = this.#options.isolation ?? (await probeIsolation());
    if (isolation === undefined)
      return refuse('gateway-isolation', 'neither bubblewrap nor setpriv works on this machine');
    const places = await this.#usePlaces();
    const { clock, random, anywhere = false } = this.#options;
    const executionId = newExecutionId(clock, random);
    const lock = await lockExecution(places, executionId);
    this.#executions.expect(executionId);
    let lease: UserLease | undefined;
    let group: RunGroup | undefined;
    try {
      const asker = await this.#options.host();
      lease = await leaseUser(MACHINE_USERS, caller, random);
      const turn: TakeTurn = (task) => this.#desk.turn(caller.uid, task);
      const asked = { order, caller, user: lease.user, executionId, parent };
      const prepared = await prepareRun(asker, { ...asked, places, isolation, anywhere, clock, turn });
      const allowed = await turn(() => {
        // Who left while others had their turns needs no quote, no decision and no release.
        requireCaller(io);
        return askAgain(asker, prepared.plan, clock);
      });
      group = await makeRunGroup(executionId);
      const started = { asker, prepared, allowed, fence: { lease, group }, io };
      return await startExecution(this.#startTerms(places), started);
    } finally {
      this.#executions.forget(executionId);
      // First what runs, then what it could use.
      await group?.remove();
      await lease?.release();
      await clearExecution(places, executionId, lock);
    }
  }

  #startTerms(places: Places): StartTerms {
    const { host, clock, hidden = [], installation = null, graceMs } = this.#options;
    return {
      ...{ host, clock, hidden, installation, graceMs, places },
      executions: this.#executions,
      runChild: (parent, order, { uid, gid }, io) => this.#runUnder(parent, order, { uid, gid }, io),
    };
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
}
