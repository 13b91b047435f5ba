/** A seeded source of integers: `random(n)` is in 0 … n − 1 (mulberry32; for choice, not for secrets). */
export type RandomInt = (limit: number) => number;

export function seededRandom(seed: number): RandomInt {
  let state = seed >>> 0;
  return (limit) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t = (t + Math.imul(t ^ (t >>> 7), t | 61)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % limit;
  };
}

/** Values that break length and count fields. */
const EDGES = [0, 1, 2, 0x7f, 0x80, 0xff, 0x100, 0x7fff, 0x8000, 0xffff, 0x7fffffff, 0x80000000, 0xffffffff];

/** One to eight structure-aware changes: bits, edge values in fields, cuts, repeats, joins with another input. */
export function mutate(
  parent: Uint8Array,
  corpus: readonly Uint8Array[],
  random: RandomInt,
  maxLength: number,
): Uint8Array {
  let out = Buffer.from(parent);
  for (let rounds = 1 + random(8); rounds > 0; rounds--) {
    const change = CHANGES[random(CHANGES.length)];
    if (change !== undefined) out = change(out, corpus, random);
  }
  return new Uint8Array(out.subarray(0, maxLength));
}

type Change = (
  input: Buffer<ArrayBuffer>,
  corpus: readonly Uint8Array[],
  random: RandomInt,
) => Buffer<ArrayBuffer>;

const at = (input: Buffer, random: RandomInt): number => random(input.length + 1);

const CHANGES: readonly Change[] = [
  function flipBit(input, _corpus, random) {
    if (input.length > 0)
      input.writeUInt8(input.readUInt8(random(input.length)) ^ (1 << random(8)), random(input.length));
    return input;
  },
  function setByte(input, _corpus, random) {
    if (input.length > 0) input.writeUInt8(random(256), random(input.length));
    return input;
  },
  function edge16(input, _corpus, random) {
    if (input.length < 2) return input;
    const value = (EDGES[random(EDGES.length)] ?? 0) & 0xffff;
    if (random(2) === 0) input.writeUInt16BE(value, random(input.length - 1));
    else input.writeUInt16LE(value, random(input.length - 1));
    return input;
  },
  function edge32(input, _corpus, random) {
    if (input.length < 4) return input;
    const value = EDGES[random(EDGES.length)] ?? 0;
    if (random(2) === 0) input.writeUInt32BE(value, random(input.length - 3));
    else input.writeUInt32LE(value, random(input.length - 3));
    return input;
  },
  function addToByte(input, _corpus, random) {
    if (input.length === 0) return input;
    const where = random(input.length);
    input.writeUInt8((input.readUInt8(where) + random(9) - 4 + 256) % 256, where);
    return input;
  },
  function truncate(input, _corpus, random) {
    return input.subarray(0, at(input, random));
  },
  function remove(input, _corpus, random) {
    const start = at(input, random);
    return Buffer.concat([input.subarray(0, start), input.subarray(start + 1 + random(16))]);
  },
  function insert(input, _corpus, random) {
    const start = at(input, random);
    const bytes = Buffer.from(Array.from({ length: 1 + random(8) }, () => random(256)));
    return Buffer.concat([input.subarray(0, start), bytes, input.subarray(start)]);
  },
  function repeat(input, _corpus, random) {
    const start = at(input, random);
    const part = input.subarray(start, start + 1 + random(64));
    return Buffer.concat([input.subarray(0, start), part, input.subarray(start)]);
  },
  function splice(input, corpus, random) {
    const other = corpus[random(corpus.length)] ?? new Uint8Array();
    return Buffer.concat([input.subarray(0, at(input, random)), other.subarray(random(other.length + 1))]);
  },
];
