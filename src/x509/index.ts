export { encodeCertificate, encodeName, extension, randomSerial, spkiOf } from './build.ts';
export type { CertificateFields, ExtensionInput, RdnInput } from './build.ts';
export { parseCertificate } from './certificate.ts';
export type { Certificate, ParseOptions } from './certificate.ts';
export { DerReader, TAG, oidText } from './der.ts';
export type { DerValue, EncodingQuirk } from './der.ts';
export { der } from './der-writer.ts';
export { KEY_USAGES } from './extensions.ts';
export type { Extension, KeyUsage } from './extensions.ts';
export type { GeneralName } from './general-names.ts';
export { generalName, issueCertificate } from './issue.ts';
export type { CertificateOrder, CertificatePurpose, TpmIdentityInput } from './issue.ts';
export { attributesOf, sameName } from './name.ts';
export type { Attribute, Name } from './name.ts';
export { chainFromNv, fromNv } from './nv.ts';
export type { NvCertificate } from './nv.ts';
export { OID, oidName } from './oids.ts';
export { verifyPath } from './path.ts';
export type { LeafProfile, PathQuestion, VerifiedPath } from './path.ts';
export type { PathQuirk } from './path-checks.ts';
export { isPem, parsePem, toPem } from './pem.ts';
export { akProfile } from './profiles/ak.ts';
export type { AkFindings, AkQuirk } from './profiles/ak.ts';
export { ekProfile, parseEkCertificate } from './profiles/ek.ts';
export type { EkFindings, EkQuirk, EkTemplateName } from './profiles/ek.ts';
export { codeSigningProfile, subjectNames, tlsClientProfile, tlsServerProfile } from './profiles/signer.ts';
export type { SubjectNames } from './profiles/signer.ts';
export { parseSpiffeId, svidProfile } from './profiles/svid.ts';
export type { SpiffeId } from './profiles/svid.ts';
export { isRocaWeak } from './roca.ts';
export type { SignatureAlgorithm } from './signature.ts';
export { parseSpki, publicKeyOf } from './spki.ts';
export type { PublicKeyFields, SubjectPublicKey } from './spki.ts';
export { readTpmIdentity, readTpmSpecification } from './tcg-attributes.ts';
export type { TpmIdentity, TpmSpecification } from './tcg-attributes.ts';
export {
  EMPTY_TRUST_STORE,
  addToStore,
  defaultRole,
  formatTrustStore,
  parseTrustStore,
  removeFromStore,
  trustFor,
} from './trust-store.ts';
export type { TrustEntry, TrustPurpose, TrustRole, TrustSelection, TrustStore } from './trust-store.ts';
