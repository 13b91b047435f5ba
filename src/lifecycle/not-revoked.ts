import { refuse } from '../base/index.ts';
import type { DecisionDeps, Revocable } from './ports.ts';

/** @throws Refusal `dependency-revoked`, or the given check */
export async function requireNotRevoked(
  subjects: readonly Revocable[],
  { revocations }: DecisionDeps,
  check: 'dependency-revoked' | 'artifact-revoked' = 'dependency-revoked',
): Promise<void> {
  const revoked = await revocations.revokedOf(subjects);
  const [first] = revoked;
  if (first !== undefined) {
    refuse(check, `this ${first.kind} was revoked`, {
      revoked: revoked.map(({ kind, id }) => ({ kind, id })),
    });
  }
}
