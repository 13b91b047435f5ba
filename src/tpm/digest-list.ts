import { Reader, Writer } from '../base/index.ts';

/** TPML_DIGEST holds at most this many (TPM 2.0 Part 2 §10.9.5). */
const MAX_DIGESTS = 8;
const MAX_DIGEST = 64;

/** A TPML_DIGEST, e.g. what TPM2_PCR_Read gives. @throws Refusal `malformed` with the offset */
export function parseDigestList(bytes: Uint8Array): Uint8Array[] {
  const reader = new Reader(bytes, 'TPML_DIGEST');
  const count = reader.u32();
  if (count > MAX_DIGESTS) return reader.malformed(`${String(count)} digests`);
  const digests: Uint8Array[] = [];
  while (digests.length < count) digests.push(reader.sized16(MAX_DIGEST));
  reader.end();
  return digests;
}

/** The TPML_DIGEST's bytes. @throws RangeError for more than 8 digests */
export function encodeDigestList(digests: readonly Uint8Array[]): Uint8Array {
  if (digests.length > MAX_DIGESTS)
    throw new RangeError(`${String(digests.length)} digests in a TPML_DIGEST`);
  const writer = new Writer().u32(digests.length);
  for (const value of digests) writer.sized16(value);
  return writer.finish();
}
