import { createHash, generateKeyPairSync, randomBytes, sign } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { Tpm } from '../../native/index.ts';
import type { Session } from '../../native/index.ts';
import { Reader, Writer, concat, toHex } from '../../src/base/index.ts';
import {
  PolicyDigest,
  TPM_CC,
  TPM_EO,
  encodePublic,
  encodeSignature,
  objectAttributes,
} from '../../src/tpm/index.ts';
import type { EccPublic, KeyedHashPublic, PolicyComparison } from '../../src/tpm/index.ts';
import { handleName, objectName, pcrDigest } from '../../src/tpm/index.ts';
import { expectRejection } from '../support/refusals.ts';
import { TpmFixture, leftOver, sha256Pcrs } from './support/fixture.ts';
import { TpmProxy } from './support/proxy.ts';

const fixture = new TpmFixture({ clone: true });
const ENDORSEMENT = handleName(0x4000_000b);
const EMPTY = new Uint8Array();

/** A software key, as TPM2_LoadExternal takes it. */
function softwareKey(): {
  readonly publicBytes: Uint8Array;
  readonly sign: (message: Uint8Array) => Uint8Array;
} {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const { x = '', y = '' } = publicKey.export({ format: 'jwk' });
  const area: EccPublic = {
    type: 'ecc',
    nameAlg: 'sha256',
    attributes: objectAttributes('sign', 'userWithAuth'),
    authPolicy: EMPTY,
    symmetric: null,
    scheme: { name: 'ecdsa', hash: 'sha256' },
    curve: 'P-256',
    kdf: null,
    x: new Uint8Array(Buffer.from(x, 'base64url')),
    y: new Uint8Array(Buffer.from(y, 'base64url')),
  };
  return {
    publicBytes: encodePublic(area),
    sign: (message) => {
      const raw = new Reader(
        sign('sha256', message, { key: privateKey, dsaEncoding: 'ieee-p1363' }),
        'signature',
      );
      return encodeSignature({ scheme: 'ecdsa', hash: 'sha256', r: raw.bytes(32), s: raw.bytes(32) });
    },
  };
}

const SEALED: KeyedHashPublic = {
  type: 'keyedhash',
  nameAlg: 'sha256',
  attributes: objectAttributes('fixedTPM', 'fixedParent', 'userWithAuth', 'noDA'),
  authPolicy: EMPTY,
  scheme: null,
  unique: EMPTY,
};

describe('policies on the TPM give the digests that are computed without it', () => {
  const digestOf = async (run: (tpm: Tpm, session: Session) => Promise<unknown>): Promise<string> => {
    await using session = await fixture.tpm.startSession({ type: 'trial' });
    await run(fixture.tpm, session);
    return toHex(await fixture.tpm.policyGetDigest(session));
  };
  const start = PolicyDigest.start('sha256');

  it('PolicySecret', async () => {
    const policyRef = randomBytes(16);
    expect(await digestOf((tpm, session) => tpm.policySecret(session, 'endorsement'))).toBe(
      toHex(start.secret(ENDORSEMENT).value),
    );
    expect(await digestOf((tpm, session) => tpm.policySecret(session, 'endorsement', { policyRef }))).toBe(
      toHex(start.secret(ENDORSEMENT, policyRef).value),
    );
  });

  it('PolicyCommandCode and PolicyAuthValue', async () => {
    const both = await digestOf(async (tpm, session) => {
      await tpm.policyCommandCode(session, TPM_CC.Unseal);
      await tpm.policyAuthValue(session);
    });
    expect(both).toBe(toHex(start.commandCode(TPM_CC.Unseal).authValue().value));
  });

  it('PolicyPCR, over given values and over the current ones', async () => {
    const selection = sha256Pcrs(0, 7, 23);
    const { values } = await fixture.tpm.pcrRead(selection);
    const digest = pcrDigest('sha256', selection, (bank, index) => values.get(bank)?.get(index));
    const expected = toHex(start.pcr(selection, digest).value);
    expect(await digestOf((tpm, session) => tpm.policyPCR(session, selection, digest))).toBe(expected);
    expect(await digestOf((tpm, session) => tpm.policyPCR(session, selection))).toBe(expected);
  });

  it.each<[string, PolicyComparison]>([
    ['boot', { operand: new Writer().u32(3).u32(0).finish(), offset: 16, operation: TPM_EO.EQ }],
    ['clock', { operand: new Writer().u64(1_798_030n).finish(), offset: 8, operation: TPM_EO.UNSIGNED_LT }],
  ])('PolicyCounterTimer: %s', async (_, comparison) => {
    expect(await digestOf((tpm, session) => tpm.policyCounterTimer(session, comparison))).toBe(
      toHex(start.counterTimer(comparison).value),
    );
  });

  it('PolicySigned', async () => {
    const key = softwareKey();
    const policyRef = randomBytes(32);
    await using loaded = await fixture.tpm.loadExternal(key.publicBytes);
    const digest = await digestOf(async (tpm, session) => {
      const nonceTPM = await session.nonceTPM();
      const message = new Writer().bytes(nonceTPM).u32(30).bytes(policyRef).finish();
      await tpm.policySigned(session, loaded, key.sign(message), { nonceTPM, policyRef, expiration: 30 });
    });
    expect(digest).toBe(toHex(start.signed(objectName(key.publicBytes), policyRef).value));
  });

  it('PolicyOR', async () => {
    const branches = [start.commandCode(TPM_CC.Unseal), start.secret(ENDORSEMENT)] as const;
    const digest = await digestOf(async (tpm, session) => {
      await tpm.policyCommandCode(session, TPM_CC.Unseal);
      await tpm.policyOr(
        session,
        branches.map(({ value }) => value),
      );
    });
    expect(digest).toBe(toHex(PolicyDigest.or(branches).value));
  });

  it('PolicyAuthorize, with a ticket of TPM2_VerifySignature', async () => {
    const key = softwareKey();
    const approved = start.commandCode(TPM_CC.Unseal).value;
    const policyRef = randomBytes(8);
    const aHash = createHash('sha256').update(approved).update(policyRef).digest();
    // A ticket is worth something only from a key in a real hierarchy.
    await using loaded = await fixture.tpm.loadExternal(key.publicBytes, 'owner');
    const signature = key.sign(concat([approved, policyRef]));
    const ticket = await fixture.tpm.verifySignature(loaded, aHash, signature);
    const digest = await digestOf(async (tpm, session) => {
      await tpm.policyCommandCode(session, TPM_CC.Unseal);
      await tpm.policyAuthorize(session, {
        approvedPolicy: approved,
        policyRef,
        keyName: loaded.name,
        ticket,
      });
    });
    expect(digest).toBe(toHex(PolicyDigest.authorize('sha256', loaded.name, policyRef).value));
  });

  it('and PolicyRestart begins again, with the same nonceTPM', async () => {
    await using session = await fixture.tpm.startSession({ type: 'policy' });
    const nonce = await session.nonceTPM();
    await fixture.tpm.policyCommandCode(session, TPM_CC.Unseal);
    await fixture.tpm.policyRestart(session);
    expect(await fixture.tpm.policyGetDigest(session)).toEqual(new Uint8Array(32));
    expect(await session.nonceTPM()).toEqual(nonce);
    expect(nonce).toHaveLength(32);
  });
});

describe('auth values', () => {
  it('of an object are proved by an HMAC session, and a wrong one is told apart', async () => {
    const { tpm } = fixture;
    await using ek = await tpm.endorsementKey('L-1');
    const authValue = Buffer.from('correct horse');
    const { object } = await tpm.createPrimary('owner', {
      template: encodePublic(SEALED_PARENT),
    });
    await using parent = object;
    const parts = await tpm.create(parent, {
      template: encodePublic(SEALED),
      authValue,
      data: Buffer.from('battery staple'),
    });
    await using sealed = await tpm.load(parent, parts);
    await sealed.setAuth(authValue);
    await using session = await tpm.startSession({ type: 'hmac', salt: ek });
    expect(Buffer.from(await tpm.unseal(sealed, { auth: session })).toString()).toBe('battery staple');
    await sealed.setAuth(Buffer.from('wrong'));
    await expect(tpm.unseal(sealed, { auth: session })).rejects.toMatchObject({
      check: 'tpm-authorization',
      name: 'TPM_RC_BAD_AUTH',
      session: 1,
    });
  });

  it('of a hierarchy can be set, are needed then, and are taken away by clear', async () => {
    const { tpm } = fixture;
    const value = Buffer.from('owner secret');
    await tpm.hierarchyChangeAuth('owner', value);
    expect((await tpm.properties()).permanent.ownerAuthSet).toBe(true);
    const { object } = await tpm.createPrimary('owner', { template: encodePublic(SEALED_PARENT) });
    await object.flush();
    await tpm.setAuth('owner', Buffer.from('wrong'));
    await expectRejection(
      'tpm-authorization',
      tpm.createPrimary('owner', { template: encodePublic(SEALED_PARENT) }),
    );
    await tpm.clear('platform');
    await tpm.setAuth('owner', EMPTY);
    expect((await tpm.properties()).permanent.ownerAuthSet).toBe(false);
    expect(await leftOver(tpm)).toEqual({ transient: 0, sessions: 0 });
  });
});

const SEALED_PARENT: EccPublic = {
  type: 'ecc',
  nameAlg: 'sha256',
  attributes: objectAttributes(
    'fixedTPM',
    'fixedParent',
    'sensitiveDataOrigin',
    'userWithAuth',
    'noDA',
    'restricted',
    'decrypt',
  ),
  authPolicy: EMPTY,
  symmetric: { algorithm: 'aes', keyBits: 128, mode: 'cfb' },
  scheme: null,
  curve: 'P-256',
  kdf: null,
  x: EMPTY,
  y: EMPTY,
};

describe('a listener on the bus', () => {
  /** Seals and unseals through a proxy that records; returns what it saw. */
  async function recorded(secret: Buffer, authValue: Buffer, encrypted: boolean): Promise<Buffer> {
    return fixture.aside(async (swtpm) => {
      await using proxy = await TpmProxy.start(swtpm);
      await using tpm = await Tpm.open(proxy.tcti);
      await using ek = await tpm.endorsementKey('L-2');
      const { object } = await tpm.createPrimary('owner', { template: encodePublic(SEALED_PARENT) });
      await using parent = object;
      await using session = await tpm.startSession({ type: 'hmac', ...(encrypted ? { salt: ek } : {}) });
      const creation = { template: encodePublic(SEALED), authValue, data: secret };
      const parts = await tpm.create(parent, { ...creation, ...(encrypted ? { auth: session } : {}) });
      await using sealed = await tpm.load(parent, parts);
      await sealed.setAuth(authValue);
      const unsealed = await tpm.unseal(sealed, encrypted ? { auth: session } : {});
      expect(Buffer.from(unsealed)).toEqual(secret);
      return proxy.bytes;
    });
  }

  it('reads secrets and auth values without an encrypting session', async () => {
    const [secret, authValue] = [randomBytes(32), Buffer.from('an auth value of some length')];
    const seen = await recorded(secret, authValue, false);
    expect(seen.includes(secret)).toBe(true);
    expect(seen.includes(authValue)).toBe(true);
  });

  it('learns neither from a salted session', async () => {
    const [secret, authValue] = [randomBytes(32), Buffer.from('an auth value of some length')];
    const seen = await recorded(secret, authValue, true);
    expect(seen.includes(secret)).toBe(false);
    expect(seen.includes(authValue)).toBe(false);
  });
});

describe('sessions', () => {
  it('end with their last command, and flushing them again does nothing', async () => {
    const { tpm } = fixture;
    await using session = await tpm.startSession({ type: 'hmac' });
    expect((await leftOver(tpm)).sessions).toBe(1);
    await tpm.pcrReset(23, { auth: session });
    expect((await leftOver(tpm)).sessions).toBe(1);
    await tpm.pcrReset(23, { auth: session.last() });
    expect((await leftOver(tpm)).sessions).toBe(0);
    await session.flush();
  });

  it('survive a command that fails', async () => {
    const { tpm } = fixture;
    await using session = await tpm.startSession({ type: 'hmac' });
    await expectRejection('tpm-command', tpm.pcrReset(0, { auth: session.last() }));
    expect((await leftOver(tpm)).sessions).toBe(1);
  });

  it('take nonces of 16 bytes to a digest', async () => {
    const { tpm } = fixture;
    await expect(tpm.startSession({ type: 'hmac', nonceCaller: new Uint8Array(15) })).rejects.toThrow(
      RangeError,
    );
    await using session = await tpm.startSession({ type: 'hmac', nonceCaller: new Uint8Array(16) });
    expect(session.hash).toBe('sha256');
  });

  it('are given for at most the handles that there are', async () => {
    const { tpm } = fixture;
    await using session = await tpm.startSession({ type: 'hmac' });
    await expect(tpm.pcrReset(23, { auth: [session, session] })).rejects.toThrow(RangeError);
  });

  it('of SHA-384 work too', async () => {
    await using session = await fixture.tpm.startSession({ type: 'trial', hash: 'sha384' });
    await fixture.tpm.policyCommandCode(session, TPM_CC.Unseal);
    expect(await fixture.tpm.policyGetDigest(session)).toEqual(
      PolicyDigest.start('sha384').commandCode(TPM_CC.Unseal).value,
    );
  });
});
