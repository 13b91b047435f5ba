// A child process of the leak tests: uses the TPM over and over, half of the time unsuccessfully, and prints what it
// holds before and after as JSON. Arguments: TCTI, operations to warm up, operations to measure, and `gc` to collect
// garbage all the time, also while calls are under way.
import { readdirSync } from 'node:fs';
import { setImmediate as turn } from 'node:timers/promises';
import { Tpm } from '../../../native/index.ts';
import { LIBRARIES, loadLibrary } from '../../../native/library.ts';
import {
  akTemplate,
  digest,
  encodePublic,
  makeCredential,
  makeImportBlob,
  objectAttributes,
  parsePublic,
} from '../../../src/tpm/index.ts';
import type { EccPublic, KeyedHashPublic } from '../../../src/tpm/index.ts';
import type { Credential, Duplicate, TpmObject } from '../../../native/index.ts';
import { systemRandom } from '../../support/random.ts';

const NOTHING = new Uint8Array();
const PARENT: EccPublic = {
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
  authPolicy: NOTHING,
  symmetric: { algorithm: 'aes', keyBits: 128, mode: 'cfb' },
  scheme: null,
  curve: 'P-256',
  kdf: null,
  x: NOTHING,
  y: NOTHING,
};
const SEALED: KeyedHashPublic = {
  type: 'keyedhash',
  nameAlg: 'sha256',
  attributes: objectAttributes('fixedTPM', 'fixedParent', 'userWithAuth', 'noDA'),
  authPolicy: NOTHING,
  scheme: null,
  unique: NOTHING,
};

/** ECC P-256, signing, ECDSA with SHA-256, empty auth. */
const SIGNING = new Uint8Array(Buffer.from('0023000b00040472000000100018000b0003001000000000', 'hex'));

interface Holdings {
  readonly descriptors: number;
  readonly transient: number;
  readonly sessions: number;
  readonly rss: number;
}

/** What the operations use; made once. */
interface Keys {
  readonly parent: TpmObject;
  /** With the parent two of the TPM's three slots. */
  readonly ak: TpmObject;
}

type Operation = (tpm: Tpm, keys: Keys) => Promise<unknown>;

const SELECTION = [{ bank: 'sha256', pcrs: [0, 1, 2, 3, 4, 5, 6, 7, 10, 14] }] as const;

const challenge = (key: TpmObject, named: TpmObject): Credential =>
  makeCredential(parsePublic(key.publicBytes), named.name, new Uint8Array(32), systemRandom);

const wrapped = (parent: TpmObject): Duplicate =>
  makeImportBlob(parsePublic(parent.publicBytes), new Uint8Array(16), new Uint8Array(32), systemRandom);

/** PolicySigned by a key of the TPM, over what should be the session's nonce. */
async function policySigned(tpm: Tpm, signed: (nonceTPM: Uint8Array) => Uint8Array): Promise<unknown> {
  const { object } = await tpm.createPrimary('owner', { template: SIGNING });
  await using key = object;
  await using session = await tpm.startSession({ type: 'policy' });
  const nonceTPM = await session.nonceTPM();
  const expiration = new Uint8Array(4);
  const signature = await tpm.sign({ key, digest: digest('sha256', signed(nonceTPM), expiration) });
  return await tpm.policySigned(session, key, signature, { nonceTPM });
}

/** Each succeeds. */
const GOOD: readonly Operation[] = [
  (tpm) => tpm.getRandom(32),
  (tpm) => tpm.pcrRead(SELECTION),
  async (tpm) => {
    await using session = await tpm.startSession({ type: 'trial' });
    await tpm.policyPCR(session, SELECTION);
    return await tpm.policyGetDigest(session);
  },
  async (tpm, { parent }) => {
    const authValue = Buffer.from('auth value');
    const parts = await tpm.create(parent, {
      template: encodePublic(SEALED),
      authValue,
      data: Buffer.from('data'),
    });
    await using sealed = await tpm.load(parent, parts);
    await sealed.setAuth(authValue);
    await using session = await tpm.startSession({ type: 'hmac', salt: parent });
    return await tpm.unseal(sealed, { auth: session.last() });
  },
  (tpm) => tpm.nvReadPublic(0x01c0_0002),
  async (tpm) => {
    await using ek = await tpm.persistentObject(0x8101_0001);
    return ek.name;
  },
  (tpm, { ak }) => tpm.quote({ key: ak, qualifyingData: new Uint8Array(32), selection: SELECTION }),
  (tpm, { ak, parent }) => tpm.certify({ key: ak, object: parent, qualifyingData: new Uint8Array(32) }),
  (tpm, { ak, parent }) => tpm.activateCredential(ak, parent, challenge(parent, ak)),
  async (tpm, { parent }) => {
    const { objectPublic, duplicate, encryptedSeed } = wrapped(parent);
    await using imported = await tpm.load(
      parent,
      await tpm.import(parent, { objectPublic, duplicate, encryptedSeed }),
    );
    return imported.name;
  },
  (tpm) => policySigned(tpm, (nonceTPM) => nonceTPM),
];

/** Each fails: in the TPM, in tpm2-tss, before anything is sent, between two steps. */
const BAD: readonly Operation[] = [
  (tpm) => tpm.pcrReset(0),
  (tpm) => tpm.nvRead(0x01c0_ffff),
  async (tpm, { parent }) => {
    await using session = await tpm.startSession({ type: 'policy', salt: parent });
    await tpm.policyCommandCode(session, 0x15e);
    await tpm.policyPCR(session, SELECTION, new Uint8Array(32));
  },
  async (tpm, { parent }) => {
    const parts = await tpm.create(parent, {
      template: encodePublic(SEALED),
      authValue: Buffer.from('a'),
      data: Buffer.from('d'),
    });
    await using sealed = await tpm.load(parent, parts);
    await using session = await tpm.startSession({ type: 'hmac', salt: parent });
    return await tpm.unseal(sealed, { auth: session.last() });
  },
  (tpm, { parent }) =>
    tpm.load(parent, { privateBytes: new Uint8Array(8), publicBytes: encodePublic(SEALED) }),
  (tpm) => tpm.loadExternal(new Uint8Array(3)),
  (tpm) => tpm.pcrExtend(23, { sha256: new Uint8Array(4) }),
  (tpm, { ak }) =>
    tpm.quote({
      key: ak,
      qualifyingData: new Uint8Array(32),
      selection: SELECTION,
      scheme: { name: 'rsassa', hash: 'sha256' },
    }),
  (tpm, { ak, parent }) => tpm.activateCredential(ak, parent, challenge(parent, parent)),
  (tpm, { parent }) => tpm.import(parent, { ...wrapped(parent), encryptedSeed: new Uint8Array(4) }),
  (tpm) => policySigned(tpm, () => new Uint8Array(32)),
  (tpm) => tpm.abortable(AbortSignal.abort(new Error('called off'))).getRandom(8),
];

async function churn(tpm: Tpm, keys: Keys, operations: number, collect: boolean): Promise<void> {
  for (let i = 0; i < operations; i++) {
    const isBad = i % 2 === 1;
    const list = isBad ? BAD : GOOD;
    const operation = list[(i >> 1) % list.length];
    const running = operation?.(tpm, keys).then(
      () => true,
      () => false,
    );
    if (collect) for (let times = 0; times < 3; times++) await turn(gc?.());
    if ((await running) === isBad)
      throw new Error(`operation ${String(i)} ${isBad ? 'succeeded' : 'failed'}`);
    // Calls through ffi-napi leave finalizers that run between turns of the event loop.
    if (i % 20 === 0) await turn();
  }
}

async function holdings(tpm: Tpm): Promise<Holdings> {
  for (let i = 0; i < 5; i++) await turn(gc?.());
  // What malloc keeps for later isn't held by anybody.
  loadLibrary(LIBRARIES.c).function('malloc_trim', 'i32', ['size'])(0);
  return {
    descriptors: readdirSync('/proc/self/fd').length,
    transient: (await tpm.handles('transient')).length,
    sessions: (await tpm.handles('loadedSessions')).length,
    rss: process.memoryUsage().rss,
  };
}

const [tcti = '', warmUp = '0', measured = '0', mode] = process.argv.slice(2);
const tpm = await Tpm.open(tcti);
const { object: parent } = await tpm.createPrimary('owner', { template: encodePublic(PARENT) });
const { object: ak } = await tpm.createPrimary('endorsement', {
  template: encodePublic(akTemplate('ecc-p256')),
});
const keys = { parent, ak };
await churn(tpm, keys, Number(warmUp), mode === 'gc');
const before = await holdings(tpm);
await churn(tpm, keys, Number(measured), mode === 'gc');
const after = await holdings(tpm);
await tpm.close();
process.stdout.write(JSON.stringify({ before, after }));
