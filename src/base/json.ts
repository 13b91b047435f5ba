import { fromUtf8 } from './bytes.ts';
import type { JsonObject, JsonValue } from './refusal.ts';
import { refuse } from './refusal.ts';

/** Bounds of {@link parseJson}; counted before anything of that size is built. */
export interface JsonLimits {
  /** UTF-8 bytes of the document. */
  readonly maxBytes: number;
  /** Nested arrays and objects. */
  readonly maxDepth?: number;
  /** Arrays, objects and scalars together. */
  readonly maxValues?: number;
}

/**
 * Strict JSON (RFC 8259 with the restrictions of I-JSON, RFC 7493): UTF-8 without a byte order mark, no duplicate
 * members, no lone surrogates, no integer outside ±(2^53 − 1), no member named `__proto__`, bounded size, depth and
 * count.
 * @throws Refusal `malformed` with the offset (in UTF-16 units of the text)
 */
export function parseJson(bytes: Uint8Array, structure: string, limits: JsonLimits): JsonValue {
  if (bytes.length > limits.maxBytes) {
    refuse(
      'malformed',
      `${structure}: ${String(bytes.length)} bytes, over the limit of ${String(limits.maxBytes)}`,
      {
        structure,
      },
    );
  }
  const text = fromUtf8(bytes, structure);
  const { maxDepth = 64, maxValues = 1_000_000 } = limits;
  return parsePlain(text, maxDepth, maxValues) ?? new Parser(text, structure, maxDepth, maxValues).document();
}

/** Characters of a document that is worth reading more than once. */
const SHORT = 256 * 1024;
/** What the engine writes as it reads it and is refused here all the same: the name, lone surrogates, large integers. */
const NOT_PLAIN = /"__proto__"|\\u|(?:^|[:,[])-?\d{16}|\de[+-]\d/;
/** What begins a value or follows one: never fewer than values, the first left out. */
const MARKS = /[,[{]/g;

/**
 * The value of a document that is written just as the engine would write it: no white space, no member twice, no number
 * that would change. Most are, and the engine reads them many times as fast as {@link Parser}; that one says of all
 * others whether they are strict JSON.
 * @returns undefined when that one has to look, also for `null`
 */
function parsePlain(text: string, maxDepth: number, maxValues: number): JsonValue | undefined {
  if (text.length > SHORT || NOT_PLAIN.test(text) || !hasAtMost(maxValues, text)) return undefined;
  try {
    const value = JSON.parse(text) as JsonValue;
    return JSON.stringify(value) === text && isWithin(value, maxDepth) ? (value ?? undefined) : undefined;
  } catch {
    return undefined;
  }
}

function hasAtMost(most: number, text: string): boolean {
  // Each value but the first has a mark of its own: so short a text needs no counting.
  if (text.length < most) return true;
  let values = 1;
  MARKS.lastIndex = 0;
  while (values <= most && MARKS.test(text)) values++;
  return values <= most;
}

/** @param left how much deeper a value may be nested */
function isWithin(value: JsonValue, left: number): boolean {
  if (typeof value !== 'object' || value === null) return left >= 0;
  return left >= 0 && Object.values(value).every((member) => isWithin(member, left - 1));
}

/** {@link parseJson} for a document that must be an object. */
export function parseJsonObject(bytes: Uint8Array, structure: string, limits: JsonLimits): JsonObject {
  const value = parseJson(bytes, structure, limits);
  if (!isJsonObject(value)) refuse('malformed', `${structure}: not a JSON object`, { structure });
  return value;
}

/** True for an object that is neither null nor an array. */
export function isJsonObject(value: JsonValue | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

const NUMBER = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
// eslint-disable-next-line no-control-regex -- control characters are what JSON forbids in strings
const PLAIN = /[^"\\\u0000-\u001f]*/y;
const SPACE = /[ \t\n\r]*/y;
const ESCAPES: Readonly<Record<string, string>> = {
  '"': '"',
  '\\': '\\',
  '/': '/',
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
};

class Parser {
  readonly #text: string;
  readonly #structure: string;
  readonly #maxDepth: number;
  #valuesLeft: number;
  #at = 0;

  constructor(text: string, structure: string, maxDepth: number, maxValues: number) {
    this.#text = text;
    this.#structure = structure;
    this.#maxDepth = maxDepth;
    this.#valuesLeft = maxValues;
  }

  document(): JsonValue {
    const value = this.#value(0);
    this.#space();
    if (this.#at !== this.#text.length) this.#fail('data after the document');
    return value;
  }

  #value(depth: number): JsonValue {
    if (depth > this.#maxDepth) this.#fail('nested too deeply');
    if (--this.#valuesLeft < 0) this.#fail('too many values');
    this.#space();
    switch (this.#text[this.#at]) {
      case '{':
        return this.#object(depth);
      case '[':
        return this.#array(depth);
      case '"':
        return this.#string();
      case 't':
        return this.#word('true', true);
      case 'f':
        return this.#word('false', false);
      case 'n':
        return this.#word('null', null);
      default:
        return this.#number();
    }
  }

  #object(depth: number): JsonObject {
    const out: Record<string, JsonValue> = {};
    this.#at++;
    if (this.#take('}')) return out;
    do {
      this.#space();
      if (this.#text[this.#at] !== '"') this.#fail('expected a member name');
      const name = this.#string();
      if (name === '__proto__' || Object.hasOwn(out, name)) this.#fail('duplicate or forbidden member');
      if (!this.#take(':')) this.#fail('expected ":"');
      out[name] = this.#value(depth + 1);
    } while (this.#take(','));
    if (!this.#take('}')) this.#fail('expected "," or "}"');
    return out;
  }

  #array(depth: number): JsonValue[] {
    const out: JsonValue[] = [];
    this.#at++;
    if (this.#take(']')) return out;
    do out.push(this.#value(depth + 1));
    while (this.#take(','));
    if (!this.#take(']')) this.#fail('expected "," or "]"');
    return out;
  }

  #string(): string {
    let out = '';
    this.#at++;
    for (;;) {
      out += this.#match(PLAIN);
      const next = this.#text[this.#at++];
      if (next === '"') break;
      if (next !== '\\') this.#fail('unfinished string');
      out += this.#escape();
    }
    if (!out.isWellFormed()) this.#fail('lone surrogate');
    return out;
  }

  #escape(): string {
    const letter = this.#text[this.#at++] ?? '';
    if (letter !== 'u') return ESCAPES[letter] ?? this.#fail('unknown escape');
    const hex = this.#text.slice(this.#at, this.#at + 4);
    if (!/^[0-9a-fA-F]{4}$/.test(hex)) this.#fail('unfinished escape');
    this.#at += 4;
    return String.fromCharCode(Number.parseInt(hex, 16));
  }

  #number(): number {
    const text = this.#match(NUMBER);
    if (text === '') this.#fail('expected a value');
    const value = Number(text);
    // A number that JavaScript would change could be read as another one by somebody else.
    if (!Number.isFinite(value)) this.#fail('number out of range');
    if (Number.isInteger(value) && !Number.isSafeInteger(value)) this.#fail('integer over 2^53');
    return value;
  }

  #word<T extends JsonValue>(word: string, value: T): T {
    if (!this.#text.startsWith(word, this.#at)) this.#fail('expected a value');
    this.#at += word.length;
    return value;
  }

  #take(mark: string): boolean {
    this.#space();
    if (this.#text[this.#at] !== mark) return false;
    this.#at++;
    return true;
  }

  #space(): void {
    this.#match(SPACE);
  }

  #match(pattern: RegExp): string {
    pattern.lastIndex = this.#at;
    const found = pattern.exec(this.#text)?.[0] ?? '';
    this.#at += found.length;
    return found;
  }

  #fail(reason: string): never {
    refuse('malformed', `${this.#structure}: ${reason} at offset ${String(this.#at)}`, {
      structure: this.#structure,
      offset: this.#at,
    });
  }
}
