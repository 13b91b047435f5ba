import type { AuthorizationClaims } from './claims.ts';

/** One unit that a use takes: of an execution in the chain whose authorization limits its uses. */
export interface UseAccount {
  /** `iss` and `client_id` of the link, parted by a space: renewals of an execution are one account. */
  readonly id: string;
  /** The account must not get above this; 0 allows nothing. */
  readonly limit: number;
  /** Unix seconds until which the account has to be remembered; null: as long as the relying party lives. */
  readonly until: number | null;
}

/** Where a relying party counts. Services with several processes keep it where all of them count, in one transaction. */
export interface UseLedger {
  /**
   * Takes one unit of every account, or of none where one has none left; atomic, also against itself.
   * @param now Unix seconds
   * @returns whether the units were taken
   */
  take(accounts: readonly UseAccount[], now: number): boolean | Promise<boolean>;
}

/**
 * The accounts of one use: each link of the chain that has `uses`, so what is spread over children is counted on the
 * ancestor's account as well (docs/AUTHORIZATION.md).
 * @param now Unix seconds
 */
export function useAccounts(links: readonly AuthorizationClaims[], now: number): readonly UseAccount[] {
  // Everything ends `lifetime` after the root's start, which is before now; a link's own limit can only be tighter.
  const lifetime = links[0]?.authorization_details[0].constraints.lifetime;
  return links.flatMap(({ iss, client_id, exp, authorization_details: [{ constraints }] }) =>
    constraints.uses === undefined
      ? []
      : [
          {
            id: `${iss} ${client_id}`,
            limit: constraints.uses,
            until: lifetime === undefined ? null : Math.max(exp, now + lifetime),
          },
        ],
  );
}

interface Counted {
  used: number;
  until: number;
}

/** Counts in this process. When it can't remember more accounts it takes nothing: what isn't counted isn't accepted. */
export class MemoryUses implements UseLedger {
  readonly #accounts = new Map<string, Counted>();
  readonly #capacity: number;

  /** @param capacity executions that are remembered at a time */
  constructor(capacity = 100_000) {
    this.#capacity = capacity;
  }

  take(accounts: readonly UseAccount[], now: number): boolean {
    const added = accounts.filter(({ id }) => !this.#accounts.has(id)).length;
    if (added > 0 && this.#accounts.size + added > this.#capacity) this.#forget(now);
    if (this.#accounts.size + added > this.#capacity) return false;
    if (!accounts.every(({ id, limit }) => (this.#accounts.get(id)?.used ?? 0) < limit)) return false;
    for (const { id, until } of accounts) {
      const { used, until: before } = this.#accounts.get(id) ?? { used: 0, until: 0 };
      this.#accounts.set(id, { used: used + 1, until: Math.max(before, until ?? Infinity) });
    }
    return true;
  }

  /** What has ended for certain. */
  #forget(now: number): void {
    for (const [id, { until }] of this.#accounts) if (now >= until) this.#accounts.delete(id);
  }
}
