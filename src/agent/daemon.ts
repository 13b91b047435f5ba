import { isJsonObject, refuse, shape } from '../base/index.ts';
import type { Clock, JsonObject, Random, Shape } from '../base/index.ts';
import type { AgentConfig } from '../config/index.ts';
import { AttestationLoop } from './attestation-loop.ts';
import { HostAccess } from './host-access.ts';
import { RevocationStream } from './revocation-stream.ts';
import type { LocalCaller, RunEnd, RunnerPort } from './runner-port.ts';
import type { Conversation } from './socket/conversation.ts';
import { LocalSocket } from './socket/server.ts';

/** What the command line puts together. */
export interface AgentInput {
  readonly config: AgentConfig;
  readonly clock: Clock;
  readonly random: Random;
  /** Makes what runs artifacts on this host. */
  readonly runner: (hosts: HostAccess) => RunnerPort;
  /** Told of attestations, runs and failures. */
  readonly report: (event: JsonObject) => void;
}

/** A host agent that answers. */
export interface RunningAgent {
  readonly socket: string;
  /** The first attestation was accepted, or refused: then the agent stays and goes on trying. */
  readonly attested: Promise<boolean>;
  /** Takes no more requests, lets runs end within the grace, ends what is left, closes the TPM. */
  stop(): Promise<void>;
}

/**
 * Starts the host's daemon: it owns the TPM, attests the host and what runs on it, and answers the local socket.
 * @throws Refusal when the host isn't enrolled, its TPM can't be opened or the socket is taken
 */
export async function startAgent({
  config,
  clock,
  random,
  runner: make,
  report,
}: AgentInput): Promise<RunningAgent> {
  const { tcti } = config.tpm;
  const { eventLog, imaList } = config.logs;
  const hosts = new HostAccess({
    state: config.state,
    clock,
    ...(tcti === '' ? {} : { tcti }),
    ...(eventLog === '' ? {} : { eventLog }),
    ...(imaList === '' ? {} : { imaList }),
  });
  const stopping = new AbortController();
  try {
    // What is wrong with state directory or TPM is said at once.
    await hosts.current();
    const runner = make(hosts);
    await recover(runner, report);
    const loop = new AttestationLoop({ hosts, runner, clock, random, times: timesOf(config), report });
    const stream = new RevocationStream({
      ...{ hosts, runner, clock, random, report },
      maxBackoffMs: timesOf(config).maxBackoffMs,
      // What goes wrong with it is reported by the loop.
      attest: () => void loop.now().catch(() => undefined),
    });
    const desk = new LocalDesk({ runner, loop, stream, hosts, stopping: stopping.signal, report });
    const { path, mode, users, connections } = config.socket;
    const socket = await LocalSocket.listen(
      { path, mode: Number.parseInt(mode, 8), uids: usersOf(users), maxConnections: connections },
      (conversation, caller) => desk.answer(conversation, caller),
    );
    const running = Promise.all([loop.run(stopping.signal), stream.run(stopping.signal)]);
    // Joins the one that the loop has begun.
    const attested = loop.now().then(
      () => true,
      () => false,
    );
    let stopped: Promise<void> | undefined;
    const stop = async (): Promise<void> => {
      stopping.abort();
      await socket.close(config.shutdown.graceSeconds * 1000);
      await desk.settled();
      await running;
      await hosts.drop();
    };
    return { socket: path, attested, stop: () => (stopped ??= stop()) };
  } catch (error) {
    await hosts.drop();
    throw error;
  }
}

/** Without a place for credentials a host still attests; each run is refused then, with the reason. */
async function recover(runner: RunnerPort, report: AgentInput['report']): Promise<void> {
  try {
    const executions = [...(await runner.recover())];
    if (executions.length > 0) report({ event: 'recovered', executions });
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    report({ event: 'not-recovered', reason });
  }
}

const timesOf = ({
  attestation,
}: AgentConfig): ConstructorParameters<typeof AttestationLoop>[0]['times'] => ({
  intervalMs: attestation.intervalSeconds * 1000,
  jitter: attestation.jitterPercent / 100,
  maxBackoffMs: attestation.maxBackoffSeconds * 1000,
});

const usersOf = (users: string): ReadonlySet<number> | null =>
  users === '' ? null : new Set(users.split(',').map(Number));

const anyObject: Shape<JsonObject> = (value, path, fail) =>
  isJsonObject(value) ? value : fail(path, 'an object');
const requestShape = shape.object(
  { v: shape.literal(1), op: shape.oneOf('run', 'status', 'attest') },
  { order: anyObject },
);

/** What local requests are answered with. */
interface DeskParts {
  readonly runner: RunnerPort;
  readonly loop: AttestationLoop;
  readonly stream: RevocationStream;
  readonly hosts: HostAccess;
  readonly stopping: AbortSignal;
  readonly report: (event: JsonObject) => void;
}

/** Answers one request of the local socket. */
class LocalDesk {
  readonly #runner: RunnerPort;
  readonly #loop: AttestationLoop;
  readonly #stream: RevocationStream;
  readonly #hosts: HostAccess;
  readonly #stopping: AbortSignal;
  readonly #report: (event: JsonObject) => void;
  readonly #runs = new Set<Promise<JsonObject>>();

  constructor(parts: DeskParts) {
    this.#runner = parts.runner;
    this.#loop = parts.loop;
    this.#stream = parts.stream;
    this.#hosts = parts.hosts;
    this.#stopping = parts.stopping;
    this.#report = parts.report;
  }

  /** @throws Refusal: what the caller is told */
  async answer(conversation: Conversation, caller: LocalCaller): Promise<void> {
    const { op, order } = requestShape(await conversation.request(), 'request', (path, want) =>
      refuse('local-frame', `${path} is not ${want}`),
    );
    if (op === 'status') conversation.end(await this.#status());
    else if (op === 'attest') conversation.end(await this.#attest(caller));
    else if (order === undefined) refuse('local-frame', 'a run without an order');
    else {
      const run = this.#run(conversation, caller, order);
      this.#runs.add(run);
      try {
        conversation.end(await run);
      } finally {
        this.#runs.delete(run);
      }
    }
  }

  /** When every run has been cleaned up after. */
  async settled(): Promise<void> {
    await Promise.allSettled(this.#runs);
  }

  async #status(): Promise<JsonObject> {
    const { identity } = await this.#hosts.current();
    const { hostId, name, url, trustDomain } = identity;
    const attestation: JsonObject = { ...this.#loop.state };
    const active = this.#runner.active();
    const executions = active.map(({ executionId }) => executionId);
    // When the first of them ends if nothing is renewed: what a verifier that is away leaves.
    const first = Math.min(...active.map(({ expires }) => expires));
    const until = active.length === 0 ? null : new Date(first).toISOString();
    const events: JsonObject = { ...this.#stream.state };
    return { v: 1, hostId, name, url, trustDomain, attestation, events, executions, until };
  }

  async #attest({ uid }: LocalCaller): Promise<JsonObject> {
    if (uid !== 0 && uid !== process.getuid?.())
      refuse('local-caller', 'only root and the agent’s own user may ask for an attestation', { uid });
    const { auditIndex, policyVersion, status, certificateRenewed } = await this.#loop.now();
    return { v: 1, auditIndex, policyVersion, status, certificateRenewed };
  }

  async #run(conversation: Conversation, caller: LocalCaller, order: JsonObject): Promise<JsonObject> {
    if (this.#stopping.aborted) refuse('agent-unreachable', 'the agent is stopping');
    const { stdin, gone } = conversation;
    const stdout = conversation.output('stdout');
    const stderr = conversation.output('stderr');
    const end = await this.#runner.run(order, caller, {
      ...{ stdin, stdout, stderr },
      onSignal: (listener) => {
        conversation.onSignal(listener);
      },
      event: (event) => {
        conversation.event(event);
      },
      signal: gone,
      prove: (binding) => conversation.prove(binding),
    });
    this.#report({ event: 'ran', uid: caller.uid, status: end.status, signal: end.signal });
    return endFrame(end);
  }
}

const endFrame = ({ status, signal, denial, report }: RunEnd): JsonObject => ({
  v: 1,
  status,
  signal,
  denied: denial,
  report,
});
