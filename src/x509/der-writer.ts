import { Recent, Writer, concat, utf8 } from '../base/index.ts';
import { TAG } from './der.ts';

/** One TLV with a definite, minimal length (X.690 §10.1). */
function tlv(tag: number, content: Uint8Array): Uint8Array {
  const { length } = content;
  // Nothing here comes near 16 MiB.
  if (length > 0xff_ffff) throw new RangeError(`DER: ${String(length)} bytes of content`);
  const size = length < 0x80 ? 0 : length <= 0xff ? 1 : length <= 0xffff ? 2 : 3;
  const out = new Uint8Array(2 + size + length);
  out[0] = tag;
  out[1] = size === 0 ? length : 0x80 | size;
  // What is stored in a byte is its lowest 8 bits.
  for (let i = 0; i < size; i++) out[2 + i] = length >>> (8 * (size - 1 - i));
  out.set(content, 2 + size);
  return out;
}

/** Big-endian magnitude → INTEGER content: no needless zeros, a leading 00 when the top bit is set. */
function unsigned(bytes: Uint8Array): Uint8Array {
  const start = bytes.findIndex((byte) => byte !== 0);
  const magnitude = start < 0 ? new Uint8Array(1) : bytes.slice(start);
  return (magnitude[0] ?? 0) >= 0x80 ? concat([new Uint8Array(1), magnitude]) : magnitude;
}

/** Object identifiers are few, and the same in every certificate. */
const oids = new Recent<Uint8Array>(256);

const oid = (text: string): Uint8Array => oids.of(text, () => tlv(TAG.oid, oidContent(text)));

function oidContent(text: string): Uint8Array {
  if (!/^[0-2](\.(0|[1-9]\d*))+$/.test(text)) throw new TypeError(`not an object identifier: ${text}`);
  const [top = 0, second = 0, ...rest] = text.split('.').map(Number);
  return new Uint8Array([top * 40 + second, ...rest].flatMap(base128));
}

function base128(arc: number): number[] {
  const out = [arc % 128];
  for (let left = Math.floor(arc / 128); left > 0; left = Math.floor(left / 128))
    out.unshift((left % 128) + 128);
  return out;
}

/** UTCTime through 2049, GeneralizedTime after (RFC 5280 §4.1.2.5). @param ms Unix time; milliseconds are dropped */
function time(ms: number): Uint8Array {
  const text = new Date(ms).toISOString().replace(/[-:T]|\.\d+/g, '');
  const year = Number(text.slice(0, 4));
  return year >= 1950 && year < 2050
    ? tlv(TAG.utcTime, utf8(text.slice(2)))
    : tlv(TAG.generalizedTime, utf8(text));
}

function bitString(bytes: Uint8Array, unusedBits = 0): Uint8Array {
  return tlv(TAG.bitString, concat([new Uint8Array([unusedBits]), bytes]));
}

/** A BIT STRING of named bits: trailing zero bits are dropped (X.690 §11.2.2). @param bits numbers of the bits that are set */
function namedBits(bits: readonly number[]): Uint8Array {
  if (bits.length === 0) return bitString(new Uint8Array());
  const last = Math.max(...bits);
  const bytes = new Uint8Array(Math.floor(last / 8) + 1);
  for (const bit of bits)
    bytes[Math.floor(bit / 8)] = (bytes[Math.floor(bit / 8)] ?? 0) | (0x80 >> (bit % 8));
  return bitString(bytes, 7 - (last % 8));
}

/** DER encoding, one function for each type that certificates need; the counterpart of `DerReader`. */
export const der = {
  tlv,
  bitString,
  namedBits,
  time,
  sequence: (...parts: readonly Uint8Array[]) => tlv(TAG.sequence, concat(parts)),
  /** SET OF: elements in ascending order of their encodings (X.690 §11.6). */
  setOf: (...parts: readonly Uint8Array[]) =>
    tlv(TAG.set, concat([...parts].sort((a, b) => Buffer.compare(a, b)))),
  /** @param bytes big-endian magnitude */
  integer: (bytes: Uint8Array) => tlv(TAG.integer, unsigned(bytes)),
  smallInteger: (value: number) => tlv(TAG.integer, unsigned(new Writer().u32(value).finish())),
  boolean: (value: boolean) => tlv(TAG.boolean, new Uint8Array([value ? 0xff : 0])),
  /** Not to be changed: others get the same. */
  oid,
  octetString: (bytes: Uint8Array) => tlv(TAG.octetString, bytes),
  utf8String: (text: string) => tlv(TAG.utf8String, utf8(text)),
  null: () => tlv(TAG.null, new Uint8Array()),
  /** `[n] EXPLICIT`, or `[n] IMPLICIT` of a constructed type. */
  context: (number: number, ...parts: readonly Uint8Array[]) => tlv(0xa0 | number, concat(parts)),
  /** `[n] IMPLICIT` of a primitive type. */
  contextPrimitive: (number: number, content: Uint8Array) => tlv(0x80 | number, content),
} as const;
