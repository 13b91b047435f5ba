import { setTimeout as sleep } from 'node:timers/promises';
import { VerifierRefusal, movedMeanwhile } from '../client/index.ts';
import { Refusal } from '../base/index.ts';
import type { Clock, JsonObject, Random } from '../base/index.ts';
import { toDenial } from '../lifecycle/index.ts';
import { attestHost } from './attest-host.ts';
import type { AttestationOutcome } from './attest-host.ts';
import type { HostAccess } from './host-access.ts';
import type { ExecutionDenial, RunnerPort } from './runner-port.ts';

/** When this host attests itself. */
export interface AttestationTimes {
  readonly intervalMs: number;
  /** 0 to 0.5: how much of the interval it may be earlier, at random. */
  readonly jitter: number;
  readonly maxBackoffMs: number;
}

/** What the loop works with. */
export interface AttestationLoopDeps {
  readonly hosts: HostAccess;
  readonly runner: Pick<RunnerPort, 'active' | 'renew' | 'end'>;
  readonly clock: Clock;
  readonly random: Random;
  readonly times: AttestationTimes;
  /** Told of every attestation and every failure. */
  readonly report: (event: JsonObject) => void;
}

/** The last attestation, for `status`. */
export interface AttestationState {
  /** Unix ms of the last accepted one; null before it. */
  readonly at: number | null;
  readonly auditIndex: string | null;
  readonly policyVersion: number | null;
  /** Unix ms of the first failure since; null when nothing went wrong. */
  readonly failingSince: number | null;
  /** What went wrong since, null when nothing did. */
  readonly failure: { readonly check: string; readonly reason: string } | null;
}

const FIRST_BACKOFF_MS = 1000;
/** How often it is looked at whether an execution needs renewal sooner. */
const LOOK_MS = 2000;
/** An authorization is renewed when this share of its time is left. */
const RENEW_AT = 1 / 3;

/**
 * Continuous attestation (PROTOCOL 6): at start, then every interval with jitter, sooner when an authorization runs out,
 * after failures with growing pauses. A denial ends executions; a verifier that is away does not: they end when their
 * authorizations do.
 */
export class AttestationLoop {
  readonly #deps: AttestationLoopDeps;
  #state: AttestationState = {
    at: null,
    auditIndex: null,
    policyVersion: null,
    failingSince: null,
    failure: null,
  };
  #running: Promise<AttestationOutcome> | undefined;
  /** Denials in a row; the first of some kinds is asked again at once. */
  #denials = 0;

  constructor(deps: AttestationLoopDeps) {
    this.#deps = deps;
  }

  get state(): AttestationState {
    return this.#state;
  }

  /** Attests until the signal fires; never throws. */
  async run(signal: AbortSignal): Promise<void> {
    let backoff = FIRST_BACKOFF_MS;
    while (!signal.aborted) {
      let wait: number;
      try {
        await this.now();
        backoff = FIRST_BACKOFF_MS;
        wait = this.#interval();
      } catch (error) {
        // It was reported. What only moved meanwhile is asked again soon, whatever failed before; also failing hosts don't
        // come all at once.
        if (movedMeanwhile(error)) backoff = FIRST_BACKOFF_MS;
        wait = backoff * (1 - this.#jitter());
        backoff = Math.min(2 * backoff, this.#deps.times.maxBackoffMs);
      }
      await this.#wait(wait, signal);
    }
  }

  /** Attests at once, or joins the attestation that is under way. @throws Refusal, TpmError: reported already */
  now(): Promise<AttestationOutcome> {
    this.#running ??= this.#attest().finally(() => {
      this.#running = undefined;
    });
    return this.#running;
  }

  async #attest(): Promise<AttestationOutcome> {
    const { hosts, runner, clock, report } = this.#deps;
    try {
      const host = await hosts.current();
      const counts = { renewed: 0, ended: 0 };
      let outcome = await attestHost(host, runner.active(), clock);
      for (;;) {
        // What has to end doesn't wait for what goes on.
        for (const { executionId, denial } of outcome.ended) await runner.end([executionId], denial);
        await runner.renew(outcome.renewed);
        counts.renewed += outcome.renewed.length;
        counts.ended += outcome.ended.length;
        // Each round takes some of them, so that it ends.
        const left = runner.active().filter(({ executionId }) => outcome.deferred.includes(executionId));
        if (left.length === 0) break;
        outcome = await attestHost(host, left, clock);
      }
      this.#denials = 0;
      const { auditIndex, policyVersion, status, certificateRenewed } = outcome;
      this.#state = { at: clock.now(), auditIndex, policyVersion, failingSince: null, failure: null };
      report({ event: 'attested', auditIndex, policyVersion, status, certificateRenewed, ...counts });
      return outcome;
    } catch (error) {
      await this.#failed(error);
      throw error;
    }
  }

  async #failed(error: unknown): Promise<void> {
    const { hosts, runner, report } = this.#deps;
    const refusal =
      error instanceof Refusal
        ? error
        : new Refusal('internal', error instanceof Error ? error.message : String(error));
    const { check, reason } = refusal;
    const failingSince = this.#state.failingSince ?? this.#deps.clock.now();
    this.#state = { ...this.#state, failingSince, failure: { check, reason } };
    const denied =
      error instanceof VerifierRefusal && judgesHost(error) && endsExecutions(error, this.#denials++);
    report({ event: denied ? 'denied' : 'failed', check, reason, ...leafOf(error), ...this.#left(denied) });
    if (denied) {
      const ids = runner.active().map(({ executionId }) => executionId);
      if (ids.length > 0) await runner.end(ids, denialOf(error));
    }
    // A TPM that was restarted needs a new connection; a verifier that said no does not.
    // Anything else is dropped for nothing, and with it the session of a run that is waiting for its answer.
    if (!(error instanceof VerifierRefusal) && check.startsWith('tpm-')) await hosts.drop();
  }

  /** What is left to executions that nobody renews: said with every failure, so that an outage is seen in time. */
  #left(denied: boolean): JsonObject {
    const active = this.#deps.runner.active();
    if (denied || active.length === 0) return {};
    const until = new Date(Math.min(...active.map(({ expires }) => expires))).toISOString();
    return { executions: active.length, until };
  }

  /** Timers don't count the time that a machine slept: what ran out in it is ended by the clock. */
  async #endExpired(): Promise<void> {
    const { runner, clock } = this.#deps;
    const now = clock.now();
    const over = runner.active().filter(({ expires }) => expires <= now);
    if (over.length === 0) return;
    const reason = 'the authorization ended and was not renewed';
    const ids = over.map(({ executionId }) => executionId);
    await runner.end(ids, { ...toDenial(new Refusal('expired', reason)) });
  }

  async #wait(milliseconds: number, signal: AbortSignal): Promise<void> {
    const until = this.#deps.clock.now() + milliseconds;
    try {
      for (;;) {
        const left = Math.min(until, this.#renewalDue()) - this.#deps.clock.now();
        if (left <= 0) return;
        await this.#endExpired();
        await sleep(Math.min(left, LOOK_MS), undefined, { signal });
      }
    } catch {
      // The signal fired.
    }
  }

  /** When the first authorization needs its renewal; after a failure the pause holds all the same. */
  #renewalDue(): number {
    if (this.#state.failure !== null) return Infinity;
    const { at } = this.#state;
    const dues = this.#deps.runner
      .active()
      .map(({ expires, issued }) => expires - (expires - issued) * RENEW_AT);
    // Not again for what was renewed just now.
    return Math.max(Math.min(Infinity, ...dues), (at ?? 0) + FIRST_BACKOFF_MS);
  }

  #interval(): number {
    return this.#deps.times.intervalMs * (1 - this.#jitter());
  }

  /** 0 to `jitter`. */
  #jitter(): number {
    const [byte = 0] = this.#deps.random.bytes(1);
    return this.#deps.times.jitter * (byte / 255);
  }
}

/** The verifier's own trouble. */
const FAULTS = ['verifier-fault', 'rate-limited', 'too-large', 'conflict', 'not-found'];
/** The request came too late, or under a policy of before. */
const ASK_AGAIN = ['policy-mismatch', 'expired-authorization', 'replay-detected'];

/** The kernel went on while the list was read, or the verifier wants more of it: a second try shows which it is. */
const READ_AGAIN = ['ima-behind-quote', 'ima-state-lost', 'ima-state-damaged'];

/** False where another attestation is decided as if this one had not been; without it, authorizations just run out. */
const judgesHost = (error: VerifierRefusal): boolean =>
  !FAULTS.includes(error.denial.code) && !movedMeanwhile(error);

function endsExecutions({ denial }: VerifierRefusal, denialsBefore: number): boolean {
  return denialsBefore > 0 || !(ASK_AGAIN.includes(denial.code) || READ_AGAIN.includes(denial.check));
}

function denialOf(error: VerifierRefusal): ExecutionDenial {
  const { stage, code, check, reason, remedy, detail } = error.denial;
  return { stage, code, check, reason, remedy, detail };
}

const leafOf = (error: unknown): JsonObject =>
  error instanceof VerifierRefusal
    ? { leaf: error.auditIndex ?? null, remedy: error.denial.remedy }
    : error instanceof Refusal
      ? { leaf: null, remedy: toDenial(error).remedy }
      : { leaf: null };
