import { toHex } from '../base/index.ts';

/**
 * CVE-2017-15361 ("ROCA"): the key generator of Infineon's RSALib made primes of the form k·M + (65537^a mod M) with
 * M the product of the first n primes, which can be factored. Every such modulus is, modulo each of those primes, a
 * power of 65537 (Nemec et al., "The Return of Coppersmith's Attack", CCS 2017, §2.1 and table 1: n by key size).
 * Nothing but those n is taken from there: residues are computed from the definition.
 */
const PRIME_COUNTS = [
  { fromBits: 3968, primes: 225 },
  { fromBits: 1984, primes: 126 },
  { fromBits: 992, primes: 71 },
  { fromBits: 0, primes: 39 },
] as const;

const GENERATOR = 65537;

/**
 * True when an RSA modulus has the fingerprint. Of random moduli fewer than one in 2^27 has it for the smallest keys,
 * far fewer for 2048 bits.
 * @param modulus big-endian, no leading zeros
 */
export function isRocaWeak(modulus: Uint8Array, bits: number): boolean {
  const count = PRIME_COUNTS.find(({ fromBits }) => bits >= fromBits)?.primes ?? 0;
  const value = BigInt(`0x${toHex(modulus)}`);
  return firstPrimes(count).every((prime) => powersOfGenerator(prime).has(Number(value % BigInt(prime))));
}

function powersOfGenerator(prime: number): ReadonlySet<number> {
  const powers = new Set<number>();
  for (let power = 1; !powers.has(power); power = (power * GENERATOR) % prime) powers.add(power);
  return powers;
}

function firstPrimes(count: number): readonly number[] {
  const primes: number[] = [];
  for (let candidate = 2; primes.length < count; candidate++) {
    if (primes.every((prime) => candidate % prime !== 0)) primes.push(candidate);
  }
  return primes;
}
