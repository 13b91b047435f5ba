/** Upper bounds on received data, in bytes unless the name says otherwise; each is checked before parsing. */
export const LIMITS = {
  /** TPM structures: the largest is a TPMT_PUBLIC with a 4096-bit key; TPM2_MAX_*_SIZE is well below this. */
  tpmStructure: 4096,
  /** One certificate in DER. */
  certificate: 16 * 1024,
  /** Certificates in one chain, leaf and root included. */
  chainLength: 8,
  /** TCG event log. */
  eventLog: 4 * 1024 * 1024,
  eventLogEvents: 20_000,
  /** Binary IMA list as one piece of evidence. */
  imaList: 256 * 1024 * 1024,
  /** JSON documents that are signed or reach policy. */
  json: 4 * 1024 * 1024,
  /** Detached signature envelopes (DSSE, CMS, SSHSIG). */
  signature: 256 * 1024,
} as const;
