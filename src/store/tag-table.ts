const SMALLEST = 1024;

/**
 * A table from 8-byte keys to 8-byte tags in 16 bytes an entry: what a verifier remembers of every row of its store has
 * to fit into memory for millions of them. Keys are expected to be evenly spread (outputs of a keyed hash).
 */
export class TagTable {
  #keys = new Uint32Array(2 * SMALLEST);
  #tags = new Uint32Array(2 * SMALLEST);
  #size = 0;

  /** Entries. */
  get size(): number {
    return this.#size;
  }

  /**
   * Whether the key's tag is this one; undefined when there is no such key.
   * @param key at least 8 bytes, of which the first 8 count
   * @param tag at least 8 bytes, of which the first 8 count
   */
  matches(key: Uint8Array, tag: Uint8Array): boolean | undefined {
    const at = this.#find(first(key), second(key));
    if (this.#isFree(at)) return undefined;
    return this.#tags[2 * at] === word(tag, 0) && this.#tags[2 * at + 1] === word(tag, 4);
  }

  has(key: Uint8Array): boolean {
    return !this.#isFree(this.#find(first(key), second(key)));
  }

  set(key: Uint8Array, tag: Uint8Array): void {
    // Half full at the most: a search then looks at two places on average.
    if (2 * (this.#size + 1) > this.#keys.length / 2) this.#grow();
    this.#put(first(key), second(key), word(tag, 0), word(tag, 4));
  }

  delete(key: Uint8Array): void {
    let hole = this.#find(first(key), second(key));
    if (this.#isFree(hole)) return;
    this.#size--;
    const mask = this.#keys.length / 2 - 1;
    // What follows without a gap moves up, unless that would put it before its own place.
    for (let at = (hole + 1) & mask; !this.#isFree(at); at = (at + 1) & mask) {
      const home = (this.#keys[2 * at] ?? 0) & mask;
      if (((at - home) & mask) < ((at - hole) & mask)) continue;
      this.#copy(at, hole);
      hole = at;
    }
    this.#keys.fill(0, 2 * hole, 2 * hole + 2);
  }

  #put(a: number, b: number, c: number, d: number): void {
    const at = this.#find(a, b);
    if (this.#isFree(at)) this.#size++;
    this.#keys.set([a, b], 2 * at);
    this.#tags.set([c, d], 2 * at);
  }

  /** Where the key is, or where it would be. */
  #find(a: number, b: number): number {
    const mask = this.#keys.length / 2 - 1;
    let at = a & mask;
    while (!this.#isFree(at) && !(this.#keys[2 * at] === a && this.#keys[2 * at + 1] === b))
      at = (at + 1) & mask;
    return at;
  }

  #isFree(at: number): boolean {
    return this.#keys[2 * at] === 0 && this.#keys[2 * at + 1] === 0;
  }

  #copy(from: number, to: number): void {
    this.#keys.copyWithin(2 * to, 2 * from, 2 * from + 2);
    this.#tags.copyWithin(2 * to, 2 * from, 2 * from + 2);
  }

  #grow(): void {
    const [keys, tags] = [this.#keys, this.#tags];
    this.#keys = new Uint32Array(2 * keys.length);
    this.#tags = new Uint32Array(2 * tags.length);
    this.#size = 0;
    for (let i = 0; i < keys.length; i += 2) {
      const [a = 0, b = 0] = [keys[i], keys[i + 1]];
      if (a !== 0 || b !== 0) this.#put(a, b, tags[i] ?? 0, tags[i + 1] ?? 0);
    }
  }
}

function word(bytes: Uint8Array, at: number): number {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength).getUint32(at);
}

const first = (key: Uint8Array): number => word(key, 0);
/** Zero and zero is a free place, so no key is that. */
const second = (key: Uint8Array): number => (word(key, 0) === 0 && word(key, 4) === 0 ? 1 : word(key, 4));
