import type { Certificate } from '../certificate.ts';
import { OID } from '../oids.ts';
import type { LeafProfile } from '../path.ts';
import { NOT_FOR_SIGNERS, checkEndEntity, checkPurposes } from './end-entity.ts';

/** The names in a certificate's subject alternative name, for the caller to compare with what it expects. */
export interface SubjectNames {
  readonly dns: readonly string[];
  readonly ip: readonly string[];
  readonly uris: readonly string[];
}

/** TLS server: digitalSignature, serverAuth. The caller still compares the host name. */
export const tlsServerProfile: LeafProfile<SubjectNames> = signerProfile(OID.serverAuth);

/** TLS client: digitalSignature, clientAuth. */
export const tlsClientProfile: LeafProfile<SubjectNames> = signerProfile(OID.clientAuth);

/** Code signing (artifact signatures): digitalSignature, codeSigning. */
export const codeSigningProfile: LeafProfile<SubjectNames> = signerProfile(OID.codeSigning);

function signerProfile(purpose: string): LeafProfile<SubjectNames> {
  return {
    issuerPurposes: () => [purpose],
    check: (leaf) => {
      // keyAgreement and keyEncipherment stand in older TLS certificates; TLS 1.3 uses neither.
      checkEndEntity(leaf, { usages: ['digitalSignature'], forbidden: NOT_FOR_SIGNERS.slice(0, 2) });
      checkPurposes(leaf, [purpose]);
      return subjectNames(leaf);
    },
  };
}

/** The alternative names by type; a common name is never used as a host name (RFC 9525 §2). */
export function subjectNames(leaf: Certificate): SubjectNames {
  const of = (type: 'dns' | 'ip' | 'uri'): readonly string[] =>
    (leaf.subjectAltName ?? []).flatMap((name) => (name.type === type ? [name.value] : []));
  return { dns: of('dns'), ip: of('ip'), uris: of('uri') };
}
