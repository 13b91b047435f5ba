import { constants, createSign, generateKeyPairSync, sign } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import {
  encodeAttest,
  encodePublic,
  encodeSignature,
  objectAttributes,
  pcrDigest,
} from '../../src/tpm/index.ts';
import type {
  AsymmetricScheme,
  CurveName,
  HashName,
  PcrSelection,
  PublicArea,
  QuoteAttest,
} from '../../src/tpm/index.ts';

/**
 * A key in software that says to be an attestation key: what a forger has who holds a key but no TPM. Every check of
 * a quote that a TPM itself would never fail is tried with it.
 */
export interface SoftwareAk {
  readonly area: PublicArea;
  readonly publicBytes: Uint8Array;
  readonly privateKey: KeyObject;
  /** A TPMT_SIGNATURE over `message`. */
  readonly sign: (message: Uint8Array, as?: { scheme?: 'rsassa' | 'rsapss'; hash?: HashName }) => Uint8Array;
}

export type SoftwareKeyKind = { readonly curve: CurveName } | { readonly bits: number };

const AK_ATTRIBUTES = objectAttributes(
  'fixedTPM',
  'fixedParent',
  'sensitiveDataOrigin',
  'userWithAuth',
  'restricted',
  'sign',
);

const keys = new Map<string, KeyObject>();

function keyOf(kind: SoftwareKeyKind): KeyObject {
  const name = JSON.stringify(kind);
  const known = keys.get(name);
  if (known) return known;
  const { privateKey } =
    'curve' in kind
      ? generateKeyPairSync('ec', { namedCurve: kind.curve })
      : generateKeyPairSync('rsa', { modulusLength: kind.bits });
  keys.set(name, privateKey);
  return privateKey;
}

/** A key of a kind, made once, with its scheme and, if given, other fields of the public area. */
export function softwareAk(
  kind: SoftwareKeyKind = { curve: 'P-256' },
  scheme: AsymmetricScheme = { name: 'curve' in kind ? 'ecdsa' : 'rsassa', hash: 'sha256' },
  patch: Partial<PublicArea> = {},
): SoftwareAk {
  const privateKey = keyOf(kind);
  const common = {
    nameAlg: 'sha256',
    attributes: AK_ATTRIBUTES,
    authPolicy: new Uint8Array(),
    symmetric: null,
    scheme,
  } as const;
  const { n, x, y } = privateKey.export({ format: 'jwk' });
  const bytes = (text: string | undefined): Uint8Array =>
    new Uint8Array(Buffer.from(text ?? '', 'base64url'));
  const area = {
    ...('curve' in kind
      ? { type: 'ecc', ...common, curve: kind.curve, kdf: null, x: bytes(x), y: bytes(y) }
      : { type: 'rsa', ...common, keyBits: kind.bits, exponent: 0, modulus: bytes(n) }),
    ...patch,
  } as PublicArea;
  return {
    area,
    publicBytes: encodePublic(area),
    privateKey,
    sign: (message, as = {}) => {
      const hash = as.hash ?? (scheme.name === 'rsaes' ? 'sha256' : scheme.hash);
      return tpmSignature(privateKey, message, hash, as.scheme ?? scheme.name);
    },
  };
}

function tpmSignature(key: KeyObject, message: Uint8Array, hash: HashName, scheme: string): Uint8Array {
  if (key.asymmetricKeyType === 'ec') {
    const raw = new Uint8Array(sign(hash, message, { key, dsaEncoding: 'ieee-p1363' }));
    const half = raw.length / 2;
    return encodeSignature({ scheme: 'ecdsa', hash, r: raw.slice(0, half), s: raw.slice(half) });
  }
  const padding = scheme === 'rsapss' ? constants.RSA_PKCS1_PSS_PADDING : constants.RSA_PKCS1_PADDING;
  const signature = createSign(hash)
    .update(message)
    .sign(
      scheme === 'rsapss' ? { key, padding, saltLength: constants.RSA_PSS_SALTLEN_DIGEST } : { key, padding },
    );
  return encodeSignature({
    scheme: scheme === 'rsapss' ? 'rsapss' : 'rsassa',
    hash,
    signature: new Uint8Array(signature),
  });
}

/** The nonce that {@link quoteOf} answers: 32 bytes. */
export const NONCE = Uint8Array.from({ length: 32 }, (_, index) => index + 1);
export const SELECTION: PcrSelection = [{ bank: 'sha256', pcrs: [0, 1, 7] }];
/** PCR n has n + 1 in every byte. */
export const pcrValue = (bank: HashName, index: number): Uint8Array =>
  new Uint8Array({ sha1: 20, sha256: 32, sha384: 48, sha512: 64 }[bank]).fill(index + 1);

/** Values of a selection, as claimed with a quote. */
export function valuesOf(selection: PcrSelection): Map<HashName, Map<number, Uint8Array>> {
  return new Map(
    selection.map(({ bank, pcrs }) => [bank, new Map(pcrs.map((index) => [index, pcrValue(bank, index)]))]),
  );
}

/** A sound quote's body over {@link pcrValue}s, with changes. */
export function quoteOf(
  selection: PcrSelection = SELECTION,
  changes: Partial<QuoteAttest> = {},
  hash: HashName = 'sha256',
): QuoteAttest {
  return {
    qualifiedSigner: new Uint8Array(34).fill(9),
    extraData: NONCE,
    clockInfo: { clock: 1000n, resetCount: 3, restartCount: 1, safe: true },
    firmwareVersion: 0x2019_1023_0016_3636n,
    attested: { type: 'quote', pcrSelection: selection, pcrDigest: pcrDigest(hash, selection, pcrValue) },
    ...changes,
  };
}

/** A quote's evidence, signed by the key. */
export function signedQuote(
  ak: SoftwareAk,
  body: QuoteAttest = quoteOf(),
): { attest: Uint8Array; signature: Uint8Array } {
  const attest = encodeAttest(body);
  return { attest, signature: ak.sign(attest) };
}
