import { equalBytes, fromUtf8, utf8 } from '../../src/base/index.ts';
import {
  EK_TEMPLATES,
  akRuleViolations,
  akTemplate,
  encodeAttest,
  encodeCreationData,
  encodeDigestList,
  encodeNvPublic,
  encodePcrSelection,
  encodePublic,
  encodeSignature,
  encodeSizedPublic,
  examineQuote,
  importAttestationKey,
  isSerializedPcrs,
  keyFromSpki,
  matchEkTemplate,
  materialOf,
  objectName,
  parseAttest,
  parseCreationData,
  parseDigestList,
  parseNvPublic,
  parsePcrSelection,
  parsePcrSelectionText,
  parsePcrValues,
  parsePlainPcrs,
  parsePublic,
  parseSerializedPcrs,
  parseSignature,
  parseSizedPublic,
  pcrDigest,
  spkiOf,
} from '../../src/tpm/index.ts';
import type { Attest, Attested, PcrSelection, PublicArea } from '../../src/tpm/index.ts';
import type { FuzzTarget } from '../fuzz.ts';
import { ak, akBytes, ecdsa, publicKey } from '../lib/fuzz-key.ts';

const key = importAttestationKey(akBytes);

const selection: PcrSelection = [
  { bank: 'sha256', pcrs: [0, 7, 23] },
  { bank: 'sha384', pcrs: [1] },
];
const values = new Map([
  [
    'sha256' as const,
    new Map([
      [0, new Uint8Array(32)],
      [7, new Uint8Array(32)],
      [23, new Uint8Array(32)],
    ]),
  ],
  ['sha384' as const, new Map([[1, new Uint8Array(48)]])],
]);
const name = objectName(akBytes);
const nonce = new Uint8Array(32).fill(1);
const attestOf = (attested: Attested): Attest => ({
  qualifiedSigner: name,
  extraData: nonce,
  clockInfo: { clock: 1n, resetCount: 2, restartCount: 3, safe: true },
  firmwareVersion: 4n,
  attested,
});
const quote = encodeAttest(
  attestOf({
    type: 'quote',
    pcrSelection: selection,
    pcrDigest: pcrDigest('sha256', selection, (bank, index) => values.get(bank as 'sha256')?.get(index)),
  }),
);
const signature = ecdsa(quote);

/** A codec: what is accepted must be written again as it was read. */
function codec<T>(
  seeds: () => Uint8Array[],
  parse: (input: Uint8Array) => T,
  encode: (value: T) => Uint8Array,
  use: (value: T, input: Uint8Array) => unknown = () => undefined,
): FuzzTarget {
  return {
    seeds,
    run: (input) => {
      const value = parse(input);
      if (!equalBytes(encode(value), input)) throw new Error('reads what it would write otherwise');
      use(value, input);
    },
  };
}

const publics = (): PublicArea[] => [
  ak,
  akTemplate('rsa-2048'),
  ...EK_TEMPLATES.map((template) => template.public),
  {
    type: 'keyedhash',
    nameAlg: 'sha256',
    attributes: 0x80,
    authPolicy: name.slice(2),
    scheme: { name: 'xor', hash: 'sha256', kdf: 0x22 },
    unique: new Uint8Array(32),
  },
  {
    type: 'symcipher',
    nameAlg: 'sha512',
    attributes: 0,
    authPolicy: new Uint8Array(),
    symmetric: { algorithm: 'aes', keyBits: 256, mode: null },
    unique: new Uint8Array(32),
  },
];

const attests = (): Uint8Array[] => [
  quote,
  ...(
    [
      { type: 'certify', name, qualifiedName: name },
      { type: 'creation', objectName: name, creationHash: nonce },
      {
        type: 'time',
        time: {
          time: 1n,
          clockInfo: attestOf({ type: 'session-audit', exclusive: true, sessionDigest: nonce }).clockInfo,
        },
        firmwareVersion: 1n,
      },
      { type: 'nv', indexName: name, offset: 0, contents: nonce },
      { type: 'nv-digest', indexName: name, nvDigest: nonce },
      {
        type: 'command-audit',
        auditCounter: 1n,
        digestAlg: 'sha256',
        auditDigest: nonce,
        commandDigest: nonce,
      },
      { type: 'session-audit', exclusive: true, sessionDigest: nonce },
    ] satisfies Attested[]
  ).map((attested) => encodeAttest(attestOf(attested))),
];

/** Two structures in one input: u8 length of the first, then both. */
const joined = (first: Uint8Array, second: Uint8Array): Uint8Array =>
  Uint8Array.of(first.length, ...first, ...second);

export const targets: Record<string, FuzzTarget> = {
  'tpm-public': codec(
    () => publics().map(encodePublic),
    parsePublic,
    encodePublic,
    (area, input) => {
      objectName(input);
      matchEkTemplate(input);
      akRuleViolations(area);
      importAttestationKey(input);
    },
  ),
  'tpm-sized-public': codec(() => publics().map(encodeSizedPublic), parseSizedPublic, encodeSizedPublic),
  'tpm-attest': codec(attests, parseAttest, encodeAttest),
  'tpm-signature': codec(
    () => [
      signature,
      encodeSignature({ scheme: 'rsassa', hash: 'sha256', signature: new Uint8Array(256) }),
      encodeSignature({ scheme: 'rsapss', hash: 'sha512', signature: new Uint8Array(512) }),
    ],
    parseSignature,
    encodeSignature,
  ),
  'tpm-pcr-selection': codec(
    () => [encodePcrSelection(selection), encodePcrSelection([])],
    parsePcrSelection,
    encodePcrSelection,
  ),
  'tpm-small-structures': {
    seeds: () => [
      encodeDigestList([nonce, new Uint8Array()]),
      encodeNvPublic({
        nvIndex: 0x01c00002,
        nameAlg: 'sha256',
        attributes: 1,
        authPolicy: nonce,
        dataSize: 9,
      }),
      encodeCreationData({
        pcrSelection: selection,
        pcrDigest: nonce,
        locality: 1,
        parentNameAlg: 'sha256',
        parentName: name,
        parentQualifiedName: name,
        outsideInfo: nonce,
      }),
    ],
    run: (input) => {
      for (const check of [
        codec(() => [], parseDigestList, encodeDigestList),
        codec(() => [], parseNvPublic, encodeNvPublic),
        codec(() => [], parseCreationData, encodeCreationData),
      ]) {
        refusing(() => {
          check.run(input);
        });
      }
    },
  },
  'tpm-pcr-values': {
    seeds: () => [
      utf8('{"sha256":{"0":"00ff","23":"aa"},"sha384":{}}'),
      utf8('{"ok":true,"pcrs":{"sha1":{"7":"01"}}}'),
      utf8('sha256:0,1,7+sha384:all'),
      new Uint8Array(144),
      dump(),
    ],
    run: (input) => {
      refusing(() => parsePcrValues(input));
      refusing(() => parsePcrSelectionText(fromUtf8(input, 'text')));
      refusing(() => parsePlainPcrs(input, selection));
      isSerializedPcrs(input);
      parseSerializedPcrs(input);
    },
  },
  'tpm-spki': {
    seeds: () => [spkiOf(publicKey)],
    run: (input) => {
      materialOf(keyFromSpki(input));
    },
  },
  'tpm-quote': {
    seeds: () => [joined(signature, quote), ...attests().map((attest) => joined(ecdsa(attest), attest))],
    run: (input) => {
      const length = input[0] ?? 0;
      const evidence = {
        signature: input.slice(1, 1 + length),
        attest: input.slice(1 + length),
        pcrs: values,
      };
      const { verified } = examineQuote(evidence, key, { nonce, selection });
      if (verified !== null && !equalBytes(evidence.attest, quote))
        throw new Error('a forged quote verified');
    },
  },
};

/** Runs one of several parsers; what it refuses the next may accept. */
function refusing(parse: () => unknown): void {
  try {
    parse();
  } catch (error) {
    if (!(error instanceof Error && error.name === 'Refusal')) throw error;
  }
}

/** What `tpm2_quote -o` writes for PCR 0 of one bank. */
function dump(): Uint8Array {
  const out = Buffer.alloc(136 + 532);
  out.writeUInt32LE(1, 0);
  out.writeUInt16LE(0x0b, 4);
  out.set([3, 1], 6);
  out.writeUInt32LE(1, 132);
  out.writeUInt32LE(1, 136);
  out.writeUInt16LE(32, 140);
  return new Uint8Array(out);
}
