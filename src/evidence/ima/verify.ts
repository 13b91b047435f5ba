import { refuse, toHex } from '../../base/index.ts';
import { HASH_NAMES } from '../../tpm/index.ts';
import type { HashName, VerifiedPcrs } from '../../tpm/index.ts';
import type { BankMode } from './bank-chain.ts';
import { checkBootAggregate } from './boot-aggregate.ts';
import type { BootAggregate, PcrSource } from './boot-aggregate.ts';
import type { CompiledImaRules } from './compile.ts';
import type { ImaFindings } from './findings.ts';
import { ImaJudge } from './judge.ts';
import type { JudgeContext, RunFile } from './judge.ts';
import { IMA_PCR } from './pcr-chains.ts';
import type { BankOrder } from './pcr-chains.ts';
import type { ReplayOrder, ReplayResult } from './replay.ts';
import type { BankState, BootCounters, ImaState } from './state.ts';

/** What a list is verified against. */
export interface ImaQuestion extends Omit<JudgeContext, 'before'> {
  /** Of the quote that was taken before the list was read. */
  readonly pcrs: VerifiedPcrs;
  /** Of the same quote. */
  readonly boot: BootCounters;
  readonly rules: CompiledImaRules;
  /** What earlier verifications of this host left. */
  readonly state?: ImaState | undefined;
  /** Number of the list's first entry; 0, the whole list, when left out. Anything else needs the state. */
  readonly firstEntry?: number;
  /** PCR values that the event log gives: for a boot_aggregate over PCRs that aren't quoted. */
  readonly logPcrs?: PcrSource;
}

/**
 * A list whose entries, up to `consumed`, a quote proves. Only the functions of this file make one, so whoever asks
 * for this type gets facts.
 */
class VerifiedIma {
  /** Entries of this boot that the host has sent, earlier ones included. */
  readonly entries: number;
  /** Entries of this boot that the quote proves; those after them were added since and prove nothing yet. */
  readonly consumed: number;
  /** Entries that this verification added. */
  readonly fresh: number;
  /** Banks whose quoted PCR 10 the entries give, and how this kernel extends each. */
  readonly banks: ReadonlyMap<HashName, BankMode>;
  readonly bootAggregate: BootAggregate;
  /** Over all entries of this boot. */
  readonly findings: ImaFindings;
  /** Files below the run directory among the fresh entries. */
  readonly runFiles: readonly RunFile[];
  /** Fresh entries of other PCRs than 10, by PCR. They were not judged: nothing here proves them. */
  readonly otherPcrs: ReadonlyMap<number, number>;
  /** What was given and not checked, by name. */
  readonly unchecked: readonly string[];
  /** For the next verification of this boot. */
  readonly state: ImaState;
  /** What the manifest wanted. */
  readonly manifestPaths: readonly string[];
  /** Makes the type nominal: an object of the same shape is not a VerifiedIma. */
  readonly #verified = true;

  constructor(conclusion: Conclusion) {
    this.entries = conclusion.entries;
    this.consumed = conclusion.consumed;
    this.fresh = conclusion.fresh;
    this.banks = conclusion.banks;
    this.bootAggregate = conclusion.bootAggregate;
    this.findings = conclusion.findings;
    this.runFiles = conclusion.runFiles;
    this.otherPcrs = conclusion.otherPcrs;
    this.unchecked = conclusion.unchecked;
    this.state = conclusion.state;
    this.manifestPaths = conclusion.manifestPaths;
  }

  /** True for what the verifier made. */
  static is(value: unknown): value is VerifiedIma {
    return typeof value === 'object' && value !== null && #verified in value && value.#verified;
  }
}

/** What a verification found, before it is vouched for. */
type Conclusion = Pick<VerifiedIma, keyof VerifiedIma>;

export type { VerifiedIma };

/** True for what the verifier made, not for a look-alike that got past the compiler. */
export function isVerifiedIma(value: unknown): value is VerifiedIma {
  return VerifiedIma.is(value);
}

/** One run over the list: {@link verification} asks for it, the caller does it with or without workers. */
export interface Pass {
  readonly order: ReplayOrder;
}

/**
 * The verification as a sequence of passes over the list: the first as current kernels extend; where that doesn't give
 * a quoted value, another as older kernels do, and kernels that lack a bank's hash.
 *
 * @throws Refusal `ima-not-quoted`, `ima-state-lost`, `ima-empty`, `ima-behind-quote`, `ima-banks-differ`,
 * `ima-boot-aggregate`
 */
export function* verification(question: ImaQuestion): Generator<Pass, VerifiedIma, ReplayResult> {
  const plan = makePlan(question);
  const judge = newJudge(question, plan);
  const first = yield pass(plan, plan.banks, judge);
  if (first.entries === 0) refuse('ima-empty', 'the IMA list is empty');
  if (first.consumed !== null) {
    const missing = plan.banks.filter(({ bank }) => !first.matched.has(bank));
    if (missing.length === 0) return conclude(question, plan, judge, first, first.consumed, first.matched);
    const rest = otherModes(plan, missing) ?? banksDiffer(missing, first.consumed);
    const second = yield pass(plan, rest, undefined);
    const matched = new Map([...first.matched, ...second.matched]);
    if (second.consumed !== first.consumed || matched.size !== plan.banks.length) {
      banksDiffer(missing, first.consumed);
    }
    return conclude(question, plan, judge, first, first.consumed, matched);
  }
  const other = otherModes(plan, plan.banks);
  if (other === undefined) behindQuote(question, plan, first.entries);
  const again = newJudge(question, plan);
  const second = yield pass(plan, other, again);
  if (second.consumed === null) behindQuote(question, plan, second.entries);
  if (second.matched.size !== plan.banks.length) banksDiffer(plan.banks, second.consumed);
  return conclude(question, plan, again, second, second.consumed, second.matched);
}

const PADDED: readonly BankMode[] = ['padded', 'padded-legacy'];

interface Plan {
  readonly firstEntry: number;
  readonly banks: readonly BankOrder[];
  /** The state that is gone on from; undefined for a whole list. */
  readonly state: ImaState | undefined;
  readonly unchecked: readonly string[];
}

function makePlan(question: ImaQuestion): Plan {
  const targets = HASH_NAMES.flatMap((bank) => {
    const target = question.pcrs.get(bank, IMA_PCR);
    return target === undefined ? [] : [{ bank, target }];
  });
  // SHA-1 alone proves nothing any more; it is matched beside another bank.
  if (targets.every(({ bank }) => bank === 'sha1')) {
    refuse('ima-not-quoted', 'the quote does not cover PCR 10 of a bank that is stronger than SHA-1', {
      quoted: targets.map(({ bank }) => bank),
    });
  }
  const firstEntry = question.firstEntry ?? 0;
  const state = firstEntry === 0 ? undefined : usableState(question, firstEntry);
  if (state === undefined) {
    const banks = targets.map(({ bank, target }) => ({ bank, target, modes: ['hash'] as const }));
    return { firstEntry, banks, state, unchecked: [] };
  }
  const banks = targets.flatMap(({ bank, target }) => {
    const known = state.banks.get(bank);
    if (known === undefined) return [];
    // The two ways to pad differ in violations only: before the first one, nobody can tell them apart.
    const undecided = known.mode !== 'hash' && state.findings.violations.total === 0;
    return [{ bank, target, modes: undecided ? PADDED : [known.mode], start: known.value }];
  });
  if (banks.every(({ bank }) => bank === 'sha1')) {
    stateLost('the earlier quotes covered other banks', state, question);
  }
  const unchecked = targets.filter(({ bank }) => !state.banks.has(bank)).map(({ bank }) => `pcr10:${bank}`);
  return { firstEntry, banks, state, unchecked };
}

function usableState(question: ImaQuestion, firstEntry: number): ImaState {
  const { state, boot, rules } = question;
  if (state === undefined) return stateLost('no state of earlier entries is known', undefined, question);
  if (state.boot.resetCount !== boot.resetCount || state.boot.restartCount !== boot.restartCount) {
    return stateLost('the known state is of another boot', state, question);
  }
  if (state.entries !== firstEntry)
    return stateLost('the list does not go on where the state ends', state, question);
  if (state.rules !== rules.digest)
    return stateLost('earlier entries were judged by other rules', state, question);
  return state;
}

function stateLost(reason: string, state: ImaState | undefined, { firstEntry }: ImaQuestion): never {
  refuse('ima-state-lost', `the list begins with entry ${String(firstEntry)}, but ${reason}`, {
    expected: state?.entries ?? 0,
    got: firstEntry ?? 0,
  });
}

function newJudge(question: ImaQuestion, { state }: Plan): ImaJudge {
  return new ImaJudge(question.rules, {
    ...(question.isAuthorised && { isAuthorised: question.isAuthorised }),
    ...(question.signatures && { signatures: question.signatures }),
    ...(state && { before: state.findings }),
  });
}

function pass({ firstEntry }: Plan, banks: readonly BankOrder[], judge: ImaJudge | undefined): Pass {
  // The banks alone are of interest: their entries were judged before.
  if (judge === undefined) return { order: { banks, firstEntry, visit: () => undefined } };
  const visit: ReplayOrder['visit'] = (entry) => {
    judge.visit(entry);
  };
  return { order: { banks, firstEntry, visit, known: judge.known } };
}

/**
 * The banks again, as kernels do that don't hash for them; undefined when there is no other way to try: a state has
 * fixed it, and for SHA-1 there is only one.
 */
function otherModes(plan: Plan, banks: readonly BankOrder[]): readonly BankOrder[] | undefined {
  if (plan.state !== undefined || banks.some(({ bank }) => bank === 'sha1')) return undefined;
  return banks.map((order) => ({ ...order, modes: PADDED }));
}

function banksDiffer(banks: readonly BankOrder[], consumed: number): never {
  refuse('ima-banks-differ', 'the entries that give PCR 10 of one bank do not give that of another', {
    entries: consumed,
    banks: banks.map(({ bank }) => bank),
  });
}

function behindQuote(question: ImaQuestion, { banks, firstEntry }: Plan, entries: number): never {
  refuse(
    'ima-behind-quote',
    'no prefix of the list gives the quoted PCR 10: it was read before the quote, is of another boot, or was altered',
    {
      firstEntry,
      entries,
      expected: Object.fromEntries(
        banks.map(({ bank }) => [bank, toHex(question.pcrs.get(bank, IMA_PCR) ?? new Uint8Array())]),
      ),
    },
  );
}

function conclude(
  question: ImaQuestion,
  plan: Plan,
  judge: ImaJudge,
  result: ReplayResult,
  consumed: number,
  matched: ReadonlyMap<HashName, BankMode>,
): VerifiedIma {
  const findings = judge.finish();
  const bootAggregate = checkBootAggregate(findings, question.pcrs, question.logPcrs);
  const unchecked = [
    ...plan.unchecked,
    ...(bootAggregate.checkedWith === 'quote' ? [] : ['boot_aggregate']),
    ...[...result.otherPcrs.keys()].map((pcr) => `ima-pcr-${String(pcr)}`),
  ];
  const banks = new Map<HashName, BankState>();
  for (const [bank, mode] of matched) {
    // The running value is the quoted one: that is what matching means.
    const value = question.pcrs.get(bank, IMA_PCR);
    if (value !== undefined) banks.set(bank, { mode, value: Uint8Array.from(value) });
  }
  return new VerifiedIma({
    entries: result.entries,
    consumed,
    fresh: consumed - plan.firstEntry,
    banks: matched,
    bootAggregate,
    findings,
    runFiles: judge.runFiles,
    otherPcrs: result.otherPcrs,
    unchecked,
    state: {
      // No more than the pair: a caller may give the whole clockInfo, and that is no JSON.
      boot: { resetCount: question.boot.resetCount, restartCount: question.boot.restartCount },
      entries: consumed,
      banks,
      findings,
      rules: question.rules.digest,
    },
    manifestPaths: question.rules.manifestPaths,
  });
}
