import { LIMITS, Writer, refuse, toBase64url } from '../base/index.ts';
import type { JsonObject } from '../base/index.ts';
import {
  enrollmentDigest,
  enrollmentQualifyingData,
  parseEnrollmentRequest,
  parseOffer,
} from '../enrollment/index.ts';
import type { EnrollmentOffer, EnrollmentRequest } from '../enrollment/index.ts';
import { EK_TEMPLATES, hasAttributes, hostId, parsePublic } from '../tpm/index.ts';
import type { EkTemplateName } from '../tpm/index.ts';
import { chainFromNv, fromNv } from '../x509/index.ts';
import type { Tpm, TpmObject } from '../../native/index.ts';
import { quoteWithValues } from './quote.ts';

/** Certificates between an EK certificate and its root that a request can hold. */
const MAX_CHAIN = LIMITS.chainLength - 2;

/** What a host says of itself; the TPM adds the rest. */
export interface EnrollmentTerms {
  readonly name: string;
  readonly token?: string;
  /** SubjectPublicKeyInfo of the agent's key. */
  readonly agentPublic: Uint8Array;
}

/** Keys that the verifier has challenged. */
export interface OfferedKeys {
  readonly template: EkTemplateName;
  readonly ekName: Uint8Array;
  /** Persistent, made for this enrollment. */
  readonly ak: TpmObject;
  readonly akName: Uint8Array;
  readonly handle: number;
  readonly authValue: Uint8Array;
  readonly request: EnrollmentRequest;
  readonly offer: EnrollmentOffer;
}

/** What `POST …/activate` takes. */
export interface ChallengeAnswer {
  readonly secret: string;
  readonly attest: string;
  readonly signature: string;
  readonly pcrs: JsonObject;
}

/** Templates whose EK has a certificate in this TPM, in the templates' order; L-1 where none has. */
export async function ekCandidates(tpm: Tpm): Promise<readonly EkTemplateName[]> {
  const found: EkTemplateName[] = [];
  for (const { name } of EK_TEMPLATES)
    if ((await tpm.endorsementCertificate(name)) !== null) found.push(name);
  return found.length > 0 ? found : ['L-1'];
}

/**
 * Makes an AK under the EK and offers both.
 * @param send posts the request and gives the verifier's offer
 * @throws Refusal `enroll-answer`, `enroll-form`, and what `send` throws: the AK is removed then
 */
export async function offerKeys(
  tpm: Tpm,
  template: EkTemplateName,
  terms: EnrollmentTerms,
  send: (body: JsonObject) => Promise<JsonObject>,
): Promise<OfferedKeys> {
  await using ek = await tpm.endorsementKey(template);
  const made = await tpm.attestationKey({ ek });
  try {
    const body = await requestOf(tpm, template, ek, made.key, terms);
    const offer = parseOffer(await send(body));
    if (offer.hostId !== hostId(parsePublic(ek.publicBytes)))
      refuse('enroll-answer', 'the offer is for another endorsement key', { hostId: offer.hostId });
    const { key, handle, authValue } = made;
    const request = parseEnrollmentRequest(body);
    return { template, ekName: ek.name, ak: key, akName: key.name, handle, authValue, request, offer };
  } catch (error) {
    await tpm.evictControl(made.key);
    throw error;
  }
}

/** Removes the AK of an enrollment that came to nothing. */
export async function discardKey(tpm: Tpm, { ak }: OfferedKeys): Promise<void> {
  await tpm.evictControl(ak);
}

/** TPM2_ActivateCredential, and TPM2_Quote over the boot selection for this very request. */
export async function answerChallenge(tpm: Tpm, keys: OfferedKeys): Promise<ChallengeAnswer> {
  const { ak, template, request, offer } = keys;
  await using ek = await tpm.endorsementKey(template, { name: keys.ekName });
  const { attributes, nameAlg } = parsePublic(ek.publicBytes);
  const policy = !hasAttributes(attributes, 'userWithAuth');
  // Salted to the EK, so that a listener on the bus learns neither the AK's authValue nor the secret.
  await using forAk = await tpm.startSession({ type: 'hmac', salt: ek });
  await using forEk = await tpm.startSession({ type: policy ? 'policy' : 'hmac', salt: ek, hash: nameAlg });
  if (policy) await tpm.policySecret(forEk, 'endorsement');
  const secret = await tpm.activateCredential(ak, ek, offer.credential, { auth: [forAk, forEk] });
  await ek.flush();
  const qualifyingData = enrollmentQualifyingData(offer.nonce, enrollmentDigest(request));
  const { attest, signature, pcrs } = await quoteWithValues(tpm, ak, forAk, offer.selection, qualifyingData);
  return {
    secret: toBase64url(secret),
    attest: toBase64url(attest),
    signature: toBase64url(signature),
    pcrs,
  };
}

async function requestOf(
  tpm: Tpm,
  template: EkTemplateName,
  ek: TpmObject,
  ak: TpmObject,
  { name, token, agentPublic }: EnrollmentTerms,
): Promise<JsonObject> {
  const nv = await tpm.endorsementCertificate(template);
  const chain = nv === null ? [] : chainFromNv(nv.chain, MAX_CHAIN).map((der) => toBase64url(der));
  return {
    v: 1,
    name,
    ...(token === undefined ? {} : { token }),
    ...(nv === null ? {} : { ekCertificate: toBase64url(fromNv(nv.content).der) }),
    ...(chain.length === 0 ? {} : { ekChain: chain }),
    ekPublic: sized(ek.publicBytes),
    akPublic: sized(ak.publicBytes),
    agentPublic: toBase64url(agentPublic),
  };
}

const sized = (bytes: Uint8Array): string => toBase64url(new Writer().sized16(bytes).finish());
