import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import type { ChallengePurpose, CommittedAnswer, Decided } from '../lifecycle/index.ts';
import type { WitnessStanding } from './witness/witnessing.ts';

/** What the verifier counts; labels have few values, none is foreign text. */
export class Metrics {
  readonly #registry = new Registry();
  readonly #requests = new Histogram({
    name: 'sealgate_http_request_seconds',
    help: 'Requests by route, method and status.',
    labelNames: ['route', 'method', 'status'] as const,
    buckets: [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
    registers: [this.#registry],
  });
  readonly #denials = new Counter({
    name: 'sealgate_denials_total',
    help: 'Denials by stage and code.',
    labelNames: ['stage', 'code'] as const,
    registers: [this.#registry],
  });
  readonly #decisions = new Counter({
    name: 'sealgate_decisions_total',
    help: 'Decisions by purpose, outcome, stage and code.',
    labelNames: ['purpose', 'outcome', 'stage', 'code'] as const,
    registers: [this.#registry],
  });
  readonly #latency = new Histogram({
    name: 'sealgate_decision_seconds',
    help: 'Time from the request to its durable decision.',
    labelNames: ['purpose', 'outcome'] as const,
    buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5],
    registers: [this.#registry],
  });
  readonly #waiting = new Gauge({
    name: 'sealgate_decisions_waiting',
    help: 'Decisions that are being made now.',
    registers: [this.#registry],
  });
  readonly #hosts = new Gauge({
    name: 'sealgate_hosts',
    help: 'Hosts by state.',
    labelNames: ['state'] as const,
    registers: [this.#registry],
  });
  readonly #live = new Gauge({
    name: 'sealgate_executions_live',
    help: 'Executions that have not ended.',
    registers: [this.#registry],
  });
  readonly #streams = new Gauge({
    name: 'sealgate_event_streams',
    help: 'Hosts that listen for revocations.',
    registers: [this.#registry],
  });
  readonly #logSize = new Gauge({
    name: 'sealgate_log_entries',
    help: 'Entries of the audit log.',
    registers: [this.#registry],
  });
  readonly #witnessed = new Gauge({
    name: 'sealgate_witness_cosigned_entries',
    help: 'Entries of the newest checkpoint that a witness of this log cosigned since the start.',
    labelNames: ['witness'] as const,
    registers: [this.#registry],
  });
  readonly #witnessFailures = new Gauge({
    name: 'sealgate_witness_failures',
    help: 'Requests to a witness of this log that failed since the start.',
    labelNames: ['witness'] as const,
    registers: [this.#registry],
  });
  readonly #staged = new Gauge({
    name: 'sealgate_staged_decisions',
    help: 'Decisions that were also judged under a staged policy since the start, by what came of it.',
    labelNames: ['result'] as const,
    registers: [this.#registry],
  });
  readonly #expiry = new Gauge({
    name: 'sealgate_expiry_seconds',
    help: 'Seconds until a certificate ends.',
    labelNames: ['what'] as const,
    registers: [this.#registry],
  });

  request(
    labels: { readonly route: string; readonly method: string; readonly status: string },
    seconds: number,
  ): void {
    this.#requests.observe(labels, seconds);
  }

  denied(stage: string, code: string): void {
    this.#denials.inc({ stage, code });
  }

  /** Makes a decision, and counts and times it. */
  async decision<A extends CommittedAnswer>(
    purpose: ChallengePurpose,
    decide: () => Promise<Decided<A>>,
  ): Promise<Decided<A>> {
    const stop = this.#latency.startTimer();
    this.#waiting.inc();
    try {
      const decided = await decide();
      const { outcome } = decided;
      const { stage, code } = decided.outcome === 'deny' ? decided.denial : { stage: '', code: '' };
      this.#decisions.inc({ purpose, outcome, stage, code });
      stop({ purpose, outcome });
      return decided;
    } finally {
      this.#waiting.dec();
    }
  }

  /** What there is now: hosts by state, executions that have not ended, hosts that listen. */
  standing(hosts: ReadonlyMap<string, number>, live: number, streams: number): void {
    this.#hosts.reset();
    for (const [state, count] of hosts) this.#hosts.set({ state }, count);
    this.#live.set(live);
    this.#streams.set(streams);
  }

  /** How it goes with the witnesses of the log; their names are the configuration's. */
  witnesses(standing: readonly WitnessStanding[]): void {
    for (const { name, size, failures } of standing) {
      this.#witnessed.set({ witness: name }, Number(size));
      this.#witnessFailures.set({ witness: name }, failures);
    }
  }

  /** How decisions compare with what a staged policy says to them. */
  staged(totals: ReadonlyMap<string, number>): void {
    for (const [result, count] of totals) this.#staged.set({ result }, count);
  }

  /** The page, with what is measured when it is asked for. */
  async page(
    logSize: number,
    expiries: readonly { readonly what: string; readonly seconds: number }[],
  ): Promise<string> {
    this.#logSize.set(logSize);
    for (const { what, seconds } of expiries) this.#expiry.set({ what }, seconds);
    return await this.#registry.metrics();
  }

  get contentType(): string {
    return this.#registry.contentType;
  }
}
