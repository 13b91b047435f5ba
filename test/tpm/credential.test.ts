import { createPublicKey } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { Reader, concat, fromHex, toHex } from '../../src/base/index.ts';
import {
  encodeCredentialFile,
  makeCredential,
  objectAttributes,
  parseCredentialFile,
  parsePublic,
} from '../../src/tpm/index.ts';
import type { EccPublic } from '../../src/tpm/index.ts';
import { outerWrap } from '../../src/tpm/outer-wrap.ts';
import { systemRandom as random } from '../support/random.ts';
import { expectRefusal } from '../support/refusals.ts';
import { eccStorageKey, recoverSeed, rsaStorageKey, unwrapOuter } from '../support/software-tpm.ts';
import { dataFile, dataJson, recordedRandom } from '../support/vectors.ts';

const akName = fromHex(`000b${'a5'.repeat(32)}`);

interface ActivationVector {
  readonly ekPem: string;
  readonly akName: string;
  readonly secret: string;
  readonly expected_idObject_then_encSecret: string;
}

describe('MakeCredential, published vectors (go-tpm credactivation)', () => {
  const [ecc, rsa] = dataJson('go-tpm/go-tpm-credactivation.json') as ActivationVector[];

  it('ECC: both parts, byte for byte', () => {
    if (ecc === undefined) throw new Error('no vector');
    const { x, y } = createPublicKey(ecc.ekPem).export({ format: 'jwk' });
    const ek: EccPublic = {
      type: 'ecc',
      nameAlg: 'sha256',
      attributes: objectAttributes('restricted', 'decrypt'),
      authPolicy: new Uint8Array(32),
      symmetric: { algorithm: 'aes', keyBits: 128, mode: 'cfb' },
      scheme: null,
      curve: 'P-256',
      kdf: null,
      x: new Uint8Array(Buffer.from(x ?? '', 'base64url')),
      y: new Uint8Array(Buffer.from(y ?? '', 'base64url')),
    };
    const ephemeral = fromHex(`0042${'00'.repeat(30)}`);
    const made = makeCredential(ek, fromHex(ecc.akName), fromHex(ecc.secret), recordedRandom(ephemeral));
    const file = encodeCredentialFile(made);
    expect(toHex(file)).toBe(`badcc0de00000001${ecc.expected_idObject_then_encSecret}`);
  });

  it('RSA: the id object, whose seed is sixteen zero bytes', () => {
    if (rsa === undefined) throw new Error('no vector');
    const plain = concat([Uint8Array.of(0, 32), fromHex(rsa.secret)]);
    const parameters = { nameAlg: 'sha256', keyBits: 128 } as const;
    const wrapped = outerWrap(parameters, new Uint8Array(16), fromHex(rsa.akName), plain);
    expect(toHex(wrapped)).toBe(
      toHex(new Reader(fromHex(rsa.expected_idObject_then_encSecret), 'vector').sized16()),
    );
  });
});

describe('MakeCredential, opened as a TPM does', () => {
  it.each([
    ['RSA 2048 (L-1)', rsaStorageKey(2048, { nameAlg: 'sha256', keyBits: 128 }), 32],
    ['RSA 3072 (H-6)', rsaStorageKey(3072, { nameAlg: 'sha384', keyBits: 256 }), 48],
    ['P-256 (L-2)', eccStorageKey('P-256', { nameAlg: 'sha256', keyBits: 128 }), 32],
    ['P-384 (H-3)', eccStorageKey('P-384', { nameAlg: 'sha384', keyBits: 256 }), 48],
    ['P-521 (H-4)', eccStorageKey('P-521', { nameAlg: 'sha512', keyBits: 256 }), 64],
  ] as const)('%s', (_, key, size) => {
    for (const length of [1, 16, size]) {
      const secret = random.bytes(length);
      const made = makeCredential(key.area, akName, secret, random);
      const seed = recoverSeed(key, 'IDENTITY', made.encryptedSecret);
      expect(seed).toHaveLength(size);
      const plain = unwrapOuter(key.area, seed, akName, made.credentialBlob);
      expect(toHex(plain ?? new Uint8Array(0))).toBe(
        `00${length.toString(16).padStart(2, '0')}${toHex(secret)}`,
      );
      // Bound to the name: for another object the integrity check fails.
      expect(
        unwrapOuter(key.area, seed, fromHex(`000b${'a6'.repeat(32)}`), made.credentialBlob),
      ).toBeUndefined();
    }
    expect(() => makeCredential(key.area, akName, new Uint8Array(size + 1), random)).toThrow(RangeError);
    expect(() => makeCredential(key.area, akName, new Uint8Array(0), random)).toThrow(RangeError);
  });

  it('never gives the same bytes twice', () => {
    const { area } = eccStorageKey('P-256', { nameAlg: 'sha256', keyBits: 128 });
    const made = Array.from({ length: 8 }, () => makeCredential(area, akName, new Uint8Array(32), random));
    expect(new Set(made.map(({ credentialBlob }) => toHex(credentialBlob))).size).toBe(8);
  });
});

describe('MakeCredential refuses', () => {
  const { area } = eccStorageKey('P-256', { nameAlg: 'sha256', keyBits: 128 });
  const symmetric = { algorithm: 'aes', keyBits: 128, mode: 'cfb' } as const;

  it.each<[string, EccPublic]>([
    ['an unrestricted key', { ...area, attributes: objectAttributes('decrypt') } as EccPublic],
    [
      'a signing key',
      { ...area, attributes: objectAttributes('restricted', 'sign', 'decrypt') } as EccPublic,
    ],
    ['a key without symmetric protection', { ...area, symmetric: null } as EccPublic],
    ['another cipher', { ...area, symmetric: { ...symmetric, algorithm: 'camellia' } } as EccPublic],
    ['another mode', { ...area, symmetric: { ...symmetric, mode: 'ctr' } } as EccPublic],
    ['nameAlg SHA-1', { ...area, nameAlg: 'sha1' } as EccPublic],
  ])('%s', (_, key) => {
    expectRefusal('wrapping-key', () => makeCredential(key, akName, new Uint8Array(32), random));
  });

  it('an object that is no storage key', () => {
    const sealed = parsePublic(fromHex('0008000b000204a0000000100000'));
    expectRefusal('wrapping-key', () => makeCredential(sealed, akName, new Uint8Array(32), random));
  });

  it('the name of a handle', () => {
    expect(() => makeCredential(area, fromHex('40000001'), new Uint8Array(32), random)).toThrow(RangeError);
  });
});

describe('the credential file of tpm2-tools', () => {
  it.each(['plain-boot', 'secure-boot'])('of a real activation: %s', (boot) => {
    const file = dataFile(`activation/${boot}/cred.blob`);
    const parsed = parseCredentialFile(file);
    expect(toHex(encodeCredentialFile(parsed))).toBe(toHex(file));
    // RSA-2048 EK, SHA-256: 2B(32 bytes) and a secret of at most 32 bytes.
    const blob = new Reader(parsed.credentialBlob, 'TPMS_ID_OBJECT');
    expect(blob.sized16()).toHaveLength(32);
    expect(blob.rest()).toHaveLength(2 + dataFile(`activation/${boot}/secret`).length);
    expect(parsed.encryptedSecret).toHaveLength(256);
  });

  const file = dataFile('activation/secure-boot/cred.blob');

  it('is refused when truncated at any byte, or longer by one', () => {
    for (let length = 0; length < file.length; length++) {
      expectRefusal('malformed', () => parseCredentialFile(file.slice(0, length)));
    }
    expectRefusal('malformed', () => parseCredentialFile(concat([file, Uint8Array.of(0)])));
  });

  it.each([0, 3, 4, 7])('is refused with another byte %i in its header', (at) => {
    const changed = file.map((byte, index) => (index === at ? byte ^ 1 : byte));
    expectRefusal('malformed', () => parseCredentialFile(changed));
  });

  it('is refused with structures that no TPM has', () => {
    const large = { credentialBlob: new Uint8Array(133), encryptedSecret: new Uint8Array(1) };
    expectRefusal('malformed', () => parseCredentialFile(encodeCredentialFile(large)));
    const wide = { credentialBlob: new Uint8Array(1), encryptedSecret: new Uint8Array(513) };
    expectRefusal('malformed', () => parseCredentialFile(encodeCredentialFile(wide)));
  });
});
