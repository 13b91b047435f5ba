import { encodePcrSelection } from '../src/tpm/index.ts';
import type { PcrSelection } from '../src/tpm/index.ts';
import { sessionsOf } from './authorization.ts';
import type { Caller } from './caller.ts';
import type { Authorization } from './authorization.ts';
import type { CreationProof } from './esys-object.ts';
import type { TpmObject } from './object.ts';
import { nullHashCheck, signingScheme, sized, unsized } from './wire.ts';
import type { SigningScheme } from './wire.ts';

/** A statement that the TPM signed. */
export interface Attestation {
  /** TPMS_ATTEST: the bytes that are signed. */
  readonly attest: Uint8Array;
  /** TPMT_SIGNATURE. */
  readonly signature: Uint8Array;
}

interface Attesting extends Authorization {
  /** At most 64 bytes; 32 fit every TPM. */
  readonly qualifyingData: Uint8Array;
  /** Only for a key that has no scheme of its own. */
  readonly scheme?: SigningScheme;
}

/** What TPM2_Quote is asked. */
export interface QuoteRequest extends Attesting {
  readonly key: TpmObject;
  readonly selection: PcrSelection;
}

/** What TPM2_Certify is asked; `auth` is [object, key]. */
export interface CertifyRequest extends Attesting {
  readonly key: TpmObject;
  readonly object: TpmObject;
}

/** What TPM2_CertifyCreation is asked. */
export interface CertifyCreationRequest extends CertifyRequest {
  readonly creation: CreationProof;
}

/** TPM2_Quote: the values of the selected PCRs, signed. */
export async function quote(caller: Caller, request: QuoteRequest): Promise<Attestation> {
  const [attest, signature] = await caller.command('Quote', {
    handles: [request.key.esys],
    sessions: sessionsOf(1, request),
    in: [sized(request.qualifyingData), signingScheme(request.scheme), encodePcrSelection(request.selection)],
  });
  return { attest: unsized('TPM2B_ATTEST', attest), signature };
}

/** TPM2_Certify: that an object with this name is loaded. */
export async function certify(caller: Caller, request: CertifyRequest): Promise<Attestation> {
  const [attest, signature] = await caller.command('Certify', {
    handles: [request.object.esys, request.key.esys],
    sessions: sessionsOf(2, request),
    in: [sized(request.qualifyingData), signingScheme(request.scheme)],
  });
  return { attest: unsized('TPM2B_ATTEST', attest), signature };
}

/** TPM2_CertifyCreation: that this TPM made the object, in these circumstances. */
export async function certifyCreation(caller: Caller, request: CertifyCreationRequest): Promise<Attestation> {
  const [attest, signature] = await caller.command('CertifyCreation', {
    handles: [request.key.esys, request.object.esys],
    sessions: sessionsOf(1, request),
    in: [
      sized(request.qualifyingData),
      sized(request.creation.hash),
      signingScheme(request.scheme),
      request.creation.ticket,
    ],
  });
  return { attest: unsized('TPM2B_ATTEST', attest), signature };
}

/** What TPM2_Sign is asked. */
export interface SignRequest extends Authorization {
  readonly key: TpmObject;
  readonly digest: Uint8Array;
  readonly scheme?: SigningScheme;
}

/** TPM2_Sign by an unrestricted key. @returns TPMT_SIGNATURE */
export async function sign(caller: Caller, request: SignRequest): Promise<Uint8Array> {
  const [signature] = await caller.command('Sign', {
    handles: [request.key.esys],
    sessions: sessionsOf(1, request),
    in: [sized(request.digest), signingScheme(request.scheme), nullHashCheck()],
  });
  return signature;
}

/** TPM2_VerifySignature. @returns TPMT_TK_VERIFIED, which PolicyAuthorize takes */
export async function verifySignature(
  caller: Caller,
  key: TpmObject,
  digest: Uint8Array,
  signature: Uint8Array,
): Promise<Uint8Array> {
  const [ticket] = await caller.command('VerifySignature', {
    handles: [key.esys],
    in: [sized(digest), signature],
  });
  return ticket;
}

/** A credential as TPM2_MakeCredential makes it, each part without its TPM2B size. */
export interface Credential {
  readonly credentialBlob: Uint8Array;
  readonly encryptedSecret: Uint8Array;
}

/** TPM2_ActivateCredential: proves that `object` is in the same TPM as `key`; `auth` is [object, key]. */
export async function activateCredential(
  caller: Caller,
  object: TpmObject,
  key: TpmObject,
  credential: Credential,
  authorization: Authorization = {},
): Promise<Uint8Array> {
  const [wire] = await caller.command('ActivateCredential', {
    handles: [object.esys, key.esys],
    sessions: sessionsOf(2, authorization),
    in: [sized(credential.credentialBlob), sized(credential.encryptedSecret)],
  });
  return unsized('TPM2B_DIGEST', wire);
}
