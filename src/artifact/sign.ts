import { constants, sign } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { Refusal, canonicalJson, equalBytes, fromHex, utf8 } from '../base/index.ts';
import type { JsonObject } from '../base/index.ts';
import { parseDsse, preAuthenticationEncoding } from './dsse.ts';
import type { DsseEnvelope } from './dsse.ts';
import { ARTIFACT_PREDICATE, PAYLOAD_TYPE, STATEMENT_TYPE, readStatement } from './statement.ts';
import type { EcdsaEncoding, PublicKey, SignatureAlgorithm } from './keys.ts';
import { formatTime } from './time.ts';
import type { HashName } from './types.ts';

/** A private key, loaded, with its public half in normal form. */
export interface SigningKey {
  readonly privateKey: KeyObject;
  readonly publicKey: PublicKey;
}

/** One signature by this key, algorithm and encoding. ECDSA uses fresh randomness of node:crypto. */
export function makeSignature(
  key: SigningKey,
  how: { algorithm: SignatureAlgorithm; hash: HashName; encoding?: EcdsaEncoding },
  data: Uint8Array,
): Uint8Array {
  const bytes = (): Buffer => {
    switch (how.algorithm) {
      case 'ed25519':
        return sign(null, data, key.privateKey);
      case 'ecdsa-p256':
        return sign(how.hash, data, { key: key.privateKey, dsaEncoding: how.encoding ?? 'der' });
      case 'rsa-pss':
        return sign(how.hash, data, {
          key: key.privateKey,
          padding: constants.RSA_PKCS1_PSS_PADDING,
          saltLength: constants.RSA_PSS_SALTLEN_DIGEST,
        });
      case 'rsa-pkcs1':
        return sign(how.hash, data, { key: key.privateKey, padding: constants.RSA_PKCS1_PADDING });
    }
  };
  return new Uint8Array(bytes());
}

/** What {@link signDsse} states about the artifact. Times are Unix milliseconds. */
export interface StatementInput {
  readonly name: string;
  /** Lowercase hex. */
  readonly sha256: string;
  readonly version?: string;
  readonly signedAt?: number;
  readonly notBefore?: number;
  readonly notAfter?: number;
}

/** The in-toto Statement as the bytes to sign: canonical JSON, so that equal statements are equal bytes. */
export function encodeStatement(input: StatementInput): Uint8Array {
  const time = (name: string, ms: number | undefined): JsonObject =>
    ms === undefined ? {} : { [name]: formatTime(ms) };
  const predicate = {
    ...(input.version === undefined ? {} : { version: input.version }),
    ...time('signedAt', input.signedAt),
    ...time('notBefore', input.notBefore),
    ...time('notAfter', input.notAfter),
  };
  const statement = {
    _type: STATEMENT_TYPE,
    subject: [{ name: input.name, digest: { sha256: input.sha256 } }],
    predicateType: ARTIFACT_PREDICATE,
    predicate,
  };
  return utf8(canonicalJson(statement));
}

/** A DSSE envelope of one signature over a payload. RSA keys sign with RSASSA-PSS; SHA-256 everywhere. */
export function signDsse(
  payload: Uint8Array,
  key: SigningKey,
  encoding: EcdsaEncoding = 'der',
): DsseEnvelope {
  return addSignature({ payloadType: PAYLOAD_TYPE, payload, signatures: [] }, key, encoding);
}

/** The envelope with this key's signature over its payload added; the same key's earlier one is replaced. */
export function addSignature(
  envelope: DsseEnvelope,
  key: SigningKey,
  encoding: EcdsaEncoding = 'der',
): DsseEnvelope {
  const { type, fingerprint } = key.publicKey;
  const algorithm = type === 'rsa' ? 'rsa-pss' : type;
  const message = preAuthenticationEncoding(envelope.payloadType, envelope.payload);
  const sig = makeSignature(key, { algorithm, hash: 'sha256', encoding }, message);
  const others = envelope.signatures.filter(({ keyid }) => keyid !== fingerprint);
  return { ...envelope, signatures: [...others, { keyid: fingerprint, sig }] };
}

/**
 * The envelope in a file, when this signer would sign the very same payload but for the time at which it was first
 * signed. Undefined for every other file: nobody signs a statement that somebody else wrote without reading all of it.
 */
export function joinDsse(file: Uint8Array, wanted: StatementInput): DsseEnvelope | undefined {
  try {
    const envelope = parseDsse(file);
    const allowed = { predicateTypes: [ARTIFACT_PREDICATE], names: [wanted.name] };
    const { signedAt } = readStatement(envelope.payload, { sha256: fromHex(wanted.sha256) }, allowed);
    if (signedAt === undefined || wanted.signedAt === undefined || signedAt > wanted.signedAt)
      return undefined;
    const same = equalBytes(envelope.payload, encodeStatement({ ...wanted, signedAt }));
    return same && envelope.payloadType === PAYLOAD_TYPE ? envelope : undefined;
  } catch (error) {
    if (error instanceof Refusal) return undefined;
    throw error;
  }
}
