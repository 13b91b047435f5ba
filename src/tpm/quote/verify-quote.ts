import { LIMITS, Refusal, refuse } from '../../base/index.ts';
import { attestHeader, isQuote, parseAnyMagic } from '../attest.ts';
import type { AttestHeader, QuoteAttest } from '../attest.ts';
import { TPM_GENERATED, TPM_ST } from '../constants.ts';
import { parseSignature } from '../signature.ts';
import type { TpmSignature } from '../signature.ts';
import type { AttestationKey } from './attestation-key.ts';
import {
  e13Magic,
  e14Type,
  e15QualifiedSigner,
  e16Nonce,
  e17Counters,
  e18Firmware,
  e19,
  e2Challenge,
  e3Enrolled,
} from './body-checks.ts';
import { Checks, inForm } from './checks.ts';
import type { QuoteExpectations, UncheckedId } from './expectations.ts';
import { verifyPcrValues } from './pcr-values.ts';
import type { ClaimedPcrs, VerifiedPcrs } from './pcr-values.ts';
import { checkSignature } from './signature-checks.ts';

/** A quote as received. */
export interface QuoteEvidence {
  /** TPMS_ATTEST, without the size of a TPM2B. */
  readonly attest: Uint8Array;
  /** TPMT_SIGNATURE. */
  readonly signature: Uint8Array;
  /** The PCR values that it is said to cover; without them e21 and e22 stay unchecked and no value is known. */
  readonly pcrs?: ClaimedPcrs;
}

/** What {@link examineQuote} found. */
export interface QuoteExamination {
  /** Set when nothing failed. */
  readonly verified: VerifiedQuote | null;
  /** Everything that failed, in the order of the checks; empty only when `verified` is set. */
  readonly failures: readonly Refusal[];
  /** Checks that could not be made for want of an expectation. */
  readonly unchecked: readonly UncheckedId[];
  /** What the key signed, as far as e1–e14 hold; also when a later check failed. */
  readonly signed: QuoteAttest | null;
  /** The values that were quoted, as far as everything up to e22 that concerns them holds. */
  readonly pcrs: VerifiedPcrs | null;
}

/**
 * A quote that every check passed for which there was an expectation. Only the verifier makes one: a function that
 * asks for it can't be given an unverified quote.
 */
class VerifiedQuote {
  readonly key: AttestationKey;
  readonly attest: QuoteAttest;
  /** Null when no values came with the quote. */
  readonly pcrs: VerifiedPcrs | null;
  readonly unchecked: readonly UncheckedId[];
  /** Makes the type nominal. */
  readonly #verified = true;

  constructor(
    key: AttestationKey,
    attest: QuoteAttest,
    pcrs: VerifiedPcrs | null,
    unchecked: readonly UncheckedId[],
  ) {
    this.key = key;
    this.attest = attest;
    this.pcrs = pcrs;
    this.unchecked = unchecked;
  }

  /** True for quotes that the verifier made, not for look-alikes. */
  static is(value: unknown): value is VerifiedQuote {
    return typeof value === 'object' && value !== null && #verified in value && value.#verified;
  }
}

export type { VerifiedQuote };

/** True for what the verifier made, not for a look-alike that got past the compiler. */
export function isVerifiedQuote(value: unknown): value is VerifiedQuote {
  return VerifiedQuote.is(value);
}

/**
 * Verifies a quote: e1–e23 of docs "Quote verification", without e24–e26, which need an event log.
 * @throws Refusal with every check that failed
 */
export function verifyQuote(
  evidence: QuoteEvidence,
  key: AttestationKey,
  expected: QuoteExpectations,
): VerifiedQuote {
  const { verified, failures } = examineQuote(evidence, key, expected);
  if (verified === null) throw Refusal.join(failures);
  return verified;
}

/** {@link verifyQuote} that reports instead of throwing, with what was established all the same. */
export function examineQuote(
  evidence: QuoteEvidence,
  key: AttestationKey,
  expected: QuoteExpectations,
): QuoteExamination {
  const unchecked = uncheckedQuoteChecks(expected, key.area === null, evidence.pcrs !== undefined);
  const form = new Checks();
  const received = readForm(evidence, form); // e1 e8 e20
  if (received === undefined) return refused(form.failures, unchecked);

  const origin = new Checks(key.failures); // e5 e6 e7
  checkOrigin(evidence.attest, key, received, origin); // e9 … e14
  const garbage = received.attest === undefined && unsignedGarbage(evidence.attest, origin, form); // e20
  if (garbage) return refused(form.failures, unchecked);
  const content = new Checks();
  checkContext(key, expected, content); // e2 e3
  const attest = received.attest;
  if (attest !== undefined) checkBody(attest, expected, content); // e15 … e19
  const pcrs = attest && checkPcrs(attest, received.signature, evidence.pcrs, content); // e21 e22

  const failures =
    origin.isClean() && content.isClean() ? [] : [...origin.failures, ...content.failures].sort(byCheck);
  // Values and body count only if a TPM's attestation key signed them.
  if (!origin.isClean() || attest === undefined) return refused(failures, unchecked);
  const verified = failures.length === 0 ? new VerifiedQuote(key, attest, pcrs ?? null, unchecked) : null;
  return { verified, failures, unchecked, signed: attest, pcrs: pcrs ?? null };
}

interface ReceivedQuote {
  readonly signature: TpmSignature;
  readonly header: AttestHeader;
  /** Undefined when the structure isn't a TPM's quote, which e13 or e14 say. */
  readonly attest: QuoteAttest | undefined;
}

/** Everything is read before anything is judged; undefined when something doesn't parse. */
function readForm(evidence: QuoteEvidence, checks: Checks): ReceivedQuote | undefined {
  checks.run(e1Sizes, evidence);
  if (!checks.isClean()) return undefined;
  const signature = checks.run(() => inForm('e8', parseSignature, evidence.signature));
  const header = checks.run(() => inForm('e20', attestHeader, evidence.attest));
  const attest = header && checks.run(() => inForm('e20', readQuote, header, evidence.attest));
  if (signature === undefined || header === undefined || !checks.isClean()) return undefined;
  return { signature, header, attest };
}

/** e1: no structure is read that is larger than any TPM makes. */
function e1Sizes({ attest, signature }: QuoteEvidence): void {
  const longest = Math.max(attest.length, signature.length);
  if (longest > LIMITS.tpmStructure) {
    refuse('e1', `a structure of ${String(longest)} bytes, over ${String(LIMITS.tpmStructure)}`);
  }
}

/** The body only of what says to be a TPM's quote: another one is read by no check. */
function readQuote({ magic, type }: AttestHeader, bytes: Uint8Array): QuoteAttest | undefined {
  if (magic !== TPM_GENERATED || type !== TPM_ST.ATTEST_QUOTE) return undefined;
  const attest = parseAnyMagic(bytes); // its size (e1) and magic are known
  return isQuote(attest) ? attest : undefined;
}

/** An attestation key signed exactly these bytes, and a TPM made them as a quote. */
function checkOrigin(attest: Uint8Array, key: AttestationKey, received: ReceivedQuote, checks: Checks): void {
  checkSignature(attest, key, received.signature, checks); // e9 e10 e11 e12
  checks.run(e13Magic, received.header);
  checks.run(e14Type, received.header);
}

/**
 * e20: bytes that no key signed and that aren't a TPMS_ATTEST either are malformed rather than a forgery. What the
 * key did sign is never called malformed: that it has no TPM's magic (e13) is the finding.
 */
function unsignedGarbage(attest: Uint8Array, origin: Checks, form: Checks): boolean {
  const unsigned = origin.failures.some(({ check }) => check === 'e11' || check === 'e12');
  return unsigned && form.run(() => inForm('e20', parseAnyMagic, attest)) === undefined;
}

/** What the verifier remembers: the challenge, the enrolled key. */
function checkContext(key: AttestationKey, expected: QuoteExpectations, checks: Checks): void {
  const { challenge, enrolled } = expected;
  if (challenge !== undefined) checks.run(e2Challenge, challenge);
  if (enrolled !== undefined) checks.run(e3Enrolled, key, enrolled);
}

/** What was signed. */
function checkBody(attest: QuoteAttest, expected: QuoteExpectations, checks: Checks): void {
  const { qualifiedSigner, nonce, lastClock, firmwareFloor, selection, required } = expected;
  if (qualifiedSigner !== undefined) checks.run(e15QualifiedSigner, attest, qualifiedSigner);
  checks.run(e16Nonce, attest, nonce);
  if (lastClock) checks.run(e17Counters, attest, lastClock);
  if (firmwareFloor !== undefined) checks.run(e18Firmware, attest, firmwareFloor);
  checks.run(e19, attest, selection, required);
}

/** The values behind the digest. */
function checkPcrs(
  attest: QuoteAttest,
  signature: TpmSignature,
  claimed: ClaimedPcrs | undefined,
  checks: Checks,
): VerifiedPcrs | undefined {
  if (claimed === undefined) return undefined;
  return checks.run(verifyPcrValues, attest, signature.hash, claimed);
}

/**
 * The checks that nothing is given for, so that nobody takes their silence for a pass.
 * @param bareKey the key comes without a TPM's public area
 * @param withPcrs PCR values come with the quote
 */
export function uncheckedQuoteChecks(
  expected: Partial<QuoteExpectations>,
  bareKey: boolean,
  withPcrs: boolean,
): UncheckedId[] {
  const { challenge, enrolled, qualifiedSigner, lastClock, firmwareFloor, selection } = expected;
  const unchecked: UncheckedId[] = [];
  if (challenge === undefined) unchecked.push('e2');
  if (enrolled === undefined) unchecked.push('e3');
  if (bareKey) unchecked.push(...BARE_KEY_UNCHECKED);
  if (qualifiedSigner === undefined) unchecked.push('e15');
  if (lastClock === undefined) unchecked.push('e17');
  if (firmwareFloor === undefined) unchecked.push('e18');
  if (selection === undefined) unchecked.push('e19');
  if (!withPcrs) unchecked.push('e21', 'e22');
  return unchecked;
}

/** What only a TPM's public area says. */
const BARE_KEY_UNCHECKED: readonly UncheckedId[] = ['e4', 'e5', 'e7', 'e9', 'e10'];

function refused(failures: readonly Refusal[], unchecked: readonly UncheckedId[]): QuoteExamination {
  return { verified: null, failures, unchecked, signed: null, pcrs: null };
}

/** By the number in the id: e2 before e13. */
function byCheck(a: Refusal, b: Refusal): number {
  return Number.parseInt(a.check.slice(1), 10) - Number.parseInt(b.check.slice(1), 10);
}
