/** Hashes that count: SHA-256 or stronger. */
export const HASHES = ['sha256', 'sha384', 'sha512'] as const;
export type HashName = (typeof HASHES)[number];

/** How a detached signature is written: DSSE with in-toto, CMS (RFC 5652), OpenSSH's SSHSIG. */
export const FORMATS = ['dsse', 'cms', 'ssh'] as const;
export type SignatureFormat = (typeof FORMATS)[number];

/**
 * What was hashed: a file's bytes, or the canonical manifest of a tree. `sha256` is the artifact's digest; the
 * stronger ones are there when the bytes were at hand, since CMS and SSHSIG may sign over those.
 */
export interface ContentDigests {
  readonly sha256: Uint8Array;
  readonly sha384?: Uint8Array;
  readonly sha512?: Uint8Array;
}

/** Received bytes that claim to be a signature over an artifact. */
export interface SignatureEnvelope {
  readonly format: SignatureFormat;
  readonly bytes: Uint8Array;
}
