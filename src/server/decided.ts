import type { CommittedAnswer, Decided, Denial } from '../lifecycle/index.ts';

/** A denial of the lifecycle on its way to the sender, with the index of its leaf where there is one. */
export class DecidedDenial extends Error {
  override readonly name = 'DecidedDenial';
  readonly denial: Denial;
  readonly auditIndex: string | undefined;

  constructor(denial: Denial, auditIndex: string | undefined) {
    super(denial.reason);
    this.denial = denial;
    this.auditIndex = auditIndex;
  }
}

/** The answer of an allow. @throws DecidedDenial */
export function requireAllowed<A extends CommittedAnswer>(decided: Decided<A>): A {
  if (decided.outcome === 'deny') throw new DecidedDenial(decided.denial, decided.auditIndex);
  return decided.answer;
}
