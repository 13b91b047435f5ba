import { Reader, refuse } from '../base/index.ts';

/** Identifier octets that X.509 uses (X.680 §8.6): class, constructed bit and number in one byte. */
export const TAG = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  null: 0x05,
  oid: 0x06,
  enumerated: 0x0a,
  utf8String: 0x0c,
  printableString: 0x13,
  teletexString: 0x14,
  ia5String: 0x16,
  utcTime: 0x17,
  generalizedTime: 0x18,
  visibleString: 0x1a,
  universalString: 0x1c,
  bmpString: 0x1e,
  sequence: 0x30,
  set: 0x31,
} as const;

/** A way in which some issued certificates are BER but not DER; refused unless the caller names it. */
export type EncodingQuirk =
  'non-minimal-length' | 'non-minimal-integer' | 'explicit-default' | 'boolean-value' | 'named-bits';

/** What a reader tolerates, and which tolerances a structure really needed. */
export interface Leniency {
  readonly allowed: ReadonlySet<EncodingQuirk>;
  readonly used: Set<EncodingQuirk>;
}

/** One TLV: `content` without and `raw` with its header. Both are views of the received bytes. */
export interface DerValue {
  readonly tag: number;
  readonly content: Uint8Array;
  readonly raw: Uint8Array;
  /** Absolute offset of the first content byte. */
  readonly offset: number;
}

/** Nested constructed values; real certificates stay below 12. */
const MAX_DEPTH = 16;

/**
 * Strict DER (X.690 §10, §11) over the one `Reader`: single-byte tags, definite and minimal lengths, minimal
 * integers, booleans 00 or FF. What isn't canonical is refused with check `malformed` and the absolute offset.
 */
export class DerReader {
  readonly structure: string;
  readonly leniency: Leniency | undefined;
  readonly #reader: Reader;
  readonly #depth: number;

  constructor(
    bytes: Uint8Array,
    structure: string,
    options: { base?: number; depth?: number; leniency?: Leniency | undefined } = {},
  ) {
    this.structure = structure;
    this.leniency = options.leniency;
    this.#depth = options.depth ?? 0;
    this.#reader = new Reader(bytes, structure, options.base ?? 0);
    if (this.#depth > MAX_DEPTH) this.malformed('nested too deeply');
  }

  /** True when every element of this value was read. */
  get atEnd(): boolean {
    return this.#reader.remaining === 0;
  }

  /** The next element's identifier octet; undefined at the end. */
  get nextTag(): number | undefined {
    return this.#reader.peek(1)?.[0];
  }

  /** The next element, whatever its type. */
  any(): DerValue {
    const reader = this.#reader;
    const header = reader.peek(reader.remaining);
    const start = reader.offset;
    const tag = reader.u8();
    if ((tag & 0x1f) === 0x1f) this.malformed('multi-byte tag');
    const length = this.#length();
    const offset = reader.offset;
    const content = reader.bytes(length);
    const raw = new Reader(header ?? content, this.structure, start).bytes(offset - start + length);
    return { tag, content, raw, offset };
  }

  /** The next element, which must have this identifier octet. */
  value(tag: number, what: string): DerValue {
    if (this.nextTag !== tag) {
      const found =
        this.nextTag === undefined ? 'the end' : `tag 0x${this.nextTag.toString(16).padStart(2, '0')}`;
      this.malformed(`expected ${what} (tag 0x${tag.toString(16).padStart(2, '0')}), found ${found}`);
    }
    return this.any();
  }

  /** The next element when it has this identifier octet, else undefined. */
  optional(tag: number): DerValue | undefined {
    return this.nextTag === tag ? this.any() : undefined;
  }

  /** A reader over the elements of a constructed value (or of an OCTET STRING that wraps DER). */
  inside(value: DerValue, structure: string): DerReader {
    return new DerReader(value.content, structure, {
      base: value.offset,
      depth: this.#depth + 1,
      leniency: this.leniency,
    });
  }

  sequence(structure: string): DerReader {
    return this.inside(this.value(TAG.sequence, structure), structure);
  }

  /** The content of a non-negative or negative INTEGER, minimal two's complement (X.690 §8.3.2). */
  integer(what: string): Uint8Array {
    const { content } = this.value(TAG.integer, what);
    this.#checkInteger(content, what);
    return content;
  }

  /** A small non-negative INTEGER (path lengths, versions, salt lengths). @param max refused above */
  smallInteger(what: string, max: number): number {
    return this.#small(this.integer(what), what, max);
  }

  boolean(what: string): boolean {
    const { content } = this.value(TAG.boolean, what);
    if (content.length !== 1) this.malformed(`${what}: BOOLEAN of ${String(content.length)} bytes`);
    const byte = content[0] ?? 0;
    if (byte !== 0 && byte !== 0xff) this.#quirk('boolean-value', `${what}: BOOLEAN is neither 00 nor FF`);
    return byte !== 0;
  }

  /** `BOOLEAN DEFAULT FALSE`: absent means false, and DER forbids encoding the default (X.690 §11.5). */
  defaultFalse(what: string): boolean {
    if (this.nextTag !== TAG.boolean) return false;
    const value = this.boolean(what);
    if (!value) this.#quirk('explicit-default', `${what}: default value encoded`);
    return value;
  }

  oid(what: string): string {
    return oidText(this.value(TAG.oid, what).content, this.structure);
  }

  /** A BIT STRING of whole bytes (keys, signatures). */
  wholeBitString(what: string): Uint8Array {
    const reader = new Reader(this.value(TAG.bitString, what).content, this.structure);
    if (reader.u8() !== 0) this.malformed(`${what}: unused bits in a BIT STRING of bytes`);
    return reader.rest();
  }

  /** A BIT STRING of named bits → the numbers of the bits that are set, ascending; trailing zeros are not DER. */
  namedBits(what: string): readonly number[] {
    const reader = new Reader(this.value(TAG.bitString, what).content, this.structure);
    const unused = reader.u8();
    const bytes = reader.rest();
    const last = bytes.at(-1) ?? 0;
    if (unused > 7 || (bytes.length === 0 && unused !== 0)) this.malformed(`${what}: impossible BIT STRING`);
    if ((last & ((1 << unused) - 1)) !== 0) this.malformed(`${what}: unused bits are set`);
    if (bytes.length > 0 && (last & (1 << unused)) === 0)
      this.#quirk('named-bits', `${what}: trailing zero bits`);
    const bits: number[] = [];
    bytes.forEach((byte, i) => {
      for (let bit = 0; bit < 8; bit++) if ((byte & (0x80 >> bit)) !== 0) bits.push(8 * i + bit);
    });
    return bits;
  }

  /** Ends the value. @throws Refusal `malformed` on trailing elements */
  end(): void {
    this.#reader.end();
  }

  malformed(reason: string): never {
    return this.#reader.malformed(reason);
  }

  #small(content: Uint8Array, what: string, max: number): number {
    if (((content[0] ?? 0) & 0x80) !== 0) this.malformed(`${what}: negative`);
    const value =
      content.length > 6 ? Number.POSITIVE_INFINITY : content.reduce((sum, byte) => sum * 256 + byte, 0);
    if (value > max) this.malformed(`${what}: over the limit of ${String(max)}`);
    return value;
  }

  #checkInteger(content: Uint8Array, what: string): void {
    const [first, second] = content;
    if (first === undefined) this.malformed(`${what}: empty INTEGER`);
    if (second === undefined) return;
    const padded = (first === 0x00 && second < 0x80) || (first === 0xff && second >= 0x80);
    if (padded) this.#quirk('non-minimal-integer', `${what}: INTEGER is not minimal`);
  }

  #length(): number {
    const first = this.#reader.u8();
    if (first < 0x80) return first;
    // 0x80 is the indefinite form; 4 GiB is far above every size limit.
    const count = first & 0x7f;
    if (count === 0 || count > 4)
      this.malformed(count === 0 ? 'indefinite length' : 'length of more than 4 bytes');
    const bytes = this.#reader.bytes(count);
    const length = bytes.reduce((sum, byte) => sum * 256 + byte, 0);
    if (length < 0x80 || bytes[0] === 0) this.#quirk('non-minimal-length', 'length is not minimal');
    return length;
  }

  #quirk(quirk: EncodingQuirk, reason: string): void {
    if (this.leniency?.allowed.has(quirk) !== true) this.malformed(reason);
    this.leniency.used.add(quirk);
  }
}

/** Dotted text of an OBJECT IDENTIFIER's content (X.690 §8.19): minimal arcs, each below 2^53. */
export function oidText(content: Uint8Array, structure: string): string {
  if (content.length > 64)
    refuse('malformed', `${structure}: OBJECT IDENTIFIER over 64 bytes`, { structure });
  const arcs: number[] = [];
  let arc = 0;
  let started = false;
  for (const byte of content) {
    if (!started && byte === 0x80)
      refuse('malformed', `${structure}: padded OBJECT IDENTIFIER arc`, { structure });
    arc = arc * 128 + (byte & 0x7f);
    if (!Number.isSafeInteger(arc))
      refuse('malformed', `${structure}: OBJECT IDENTIFIER arc over 2^53`, { structure });
    started = byte >= 0x80;
    if (started) continue;
    arcs.push(arc);
    arc = 0;
  }
  const [first] = arcs;
  if (first === undefined || started)
    return refuse('malformed', `${structure}: incomplete OBJECT IDENTIFIER`, { structure });
  const top = Math.min(2, Math.floor(first / 40));
  return [top, first - 40 * top, ...arcs.slice(1)].join('.');
}
