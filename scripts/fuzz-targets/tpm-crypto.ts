import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { Reader, Writer, equalBytes, fromUtf8, jcsSha256, parseJson, utf8 } from '../../src/base/index.ts';
import type { Random } from '../../src/base/index.ts';
import { checkSealed, encodeSealed, parseSealed, sealCredentials } from '../../src/credential/index.ts';
import type { OwnTerms, SealedCredentials } from '../../src/credential/index.ts';
import { requireHeader } from '../../src/credential/sealing/jwe.ts';
import {
  encodeCredentialFile,
  encodePublic,
  makeCredential,
  makeImportBlob,
  objectAttributes,
  parseCredentialFile,
  parsePublic,
} from '../../src/tpm/index.ts';
import type { EccPublic, RsaPublic } from '../../src/tpm/index.ts';
import type { FuzzTarget } from '../fuzz.ts';

const random: Random = { bytes: (length) => new Uint8Array(randomBytes(length)) };
const bytes32 = new Uint8Array(32).fill(5);
const akName = new Uint8Array(34).fill(1);

const storage = {
  nameAlg: 'sha256',
  attributes: objectAttributes('fixedTPM', 'fixedParent', 'sensitiveDataOrigin', 'restricted', 'decrypt'),
  authPolicy: bytes32,
  symmetric: { algorithm: 'aes', keyBits: 128, mode: 'cfb' },
  scheme: null,
} as const;

function eccKey(curve: 'P-256' | 'P-384' | 'P-521'): EccPublic {
  const { x, y } = generateKeyPairSync('ec', { namedCurve: curve }).publicKey.export({ format: 'jwk' });
  const point = { x: Buffer.from(x ?? '', 'base64url'), y: Buffer.from(y ?? '', 'base64url') };
  return { type: 'ecc', ...storage, curve, kdf: null, ...point };
}

function rsaKey(): RsaPublic {
  const { n } = generateKeyPairSync('rsa', { modulusLength: 2048 }).publicKey.export({ format: 'jwk' });
  return { type: 'rsa', ...storage, keyBits: 2048, exponent: 0, modulus: Buffer.from(n ?? '', 'base64url') };
}

const own: OwnTerms = {
  binding: {
    kind: 'release',
    executionId: '019a9e2c-7b1e-7c3d-8f20-1234567890ab',
    requestDigest: bytes32,
    jti: 'authorization',
  },
  nonceTpm: bytes32,
  quoted: { clock: 1000n, resetCount: 1, restartCount: 0 },
  quotedPcr: () => bytes32,
};
const pcrSelection = [{ bank: 'sha256', pcrs: [0, 7, 23] }] as const;
const ek = eccKey('P-256');
const sealed = await sealCredentials({ token: 'x' }, { ...own, ek, pcrSelection, expiration: 30 }, random);

/** The host's check covers object and policy: nothing but what was sealed may pass it. */
function check(changed: SealedCredentials): void {
  checkSealed(changed, own);
  const covered = ({ objectPublic, policy }: SealedCredentials): Uint8Array =>
    jcsSha256(encodeSealed({ ...sealed, objectPublic, policy }));
  if (!equalBytes(covered(changed), covered(sealed))) throw new Error('a changed release passed the check');
}

/** TPM structures of a release, each with its size before it. */
function readParts(input: Uint8Array): SealedCredentials {
  const reader = new Reader(input, 'parts');
  const objectPublic = reader.sized16();
  const releaseKey = reader.sized16();
  const signature = reader.sized16();
  reader.end();
  return { ...sealed, objectPublic, signature, policy: { ...sealed.policy, releaseKey } };
}

export const targets: Record<string, FuzzTarget> = {
  'tpm-credential-file': {
    seeds: () => [encodeCredentialFile(makeCredential(ek, akName, bytes32, random))],
    run: (input) => {
      if (!equalBytes(encodeCredentialFile(parseCredentialFile(input)), input)) {
        throw new Error('credential file: encoding gives other bytes');
      }
    },
  },
  // Whatever a host says its EK is: something is encrypted to it, or it is refused.
  'tpm-wrapping-key': {
    seeds: () => [ek, eccKey('P-384'), eccKey('P-521'), rsaKey()].map(encodePublic),
    run: (input) => {
      const key = parsePublic(input);
      makeCredential(key, akName, bytes32, random);
      makeImportBlob(key, bytes32, bytes32, random);
    },
  },
  'sealed-json': {
    seeds: () => [utf8(JSON.stringify(encodeSealed(sealed)))],
    run: (input) => {
      check(parseSealed(parseJson(input, 'sealed', { maxBytes: 1 << 20 })));
    },
  },
  'sealed-structures': {
    seeds: () => {
      const { objectPublic, policy, signature } = sealed;
      return [new Writer().sized16(objectPublic).sized16(policy.releaseKey).sized16(signature).finish()];
    },
    run: (input) => {
      check(readParts(input));
    },
  },
  'sealed-jwe': {
    seeds: () => [utf8(sealed.jwe)],
    run: (input) => {
      requireHeader(fromUtf8(input, 'JWE'), own.binding);
    },
  },
};
