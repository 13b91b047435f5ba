import type { Committed, Ledger, Records } from '../audit/ledger.ts';
import { Refusal, equalBytes, fromHex, refuse, shape } from '../base/index.ts';
import type { Clock, JsonObject, Random } from '../base/index.ts';
import type { PcrSelection } from '../tpm/index.ts';
import { checkSecret, verifyActivation } from './activation.ts';
import { admit, findToken } from './admission.ts';
import type { Admission, AdmissionRules } from './admission.ts';
import { challengeCandidate, judgeAgentKey, judgeAk, secretHash } from './challenge.ts';
import type { Candidate, EnrollmentChallenge } from './challenge.ts';
import { claimedEk, endorse } from './endorsement.ts';
import type { EkTrust, JudgedEk } from './endorsement.ts';
import { enrollmentChange, refusedEnrollment } from './enrollment-change.ts';
import type { HostRecord, StoredHost } from './host-record.ts';
import { RECORD } from './kinds.ts';
import type { EnrollmentOffer } from './offer.ts';
import type { EnrollmentChallenges } from './ports.ts';
import { enrollmentDigest, parseActivation, parseEnrollmentRequest, parsePoll } from './request.ts';
import { requireNotRevoked, requireUnique, uniqueness } from './uniqueness.ts';

/** What enrolling needs: all of it is given. */
export interface EnrollmentDesk {
  readonly records: Records;
  readonly ledger: Ledger;
  readonly challenges: EnrollmentChallenges;
  readonly clock: Clock;
  readonly random: Random;
  readonly rules: AdmissionRules;
  readonly trust: EkTrust;
  /** The boot selection that an enrolling host quotes. */
  readonly selection: PcrSelection;
}

/** A host after its activation or poll; `committed` has leaf and proof of the change that was made just now. */
export interface Enrolled {
  readonly host: HostRecord;
  readonly committed: Committed | null;
}

/** The ledger said no at commit; its leaf and index are in `committed`. */
export interface NotEnrolled {
  readonly host: null;
  readonly committed: Committed;
}

/**
 * `POST /v1/enrollments`. Form and token before any cryptography; then the EK by itself and admission, so that nobody who
 * isn't let in buys the validation of a path; then the EK's certificate, what is taken, AK and agent key; then the
 * challenge. Nothing is written.
 * @throws Refusal
 */
export async function beginEnrollment(desk: EnrollmentDesk, body: JsonObject): Promise<EnrollmentOffer> {
  const { records, rules, trust, clock, random } = desk;
  const now = clock.now();
  const request = parseEnrollmentRequest(body);
  const token = await findToken(request, records, rules, now);
  const claimed = claimedEk(request);
  const known = await requireNotRevoked(records, claimed.hostId);
  const admission = await admit(request, claimed, token, records, rules);
  const ek = endorse(request, claimed, trust, now);
  const before = enrolledBefore(ek, admission, known);
  const ak = judgeAk(request.akPublic);
  const agent = judgeAgentKey(request.agentPublic, ek, ak);
  const digest = enrollmentDigest(request);
  const candidate: Candidate = { name: request.name, ek, ak, agent, admission, before, digest };
  await requireUnique(records, uniqueness(candidate));
  const { challenge, offer } = challengeCandidate(candidate, desk.selection, now, random);
  await desk.challenges.put(challenge, now);
  return offer;
}

/**
 * `POST /v1/enrollments/{id}/activate`. The challenge is gone before the answer is looked at, so that a wrong answer
 * has burnt it. What is refused after the secret was right is a leaf of the log.
 * @throws Refusal
 */
export async function activateEnrollment(
  desk: EnrollmentDesk,
  enrollmentId: string,
  body: JsonObject,
): Promise<Enrolled | NotEnrolled> {
  const challenge =
    (await desk.challenges.take(enrollmentId)) ??
    refuse('enroll-challenge', 'no such enrollment, or it was answered');
  const answer = parseActivation(body);
  const now = desk.clock.now();
  checkSecret(challenge, answer.secret, now);
  const activated = await onRecord(desk, challenge, () => verifyActivation(challenge, answer));
  await onRecord(desk, challenge, () => requireUnique(desk.records, uniqueness(challenge.candidate)));
  const { host, change } = enrollmentChange(activated, now);
  const committed = await desk.ledger.commit(change);
  return committed.ok ? { host, committed } : { host: null, committed };
}

const POLL = shape.object({
  hostId: shape.hex32,
  keyId: shape.hex32,
  secretHash: shape.hex32,
  expires: shape.integer(),
});

/**
 * `POST /v1/enrollments/{id}/poll`: the host as it stands now, for who knows the secret, until the enrollment expires.
 * Also for who lost the answer to the activation.
 * @throws Refusal `enroll-challenge`, `enroll-expired`, `enroll-secret`, `enroll-revoked`
 */
export async function pollEnrollment(
  desk: Pick<EnrollmentDesk, 'records' | 'clock'>,
  enrollmentId: string,
  body: JsonObject,
): Promise<HostRecord> {
  const secret = parsePoll(body);
  const stored =
    (await desk.records.get(RECORD.enrollment(enrollmentId))) ??
    refuse('enroll-challenge', 'no such enrollment');
  const poll = POLL(stored.body, 'enrollment', (path, want) =>
    refuse('host-record', `${path} is not ${want}`),
  );
  if (!equalBytes(secretHash(secret), fromHex(poll.secretHash)))
    refuse('enroll-secret', 'the secret is not the enrollment’s');
  if (desk.clock.now() >= poll.expires) refuse('enroll-expired', 'the enrollment is over; begin a new one');
  const host = (await requireNotRevoked(desk.records, poll.hostId))?.host;
  // The host enrolled again since: the certificate of the newer key is not for who knows the older secret.
  if (host?.agent.keyId !== poll.keyId)
    return refuse('enroll-expired', 'a newer enrollment of this host replaced this one');
  return host;
}

/** An enrolled TPM comes again only where an operator says so, with the same EK certificate (CVE-2025-13609). */
function enrolledBefore(
  ek: JudgedEk,
  admission: Admission,
  known: StoredHost | undefined,
): StoredHost | undefined {
  const again = admission.by !== 'approval' && admission.invitation.host !== null;
  if (!again) return undefined;
  if (known === undefined) return refuse('enroll-host', 'the host to enroll again is not known');
  if (known.host.ek.certificate?.fingerprint !== ek.certificate?.fingerprint)
    refuse('enroll-ek-key', 'the host was enrolled with another EK certificate', { hostId: ek.hostId });
  if (known.host.name !== admission.invitation.name)
    refuse('enroll-name', 'the host to enroll again has another name');
  return known;
}

/** Runs a step; its refusal is written to the log before it goes on up. */
async function onRecord<T>(
  desk: EnrollmentDesk,
  { candidate }: EnrollmentChallenge,
  step: () => T | Promise<T>,
): Promise<T> {
  try {
    return await step();
  } catch (error) {
    if (error instanceof Refusal) await desk.ledger.commit(refusedEnrollment(candidate, error));
    throw error;
  }
}
