import type { AuditLeaf } from '../audit/index.ts';
import { isRenewal, restsOn } from './keys.ts';
import type { LineageKey, Origin } from './keys.ts';

/** The id of the execution that a decision made. */
export const executionOf = ({ executions }: Origin): string => executions[0] ?? '';

/**
 * True when an execution belongs into a list: the entry is its decision or a renewal of it, and rests on the key.
 * @param chain the execution's decision, its parent's, and so on up
 */
export function reasonHolds(chain: readonly Origin[], because: AuditLeaf, key: LineageKey): boolean {
  const [origin, ...above] = chain;
  if (origin === undefined) return false;
  if (key.kind === 'parent') return above[0] !== undefined && executionOf(above[0]) === key.id;
  if (key.kind === 'ancestor') return above.some((one) => executionOf(one) === key.id);
  if (because.kind !== 'decision' || !restsOn(because, key)) return false;
  return (
    because.index === origin.index || (isRenewal(because) && because.executions.includes(executionOf(origin)))
  );
}
