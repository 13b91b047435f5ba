import { setTimeout as sleep } from 'node:timers/promises';
import { VerifierRefusal } from '../client/index.ts';
import type { ServerEvent } from '../client/event-stream.ts';
import { Refusal, parseJsonObject, refuse, shape, utf8 } from '../base/index.ts';
import type { Clock, Fail, JsonObject, Random } from '../base/index.ts';
import { toDenial } from '../lifecycle/index.ts';
import type { HostAccess } from './host-access.ts';
import type { ExecutionDenial, RunnerPort } from './runner-port.ts';

/** What the stream works with. */
export interface RevocationStreamDeps {
  readonly hosts: HostAccess;
  readonly runner: Pick<RunnerPort, 'active' | 'end'>;
  readonly clock: Clock;
  readonly random: Random;
  /** The longest pause before it is opened again. */
  readonly maxBackoffMs: number;
  /** Attests at once: an operator let the host come back. */
  readonly attest: () => void;
  readonly report: (event: JsonObject) => void;
}

/** How the stream stands, for `status`. */
export interface RevocationStreamState {
  readonly connected: boolean;
  /** Unix ms: since when it is, or is not. */
  readonly since: number;
  readonly lastEventId: string | null;
  readonly failure: { readonly check: string; readonly reason: string } | null;
}

const FIRST_BACKOFF_MS = 500;
/** Three heartbeats of the verifier. */
const SILENCE_MS = 45_000;

const { list, literal, object, text } = shape;
const fail: Fail = (path, want) => refuse('verifier-answer', `${path} is not ${want}`, { member: path });
const revokedShape = object({
  v: literal(1),
  executions: list(text({ max: 64 }), 1024, 1),
  kind: text({ max: 16 }),
  id: text({ max: 512 }),
  reason: text({ min: 0, max: 600 }),
});
const EVENT_ID = /^(?:0|[1-9][0-9]{0,18})$/;

/**
 * Revocations, as the verifier pushes them (docs/PROTOCOL.md, "Events"): what is named ends at once. The stream is opened
 * again whenever it ends, from the last event that was seen; while it is away executions end with their authorizations.
 */
export class RevocationStream {
  readonly #deps: RevocationStreamDeps;
  #state: RevocationStreamState;

  constructor(deps: RevocationStreamDeps) {
    this.#deps = deps;
    this.#state = { connected: false, since: deps.clock.now(), lastEventId: null, failure: null };
  }

  get state(): RevocationStreamState {
    return this.#state;
  }

  /** Reads until the signal fires; never throws. */
  async run(signal: AbortSignal): Promise<void> {
    let backoff = FIRST_BACKOFF_MS;
    while (!signal.aborted) {
      try {
        await this.#read(signal);
      } catch (error) {
        // That the agent stops is no failure.
        if (!isOver(signal)) await this.#failed(error);
      }
      // One that was open is opened again soon; one that can't be opened, ever more slowly.
      if (this.#state.connected) backoff = FIRST_BACKOFF_MS;
      this.#set({ connected: false });
      // Hosts that lost the same verifier don't come back all at once.
      const [byte = 0] = this.#deps.random.bytes(1);
      await sleep(backoff * (0.5 + byte / 510), undefined, { signal }).catch(() => undefined);
      backoff = Math.min(2 * backoff, this.#deps.maxBackoffMs);
    }
  }

  async #read(signal: AbortSignal): Promise<void> {
    const { hosts, report } = this.#deps;
    const { client, identity } = await hosts.current();
    const { lastEventId } = this.#state;
    const options = {
      ...(lastEventId === null ? {} : { lastEventId }),
      idleMs: SILENCE_MS,
      signal,
      onOpen: () => {
        this.#set({ connected: true, failure: null });
        report({ event: 'events-open', lastEventId });
      },
    };
    for await (const event of client.events(`/v1/hosts/${identity.hostId}/events`, options))
      await this.#take(event);
  }

  /** An event that can't be read ends the stream: it is sent again, and nothing after it is taken for the whole. */
  async #take({ id, event, data }: ServerEvent): Promise<void> {
    if (event === 'attest') this.#deps.attest();
    if (event !== 'revoked') return;
    if (id === undefined || !EVENT_ID.test(id))
      return refuse('verifier-answer', 'an event without its index');
    const revoked = revokedShape(
      parseJsonObject(utf8(data), 'event', { maxBytes: 256 * 1024, maxDepth: 4 }),
      'event',
      fail,
    );
    const { executions, kind, reason } = revoked;
    const word = reason === '' ? `its ${kind} was revoked` : `${kind} revoked: ${reason}`;
    const denial = toDenial(new Refusal('revoked', word, { kind, id: revoked.id, auditIndex: id }));
    this.#deps.report({ event: 'revoked', ...revoked, auditIndex: id });
    await this.#deps.runner.end(executions, denialJson(denial));
    this.#state = { ...this.#state, lastEventId: id };
  }

  async #failed(error: unknown): Promise<void> {
    const { runner, report } = this.#deps;
    const refusal =
      error instanceof Refusal
        ? error
        : new Refusal('internal', error instanceof Error ? error.message : String(error));
    const { check, reason } = refusal;
    // Told once for a whole outage.
    if (this.#state.connected || this.#state.failure?.check !== check)
      report({ event: 'events-lost', check, reason });
    this.#set({ failure: { check, reason } });
    if (!(error instanceof VerifierRefusal) || error.denial.code !== 'revoked-authorization') return;
    // The host itself was revoked: there will be no event any more.
    const ids = runner.active().map(({ executionId }) => executionId);
    if (ids.length > 0) await runner.end(ids, denialJson(error.denial));
  }

  #set(change: Partial<RevocationStreamState>): void {
    const { connected = this.#state.connected } = change;
    const since = connected === this.#state.connected ? this.#state.since : this.#deps.clock.now();
    this.#state = { ...this.#state, ...change, since };
  }
}

/** As it is now, not as it was when the loop looked. */
const isOver = (signal: AbortSignal): boolean => signal.aborted;

const denialJson = ({
  stage,
  code,
  check,
  reason,
  remedy,
  detail,
}: ReturnType<typeof toDenial> | VerifierRefusal['denial']): ExecutionDenial => ({
  stage,
  code,
  check,
  reason,
  remedy,
  detail,
});
