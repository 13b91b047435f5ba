import { Refusal, refuse } from '../../base/index.ts';
import { examineQuote, importAttestationKey } from '../../tpm/index.ts';
import type { PcrSelection, QuoteAttest, VerifiedPcrs, VerifiedQuote } from '../../tpm/index.ts';
import type { ClaimedEvidence } from '../evidence-collection.ts';
import type { Platform } from '../../policy/index.ts';
import { issuedAtOf } from '../challenge.ts';
import type { IssuedChallenge } from '../challenge.ts';
import { isRevokedKey } from './identity-stage.ts';
import type { Caller, DecisionDeps, HostFacts } from '../ports.ts';

/** Another quote of the host was accepted after this one's challenge was issued: an older clock is no sign then. */
const isOvertaken = ({ host: { lastClock }, challenge }: QuoteQuestion): boolean =>
  lastClock?.at !== undefined && issuedAtOf(challenge) < lastClock.at;

/**
 * A quote that was held back on its way is late; that its TPM was rolled back it does not show. Everything else that is
 * wrong with it speaks first: what it says of the host is no less true for being late.
 */
function lateLast(failures: readonly Refusal[]): readonly Refusal[] {
  const reason = 'a later quote of this host was accepted after this one’s challenge was issued';
  return [
    ...failures.filter(({ check }) => check !== 'e17'),
    ...failures
      .filter(({ check }) => check === 'e17')
      .map(({ detail }) => new Refusal('quote-overtaken', reason, detail)),
  ];
}

/** IMA's PCR and the artifact's. */
const RUNTIME_PCRS: readonly number[] = [10, 23];

/** What a quote is held against. */
export interface QuoteQuestion {
  readonly evidence: ClaimedEvidence;
  readonly host: HostFacts;
  readonly platform: Platform;
  /** Names the purpose, the nonce and the request. */
  readonly qualifyingData: Uint8Array;
  readonly selection: PcrSelection;
  readonly nonce: string;
  /** What the nonce's MAC says of the challenge, and who answers it. */
  readonly challenge: IssuedChallenge;
  readonly caller: Caller;
  /** Unix ms. */
  readonly now: number;
}

/** What the quote's signature proved, also when a later check failed: enough for a leaf. */
export interface SignedQuote {
  readonly signed: QuoteAttest;
  /** False: the nonce is being decided elsewhere in this process; that decision spends it. */
  readonly reserved: boolean;
}

/** A quote that passed e1–e23, and its values. */
export interface AuthenticQuote {
  readonly quote: VerifiedQuote;
  readonly pcrs: VerifiedPcrs;
}

/**
 * First half of stage `environment`: e1–e23. From a valid signature on the nonce is spent, whatever comes of it: it is
 * reserved here, before anything expensive.
 * @param onSigned called as soon as the enrolled key is known to have signed
 * @throws Refusal e1 … e23 with every check that failed, `quote-overtaken`, `replay-nonce`
 */
export async function authenticateQuote(
  question: QuoteQuestion,
  deps: DecisionDeps,
  onSigned: (signed: SignedQuote) => void,
): Promise<AuthenticQuote> {
  const { evidence, host, platform, qualifyingData, selection, challenge, now } = question;
  const { firmwareFloor } = platform.references.tpm ?? {};
  const examination = examineQuote(evidence, importAttestationKey(host.akPublic), {
    nonce: qualifyingData,
    selection,
    // Each pair comes from two sides: what the MAC proves and what TLS proves, the ledger's word and the evidence.
    challenge: {
      nonceLength: challenge.strength,
      issuedTo: challenge.issuedTo,
      presentedBy: question.caller.hostId,
      expiresAt: challenge.expiresAt,
      now,
      spent: deps.nonces.has(question.nonce),
    },
    enrolled: { name: host.akName, revoked: await isRevokedKey(host, deps) },
    qualifiedSigner: host.akQualifiedName,
    lastClock: host.lastClock,
    firmwareFloor: firmwareFloor === undefined ? 0n : BigInt(`0x${firmwareFloor}`),
  });
  const { verified, signed, failures, unchecked } = examination;
  if (signed !== null) {
    const reserved = deps.nonces.reserve(question.nonce, challenge.expiresAt);
    onSigned({ signed, reserved });
    if (!reserved) refuse('replay-nonce', 'the nonce was presented before');
  }
  if (verified === null) throw Refusal.join(isOvertaken(question) ? lateLast(failures) : failures);
  if (verified.pcrs === null || unchecked.length > 0)
    throw new TypeError(`checks of the quote were left out: ${unchecked.join(', ')}`);
  return { quote: verified, pcrs: verified.pcrs };
}

/** The policy's selection with PCRs 10 and 23 in the SHA-256 bank (or 10 alone for a host attestation). */
export function quotedSelection(
  selection: PcrSelection,
  more: readonly number[] = RUNTIME_PCRS,
): PcrSelection {
  return withPcrs(selection, more);
}

/** The policy's sealed selection with the artifact's PCR. */
export function sealedSelection(selection: PcrSelection): PcrSelection {
  return withPcrs(selection, [23]);
}

function withPcrs(selection: PcrSelection, more: readonly number[]): PcrSelection {
  const banks = selection.some(({ bank }) => bank === 'sha256')
    ? selection
    : [...selection, { bank: 'sha256' as const, pcrs: [] }];
  return banks.map(({ bank, pcrs }) => ({
    bank,
    pcrs: bank === 'sha256' ? [...new Set([...pcrs, ...more])].sort((a, b) => a - b) : pcrs,
  }));
}
