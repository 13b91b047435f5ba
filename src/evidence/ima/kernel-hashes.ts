/** One algorithm of the kernel's crypto/hash_info.c, in the order of `enum hash_algo` (a wire value of IMA signatures). */
export interface KernelHash {
  /** `hash_algo_name`: what `d-ng` fields begin with. */
  readonly name: string;
  /** Digest size in bytes. */
  readonly size: number;
  /** Position in `enum hash_algo`. */
  readonly id: number;
  /** The name in node:crypto when this program computes it; null for algorithms that are only carried. */
  readonly node: 'sha1' | 'sha224' | 'sha256' | 'sha384' | 'sha512' | null;
}

const TABLE: readonly (readonly [string, number, KernelHash['node']?])[] = [
  ['md4', 16],
  ['md5', 16],
  ['sha1', 20, 'sha1'],
  ['rmd160', 20],
  ['sha256', 32, 'sha256'],
  ['sha384', 48, 'sha384'],
  ['sha512', 64, 'sha512'],
  ['sha224', 28, 'sha224'],
  ['rmd128', 16],
  ['rmd256', 32],
  ['rmd320', 40],
  ['wp256', 32],
  ['wp384', 48],
  ['wp512', 64],
  ['tgr128', 16],
  ['tgr160', 20],
  ['tgr192', 24],
  ['sm3', 32],
  ['streebog256', 32],
  ['streebog512', 64],
  ['sha3-256', 32],
  ['sha3-384', 48],
  ['sha3-512', 64],
];

/** Every hash algorithm that a kernel can name in a measurement. */
export const KERNEL_HASHES: readonly KernelHash[] = TABLE.map(([name, size, node], id) =>
  Object.freeze({ name, size, id, node: node ?? null }),
);

/** The kernel's SHA-1: what the `d` field holds and what pads a bank that the kernel can't hash for. */
export const KERNEL_SHA1: KernelHash = kernelHash('sha1');

/** The algorithm of a name. @throws TypeError for a name that isn't in the table: for constants of this program */
function kernelHash(name: string): KernelHash {
  const found = KERNEL_HASHES.find((hash) => hash.name === name);
  if (found === undefined) throw new TypeError(`no kernel hash ${name}`);
  return found;
}

/** The algorithm of a name that somebody sent; undefined when the kernel has none such. */
export function findKernelHash(name: string): KernelHash | undefined {
  return KERNEL_HASHES.find((hash) => hash.name === name);
}
