import type { Committed } from '../audit/index.ts';
import { Refusal, fromUtf8 } from '../base/index.ts';
import type { JsonObject } from '../base/index.ts';
import { LoggedDenial } from './problem.ts';

/** What a change's leaf proves, for the answer. @throws LoggedDenial when the ledger said no at commit */
export function requireCommitted(committed: Committed): JsonObject {
  const { ok, denied, index, leaf, proof } = committed;
  if (!ok) {
    // The ledger passes on the check of the precondition that no longer held.
    const refusal = Refusal.revive({
      check: denied?.check ?? 'internal',
      reason: denied?.reason ?? 'the ledger refused without a reason',
      detail: {},
    });
    throw new LoggedDenial(refusal, index);
  }
  return {
    auditIndex: index ?? null,
    leaf: leaf === undefined ? null : fromUtf8(leaf, 'leaf'),
    proof: proof ?? null,
  };
}
