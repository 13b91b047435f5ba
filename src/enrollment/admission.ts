import type { Records } from '../audit/ledger.ts';
import type { RecordRef } from '../audit/ledger.ts';
import { refuse } from '../base/index.ts';
import type { EkTemplateName } from '../tpm/index.ts';
import type { ClaimedEk } from './endorsement.ts';
import { parseInvitation, tokenHash } from './invitation.ts';
import type { Invitation } from './invitation.ts';
import { RECORD } from './kinds.ts';
import type { EnrollmentRequest } from './request.ts';

/** Why a host may come in: an operator's invitation, or an operator's approval that is still to come. */
export type Admission = Invited | { readonly by: 'approval' };

/** An invitation as it was read; the commit expects it unchanged. */
export interface Invited {
  readonly by: 'token' | 'ek-list';
  readonly ref: RecordRef;
  readonly version: number;
  readonly invitation: Invitation;
}

/** Whether hosts may come without an invitation and wait for approval, and with which one EK of their TPM. */
export interface AdmissionRules {
  readonly approvals: { readonly ekTemplate: EkTemplateName } | null;
  /** The store's epoch. */
  readonly epoch: string;
}

/**
 * The invitation of the token in the request; looked at before anything expensive.
 * @param now Unix ms
 * @throws Refusal `enroll-token`, `enroll-token-expired`, `enroll-invitation-void`, `replay-token`
 */
export async function findToken(
  request: EnrollmentRequest,
  records: Records,
  { epoch }: AdmissionRules,
  now: number,
): Promise<Invited | undefined> {
  if (request.token === undefined) return undefined;
  const ref = RECORD.token(tokenHash(request.token));
  const stored =
    (await records.get(ref)) ?? refuse('enroll-token', 'the join token is not one of this verifier');
  const invitation = parseInvitation(stored);
  requireOpen(invitation, epoch);
  if (invitation.expires === null || now >= invitation.expires)
    refuse('enroll-token-expired', 'the join token has expired', { expires: invitation.expires, now });
  return { by: 'token', ref, version: stored.version, invitation };
}

/**
 * What admits this EK: the token, else the operator's list, else approval where that is switched on. A genuine EK
 * certificate proves a TPM, not that it is ours: by itself it admits nothing.
 * @throws Refusal `enroll-admission`, `enroll-name`, `enroll-ek-template`, `enroll-ek-bound`, `enroll-host`,
 * `enroll-ek-certificate`, `enroll-invitation-void`
 */
export async function admit(
  request: EnrollmentRequest,
  ek: ClaimedEk,
  token: Invited | undefined,
  records: Records,
  rules: AdmissionRules,
): Promise<Admission> {
  const invited = token ?? (await findListed(ek, records, rules));
  if (invited !== undefined) {
    requireInvited(request, ek, invited.invitation);
    return invited;
  }
  const { approvals } = rules;
  if (approvals === null) return refuse('enroll-admission', 'neither token nor list admits this TPM');
  requireTemplate(ek, approvals.ekTemplate);
  if (request.ekCertificate === undefined) refuseWithoutCertificate();
  return { by: 'approval' };
}

async function findListed(
  ek: ClaimedEk,
  records: Records,
  { epoch }: AdmissionRules,
): Promise<Invited | undefined> {
  const ref = RECORD.ekList(ek.hostId);
  const stored = await records.get(ref);
  if (stored === undefined) return undefined;
  const invitation = parseInvitation(stored);
  requireOpen(invitation, epoch);
  return { by: 'ek-list', ref, version: stored.version, invitation };
}

function requireOpen({ state, epoch }: Invitation, current: string): void {
  if (state === 'used') refuse('replay-token', 'the join token was used before');
  if (state === 'withdrawn') refuse('enroll-invitation-void', 'the invitation was withdrawn');
  // A restored store doesn't know which tokens were used after its copy was made.
  if (epoch !== current)
    refuse('enroll-invitation-void', 'the invitation is from before the store’s restore');
}

function requireInvited(request: EnrollmentRequest, ek: ClaimedEk, invitation: Invitation): void {
  if (request.name !== invitation.name)
    refuse('enroll-name', 'the invitation is for a host of another name', { name: request.name });
  const { host, ek: bound } = invitation;
  if (bound !== null && bound !== ek.hostId)
    refuse('enroll-ek-bound', 'the invitation is for another endorsement key', { hostId: ek.hostId });
  if (host !== null && host !== ek.hostId)
    refuse('enroll-host', 'the invitation is for another host to enroll again', { hostId: ek.hostId });
  requireTemplate(ek, invitation.ekTemplate);
  if (request.ekCertificate === undefined && bound === null && host === null) refuseWithoutCertificate();
}

/** A TPM has several EKs; a fixed one keeps a revoked TPM from coming back as another host. */
function requireTemplate(ek: ClaimedEk, ekTemplate: EkTemplateName): void {
  if (ek.template !== ekTemplate)
    refuse('enroll-ek-template', `an EK of template ${ekTemplate} is asked for`, { template: ek.template });
}

function refuseWithoutCertificate(): never {
  refuse(
    'enroll-ek-certificate',
    'without an EK certificate only an EK that an operator listed by its hash comes in',
  );
}
