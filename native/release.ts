import { refuse } from '../src/base/index.ts';
import type { EkTemplateName } from '../src/tpm/ek-template.ts';
import { TPM_CC, objectName, sealedComparisons, unsealCpHash } from '../src/tpm/index.ts';
import type { SealedObject } from '../src/tpm/index.ts';
import type { Caller } from './caller.ts';
import { EkSession } from './ek-session.ts';
import { endorsementKey } from './endorsement.ts';
import { importObject, load, loadExternal, unseal } from './esys-object.ts';
import {
  policyCommandCode,
  policyCounterTimer,
  policyPcr,
  policyRestart,
  policySigned,
} from './esys-policy.ts';
import type { TpmObject } from './object.ts';
import type { Session } from './session.ts';
import { isTpmError } from './tpm-error.ts';

/** IMA extends PCR 10 whenever something starts; more often than this in a row isn't measuring any more. */
const MAX_TRIES = 8;

/** What {@link openSealed} opens, and by what. */
export interface SealedOpening {
  /**
   * The policy session whose nonceTPM the verifier signed: SHA-256, salted to the EK. It is used up by whatever is sent:
   * only arguments that are refused before leave it to the caller.
   */
  readonly session: Session;
  readonly sealed: SealedObject;
  /** The EK that the object is wrapped to. */
  readonly ekTemplate: EkTemplateName;
  /** Its name, pinned at enrollment. */
  readonly ekName: Uint8Array;
}

/**
 * Opens a sealed release: TPM2_Import and TPM2_Load under the EK, then the policy and TPM2_Unseal, in the order that
 * {@link SealedObject} gives. Nobody but this session can, and the session only once.
 *
 * The caller has judged the object before (its authPolicy recomputed, PROTOCOL 5). When a PCR changed between
 * PolicyPCR and Unseal, the policy is run again with the same signature.
 * @returns the data that was sealed
 * @throws TpmError with the assertion that failed, e.g. `TPM_RC_EXPIRED` of TPM2_PolicySigned, `TPM_RC_POLICY` of
 *   TPM2_PolicyCounterTimer, `TPM_RC_VALUE` of TPM2_PolicyPCR; Refusal `tpm-ek-mismatch`, `tpm-pcr`
 */
export async function openSealed(caller: Caller, opening: SealedOpening): Promise<Uint8Array> {
  await using session = opening.session;
  const { sealed } = opening;
  // Read before anything else: the TPM rolls it with every command that the session authorizes.
  const nonceTPM = await session.nonceTPM();
  await using object = await loadSealed(caller, opening);
  await using releaseKey = await loadExternal(caller, sealed.releaseKey);
  for (let attempt = 0; attempt < MAX_TRIES; attempt++) {
    if (attempt > 0) await policyRestart(caller, session);
    await satisfyPolicy(caller, session, sealed, releaseKey, nonceTPM);
    try {
      return await unseal(caller, object, { auth: session.last() });
    } catch (error) {
      if (!isTpmError(error, 'TPM_RC_PCR_CHANGED')) throw error;
    }
  }
  return refuse('tpm-pcr', `a PCR changed during each of ${String(MAX_TRIES)} attempts to unseal`);
}

/** Imports and loads under the EK, which is flushed after that: object and release key need its slot. */
async function loadSealed(caller: Caller, { sealed, ekTemplate, ekName }: SealedOpening): Promise<TpmObject> {
  await using ek = await endorsementKey(caller, ekTemplate, { name: ekName });
  await using ekSession = await EkSession.start(caller, ek);
  const parts = await importObject(caller, ek, sealed, { auth: await ekSession.authorize() });
  return await load(caller, ek, parts, { auth: await ekSession.authorize() });
}

/** The five assertions of the sealed object's policy, in order (TPM 2.0 Part 3 §23). */
async function satisfyPolicy(
  caller: Caller,
  session: Session,
  sealed: SealedObject,
  releaseKey: TpmObject,
  nonceTPM: Uint8Array,
): Promise<void> {
  const { policy, expiration, signature, objectPublic } = sealed;
  await policySigned(caller, session, releaseKey, signature, {
    nonceTPM,
    cpHash: unsealCpHash(objectName(objectPublic)),
    policyRef: policy.policyRef,
    expiration,
  });
  await policyCommandCode(caller, session, TPM_CC.Unseal);
  for (const comparison of sealedComparisons(policy)) await policyCounterTimer(caller, session, comparison);
  await policyPcr(caller, session, policy.pcrSelection, policy.pcrDigest);
}
