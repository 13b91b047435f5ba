/** Where a pure function that needs the time gets it: Unix time in milliseconds. */
export interface Clock {
  now(): number;
}

/** Where a pure function that needs randomness gets it. Deterministic in vectors, `node:crypto` in production. */
export interface Random {
  /** `length` fresh random bytes. */
  bytes(length: number): Uint8Array;
}
