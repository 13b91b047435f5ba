import { createHash } from 'node:crypto';
import { Refusal, fromBase64 } from '../../base/index.ts';
import type { ImaRules } from './rules.ts';
import { parseSigningKey, verifyDigest } from './signing-key.ts';
import type { SigningKey } from './signing-key.ts';
import { parseXattrSignature, signedDigest } from './xattr-signature.ts';
import type { XattrSignature } from './xattr-signature.ts';
import type { KernelHash } from './kernel-hashes.ts';

/**
 * Remembers which signatures verified. Signatures of files are the same on every host that runs them, so one cache
 * serves a fleet. Keys are digests over (key, digest, signature): nothing that a host sends can collide with another.
 */
export interface SignatureCache {
  get(key: string): boolean | undefined;
  set(key: string, valid: boolean): void;
}

/** A cache that forgets its oldest half when it is full. */
export function createSignatureCache(maxEntries = 200_000): SignatureCache {
  let young = new Map<string, boolean>();
  let old = new Map<string, boolean>();
  return {
    get: (key) => young.get(key) ?? old.get(key),
    set(key, valid) {
      if (young.size >= maxEntries / 2) {
        old = young;
        young = new Map();
      }
      young.set(key, valid);
    },
  };
}

/** What checking a signature cost and gave. */
export interface SignatureVerdict {
  readonly valid: boolean;
  readonly cached: boolean;
  /** Why not; empty when valid. */
  readonly reason: string;
}

/** Trusted keys by keyring: those of the rules, and those that the host loaded and the rules allow. */
export class Keyrings {
  readonly #rings = new Map<string, SigningKey[]>();
  readonly #deniedKeys: ReadonlySet<string>;
  readonly #cache: SignatureCache;

  /** @throws Refusal for a key that is none or too weak: a rule that can't mean anything is not skipped */
  constructor(rules: ImaRules, cache: SignatureCache) {
    this.#cache = cache;
    this.#deniedKeys = new Set(rules.denied.keys.map((key) => key.slice('sha256:'.length)));
    for (const [name, keys] of Object.entries(rules.keyrings)) {
      for (const key of keys) this.#add(name, parseSigningKey(fromBase64(key, 'IMA rules')));
    }
  }

  /**
   * Adds a key that the kernel measured when it was loaded, and whose buffer the rules allow.
   * @returns false when the buffer is no key of a kind that is used here; no signature will verify with it
   */
  addMeasured(keyring: string, der: Uint8Array): boolean {
    try {
      this.#add(keyring, parseSigningKey(der));
      return true;
    } catch (error) {
      if (error instanceof Refusal) return false;
      throw error;
    }
  }

  /**
   * Checks the security.ima of a file against the keys of the named keyrings.
   * @param xattr as measured, with its type byte
   * @param digestType what the measured digest is of
   */
  check(
    names: readonly string[],
    xattr: Uint8Array,
    digestType: 'ima' | 'verity',
    algorithm: KernelHash,
    digest: Uint8Array,
  ): SignatureVerdict {
    const parsed = parseQuietly(xattr);
    if (typeof parsed === 'string') return no(parsed);
    if (parsed.algorithm !== algorithm || parsed.digestType !== digestType)
      return no('signature of another digest');
    const keys = this.#candidates(names, parsed.keyId);
    if (keys.length === 0) return no('signed by a key that is not in the keyring');
    const signed = signedDigest(parsed, digest);
    if (signed === undefined) return no('signature algorithm');
    let cached = true;
    for (const key of keys) {
      const cacheKey = keyOf(key, algorithm, signed, parsed.signature);
      let valid = this.#cache.get(cacheKey);
      if (valid === undefined) {
        cached = false;
        valid = verifyQuietly(key, algorithm, signed, parsed.signature);
        this.#cache.set(cacheKey, valid);
      }
      if (valid) return { valid, cached, reason: '' };
    }
    return { valid: false, cached, reason: 'signature does not verify' };
  }

  #add(name: string, key: SigningKey): void {
    if (this.#deniedKeys.has(key.fingerprint)) return;
    const ring = this.#rings.get(name);
    if (ring === undefined) this.#rings.set(name, [key]);
    else if (!ring.some(({ fingerprint }) => fingerprint === key.fingerprint)) ring.push(key);
  }

  #candidates(names: readonly string[], keyId: string): readonly SigningKey[] {
    return names.flatMap((name) => (this.#rings.get(name) ?? []).filter((key) => key.keyId === keyId));
  }
}

function no(reason: string): SignatureVerdict {
  return { valid: false, cached: true, reason };
}

/** A file's xattr is whatever its owner wrote: one that doesn't parse is a file without a valid signature. */
function parseQuietly(xattr: Uint8Array): XattrSignature | string {
  try {
    return parseXattrSignature(xattr) ?? 'no signature of the content';
  } catch (error) {
    if (error instanceof Refusal) return 'signature does not parse';
    throw error;
  }
}

function verifyQuietly(
  key: SigningKey,
  algorithm: KernelHash,
  digest: Uint8Array,
  signature: Uint8Array,
): boolean {
  try {
    return verifyDigest(key, algorithm, digest, signature);
  } catch (error) {
    if (error instanceof Refusal) return false;
    throw error;
  }
}

function keyOf(key: SigningKey, algorithm: KernelHash, digest: Uint8Array, signature: Uint8Array): string {
  // Every part before the last has a fixed length, given the algorithm.
  return createHash('sha256')
    .update(`${key.fingerprint}${algorithm.name}:`)
    .update(digest)
    .update(signature)
    .digest('binary');
}
