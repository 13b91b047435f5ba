import type { EncodingQuirk } from './der.ts';

/**
 * Certificates that were issued with an encoding that isn't DER and can't be issued again, by fingerprint (lowercase
 * hex SHA-256). All are certificate authorities of Infineon's OPTIGA TPMs whose KeyUsage keeps trailing zero bits
 * (03 02 00 04 in place of 03 02 02 04, X.690 §11.2.2); the meaning is the same, and no other departure is accepted.
 */
const KNOWN: Readonly<Record<string, readonly EncodingQuirk[]>> = {
  // Infineon OPTIGA(TM) ECC Manufacturing CA 034
  '504ff6a327a67e1025b1efdf1bce71ec5f38a4be68256def40bbdec2cce052f1': ['named-bits'],
  // Infineon OPTIGA(TM) TPM 2.0 ECC CA 042
  b0756a2cd3d1fda524409d7de5c064405b3c3e8792f8358435292ab2e7248543: ['named-bits'],
  // Infineon OPTIGA(TM) RSA Manufacturing CA 034
  f251134a62f1862992855707c4b3fe5155d47691228fc2a3477014cc30c0d888: ['named-bits'],
  // Infineon OPTIGA(TM) TPM 2.0 RSA CA 042
  b51df89142eac690cc57555da0e534a16378b302e0bad3edf0631a328b14ae98: ['named-bits'],
  // Infineon OPTIGA(TM) ECC Manufacturing CA 010
  aa6a2b54bfbf090b6a2a7abbe494a2b6b47520e1c2ed7807ba54efc99cbdb5c9: ['named-bits'],
  // Infineon OPTIGA(TM) ECC Root CA
  cfeb02fecd55ad7a73c6e1d11985d4c47dee248ab63dcb66091a2489660443c3: ['named-bits'],
  // Infineon OPTIGA(TM) ECC Manufacturing CA 011
  b559a84e6332a7b4e32b4d3739e372e3c517ba5a4ccffee1daaf80bc641628ee: ['named-bits'],
  // Infineon OPTIGA(TM) RSA Manufacturing CA 010
  '0fef986eb5e34a2df81420707c2452abdfe386a3038f23d7568fbcc3cf54bac6': ['named-bits'],
  // Infineon OPTIGA(TM) RSA Root CA
  '899e35474c9807eb4c7f2f7a12da0028fb250cd02154d0009fca7d9c66574f3b': ['named-bits'],
  // Infineon OPTIGA(TM) RSA Manufacturing CA 011
  a83379f92a341beb61b67f03506644940feb4b85ea504a9d2213bca52c889f89: ['named-bits'],
  // Infineon OPTIGA(TM) RSA Manufacturing CA 022
  d3c4ec52ed9289842c4f4e1e31fb23c4b03cc91163f9f3748b8a706d81113bed: ['named-bits'],
};

/** What may be tolerated for the certificate with this fingerprint: nothing, except for the listed ones. */
export function knownEncodingQuirks(fingerprint: string): readonly EncodingQuirk[] {
  return KNOWN[fingerprint] ?? [];
}
