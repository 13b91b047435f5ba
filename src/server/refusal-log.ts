import { boundedDenial, leafBody } from '../audit/index.ts';
import type { LeafActor, Ledger } from '../audit/index.ts';
import type { Clock } from '../base/index.ts';
import type { Problem } from './problem.ts';

/** Refusals of one caller that become leaves in a minute; more are only counted, so that nobody fills the log. */
const LEAVES_A_MINUTE = 60;
const MINUTE_MS = 60_000;

/** What of a request the log names. */
interface RefusedRequest {
  readonly method: string;
  readonly routeOptions: { readonly url?: string | undefined };
}

/**
 * Writes the refusals of callers who are known by certificate to the audit log. What a decision or an enrollment has
 * written itself has its index already.
 */
export class RefusalLog {
  readonly #services: { readonly ledger: Ledger; readonly clock: Clock };
  readonly #known = new WeakMap<RefusedRequest, LeafActor>();
  readonly #written = new Map<string, number>();
  #minute = 0;

  constructor(services: { readonly ledger: Ledger; readonly clock: Clock }) {
    this.#services = services;
  }

  /** Remembers who sent a request, from the moment that it is proved. */
  know(request: RefusedRequest, who: LeafActor): void {
    this.#known.set(request, who);
  }

  /** The problem with the index of its leaf. A log that fails leaves the refusal as it is: nothing was granted. */
  async logged(problem: Problem, request: RefusedRequest): Promise<Problem> {
    const by = this.#known.get(request);
    const { denial, body, fault } = problem;
    const { url } = request.routeOptions;
    if (by === undefined || denial === null || url === undefined || fault || 'auditIndex' in body)
      return problem;
    // What can't be read asked for nothing.
    if (denial.code === 'malformed-request') return problem;
    if (!this.#mayWrite(by)) return problem;
    try {
      const leaf = leafBody({
        v: 1,
        kind: 'refusal',
        action: `${request.method} ${url}`,
        denial: boundedDenial(denial),
        by,
      });
      const committed = await this.#services.ledger.commit({
        leaf,
        ...{ preconditions: [], once: [], writes: [], bodies: [] },
      });
      if (committed.index === undefined) return problem;
      return { ...problem, body: { ...body, auditIndex: committed.index } };
    } catch {
      return problem;
    }
  }

  #mayWrite({ kind, id }: LeafActor): boolean {
    const minute = Math.floor(this.#services.clock.now() / MINUTE_MS);
    if (minute !== this.#minute) {
      this.#minute = minute;
      this.#written.clear();
    }
    const key = `${kind} ${id}`;
    const written = this.#written.get(key) ?? 0;
    this.#written.set(key, written + 1);
    return written < LEAVES_A_MINUTE;
  }
}
