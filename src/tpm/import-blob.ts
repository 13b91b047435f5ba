import { Writer, concat } from '../base/index.ts';
import type { Random } from '../base/index.ts';
import { digest } from './algorithms.ts';
import { TPM_ALG } from './constants.ts';
import { encapsulateSeed } from './encapsulate.ts';
import { objectName } from './name.ts';
import { objectAttributes } from './object-attributes.ts';
import { outerWrap, wrapParameters } from './outer-wrap.ts';
import { encodePublic } from './public-area.ts';
import type { PublicArea } from './public-area.ts';

/** What a sealed data object can hold (MAX_SYM_DATA of the PC Client platform), in bytes. */
export const MAX_SEALED_DATA = 128;

/**
 * The attributes of every object that this program seals: usable only by its policy (userWithAuth CLEAR, else an
 * empty password would open it), importable (fixedTPM and fixedParent CLEAR), and outside of dictionary-attack
 * protection, since there is no password to guess.
 */
export const SEALED_ATTRIBUTES = objectAttributes('adminWithPolicy', 'noDA');

/** Input of TPM2_Import: a sealed data object that only the TPM with the parent key can load. */
export interface ImportBlob {
  /** TPMT_PUBLIC of the object; its name is over these bytes. */
  readonly objectPublic: Uint8Array;
  /** nameAlg ‖ SHA-256(objectPublic): 34 bytes. */
  readonly name: Uint8Array;
  /** Content of the duplicate's TPM2B_PRIVATE: outer wrap only. */
  readonly duplicate: Uint8Array;
  /** Content of the TPM2B_ENCRYPTED_SECRET `inSymSeed`. */
  readonly encryptedSeed: Uint8Array;
}

/**
 * Seals data to a TPM's storage key from outside (TPM 2.0 Part 1 §23.3, Part 3 §13.3): a KEYEDHASH object with
 * nameAlg SHA-256. There is no inner wrapper, whose key would have to reach the TPM in the clear
 * (CVE-2021-3565 was a fixed one); the outer wrap's seed is fresh for each object.
 * @param parent the EK, or another storage key that a certified AK has certified
 * @param data 1 … 128 bytes: a key, never the secrets themselves
 * @param authPolicy SHA-256 policy digest
 * @param random draws the obfuscation value, then what {@link encapsulateSeed} draws
 * @throws Refusal `wrapping-key`; RangeError when data or authPolicy have an impossible size
 */
export function makeImportBlob(
  parent: PublicArea,
  data: Uint8Array,
  authPolicy: Uint8Array,
  random: Random,
): ImportBlob {
  const parameters = wrapParameters(parent);
  if (data.length === 0 || data.length > MAX_SEALED_DATA) {
    throw new RangeError(`sealed data of ${String(data.length)} bytes`);
  }
  // An empty policy on an object without userWithAuth can never be opened; a short one is a mistake.
  if (authPolicy.length !== 32) throw new RangeError(`authPolicy of ${String(authPolicy.length)} bytes`);
  const obfuscation = random.bytes(32);
  const objectPublic = encodePublic({
    type: 'keyedhash',
    nameAlg: 'sha256',
    attributes: SEALED_ATTRIBUTES,
    authPolicy,
    scheme: null,
    unique: digest('sha256', concat([obfuscation, data])),
  });
  const name = objectName(objectPublic);
  const { seed, encryptedSecret } = encapsulateSeed(parent, 'DUPLICATE', random);
  const plain = new Writer().sized16(sensitiveArea(obfuscation, data)).finish();
  return {
    objectPublic,
    name,
    duplicate: outerWrap(parameters, seed, name, plain),
    encryptedSeed: encryptedSecret,
  };
}

/** TPMT_SENSITIVE (Part 2 §12.3.2.4) of sealed data, with an empty authValue. */
function sensitiveArea(obfuscation: Uint8Array, data: Uint8Array): Uint8Array {
  return new Writer()
    .u16(TPM_ALG.KEYEDHASH)
    .sized16(new Uint8Array(0))
    .sized16(obfuscation)
    .sized16(data)
    .finish();
}
