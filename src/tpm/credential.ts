import { Reader, Writer } from '../base/index.ts';
import type { Random } from '../base/index.ts';
import { digestSize } from './algorithms.ts';
import { encapsulateSeed } from './encapsulate.ts';
import { outerWrap, wrapParameters } from './outer-wrap.ts';
import type { PublicArea } from './public-area.ts';

/** A credential that only one TPM opens, and only for the object of one name: input of TPM2_ActivateCredential. */
export interface CredentialChallenge {
  /** Content of a TPM2B_ID_OBJECT: 2B(integrity) ‖ encrypted secret. */
  readonly credentialBlob: Uint8Array;
  /** Content of a TPM2B_ENCRYPTED_SECRET. */
  readonly encryptedSecret: Uint8Array;
}

/**
 * MakeCredential without a TPM (TPM 2.0 Part 1 §24, Part 3 §12.6): proves, when the secret comes back, that the
 * object of this name is loaded in the TPM that has this key. The name covers the object's attributes.
 * @param key an EK or another restricted decryption key
 * @param objectName of the AK, computed from its received public area
 * @param secret 1 byte … one digest of the key's nameAlg; keep it, or its hash, for one answer only
 * @throws Refusal `wrapping-key`; RangeError when secret or name have an impossible size
 */
export function makeCredential(
  key: PublicArea,
  objectName: Uint8Array,
  secret: Uint8Array,
  random: Random,
): CredentialChallenge {
  const parameters = wrapParameters(key);
  if (secret.length === 0 || secret.length > digestSize(parameters.nameAlg)) {
    throw new RangeError(`a credential of ${String(secret.length)} bytes`);
  }
  // A handle's name (4 bytes) would bind the credential to nothing that anybody proved.
  if (objectName.length < 2 + 20)
    throw new RangeError(`${String(objectName.length)} bytes are no object's name`);
  const { seed, encryptedSecret } = encapsulateSeed(key, 'IDENTITY', random);
  const plain = new Writer().sized16(secret).finish();
  return { credentialBlob: outerWrap(parameters, seed, objectName, plain), encryptedSecret };
}

/** What tpm2-tools puts before the two TPM2Bs of a credential file: a magic number and version 1. */
const FILE_MAGIC = 0xbadcc0de;
const FILE_VERSION = 1;
/** The largest TPM2B_ID_OBJECT: two SHA-512 digests with their sizes. */
const MAX_ID_OBJECT = 2 + 64 + 2 + 64;
/** The largest TPM2B_ENCRYPTED_SECRET: one RSA-4096 block. */
const MAX_ENCRYPTED_SECRET = 512;

/** The file format of tpm2_makecredential and tpm2_activatecredential. */
export function encodeCredentialFile({ credentialBlob, encryptedSecret }: CredentialChallenge): Uint8Array {
  return new Writer()
    .u32(FILE_MAGIC)
    .u32(FILE_VERSION)
    .sized16(credentialBlob)
    .sized16(encryptedSecret)
    .finish();
}

/** Reads what {@link encodeCredentialFile} writes. @throws Refusal `malformed` with the offset */
export function parseCredentialFile(bytes: Uint8Array): CredentialChallenge {
  const reader = new Reader(bytes, 'tpm2-tools credential');
  if (reader.u32() !== FILE_MAGIC) reader.malformed('wrong magic number');
  if (reader.u32() !== FILE_VERSION) reader.malformed('unknown version');
  const credentialBlob = reader.sized16(MAX_ID_OBJECT);
  const encryptedSecret = reader.sized16(MAX_ENCRYPTED_SECRET);
  reader.end();
  return { credentialBlob, encryptedSecret };
}
