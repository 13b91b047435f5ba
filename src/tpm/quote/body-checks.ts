import { equalBytes, refuse, toHex } from '../../base/index.ts';
import type { JsonObject } from '../../base/index.ts';
import { requireTpmGenerated } from '../attest.ts';
import type { AttestHeader, QuoteAttest } from '../attest.ts';
import type { ClockInfo } from '../clock-info.ts';
import { TPM_ST } from '../constants.ts';
import { PCR_COUNT, formatPcrSelection, samePcrSelection } from '../pcr-selection.ts';
import type { PcrSelection } from '../pcr-selection.ts';
import type { AttestationKey } from './attestation-key.ts';
import { requireForward } from './counters.ts';
import type { ChallengeRecord, EnrolledKey } from './expectations.ts';

/** The shortest nonce that can't be guessed or met by chance, in bytes. */
const MIN_NONCE = 16;
/** sizeofSelect of TPMs with up to 32 PCRs. */
const MAX_SELECT_SIZE = 4;

/** e2: the challenge was issued to this host, in time, once, and long enough. */
export function e2Challenge(challenge: ChallengeRecord): void {
  if (challenge.spent) refuse('e2-spent', 'the nonce was presented before');
  if (challenge.nonceLength < MIN_NONCE) {
    refuse('e2', `the nonce has ${String(challenge.nonceLength)} bytes, fewer than ${String(MIN_NONCE)}`);
  }
  if (challenge.issuedTo !== challenge.presentedBy) refuse('e2', 'the nonce was issued to another host');
  if (challenge.now >= challenge.expiresAt) refuse('e2', 'the nonce has expired');
}

/** e3: the key is the enrolled one, by its name, and was not revoked. */
export function e3Enrolled(key: AttestationKey, enrolled: EnrolledKey): void {
  if (key.name === null || !equalBytes(key.name, enrolled.name)) {
    refuse('e3', 'the attestation key is not the enrolled one', {
      name: key.name === null ? null : toHex(key.name),
    });
  }
  if (enrolled.revoked)
    refuse('e3-revoked', 'the attestation key was revoked', { name: toHex(enrolled.name) });
}

/** e13: made inside a TPM. */
export function e13Magic({ magic }: AttestHeader): void {
  requireTpmGenerated(magic);
}

/**
 * e14: a quote, and nothing else that the same key signs: in an NV certification or a certification the bytes that
 * stand where a quote has its digest are the attacker's (GHSA-gwfg-w3jr-xh66, GHSA-x5j2-26fc-hhc3).
 */
export function e14Type({ type }: AttestHeader): void {
  if (type !== TPM_ST.ATTEST_QUOTE) {
    refuse('e14', 'the signed structure is not a quote', { type: type.toString(16).padStart(4, '0') });
  }
}

/** e15: signed in the endorsement hierarchy, where the TPM doesn't obfuscate counters and firmware version. */
export function e15QualifiedSigner(attest: QuoteAttest, expected: Uint8Array): void {
  if (!equalBytes(attest.qualifiedSigner, expected)) {
    refuse('e15', 'the key does not live where it was enrolled in the endorsement hierarchy', {
      qualifiedSigner: toHex(attest.qualifiedSigner),
    });
  }
}

/** e16: the answer to this challenge. An empty nonce would make every quote an answer. */
export function e16Nonce(attest: QuoteAttest, nonce: Uint8Array): void {
  if (nonce.length === 0) refuse('e16', 'the nonce is empty: nothing shows that the quote is fresh');
  if (!equalBytes(attest.extraData, nonce)) {
    refuse('e16', 'the quote answers another nonce', { qualifyingData: toHex(attest.extraData) });
  }
}

/** e17: later than the last accepted quote of the same TPM. */
export function e17Counters(attest: QuoteAttest, last: ClockInfo): void {
  requireForward(last, attest.clockInfo);
}

/** e18: the TPM's firmware is not older than policy accepts; known weak firmware signs anything. */
export function e18Firmware(attest: QuoteAttest, floor: bigint): void {
  if (attest.firmwareVersion < floor) {
    const version = attest.firmwareVersion.toString(16).padStart(16, '0');
    refuse('e18', 'the TPM’s firmware is older than policy accepts', { firmwareVersion: version });
  }
}

/** e19: the selection is one that proves something, and the one that was asked for. */
export function e19(attest: QuoteAttest, requested?: PcrSelection, required?: PcrSelection): void {
  e19Selection(attest);
  e19Requested(attest, requested, required);
}

/** e19, what a selection must be by itself: banks once each, PCRs 0–23, not empty, not of SHA-1 alone. */
function e19Selection(attest: QuoteAttest): void {
  const selection = attest.attested.pcrSelection;
  if (selection.some(({ bank }, at) => selection.findIndex((other) => other.bank === bank) !== at)) {
    refuse('e19', 'the quote selects a bank twice', quoted(selection));
  }
  for (const { pcrs, sizeofSelect = 3 } of selection) {
    if (sizeofSelect > MAX_SELECT_SIZE || pcrs.some((index) => index >= PCR_COUNT)) {
      refuse('e19', 'the quote selects PCRs over 23', quoted(selection));
    }
  }
  // SHA-1 values may be quoted along with others, since logs replay into them; alone they prove nothing.
  if (!selection.some(({ bank, pcrs }) => bank !== 'sha1' && pcrs.length > 0)) {
    refuse('e19', 'the quote selects no PCR of a bank stronger than SHA-1', quoted(selection));
  }
}

/** e19, what was asked: exactly the requested banks and PCRs (CVE-2024-29039), and in them what policy requires. */
function e19Requested(attest: QuoteAttest, requested?: PcrSelection, required: PcrSelection = []): void {
  const selection = attest.attested.pcrSelection;
  if (requested !== undefined && !samePcrSelection(selection, requested)) {
    refuse('e19', `the quote selects other PCRs than ${formatPcrSelection(requested)}`, quoted(selection));
  }
  for (const { bank, pcrs } of required) {
    const chosen = selection.find((candidate) => candidate.bank === bank)?.pcrs ?? [];
    if (!pcrs.every((index) => chosen.includes(index))) {
      refuse('e19', `the quote lacks required PCRs of ${bank}`, quoted(selection));
    }
  }
}

function quoted(selection: PcrSelection): JsonObject {
  return { pcrSelection: formatPcrSelection(selection) };
}
