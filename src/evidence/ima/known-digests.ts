import { hash } from 'node:crypto';
import { concat } from '../../base/index.ts';
import type { Latin1Buffer } from './latin1-buffer.ts';
import type { RuleDigest } from './rules.ts';

/** The template whose entries {@link KnownDigests} knows. */
export const KNOWN_TEMPLATE = 'ima-ng';

const SHA256_WORDS = 8;
const SHA1_SIZE = 20;

/** The memory of a {@link KnownDigests}, for handing it to a worker. */
export interface KnownMemory {
  /** SHA-256 template digests one after the other. */
  readonly sha256: Uint32Array;
  /** SHA-1 template digests of the same entries. */
  readonly sha1: Uint8Array;
  /** Index of an entry plus one, or 0 for a free slot; found from the first word of its SHA-256 on. */
  readonly slots: Uint32Array;
}

/**
 * The allow-list as template digests: of what an `ima-ng` entry of each path and digest consists of. An entry whose
 * SHA-256 is in here *is* such an entry, byte for byte. So its SHA-1 is known as well, its fields needn't be read and
 * its path needn't be looked up: that is nearly every entry of a host in order, and more than half of the work.
 *
 * A hash table in flat memory: a million listed files are 60 MB and three objects.
 */
export class KnownDigests {
  readonly memory: KnownMemory;
  readonly #mask: number;

  constructor(memory: KnownMemory) {
    this.memory = memory;
    this.#mask = memory.slots.length - 1;
  }

  /** @param files paths (byte strings) with an allowed digest each */
  static of(files: readonly (readonly [path: string, digest: RuleDigest])[]): KnownDigests {
    let slots = 16;
    while (slots < 2 * files.length) slots *= 2;
    // Shared, so that workers read the same memory.
    const sha256 = new Uint32Array(new SharedArrayBuffer(files.length * SHA256_WORDS * 4));
    const sha1 = new Uint8Array(new SharedArrayBuffer(files.length * SHA1_SIZE));
    const memory = { sha256, sha1, slots: new Uint32Array(new SharedArrayBuffer(slots * 4)) };
    // Of the same class: only the type says less than there is.
    const sha256Bytes = Buffer.from(sha256.buffer) as Latin1Buffer;
    const sha1Bytes = Buffer.from(sha1.buffer) as Latin1Buffer;
    files.forEach(([path, digest], i) => {
      const data = templateData(path, digest);
      sha256Bytes.latin1Write(hash('sha256', data, 'binary'), i * SHA256_WORDS * 4, SHA256_WORDS * 4);
      sha1Bytes.latin1Write(hash('sha1', data, 'binary'), i * SHA1_SIZE, SHA1_SIZE);
    });
    for (let i = 0; i < files.length; i++) insert(memory, i);
    return new KnownDigests(memory);
  }

  /** Index of the entry whose SHA-256 begins at word `at` of `digests`; -1 when it isn't known. */
  find(digests: Uint32Array, at: number): number {
    const { sha256, slots } = this.memory;
    const mask = this.#mask;
    for (let slot = (digests[at] ?? 0) & mask; ; slot = (slot + 1) & mask) {
      const index = (slots[slot] ?? 0) - 1;
      if (index === -1 || sameWords(sha256, index * SHA256_WORDS, digests, at)) return index;
    }
  }

  /** True when entry `index` is the one whose SHA-256 begins at word `at` of `digests`. */
  is(index: number, digests: Uint32Array, at: number): boolean {
    return sameWords(this.memory.sha256, index * SHA256_WORDS, digests, at);
  }

  /** True when the bytes at `at` are the SHA-1 of a known entry. */
  hasSha1(index: number, bytes: Uint8Array, at: number): boolean {
    const { sha1 } = this.memory;
    for (let i = 0; i < SHA1_SIZE; i++) if (sha1[index * SHA1_SIZE + i] !== bytes[at + i]) return false;
    return true;
  }
}

function sameWords(a: Uint32Array, atA: number, b: Uint32Array, atB: number): boolean {
  for (let i = 0; i < SHA256_WORDS; i++) if (a[atA + i] !== b[atB + i]) return false;
  return true;
}

function insert({ sha256, slots }: KnownMemory, index: number): void {
  const mask = slots.length - 1;
  let slot = (sha256[index * SHA256_WORDS] ?? 0) & mask;
  while (slots[slot] !== 0) slot = (slot + 1) & mask;
  slots[slot] = index + 1;
}

/** `d-ng` and `n-ng`, each with its length before it. */
function templateData(path: string, { algorithm, bytes }: RuleDigest): Uint8Array {
  const digest = concat([Buffer.from(`${algorithm.name}:\0`, 'latin1'), bytes]);
  const name = Buffer.from(`${path}\0`, 'latin1');
  const out = new Uint8Array(8 + digest.length + name.length);
  const view = new DataView(out.buffer);
  view.setUint32(0, digest.length, true);
  out.set(digest, 4);
  view.setUint32(4 + digest.length, name.length, true);
  out.set(name, 8 + digest.length);
  return out;
}
