import type { NativeFunction } from './ffi.ts';
import { LIBRARIES, loadLibrary } from './library.ts';
import { Structure } from './memory.ts';
import type { Address } from './memory.ts';
import { tpmError } from './tpm-error.ts';

/** The structures that cross the boundary; each name is also that of its functions in libtss2-mu. */
export type StructureName =
  | 'TPM2B_ATTEST'
  | 'TPM2B_AUTH'
  | 'TPM2B_CREATION_DATA'
  | 'TPM2B_DATA'
  | 'TPM2B_DIGEST'
  | 'TPM2B_ENCRYPTED_SECRET'
  | 'TPM2B_ID_OBJECT'
  | 'TPM2B_MAX_BUFFER'
  | 'TPM2B_MAX_NV_BUFFER'
  | 'TPM2B_NAME'
  | 'TPM2B_NONCE'
  | 'TPM2B_NV_PUBLIC'
  | 'TPM2B_OPERAND'
  | 'TPM2B_PRIVATE'
  | 'TPM2B_PUBLIC'
  | 'TPM2B_SENSITIVE'
  | 'TPM2B_SENSITIVE_CREATE'
  | 'TPM2B_SENSITIVE_DATA'
  | 'TPM2B_TIMEOUT'
  | 'TPML_DIGEST'
  | 'TPML_DIGEST_VALUES'
  | 'TPML_PCR_SELECTION'
  | 'TPMS_CAPABILITY_DATA'
  | 'TPMS_TIME_INFO'
  | 'TPMT_SIGNATURE'
  | 'TPMT_SIG_SCHEME'
  | 'TPMT_SYM_DEF'
  | 'TPMT_SYM_DEF_OBJECT'
  | 'TPMT_TK_AUTH'
  | 'TPMT_TK_CREATION'
  | 'TPMT_TK_HASHCHECK'
  | 'TPMT_TK_VERIFIED';

/** No wire form of a structure is longer than what a TPM sends or takes at once. */
const MAX_WIRE = 4096;

// These calls run at once on this thread, so one set of buffers serves them all; they are wiped after each use.
const wireBuffer = Buffer.alloc(MAX_WIRE);
const offsetBuffer = Buffer.alloc(8);

/**
 * TPM wire form → the C structure that ESAPI takes.
 * @throws TpmError of layer `mu` when libtss2-mu refuses it; RangeError when bytes are left over
 */
export function toStructure(name: StructureName, wire: Uint8Array): Structure {
  const structure = new Structure();
  try {
    unmarshalInto(name, wire, structure.memory);
    return structure;
  } catch (error) {
    structure.release();
    throw error;
  }
}

/** A C structure that ESAPI made → its TPM wire form, a copy. @throws TpmError of layer `mu` */
export function toWire(name: StructureName, source: Address): Uint8Array {
  const marshal = muFunction(name, 'Marshal');
  offsetBuffer.fill(0);
  const rc = marshal(source, wireBuffer, MAX_WIRE, offsetBuffer);
  if (rc !== 0) throw tpmError(rc, `marshal ${name}`);
  const length = Number(offsetBuffer.readBigUInt64LE());
  const wire = new Uint8Array(wireBuffer.subarray(0, length));
  wireBuffer.fill(0, 0, length);
  return wire;
}

/**
 * Overwrites a C structure that held a secret, before it is freed: the same structure with its contents zero is
 * unmarshalled over it, so that no layout needs to be known.
 * @param wire its wire form, a TPM2B
 */
export function wipeSized(name: StructureName, wire: Uint8Array, target: Address): void {
  const zeros = new Uint8Array(wire.length);
  zeros.set(wire.slice(0, 2));
  unmarshalInto(name, zeros, target);
}

function unmarshalInto(name: StructureName, wire: Uint8Array, target: Buffer | Address): void {
  if (wire.length > MAX_WIRE) throw new RangeError(`${name} of ${String(wire.length)} bytes`);
  const unmarshal = muFunction(name, typeof target === 'number' ? 'Overwrite' : 'Unmarshal');
  wireBuffer.set(wire);
  offsetBuffer.fill(0);
  const rc = unmarshal(wireBuffer, wire.length, offsetBuffer, target);
  wireBuffer.fill(0, 0, wire.length);
  if (rc !== 0) throw tpmError(rc, `unmarshal ${name}`);
  if (offsetBuffer.readBigUInt64LE() !== BigInt(wire.length)) throw new RangeError(`${name}: trailing bytes`);
}

function muFunction(name: StructureName, kind: 'Marshal' | 'Unmarshal' | 'Overwrite'): NativeFunction {
  const mu = loadLibrary(LIBRARIES.mu);
  if (kind === 'Marshal')
    return mu.function(`Tss2_MU_${name}_Marshal`, 'u32', ['address', 'memory', 'size', 'memory']);
  const target = kind === 'Overwrite' ? 'address' : 'memory';
  return mu.function(`Tss2_MU_${name}_Unmarshal`, 'u32', ['memory', 'size', 'memory', target]);
}
