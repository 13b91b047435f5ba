import { fromBase64, fromUtf8, refuse, utf8 } from '../base/index.ts';
import { HASH_SIZE } from './hash.ts';
import { SIZE_LIMIT } from './shape.ts';

/**
 * Reads the text formats of C2SP line by line: UTF-8, every line ended by a newline, no other control characters.
 * Whatever can't be read is refused as `malformed` with the offset in bytes of the line where it is.
 */
export class LineReader {
  readonly structure: string;
  readonly #text: string;
  #next = 0;
  #line = 0;

  /** @param maxBytes checked before anything is decoded */
  constructor(bytes: Uint8Array, structure: string, maxBytes: number) {
    this.structure = structure;
    if (bytes.length > maxBytes) {
      refuse(
        'malformed',
        `${structure}: ${String(bytes.length)} bytes, over the limit of ${String(maxBytes)}`,
        { structure },
      );
    }
    this.#text = fromUtf8(bytes, structure);
    // eslint-disable-next-line no-control-regex -- control characters are what the formats forbid
    const control = this.#text.search(/[\u0000-\u0009\u000b-\u001f]/);
    if (control !== -1) {
      this.#line = control;
      this.malformed('a control character');
    }
  }

  /** True when every line was read. */
  get done(): boolean {
    return this.#next === this.#text.length;
  }

  /** The next line without its newline. */
  line(): string {
    const end = this.#text.indexOf('\n', this.#next);
    this.#line = this.#next;
    if (end === -1) this.malformed(this.done ? 'ends too early' : 'the last line has no newline');
    this.#next = end + 1;
    return this.#text.slice(this.#line, end);
  }

  /** The next line, which must begin with `word` and a space; what follows them. */
  field(word: string): string {
    const line = this.line();
    if (!line.startsWith(`${word} `)) this.malformed(`expected "${word} …"`);
    return line.slice(word.length + 1);
  }

  /** True when the next line begins with `word` and a space. */
  at(word: string): boolean {
    return this.#text.startsWith(`${word} `, this.#next);
  }

  /** The lines up to the next empty one, which is read too; each is base64 of a hash. At most `max`. */
  hashes(max: number): Uint8Array[] {
    const hashes: Uint8Array[] = [];
    for (let line = this.line(); line !== ''; line = this.line()) {
      if (hashes.length === max) this.malformed(`more than ${String(max)} hashes`);
      hashes.push(this.hash(line));
    }
    return hashes;
  }

  /** Everything up to the last empty line, which is read too; with its last newline. */
  body(): string {
    const end = this.#text.lastIndexOf('\n\n') + 1;
    if (end <= this.#next) this.malformed('no text and empty line before the signatures');
    const body = this.#text.slice(this.#next, end);
    this.#next = end + 1;
    return body;
  }

  /** Everything that is left, as bytes. */
  rest(): Uint8Array {
    const rest = this.#text.slice(this.#next);
    this.#next = this.#text.length;
    return utf8(rest);
  }

  /** A decimal of the current line: no sign, no leading zero, below 2^64. */
  decimal(text: string): bigint {
    if (!/^(?:0|[1-9]\d{0,19})$/.test(text) || BigInt(text) >= SIZE_LIMIT)
      this.malformed('not a decimal number');
    return BigInt(text);
  }

  /** Standard base64 of the current line, in its one canonical form. */
  base64(text: string): Uint8Array {
    try {
      return fromBase64(text);
    } catch {
      return this.malformed('not base64');
    }
  }

  /** Base64 of exactly 32 bytes. */
  hash(text: string): Uint8Array {
    const hash = this.base64(text);
    if (hash.length !== HASH_SIZE) this.malformed(`a hash of ${String(hash.length)} bytes`);
    return hash;
  }

  /** Refuses the current line. */
  malformed(reason: string): never {
    const offset = utf8(this.#text.slice(0, this.#line)).length;
    refuse('malformed', `${this.structure}: ${reason} at offset ${String(offset)}`, {
      structure: this.structure,
      offset,
    });
  }
}
