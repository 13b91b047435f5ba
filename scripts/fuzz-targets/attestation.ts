import { readFileSync } from 'node:fs';
import path from 'node:path';
import { Reader, Writer, equalBytes, fromHex } from '../../src/base/index.ts';
import {
  digest,
  encodeAttest,
  importAttestationKey,
  objectName,
  parseAttest,
  verifyAkCreation,
  verifyCertify,
} from '../../src/tpm/index.ts';
import type { Attested } from '../../src/tpm/index.ts';
import type { FuzzTarget } from '../fuzz.ts';
import { akBytes, ecdsa } from '../lib/fuzz-key.ts';

const DATA = path.resolve(import.meta.dirname, '../../test/data');
const read = (file: string): Uint8Array => new Uint8Array(readFileSync(path.join(DATA, file)));
const json = (file: string): unknown => JSON.parse(readFileSync(path.join(DATA, file), 'utf8'));

/** Structures in one input, each with its size before it. */
function joined(...parts: readonly Uint8Array[]): Uint8Array {
  const writer = new Writer();
  for (const part of parts) writer.sized16(part);
  return writer.finish();
}

function parts(input: Uint8Array, count: number): Uint8Array[] {
  const reader = new Reader(input, 'parts');
  const out = Array.from({ length: count }, () => reader.sized16());
  reader.end();
  return out;
}

const nonce = fromHex('00ff55aa');
const none = new Uint8Array();
const name = objectName(akBytes);

/** An attestation that the software key signs as it is mutated: what is behind the signature is reached too. */
const body = (attested: Attested): Uint8Array =>
  encodeAttest({
    qualifiedSigner: name,
    extraData: nonce,
    clockInfo: { clock: 1n, resetCount: 2, restartCount: 3, safe: true },
    firmwareVersion: 4n,
    attested,
  });

const BOOTS = ['plain-boot', 'secure-boot'] as const;
const certified = BOOTS.map((boot) => ({
  key: importAttestationKey(read(`boots/${boot}/ak.tpmt`)),
  attest: read(`boots/${boot}/negative/certify.msg`),
  signature: read(`boots/${boot}/negative/certify.sig`),
  subject: read(`boots/${boot}/ak-ecc.tpmt`),
}));
const softwareKey = importAttestationKey(akBytes);

interface Creation {
  readonly public: Uint8Array;
  readonly creationData: Uint8Array;
  readonly attest: Uint8Array;
  readonly signature: Uint8Array;
}

function recordedCreations(): readonly Creation[] {
  const published = json('go-attestation/ak-creation.json') as Record<string, string>[];
  const { akCreation: own } = json('generated-swtpm/manifest.json') as {
    akCreation: Record<string, string>;
  };
  const creation = (from: Record<string, string>, members: readonly string[]): Creation => {
    const [area = none, creationData = none, attest = none, signature = none] = members.map((member) =>
      fromHex(from[member] ?? ''),
    );
    return { public: area, creationData, attest, signature };
  };
  return [
    ...published.map((each) =>
      creation(each, ['public', 'createData', 'createAttestation', 'createSignature']),
    ),
    creation(own, ['public', 'creationData', 'attest', 'signature']),
  ];
}

const creations = recordedCreations();

export const targets: Record<string, FuzzTarget> = {
  // An attestation without a signature is signed by the software key.
  'tpm-certify': {
    seeds: () => [
      ...certified.map(({ attest, signature, subject }) => joined(attest, signature, subject)),
      joined(body({ type: 'certify', name, qualifiedName: name }), none, akBytes),
      joined(body({ type: 'nv-digest', indexName: name, nvDigest: nonce }), none, akBytes),
    ],
    run: (input) => {
      const [attest = none, signature = none, subject = none] = parts(input, 3);
      if (signature.length === 0) {
        verifyCertify({ attest, signature: ecdsa(attest) }, softwareKey, { nonce, subject });
        const { attested } = parseAttest(attest);
        if (attested.type !== 'certify' || !equalBytes(attested.name, objectName(subject))) {
          throw new Error('a certification of another key passed');
        }
        return;
      }
      for (const recorded of certified) {
        let passed = true;
        try {
          verifyCertify({ attest, signature }, recorded.key, { nonce, subject });
        } catch (error) {
          if (!(error instanceof Error && error.name === 'Refusal')) throw error;
          passed = false;
        }
        if (passed && !(equalBytes(attest, recorded.attest) && equalBytes(subject, recorded.subject))) {
          throw new Error('a changed certification passed');
        }
      }
    },
  },
  'tpm-ak-creation': {
    seeds: () => [
      ...creations.map((each) => joined(each.public, each.creationData, each.attest, each.signature)),
      ...creations.map(({ creationData }) =>
        joined(
          akBytes,
          creationData,
          body({ type: 'creation', objectName: name, creationHash: digest('sha256', creationData) }),
          none,
        ),
      ),
    ],
    run: (input) => {
      const [area = none, creationData = none, attest = none, given = none] = parts(input, 4);
      const signature = given.length === 0 ? ecdsa(attest) : given;
      verifyAkCreation({ public: area, creationData, attest, signature }, { acceptSha1: true });
      if (given.length === 0) {
        const { attested } = parseAttest(attest);
        if (
          attested.type !== 'creation' ||
          !equalBytes(attested.objectName, name) ||
          !equalBytes(attested.creationHash, digest('sha256', creationData))
        ) {
          throw new Error('a creation of another key, or with other data, passed');
        }
        return;
      }
      const isRecorded = creations.some(
        (each) =>
          equalBytes(each.public, area) &&
          equalBytes(each.creationData, creationData) &&
          equalBytes(each.attest, attest),
      );
      if (!isRecorded) throw new Error('a changed creation passed');
    },
  },
};
