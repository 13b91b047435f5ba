import type { Clock } from '../base/index.ts';
import type { NonceReservations } from '../lifecycle/index.ts';

/** Nonces that are remembered at the most; they live for a minute. */
const MOST = 100_000;

/**
 * Nonces that were presented in this process, so that a second presentation buys no work. Bounded: when there is no
 * room, nothing is remembered, and the ledger's row alone decides, as it does among replicas.
 */
export function nonceReservations(clock: Clock, most = MOST): NonceReservations {
  const taken = new Map<string, number>();
  const isTaken = (nonce: string): boolean => (taken.get(nonce) ?? 0) > clock.now();
  const forget = (): void => {
    const now = clock.now();
    for (const [nonce, until] of taken) if (until <= now) taken.delete(nonce);
  };
  return {
    has: isTaken,
    reserve: (nonce, until) => {
      if (isTaken(nonce)) return false;
      if (taken.size >= most) forget();
      if (taken.size < most) taken.set(nonce, until);
      return true;
    },
  };
}
