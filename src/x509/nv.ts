import { LIMITS, Reader, concat, refuse } from '../base/index.ts';
import { TAG } from './der.ts';

/** What an EK certificate's NV index held. */
export interface NvCertificate {
  /** The certificate alone, exact length. */
  readonly der: Uint8Array;
  /** True when it was inside a TCPA "stored certificate" (TPM 1.2 PC Client specification §7.3.2). */
  readonly wrapped: boolean;
  /** Bytes 00 or FF behind the certificate: indices are often larger than what they hold. */
  readonly padding: number;
}

/** NV indices for certificates are a few kilobytes. */
const MAX_NV_BYTES = LIMITS.certificate + 64;

/**
 * Takes a certificate out of the content of an NV index: `10 01 00 len16` before and padding behind are removed,
 * anything else around it is refused. This is the only place where bytes around a certificate are tolerated.
 * @throws Refusal `x509-nv-content`, `malformed`
 */
export function fromNv(content: Uint8Array): NvCertificate {
  if (content.length > MAX_NV_BYTES)
    refuse('x509-too-large', `NV content of ${String(content.length)} bytes`, { bytes: content.length });
  const reader = new Reader(content, 'NV content');
  const wrapped = isStoredCertificate(reader.peek(3));
  const inner = wrapped ? storedCertificate(reader) : reader;
  const der = derValue(inner);
  const padding = paddingBytes(inner) + (wrapped ? paddingBytes(reader) : 0);
  return { der, wrapped, padding };
}

/**
 * The certificates of an EK certificate chain as a TPM has them in 0x01C00100 and following: DER after DER, joined over
 * the indexes, since one may begin in an index and end in the next (TCG EK Credential Profile §2.2.1.5.2).
 * @param max certificates
 * @throws Refusal `x509-too-large`, `x509-nv-content`, `malformed`
 */
export function chainFromNv(contents: readonly Uint8Array[], max: number): readonly Uint8Array[] {
  const joined = concat(contents);
  if (joined.length > (max + 1) * LIMITS.certificate)
    refuse('x509-too-large', `NV content of ${String(joined.length)} bytes`, { bytes: joined.length });
  const reader = new Reader(joined, 'NV content');
  const chain: Uint8Array[] = [];
  while (reader.peek(1)?.[0] === TAG.sequence) {
    if (chain.length >= max) refuse('x509-too-large', `more than ${String(max)} certificates`, { max });
    chain.push(derValue(reader));
  }
  paddingBytes(reader);
  return chain;
}

function isStoredCertificate(start: Uint8Array | undefined): boolean {
  return start?.[0] === 0x10 && start[1] === 0x01 && start[2] === 0x00;
}

function storedCertificate(reader: Reader): Reader {
  reader.bytes(3);
  const length = reader.u16();
  return reader.nested(length, 'stored certificate');
}

/** One TLV by its own length; `parseCertificate` then checks every byte of it. */
function derValue(reader: Reader): Uint8Array {
  const [tag, first = 0, high = 0, low = 0] = reader.peek(4) ?? [];
  if (tag !== TAG.sequence) refuse('x509-nv-content', 'it does not begin with a certificate in DER');
  // Certificates are longer than 255 bytes and shorter than 64 KiB: the length has exactly this form.
  if (first !== 0x82) refuse('x509-nv-content', 'it does not begin with a certificate in DER');
  return reader.bytes(4 + high * 256 + low);
}

function paddingBytes(reader: Reader): number {
  const rest = reader.rest();
  const [fill] = rest;
  if (fill !== undefined && !((fill === 0x00 || fill === 0xff) && rest.every((byte) => byte === fill))) {
    refuse('x509-nv-content', 'bytes behind the certificate are no padding', { bytes: rest.length });
  }
  return rest.length;
}
