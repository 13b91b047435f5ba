/** A list that is cut, and how many there were. */
export interface Listed<T> {
  total: number;
  /** The first of them, at most {@link MAX_LISTED}. */
  list: T[];
}

/** An entry that something was found about; `path` as `pathText` writes it. */
export interface FileFinding {
  readonly entry: number;
  readonly path: string;
  readonly digest: string;
  readonly reason: string;
}

/** A buffer that the kernel measured. */
export interface BufferFinding {
  readonly entry: number;
  readonly name: string;
  /** sha256 of the buffer. */
  readonly digest: string;
}

/** A key that the host loaded into one of its keyrings, as `ima-buf` measured it. */
export interface MeasuredKey {
  readonly entry: number;
  readonly keyring: string;
  /** SHA-256 of the buffer, `sha256:` + hex. */
  readonly digest: string;
  /** The buffer, base64: what a resumed verification needs to go on using the key. */
  readonly der: string;
}

/**
 * What a verified list says, counted over all entries of this boot. Plain data that is stored between attestations;
 * it is a fact only inside a `VerifiedIma`.
 */
export interface ImaFindings {
  /** Entries that measure files. */
  files: number;
  /** … whose digest a rule lists, or which a trusted key signed. */
  known: number;
  signed: number;
  excluded: number;
  unknown: Listed<FileFinding>;
  denied: Listed<FileFinding>;
  /**
   * Violations: the file could change while it was measured. Their number is verified; the paths are the host's
   * claim, since no digest covers them.
   */
  violations: Listed<{ readonly entry: number; readonly claimedPath: string }>;
  /** Violations at claimed paths that no rule tolerates. */
  violationsNotTolerated: number;
  signatures: { checked: number; cached: number; failed: number };
  keys: MeasuredKey[];
  unknownKeys: Listed<BufferFinding>;
  unknownBuffers: Listed<BufferFinding>;
  buffers: number;
  /** Command lines of kernels that were loaded by kexec. */
  kexec: Listed<BufferFinding>;
  /** Digests of boot_aggregate entries: more than one means that kernels were chained by kexec. */
  bootAggregates: Listed<{ readonly entry: number; readonly digest: string }>;
  /** Digests that were measured under the paths of IMA policy files. */
  policyFiles: Listed<{ readonly entry: number; readonly path: string; readonly digest: string }>;
  /** Files under the run directory. */
  run: { authorised: number; unauthorised: Listed<FileFinding> };
  /** Paths of the manifest that were measured with the digest that it gives. */
  measured: string[];
}

/** Findings that are listed of each kind. */
export const MAX_LISTED = 100;

/** Adds one: counted always, listed while there is room. */
export function addTo<T>(listed: Listed<T>, item: () => T): void {
  if (listed.list.length < MAX_LISTED) listed.list.push(item());
  listed.total++;
}

/** Nothing found yet. */
export function noFindings(): ImaFindings {
  const none = <T>(): Listed<T> => ({ total: 0, list: [] });
  return {
    files: 0,
    known: 0,
    signed: 0,
    excluded: 0,
    unknown: none(),
    denied: none(),
    violations: none(),
    violationsNotTolerated: 0,
    signatures: { checked: 0, cached: 0, failed: 0 },
    keys: [],
    unknownKeys: none(),
    unknownBuffers: none(),
    buffers: 0,
    kexec: none(),
    bootAggregates: none(),
    policyFiles: none(),
    run: { authorised: 0, unauthorised: none() },
    measured: [],
  };
}
