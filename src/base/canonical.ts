import { fromUtf8 } from './bytes.ts';
import type { JsonLimits } from './json.ts';
import type { JsonObject, JsonValue } from './refusal.ts';

/** What a scan throws: one object, because nobody looks at it. */
const NOT_CANONICAL = new Error('not canonical JSON of this shape');

/** Says that the text is not what a scan reads. */
export function notCanonical(): never {
  throw NOT_CANONICAL;
}

// eslint-disable-next-line no-control-regex -- what canonical JSON never has: it escapes them, and has no white space
const CONTROL = /[\u0000-\u001f]/;
const INTEGER = /-?[1-9]\d{0,14}(?![\d.eE])|0(?![\d.eE])/y;
const QUOTE = 0x22;
const BRACE = 0x7b;
const BRACKET = 0x5b;

/**
 * Reads canonical JSON (RFC 8785) in one pass: what it accepts is the text that `canonicalJson` makes of the value that it
 * gives, so nothing has to be written again to compare. It is made for speed, and knows no fractions; what it doesn't
 * read may still be canonical, so who gets no value from it asks `parseJson` and `canonicalJson`.
 */
export class CanonicalReader {
  readonly #text: string;
  readonly #escapes: boolean;
  #at = 0;
  #depthLeft: number;
  #valuesLeft: number;

  constructor(text: string, { maxDepth = 64, maxValues = 1_000_000 }: Omit<JsonLimits, 'maxBytes'>) {
    if (CONTROL.test(text)) notCanonical();
    this.#text = text;
    this.#escapes = text.includes('\\');
    this.#depthLeft = maxDepth;
    this.#valuesLeft = maxValues;
  }

  /** Whether this text is somewhere in the document. */
  has(text: string): boolean {
    return this.#text.includes(text);
  }

  /** Everything was read. */
  end(): void {
    if (this.#at !== this.#text.length) notCanonical();
  }

  /** Reads this text if it is what follows. */
  take(text: string): boolean {
    if (!this.#text.startsWith(text, this.#at)) return false;
    this.#at += text.length;
    return true;
  }

  /** The beginning of an array or object. */
  open(mark: '[' | '{'): void {
    this.#count();
    if (!this.take(mark) || --this.#depthLeft < 0) notCanonical();
  }

  /** Its end. */
  close(mark: ']' | '}'): void {
    if (!this.take(mark)) notCanonical();
    this.#depthLeft++;
  }

  /** Each item of an array, of at most `max`. */
  items(max: number, read: () => void): void {
    this.open('[');
    if (!this.#text.startsWith(']', this.#at)) {
      let left = max;
      do {
        if (--left < 0) notCanonical();
        read();
      } while (this.take(','));
    }
    this.close(']');
  }

  string(): string {
    this.#count();
    return this.#string();
  }

  integer(): number {
    this.#count();
    INTEGER.lastIndex = this.#at;
    const found = INTEGER.exec(this.#text)?.[0] ?? notCanonical();
    this.#at += found.length;
    return Number(found);
  }

  /** Any value; members in the order of their UTF-16 code units, so that none is there twice. */
  value(): JsonValue {
    switch (this.#text.charCodeAt(this.#at)) {
      case QUOTE:
        return this.string();
      case BRACE:
        return this.#object();
      case BRACKET:
        return this.#array();
      default:
        return this.#word();
    }
  }

  #word(): JsonValue {
    for (const [word, value] of WORDS)
      if (this.take(word)) {
        this.#count();
        return value;
      }
    return this.integer();
  }

  #array(): JsonValue[] {
    const out: JsonValue[] = [];
    this.items(this.#valuesLeft, () => out.push(this.value()));
    return out;
  }

  #object(): JsonObject {
    const out: Record<string, JsonValue> = {};
    let last: string | undefined;
    this.open('{');
    while (!this.#text.startsWith('}', this.#at)) {
      if (last !== undefined && !this.take(',')) notCanonical();
      const name = this.#string();
      // In order, so none is there twice.
      if ((last !== undefined && name <= last) || name === '__proto__' || !this.take(':')) notCanonical();
      out[name] = this.value();
      last = name;
    }
    this.close('}');
    return out;
  }

  #string(): string {
    const begin = this.#at;
    const end = this.#text.indexOf('"', begin + 1);
    if (this.#text.charCodeAt(begin) !== QUOTE || end === -1) notCanonical();
    const text = this.#text.slice(begin + 1, end);
    if (this.#escapes && text.includes('\\')) return this.#escaped(begin);
    this.#at = end + 1;
    return text;
  }

  /** A string that has escapes: those that are needed, written as they have to be. */
  #escaped(begin: number): string {
    let end = begin + 1;
    while (this.#text[end] !== '"') {
      if (end >= this.#text.length) notCanonical();
      end += this.#text[end] === '\\' ? 2 : 1;
    }
    const written = this.#text.slice(begin, end + 1);
    const text = unescaped(written);
    if (!text.isWellFormed() || JSON.stringify(text) !== written) notCanonical();
    this.#at = end + 1;
    return text;
  }

  #count(): void {
    if (--this.#valuesLeft < 0) notCanonical();
  }
}

const WORDS: readonly (readonly [string, boolean | null])[] = [
  ['null', null],
  ['true', true],
  ['false', false],
];

function unescaped(written: string): string {
  try {
    // A text that begins and ends with a quotation mark is a string or nothing.
    return JSON.parse(written) as string;
  } catch {
    return notCanonical();
  }
}

/**
 * Reads a document that is canonical JSON, in one pass.
 * @param scan reads it: of a shape (`scanOf`), or `(reader) => reader.value()`
 * @returns undefined when it can't be read this way: `parseJson` says whether it is JSON at all
 */
export function scanCanonical<T>(
  bytes: Uint8Array,
  scan: (reader: CanonicalReader) => T,
  { maxBytes, ...limits }: JsonLimits,
): T | undefined {
  if (bytes.length > maxBytes) return undefined;
  try {
    const reader = new CanonicalReader(fromUtf8(bytes, 'document'), limits);
    const value = scan(reader);
    reader.end();
    return value;
  } catch {
    // Nothing is decided here: whoever is told nothing reads the document strictly, and says what is wrong with it.
    return undefined;
  }
}
