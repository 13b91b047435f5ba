import { Reader, Writer, concat } from '../base/index.ts';
import { digest, hashFromId, hashId } from './algorithms.ts';
import type { HashName } from './algorithms.ts';
import { encodePublic } from './public-area.ts';
import type { PublicArea } from './public-area.ts';

/**
 * The name of an object: nameAlg ‖ H_nameAlg(TPMT_PUBLIC) (TPM 2.0 Part 1 §16).
 * @param publicBytes the TPMT_PUBLIC as received, without the size of a TPM2B
 */
export function objectName(publicBytes: Uint8Array): Uint8Array {
  const reader = new Reader(publicBytes, 'TPMT_PUBLIC');
  reader.u16(); // type
  return nameOf(hashFromId(reader.u16(), 'TPMT_PUBLIC'), publicBytes);
}

/** The name of a public area that this program made; for received ones {@link objectName} hashes what came. */
export function publicName(area: PublicArea): Uint8Array {
  return objectName(encodePublic(area));
}

/** The name of an NV index: nameAlg ‖ H_nameAlg(TPMS_NV_PUBLIC). @param nvPublicBytes without a TPM2B's size */
export function nvName(nvPublicBytes: Uint8Array): Uint8Array {
  const reader = new Reader(nvPublicBytes, 'TPMS_NV_PUBLIC');
  reader.u32(); // nvIndex
  return nameOf(hashFromId(reader.u16(), 'TPMS_NV_PUBLIC'), nvPublicBytes);
}

/** The name of what has no public area (hierarchies, PCRs, sessions): its handle, 4 bytes. */
export function handleName(handle: number): Uint8Array {
  return new Writer().u32(handle).finish();
}

/**
 * The qualified name of an object: nameAlg ‖ H_nameAlg(parent's qualified name ‖ name) (TPM 2.0 Part 1 §16.6). It
 * says under which hierarchy and chain of parents a key lives; attestations carry that of their signer.
 * @param parent qualified name of the parent; for a primary object, {@link handleName} of its hierarchy
 * @param name of the object itself, whose nameAlg is used
 */
export function qualifiedName(parent: Uint8Array, name: Uint8Array): Uint8Array {
  const nameAlg = hashFromId(new Reader(name, 'name').u16(), 'name');
  return nameOf(nameAlg, concat([parent, name]));
}

function nameOf(nameAlg: HashName, bytes: Uint8Array): Uint8Array {
  return new Writer().u16(hashId(nameAlg)).bytes(digest(nameAlg, bytes)).finish();
}
