import { hash } from 'node:crypto';
import { Reader } from '../../base/index.ts';
import { KERNEL_HASHES } from './kernel-hashes.ts';
import type { KernelHash } from './kernel-hashes.ts';

/** A signature of the xattr security.ima (`struct signature_v2_hdr`, security/integrity/integrity.h). */
export interface XattrSignature {
  /** 2: over the file's digest. 3: over a structure that names what the digest is of. */
  readonly version: 2 | 3;
  /** `ima` for a digest of the content, `verity` for one of the fs-verity descriptor. */
  readonly digestType: 'ima' | 'verity';
  readonly algorithm: KernelHash;
  /** Last four bytes of the key's subject key identifier, as hex. A hint: which key verifies decides. */
  readonly keyId: string;
  readonly signature: Uint8Array;
}

/** The largest signature is of a 4096-bit RSA key. */
const MAX_SIGNATURE = 1024;
const DIGSIG = 3;
const VERITY_DIGSIG = 6;

/**
 * Reads the value of security.ima.
 * @returns undefined for other types than signatures (the portable signature of security.evm is over metadata)
 * @throws Refusal `malformed`
 */
export function parseXattrSignature(bytes: Uint8Array): XattrSignature | undefined {
  const reader = new Reader(bytes, 'IMA signature');
  const type = reader.u8();
  if (type !== DIGSIG && type !== VERITY_DIGSIG) return undefined;
  const version = readVersion(reader);
  // An fs-verity digest signed as version 2 could be passed off as a digest of content (linux 54f03916fb89).
  if (type === VERITY_DIGSIG && version !== 3) reader.malformed('fs-verity signature of version 2');
  const algorithmId = reader.u8();
  const algorithm = KERNEL_HASHES[algorithmId] ?? reader.malformed(`hash algorithm ${String(algorithmId)}`);
  const keyId = Buffer.from(reader.bytes(4)).toString('hex');
  const signature = reader.sized16(MAX_SIGNATURE);
  reader.end();
  const digestType = type === DIGSIG ? 'ima' : 'verity';
  return { version, digestType, algorithm, keyId, signature };
}

function readVersion(reader: Reader): 2 | 3 {
  const version = reader.u8();
  if (version === 2 || version === 3) return version;
  return reader.malformed(`version ${String(version)}`);
}

/**
 * The digest that was signed, for a file whose measured digest is `digest`.
 * @returns undefined when the algorithm is one that this program can't compute (version 3 hashes once more)
 */
export function signedDigest(signature: XattrSignature, digest: Uint8Array): Uint8Array | undefined {
  if (signature.version === 2) return digest;
  const { node, id } = signature.algorithm;
  if (node === null) return undefined;
  const fileId = new Uint8Array(2 + digest.length);
  fileId[0] = signature.digestType === 'ima' ? DIGSIG : VERITY_DIGSIG;
  fileId[1] = id;
  fileId.set(digest, 2);
  return new Uint8Array(Buffer.from(hash(node, fileId, 'binary'), 'latin1'));
}
