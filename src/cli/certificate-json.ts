import type { JsonObject, JsonValue } from '../base/index.ts';
import { oidName } from '../x509/index.ts';
import type { Certificate, GeneralName, SubjectPublicKey } from '../x509/index.ts';

/** A certificate as the commands print it. */
export function certificateJson(certificate: Certificate): JsonObject {
  const { basicConstraints, keyUsage, extKeyUsage, subjectAltName, signatureAlgorithm } = certificate;
  return {
    fingerprint: certificate.fingerprint,
    version: certificate.version,
    serial: certificate.serial,
    subject: certificate.subject.text,
    issuer: certificate.issuer.text,
    notBefore: new Date(certificate.notBefore).toISOString(),
    notAfter: new Date(certificate.notAfter).toISOString(),
    signature: { scheme: signatureAlgorithm.scheme, hash: signatureAlgorithm.hash ?? null },
    key: keyJson(certificate.publicKey),
    authority: basicConstraints?.ca ?? false,
    keyUsage: keyUsage === undefined ? null : [...keyUsage],
    extKeyUsage: extKeyUsage?.map(oidName) ?? null,
    subjectAltName: subjectAltName?.map(nameJson) ?? null,
    extensions: [...certificate.extensions.values()].map(({ oid, critical }) => ({
      oid,
      name: oidName(oid),
      critical,
    })),
    encodingQuirks: certificate.encodingQuirks,
  };
}

/** A path, leaf first. */
export function chainJson(chain: readonly Certificate[]): JsonValue {
  return chain.map(({ fingerprint, subject, notAfter }) => ({
    fingerprint,
    subject: subject.text,
    notAfter: new Date(notAfter).toISOString(),
  }));
}

function keyJson({ key, keyId, algorithm }: SubjectPublicKey): JsonObject {
  const size = key.type === 'rsa' ? { bits: key.bits } : key.type === 'ec' ? { curve: key.curve } : {};
  return { type: key.type, ...size, algorithm: oidName(algorithm), spkiSha256: keyId };
}

function nameJson(name: GeneralName): JsonObject {
  return name.type === 'directory'
    ? { type: name.type, value: name.name.text }
    : { type: name.type, value: name.value };
}
