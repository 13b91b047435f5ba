import { Refusal, refuse } from '../base/index.ts';
import type { Outcome, SignedClaim } from './claim.ts';
import { parseDsse, preAuthenticationEncoding } from './dsse.ts';
import type { DsseEnvelope } from './dsse.ts';
import { verifySignature } from './keys.ts';
import { PAYLOAD_TYPE, readStatement } from './statement.ts';
import type { ArtifactTrust, TrustedKey } from './trust.ts';
import type { ContentDigests } from './types.ts';

/**
 * The signatures of a DSSE envelope that trusted keys made over an in-toto Statement about this artifact.
 * The payload is read only when a trusted key signed it.
 * @throws Refusal `malformed`, `dsse-payload-type`, and those of `readStatement`
 */
export function verifyDsse(bytes: Uint8Array, digests: ContentDigests, trust: ArtifactTrust): Outcome[] {
  const envelope = parseDsse(bytes);
  if (envelope.payloadType !== PAYLOAD_TYPE) {
    refuse('dsse-payload-type', `payloadType is not ${PAYLOAD_TYPE}`, { payloadType: envelope.payloadType });
  }
  const { signers, unknown } = verifyDsseSignatures(envelope, trust.keys);
  if (signers.length === 0) return unknown;
  const { notBefore, notAfter, ...facts } = readStatement(envelope.payload, digests, trust);
  const claims = signers.map((signer): SignedClaim => ({
    key: signer.key.fingerprint,
    format: 'dsse',
    signer,
    ...facts,
    window: { notBefore, notAfter },
  }));
  return [...claims, ...unknown];
}

/**
 * Who signed this envelope: keys, their algorithms and encodings come from `keys`; the keyid decides nothing. One
 * refusal for each signature that no such key made.
 */
export function verifyDsseSignatures(
  envelope: DsseEnvelope,
  keys: readonly TrustedKey[],
): { signers: TrustedKey[]; unknown: Refusal[] } {
  const message = preAuthenticationEncoding(envelope.payloadType, envelope.payload);
  const usable = keys.filter((signer) => signer.formats.includes('dsse'));
  const signers: TrustedKey[] = [];
  const unknown: Refusal[] = [];
  envelope.signatures.forEach(({ sig }, index) => {
    // One key may be listed with several windows.
    const found = usable.filter((candidate) => signedBy(candidate, message, sig));
    signers.push(...found);
    if (found.length === 0)
      unknown.push(
        new Refusal('artifact-signature', 'no key that is trusted for DSSE made this signature', { index }),
      );
  });
  return { signers, unknown };
}

/** DSSE names no hash: the first one that the key may use (SHA-256 unless configured). */
function signedBy(signer: TrustedKey, message: Uint8Array, signature: Uint8Array): boolean {
  const { algorithm, encoding, hashes } = signer;
  return verifySignature(
    signer.key,
    { algorithm, encoding, hash: hashes[0] ?? 'sha256' },
    message,
    signature,
  );
}
