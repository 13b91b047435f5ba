import type { Precondition, RecordRef } from '../audit/index.ts';
import { refuse } from '../base/index.ts';
import type { DecisionDeps, Revocable } from './ports.ts';

/** Record of one revocation. It is never taken back, so where it is absent at a commit, nothing was revoked before that. */
export const revokedRecord = ({ kind, id }: Revocable): RecordRef => ({
  kind: 'revoked',
  id: `${kind}/${id}`,
});

/** That nothing of it was revoked until the commit either: looked at under the head's lock (PROTOCOL 8). */
export const stillNotRevoked = (subjects: readonly Revocable[]): readonly Precondition[] =>
  subjects.map((subject) => ({
    ...revokedRecord(subject),
    is: 'absent',
    check: 'revoked-meanwhile',
    reason: 'something that it rests on was revoked while the request was decided',
  }));

/** The authorities that vouched for a host's EK, as revocations name them: all of them, not only the root. */
export function ekAuthorities({
  ekRoot,
  ekIssuers = [],
}: {
  readonly ekRoot: string | null;
  readonly ekIssuers?: readonly string[];
}): readonly Revocable[] {
  const ids = ekRoot === null ? ekIssuers : [ekRoot, ...ekIssuers];
  return ids.map((id) => ({ kind: 'ek-ca', id }));
}

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
