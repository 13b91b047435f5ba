import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Tpm } from '../../native/index.ts';
import type { Session, TpmObject } from '../../native/index.ts';
import { startSwtpm } from '../../src/testing/index.ts';
import type { Swtpm } from '../../src/testing/index.ts';
import { akTemplate, encodePublic, hostId, parsePublic } from '../../src/tpm/index.ts';
import { leftOver, sha256Pcrs } from './support/fixture.ts';
import { TpmProxy } from './support/proxy.ts';

// Whatever a caller gives: what no TPM would take is refused before anything is sent.
let swtpm: Swtpm;
let proxy: TpmProxy;
let tpm: Tpm;
let key: TpmObject;
let session: Session;
let valid: Readonly<Record<string, readonly unknown[]>>;
let unchanged: object;

beforeAll(async () => {
  swtpm = await startSwtpm({ clone: true });
  proxy = await TpmProxy.start(swtpm);
  tpm = await Tpm.open(proxy.tcti);
  const template = encodePublic(akTemplate('ecc-p256'));
  ({ object: key } = await tpm.createPrimary('endorsement', { template }));
  session = await tpm.startSession({ type: 'policy' });
  valid = validArguments(template);
  unchanged = await state();
});
afterAll(async () => {
  await tpm.close();
  await proxy[Symbol.asyncDispose]();
  await swtpm.stop();
});

/** What wrong arguments must not change. */
async function state(): Promise<object> {
  return {
    ...(await leftOver(tpm)),
    persistent: await tpm.handles('persistent'),
    key: hostId(parsePublic(key.publicBytes)),
  };
}

/** For each method arguments of the right types, all optional members given: what is right in the table is made wrong. */
function validArguments(template: Uint8Array): Record<string, readonly unknown[]> {
  const [digest, name, bytes] = [new Uint8Array(32), new Uint8Array(34), new Uint8Array(16)];
  const selection = sha256Pcrs(0, 7);
  const authorization = { auth: [session], protect: session };
  const attesting = {
    key,
    qualifyingData: bytes,
    scheme: { name: 'ecdsa', hash: 'sha256' },
    ...authorization,
  };
  const creation = {
    template,
    authValue: bytes,
    data: bytes,
    outsideInfo: bytes,
    creationPcrs: selection,
    ...authorization,
  };
  const binding = { nonceTPM: bytes, cpHash: digest, policyRef: bytes, expiration: -1 };
  const parts = { privateBytes: bytes, publicBytes: template };
  const duplicate = { objectPublic: template, duplicate: bytes, encryptedSeed: bytes };
  const policy = {
    releaseKeyName: name,
    policyRef: digest,
    resetCount: 0,
    restartCount: 0,
    clockBefore: 1n,
    pcrSelection: selection,
    pcrDigest: digest,
  };
  const sealed = { ...duplicate, releaseKey: template, signature: bytes, expiration: 60, policy };
  return {
    startup: ['clear'],
    shutdown: ['state'],
    clear: ['lockout', authorization],
    setAuth: ['owner', bytes],
    hierarchyChangeAuth: ['owner', bytes, authorization],
    dictionaryAttackLockReset: [authorization],
    dictionaryAttackParameters: [{ maxTries: 3, recoveryTime: 1, lockoutRecovery: 1 }, authorization],
    handles: ['nv'],
    getRandom: [32],
    pcrRead: [selection],
    pcrExtend: [23, { sha256: digest }, authorization],
    pcrReset: [23, authorization],
    nvReadPublic: [0x01c00002],
    nvRead: [0x01c00002, authorization],
    createPrimary: ['owner', creation],
    create: [key, creation],
    load: [key, parts, authorization],
    loadExternal: [template, 'null'],
    readPublic: [key],
    persistentObject: [0x81010001],
    flush: [key],
    evictControl: [key, 0x81010022, authorization],
    import: [key, duplicate, authorization],
    unseal: [key, authorization],
    quote: [{ ...attesting, selection }],
    certify: [{ ...attesting, object: key }],
    certifyCreation: [{ ...attesting, object: key, creation: { hash: digest, ticket: bytes } }],
    activateCredential: [key, key, { credentialBlob: bytes, encryptedSecret: bytes }, authorization],
    sign: [{ key, digest, scheme: attesting.scheme, ...authorization }],
    verifySignature: [key, digest, bytes],
    startSession: [
      { type: 'hmac', hash: 'sha256', salt: key, bind: key, encryption: 128, nonceCaller: bytes },
    ],
    policyPCR: [session, selection, digest],
    policyCounterTimer: [session, { operand: bytes, offset: 0, operation: 0 }],
    policySecret: [session, key, { ...binding, ...authorization }],
    policySigned: [session, key, bytes, binding],
    policyCommandCode: [session, 0x15e],
    policyOr: [session, [digest, digest]],
    policyAuthValue: [session],
    policyAuthorize: [session, { approvedPolicy: digest, policyRef: bytes, keyName: name, ticket: bytes }],
    policyRestart: [session],
    policyGetDigest: [session],
    endorsementKey: ['L-1', { name }],
    endorsementCertificate: ['L-1'],
    attestationKey: [{ ek: key, algorithm: 'ecc' }],
    openAttestationKey: [0x81010020, bytes, name],
    openSealed: [{ session, sealed, ekTemplate: 'L-1', ekName: name }],
  };
}

/** The error of a call, which must not have sent anything. */
async function errorOf(method: string, args: readonly unknown[], on: Tpm = tpm): Promise<unknown> {
  const sent = proxy.exchanges.length;
  const methods = on as unknown as Record<string, (...values: readonly unknown[]) => Promise<unknown>>;
  const error: unknown = await methods[method]!(...args).then(
    () => new Error(`${method} succeeded`),
    (reason: unknown) => reason,
  );
  expect(proxy.exchanges.length, method).toBe(sent);
  return error;
}

/** Copies of a value, in each of which one part, however deep, is replaced. */
function* replaced(value: unknown, by: unknown): Generator {
  yield by;
  if (Array.isArray(value)) {
    for (const [i, part] of value.entries())
      for (const other of replaced(part, by)) yield value.with(i, other);
  } else if (
    typeof value === 'object' &&
    value !== null &&
    Object.getPrototypeOf(value) === Object.prototype
  ) {
    for (const [name, part] of Object.entries(value))
      for (const other of replaced(part, by)) yield { ...value, [name]: other };
  }
}

describe('every method', () => {
  it('that takes arguments is in the table of this test', () => {
    const without = ['constructor', 'tcti', 'abortable', 'close', 'properties', 'readClock'];
    const methods = Object.getOwnPropertyNames(Tpm.prototype).filter((name) => !without.includes(name));
    expect(Object.keys(valid).sort()).toEqual(methods.sort());
  });

  it.each([null, true, Symbol('x'), (): number => 32])(
    'rejects %s in place of any argument, or of any part of one, as a TypeError',
    async (wrong) => {
      for (const [method, args] of Object.entries(valid)) {
        for (const list of replaced(args, wrong)) {
          if (list === wrong) continue; // the list of arguments itself
          const error = await errorOf(method, list as unknown[]);
          // Of ours: not one that JavaScript made on the way.
          expect(error).toMatchObject({
            name: 'TypeError',
            message: expect.stringMatching(`^${method}: `) as string,
          });
        }
      }
      expect(await state()).toEqual(unchanged);
    },
  );

  it('rejects to be called without arguments that have no default', async () => {
    const defaulted = ['startup', 'shutdown', 'clear', 'dictionaryAttackLockReset'];
    for (const method of Object.keys(valid).filter((name) => !defaulted.includes(name)))
      expect(await errorOf(method, []), method).toBeInstanceOf(TypeError);
    expect(await state()).toEqual(unchanged);
  });
});

describe('values out of range', () => {
  it('are rejected as a RangeError, and nothing is sent', async () => {
    for (const [method, args] of outOfRange())
      expect(await errorOf(method, args), `${method} ${String(args)}`).toBeInstanceOf(RangeError);
    expect(await state()).toEqual(unchanged);
  });

  it('name the method, the argument and what it may be', async () => {
    expect(await errorOf('getRandom', [-1])).toMatchObject({
      message: 'getRandom: length is -1, not a whole number from 0 to 65536',
    });
    expect(await errorOf('getRandom', ['32'])).toMatchObject({
      message: 'getRandom: length is string, not a number',
    });
    expect(await errorOf('quote', [{}])).toMatchObject({
      message: 'quote: request.key is undefined, not a TpmObject',
    });
    expect(await errorOf('pcrRead', [[{ bank: 'md5', pcrs: [0] }]])).toMatchObject({
      message: 'pcrRead: selection[0].bank is md5, not one of sha1, sha256, sha384, sha512',
    });
  });

  /** Numbers, sizes and names next to those that are right. */
  function outOfRange(): readonly (readonly [method: string, args: readonly unknown[]])[] {
    const of = (size: number): Uint8Array => new Uint8Array(size);
    const selection = (bank: unknown, ...pcrs: unknown[]): unknown[] => [{ bank, pcrs }];
    const request = { key, qualifyingData: of(32), selection: sha256Pcrs(0) };
    return [
      ...[-1, 0.5, NaN, Infinity, 65_537].map((length) => ['getRandom', [length]] as const),
      ...['toString', '', 'CLEAR'].map((type) => ['startup', [type]] as const),
      ['clear', ['owner']],
      ['handles', ['constructor']],
      ['setAuth', ['owner', of(65)]],
      ['hierarchyChangeAuth', ['nobody', of(1)]],
      ['dictionaryAttackParameters', [{ maxTries: 2 ** 32, recoveryTime: 0, lockoutRecovery: 0 }]],
      ['pcrRead', [selection('sha256', 32)]],
      ['pcrRead', [selection('sm3', 0)]],
      ['pcrExtend', [32, { sha256: of(32) }]],
      ['pcrExtend', [23, { sha256: of(31) }]],
      ['pcrExtend', [23, { md5: of(16) }]],
      ['pcrExtend', [23, {}]],
      ['pcrReset', [-1]],
      ['nvReadPublic', [0x81010001]],
      ['nvRead', [0x02000000]],
      ['createPrimary', ['toString', { template: of(8) }]],
      ['createPrimary', ['owner', { template: of(0) }]],
      ['create', [key, { template: of(8), data: of(257) }]],
      ['load', [key, { privateBytes: of(4095), publicBytes: of(8) }]],
      ['loadExternal', [of(0)]],
      ['persistentObject', [0x80000000]],
      ['evictControl', [key, 0x01c00002]],
      ['quote', [{ ...request, qualifyingData: of(65) }]],
      ['quote', [{ ...request, scheme: { name: 'none', hash: 'sha256' } }]],
      ['quote', [{ ...request, auth: [session, session, session, session] }]],
      ['sign', [{ key, digest: of(33) }]],
      ['verifySignature', [key, of(0), of(8)]],
      ['startSession', [{ type: 'none' }]],
      ['startSession', [{ type: 'hmac', hash: 'md5' }]],
      ['startSession', [{ type: 'hmac', encryption: 192 }]],
      ['startSession', [{ type: 'hmac', nonceCaller: of(15) }]],
      // Empty: the values that the PCRs have now, and no binding at all.
      ['policyPCR', [session, sha256Pcrs(0), of(0)]],
      ['policySigned', [session, key, of(8), { nonceTPM: of(0) }]],
      ['policySecret', [session, 'owner', { cpHash: of(0) }]],
      ['policySecret', [session, 'owner', { expiration: 2 ** 31 }]],
      ['policySecret', [session, 'nobody']],
      ['policyCounterTimer', [session, { operand: of(8), offset: 65_536, operation: 0 }]],
      ['policyCounterTimer', [session, { operand: of(8), offset: 0, operation: 12 }]],
      ['policyCommandCode', [session, -1]],
      ['policyOr', [session, [of(32)]]],
      ['policyOr', [session, [of(32), of(31)]]],
      [
        'policyAuthorize',
        [session, { approvedPolicy: of(32), policyRef: of(0), keyName: of(32), ticket: of(8) }],
      ],
      ['endorsementKey', ['H-5']],
      ['endorsementKey', ['L-1', { name: of(0) }]],
      ['endorsementCertificate', ['toString']],
      ['attestationKey', [{ ek: key, algorithm: 'sm2' }]],
      ['openAttestationKey', [0x80000000, of(32), of(34)]],
      ['openAttestationKey', [0x81010020, of(32), of(0)]],
    ];
  }
});

describe('handles', () => {
  it('that were flushed, or are of another connection, are not used', async () => {
    await using elsewhere = await startSwtpm({ clone: true });
    await using other = await Tpm.open(elsewhere.tcti);
    const ended = await tpm.startSession({ type: 'policy' });
    await ended.flush();
    for (const wrong of [ended, await other.startSession({ type: 'policy' })])
      expect(await errorOf('policyGetDigest', [wrong])).toBeInstanceOf(RangeError);
    const { object: gone } = await tpm.createPrimary('endorsement', {
      template: valid['loadExternal']![0] as Uint8Array,
    });
    await gone.flush();
    for (const wrong of [gone, await other.persistentObject(0x81010001)]) {
      expect(await errorOf('readPublic', [wrong])).toMatchObject({
        name: 'RangeError',
        message: 'readPublic: object was flushed, or is of another connection',
      });
    }
    expect(await state()).toEqual(unchanged);
  });

  it('of one class are not taken for the other, nor what looks like one', async () => {
    for (const wrong of [session, { esys: key.esys }, 0x80000000])
      expect(await errorOf('readPublic', [wrong])).toBeInstanceOf(TypeError);
    for (const wrong of [key, { esys: session.esys }])
      expect(await errorOf('policyGetDigest', [wrong])).toBeInstanceOf(TypeError);
  });

  it('take authorization values of their size only', async () => {
    await expect(key.setAuth(new Uint8Array(65))).rejects.toThrow(RangeError);
    await expect(key.setAuth('secret' as unknown as Uint8Array)).rejects.toThrow(TypeError);
  });
});

describe('a connection', () => {
  it('is opened by a text, with a timeout that a timer can have', async () => {
    await expect(Tpm.open(7 as unknown as string)).rejects.toThrow(TypeError);
    await expect(Tpm.open('device:/dev/tpm99', null as unknown as object)).rejects.toThrow(TypeError);
    for (const timeoutMs of [0, -1, NaN, 2 ** 31])
      await expect(Tpm.open('device:/dev/tpm99', { timeoutMs })).rejects.toThrow(RangeError);
    expect(() => tpm.abortable({} as AbortSignal)).toThrow(TypeError);
  });
});
