/**
 * What was made from the same bytes a moment ago: the most recently used results of a pure function, a bounded number.
 * Only for functions whose result depends on nothing but the key, and whose result nobody changes.
 */
export class Recent<V> {
  readonly #most: number;
  readonly #values = new Map<string, V>();

  /** @param most entries that are kept */
  constructor(most: number) {
    this.#most = most;
  }

  /** The value of the key, made if it isn't there; an error of `make` is not kept. */
  of(key: string, make: () => V): V {
    const known = this.#values.get(key);
    const value = known ?? make();
    if (known !== undefined) this.#values.delete(key);
    else if (this.#values.size >= this.#most) this.#dropOldest();
    // A Map keeps the order of insertion, so its first key is the one that wasn't used for longest.
    this.#values.set(key, value);
    return value;
  }

  #dropOldest(): void {
    for (const oldest of this.#values.keys()) {
      this.#values.delete(oldest);
      return;
    }
  }
}
