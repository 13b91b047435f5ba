import fc from 'fast-check';
import type {
  AsymmetricScheme,
  Attest,
  Attested,
  CreationData,
  CurveName,
  HashName,
  NvPublic,
  PcrSelection,
  PublicArea,
  Symmetric,
  TpmSignature,
} from '../../src/tpm/index.ts';

const bytes = (maxLength: number, minLength = 0): fc.Arbitrary<Uint8Array> =>
  fc.uint8Array({ minLength, maxLength }).map((value) => new Uint8Array(value));
const hash = fc.constantFrom<HashName>('sha1', 'sha256', 'sha384', 'sha512');
const u8 = fc.nat(0xff);
const u16 = fc.nat(0xffff);
const u32 = fc.nat(0xffffffff);
const u64 = fc.bigInt(0n, 2n ** 64n - 1n);
const name = bytes(66);
const digest = bytes(64);

const symmetric: fc.Arbitrary<Symmetric | null> = fc.option(
  fc.record({
    algorithm: fc.constantFrom('aes', 'camellia'),
    keyBits: fc.constantFrom(128, 192, 256),
    mode: fc.constantFrom('ctr', 'ofb', 'cbc', 'cfb', 'ecb', null),
  }),
);
const rsaScheme: fc.Arbitrary<AsymmetricScheme | null> = fc.oneof(
  fc.constant(null),
  fc.record({ name: fc.constantFrom('rsassa', 'rsapss', 'oaep'), hash }),
  fc.constant({ name: 'rsaes' as const }),
);
const eccScheme: fc.Arbitrary<AsymmetricScheme | null> = fc.oneof(
  fc.constant(null),
  fc.record({ name: fc.constantFrom('ecdsa', 'ecdh', 'ecschnorr'), hash }),
  fc.record({ name: fc.constant('ecdaa' as const), hash, count: u16 }),
);
const kdf = fc.option(
  fc.record({ name: fc.constantFrom('mgf1', 'kdf1-sp800-56a', 'kdf2', 'kdf1-sp800-108'), hash }),
);
const common = { nameAlg: hash, attributes: u32, authPolicy: digest };
const curves: readonly (readonly [CurveName, number])[] = [
  ['P-192', 24],
  ['P-224', 28],
  ['P-256', 32],
  ['P-384', 48],
  ['P-521', 66],
];

/** Any TPMT_PUBLIC that can be encoded. */
export const publicArea: fc.Arbitrary<PublicArea> = fc.oneof(
  fc.record({
    type: fc.constant('rsa' as const),
    ...common,
    symmetric,
    scheme: rsaScheme,
    keyBits: u16,
    exponent: u32,
    modulus: bytes(512),
  }),
  fc.constantFrom(...curves).chain(([curve, size]) =>
    fc.record({
      type: fc.constant('ecc' as const),
      ...common,
      symmetric,
      scheme: eccScheme,
      curve: fc.constant(curve),
      kdf,
      x: bytes(size),
      y: bytes(size),
    }),
  ),
  fc.record({
    type: fc.constant('keyedhash' as const),
    ...common,
    scheme: fc.oneof(
      fc.constant(null),
      fc.record({ name: fc.constant('hmac' as const), hash }),
      fc.record({ name: fc.constant('xor' as const), hash, kdf: u16 }),
    ),
    unique: digest,
  }),
  fc.record({ type: fc.constant('symcipher' as const), ...common, symmetric, unique: digest }),
);

/** Any TPML_PCR_SELECTION, sound or not. */
export const anySelection: fc.Arbitrary<PcrSelection> = fc.array(
  fc.oneof(
    fc.record({ bank: hash, pcrs: ascending(23) }),
    fc.constantFrom(0, 1, 2, 4, 8).chain((sizeofSelect) =>
      fc.record({
        bank: hash,
        pcrs: sizeofSelect === 0 ? fc.constant([]) : ascending(8 * sizeofSelect - 1),
        sizeofSelect: fc.constant(sizeofSelect),
      }),
    ),
  ),
  { maxLength: 5 },
);

/** A selection as a TPM makes it: each bank once, PCRs 0–23, at least one. */
export const soundSelection: fc.Arbitrary<PcrSelection> = fc.uniqueArray(
  fc.record({ bank: hash, pcrs: ascending(23, 1) }),
  { selector: ({ bank }) => bank, minLength: 1, maxLength: 4 },
);

function ascending(max: number, minLength = 0): fc.Arbitrary<number[]> {
  return fc.uniqueArray(fc.nat(max), { minLength, maxLength: 24 }).map((list) => list.sort((a, b) => a - b));
}

const clockInfo = fc.record({ clock: u64, resetCount: u32, restartCount: u32, safe: fc.boolean() });
const attested: fc.Arbitrary<Attested> = fc.oneof(
  fc.record({ type: fc.constant('quote' as const), pcrSelection: anySelection, pcrDigest: digest }),
  fc.record({ type: fc.constant('certify' as const), name, qualifiedName: name }),
  fc.record({ type: fc.constant('creation' as const), objectName: name, creationHash: digest }),
  fc.record({
    type: fc.constant('time' as const),
    time: fc.record({ time: u64, clockInfo }),
    firmwareVersion: u64,
  }),
  fc.record({ type: fc.constant('nv' as const), indexName: name, offset: u16, contents: bytes(300) }),
  fc.record({ type: fc.constant('nv-digest' as const), indexName: name, nvDigest: digest }),
  fc.record({
    type: fc.constant('command-audit' as const),
    auditCounter: u64,
    digestAlg: hash,
    auditDigest: digest,
    commandDigest: digest,
  }),
  fc.record({ type: fc.constant('session-audit' as const), exclusive: fc.boolean(), sessionDigest: digest }),
);

/** Any TPMS_ATTEST. */
export const attest: fc.Arbitrary<Attest> = fc.record({
  qualifiedSigner: name,
  extraData: name,
  clockInfo,
  firmwareVersion: u64,
  attested,
});

/** Any TPMT_SIGNATURE. */
export const signature: fc.Arbitrary<TpmSignature> = fc.oneof(
  fc.record({ scheme: fc.constantFrom('rsassa', 'rsapss'), hash, signature: bytes(512) }),
  fc.record({ scheme: fc.constant('ecdsa' as const), hash, r: bytes(66), s: bytes(66) }),
);

export const creationData: fc.Arbitrary<CreationData> = fc.record({
  pcrSelection: anySelection,
  pcrDigest: digest,
  locality: u8,
  parentNameAlg: fc.option(hash),
  parentName: name,
  parentQualifiedName: name,
  outsideInfo: name,
});

export const nvPublic: fc.Arbitrary<NvPublic> = fc.record({
  nvIndex: u32,
  nameAlg: hash,
  attributes: u32,
  authPolicy: digest,
  dataSize: u16,
});

export const digestList: fc.Arbitrary<Uint8Array[]> = fc.array(digest, { maxLength: 8 });
