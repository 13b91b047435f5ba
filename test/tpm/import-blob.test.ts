import { describe, expect, it } from 'vitest';
import { Reader, toHex } from '../../src/base/index.ts';
import {
  attributeNames,
  digest,
  makeImportBlob,
  objectAttributes,
  objectName,
  parsePublic,
} from '../../src/tpm/index.ts';
import { systemRandom as random } from '../support/random.ts';
import { expectRefusal } from '../support/refusals.ts';
import { eccStorageKey, recoverSeed, rsaStorageKey, unwrapOuter } from '../support/software-tpm.ts';
import { recordedRandom } from '../support/vectors.ts';

const authPolicy = new Uint8Array(32).fill(0x77);

describe('an import blob, opened as TPM2_Import does', () => {
  it.each([
    ['RSA 2048, AES-128, SHA-256 (L-1)', rsaStorageKey(2048, { nameAlg: 'sha256', keyBits: 128 })],
    ['RSA 3072, AES-256, SHA-384 (H-6)', rsaStorageKey(3072, { nameAlg: 'sha384', keyBits: 256 })],
    ['P-256, AES-128, SHA-256 (L-2)', eccStorageKey('P-256', { nameAlg: 'sha256', keyBits: 128 })],
    ['P-384, AES-256, SHA-384 (H-3)', eccStorageKey('P-384', { nameAlg: 'sha384', keyBits: 256 })],
    ['P-521, AES-256, SHA-512 (H-4)', eccStorageKey('P-521', { nameAlg: 'sha512', keyBits: 256 })],
  ])('%s', (_, key) => {
    for (const length of [1, 32, 128]) {
      const data = random.bytes(length);
      const blob = makeImportBlob(key.area, data, authPolicy, random);
      const seed = recoverSeed(key, 'DUPLICATE', blob.encryptedSeed);
      const plain = unwrapOuter(key.area, seed, blob.name, blob.duplicate);
      if (plain === undefined) throw new Error('integrity check failed');
      const outer = new Reader(plain, 'TPM2B_SENSITIVE');
      const sensitive = outer.nested(outer.u16(), 'TPMT_SENSITIVE');
      outer.end();
      expect(sensitive.u16()).toBe(0x0008);
      expect(sensitive.sized16()).toHaveLength(0);
      const obfuscation = sensitive.sized16();
      expect(obfuscation).toHaveLength(32);
      expect(toHex(sensitive.sized16())).toBe(toHex(data));
      sensitive.end();
      // The public area's unique field commits to the data (Part 1 §27.5.3.3).
      const area = parsePublic(blob.objectPublic);
      if (area.type !== 'keyedhash') throw new Error('another type');
      expect(toHex(area.unique)).toBe(toHex(digest('sha256', obfuscation, data)));
    }
  });
});

describe('an import blob', () => {
  const key = eccStorageKey('P-256', { nameAlg: 'sha256', keyBits: 128 });

  it('can be used by its policy only, and is not tied to a TPM', () => {
    const blob = makeImportBlob(key.area, random.bytes(32), authPolicy, random);
    const area = parsePublic(blob.objectPublic);
    expect(area).toMatchObject({ type: 'keyedhash', nameAlg: 'sha256', scheme: null });
    expect(attributeNames(area.attributes)).toEqual(['adminWithPolicy', 'noDA']);
    expect(toHex(area.authPolicy)).toBe(toHex(authPolicy));
    expect(toHex(blob.name)).toBe(toHex(objectName(blob.objectPublic)));
  });

  it('has a fresh seed and a fresh obfuscation value each time (CVE-2021-3565: a fixed key)', () => {
    const blobs = Array.from({ length: 8 }, () =>
      makeImportBlob(key.area, new Uint8Array(32), authPolicy, random),
    );
    const seeds = blobs.map((blob) => toHex(recoverSeed(key, 'DUPLICATE', blob.encryptedSeed)));
    expect(new Set(seeds).size).toBe(8);
    expect(new Set(blobs.map(({ name }) => toHex(name))).size).toBe(8);
    // Encrypted with the outer wrap only: nothing else of the blob could hold a second key.
    expect(new Set(blobs.map(({ duplicate }) => duplicate.length))).toEqual(new Set([2 + 32 + 2 + 72]));
  });

  it('is a function of its randomness', () => {
    const pieces = [random.bytes(32), random.bytes(32)];
    const make = () => makeImportBlob(key.area, new Uint8Array(16), authPolicy, recordedRandom(...pieces));
    expect(make()).toEqual(make());
  });

  it('opens for its own name, own key and unchanged only', () => {
    const blob = makeImportBlob(key.area, new Uint8Array(32), authPolicy, random);
    const seed = recoverSeed(key, 'DUPLICATE', blob.encryptedSeed);
    const open = (name: Uint8Array, duplicate: Uint8Array) => unwrapOuter(key.area, seed, name, duplicate);
    expect(open(blob.name, blob.duplicate)).toBeDefined();
    for (let at = 2; at < blob.duplicate.length; at++) {
      const changed = blob.duplicate.map((byte, index) => (index === at ? byte ^ 1 : byte));
      expect(open(blob.name, changed), `byte ${at}`).toBeUndefined();
    }
    expect(
      open(
        blob.name.map((byte, at) => (at === 33 ? byte ^ 1 : byte)),
        blob.duplicate,
      ),
    ).toBeUndefined();
    const other = eccStorageKey('P-256', { nameAlg: 'sha256', keyBits: 128 });
    const otherSeed = recoverSeed({ ...other, area: key.area }, 'DUPLICATE', blob.encryptedSeed);
    expect(unwrapOuter(key.area, otherSeed, blob.name, blob.duplicate)).toBeUndefined();
  });

  it.each([0, 129, 256])('refuses to seal %i bytes', (length) => {
    expect(() => makeImportBlob(key.area, new Uint8Array(length), authPolicy, random)).toThrow(RangeError);
  });

  it.each([0, 20, 31, 48])('refuses a policy of %i bytes', (length) => {
    expect(() => makeImportBlob(key.area, new Uint8Array(32), new Uint8Array(length), random)).toThrow(
      RangeError,
    );
  });

  it('refuses a parent that is no restricted storage key', () => {
    const open = { ...key.area, attributes: objectAttributes('decrypt') };
    expectRefusal('wrapping-key', () => makeImportBlob(open, new Uint8Array(32), authPolicy, random));
  });
});
