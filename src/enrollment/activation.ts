import { equalBytes, refuse, toHex } from '../base/index.ts';
import { TPM_RH, handleName, qualifiedName, samePcrSelection, verifyQuote } from '../tpm/index.ts';
import type { VerifiedQuote } from '../tpm/index.ts';
import { secretHash } from './challenge.ts';
import type { Candidate, EnrollmentChallenge } from './challenge.ts';
import { enrollmentQualifyingData } from './request.ts';
import type { ActivationAnswer } from './request.ts';

/** A candidate that proved everything: EK and AK are in one TPM, and the AK is where its quotes tell the truth. */
export interface Activated {
  readonly enrollmentId: string;
  readonly candidate: Candidate;
  readonly quote: VerifiedQuote;
  /** Where the AK lives in the endorsement hierarchy: fixed here, e15 of every later quote. */
  readonly qualifiedName: Uint8Array;
  readonly parent: 'ek' | 'primary';
  readonly secretHash: Uint8Array;
  readonly expires: number;
}

/**
 * First half of an answer: in time, and the secret is the one. A wrong one says nothing about the right one.
 * @param now Unix ms
 * @throws Refusal `enroll-expired`, `enroll-secret`
 */
export function checkSecret(challenge: EnrollmentChallenge, secret: Uint8Array, now: number): void {
  if (now >= challenge.expires) refuse('enroll-expired', 'the challenge was answered too late');
  if (!equalBytes(secretHash(secret), challenge.secretHash))
    refuse('enroll-secret', 'the challenge was not answered rightly; begin a new enrollment');
}

/**
 * Second half: a quote by the AK over exactly the boot selection, for this enrollment, from the endorsement hierarchy.
 * Elsewhere the TPM obfuscates resetCount, restartCount and firmwareVersion (TPM 2.0 Part 1 §36.7), so an AK of the
 * owner or null hierarchy could never be held to its counters.
 * @throws Refusal `e1` … `e22`, all that failed
 */
export function verifyActivation(challenge: EnrollmentChallenge, answer: ActivationAnswer): Activated {
  const { candidate, enrollmentId, expires } = challenge;
  const { ak, digest } = candidate;
  const quote = verifyQuote(answer, ak.key, {
    nonce: enrollmentQualifyingData(challenge.nonce, digest),
    selection: challenge.selection,
  });
  // e19 compares the selection; without values (e21, e22) a quote would say nothing about them.
  if (quote.pcrs === null || !samePcrSelection(quote.pcrs.selection, challenge.selection))
    refuse('e21', 'the quote came without the values of the boot selection');
  const place = placeOfAk(candidate, quote.attest.qualifiedSigner);
  return { enrollmentId, candidate, quote, ...place, secretHash: challenge.secretHash, expires };
}

/** e15: the qualified name that the TPM signed is one of the two that this AK can have in the endorsement hierarchy. */
function placeOfAk(
  { ek, ak }: Candidate,
  signed: Uint8Array,
): { readonly parent: 'ek' | 'primary'; readonly qualifiedName: Uint8Array } {
  const places = [
    { parent: 'ek', qualifiedName: qualifiedName(ek.qualifiedName, ak.name) },
    { parent: 'primary', qualifiedName: qualifiedName(handleName(TPM_RH.ENDORSEMENT), ak.name) },
  ] as const;
  return (
    places.find((place) => equalBytes(place.qualifiedName, signed)) ??
    refuse('e15', 'the attestation key is not in the endorsement hierarchy, under the EK or as a primary', {
      qualifiedSigner: toHex(signed),
    })
  );
}
