import { HASH_NAMES, digestSize } from '../src/tpm/index.ts';
import { EK_TEMPLATES } from '../src/tpm/ek-template.ts';
import {
  all,
  bytes,
  bytesOfSize,
  instanceOf,
  integer,
  list,
  mapping,
  oneOf,
  optional,
  record,
} from './arguments.ts';
import type { Check } from './arguments.ts';
import type { Connection } from './connection.ts';
import { HANDLE_RANGES } from './esys-capability.ts';
import { HIERARCHY, STARTUP } from './esys-state.ts';
import { TpmObject } from './object.ts';
import { SESSION_TYPE, Session } from './session.ts';

const U16 = 0xffff;
const U32 = 0xffff_ffff;
/** More than a TPM is asked for at once is a mistake: a whole second of commands. */
const MAX_RANDOM = 0x1_0000;
/** What a command can carry at most (see mu.ts), without the size of a TPM2B. */
const MAX_STRUCTURE = 4094;
/** TPM2B_SENSITIVE_DATA of the reference implementation. */
const MAX_SENSITIVE = 256;
const MAX_DIGEST = 64;

// ── What several methods take ──

/** TPM2B_AUTH, qualifyingData, policyRef: at most the largest digest. */
const short = bytes(0, MAX_DIGEST);
const digest = bytesOfSize(...HASH_NAMES.map(digestSize));
/** TPM2B_NAME: nameAlg ‖ digest. */
const objectName = bytesOfSize(...HASH_NAMES.map((hash) => 2 + digestSize(hash)));
const structure = bytes(1, MAX_STRUCTURE);
/** Came from elsewhere: what is too little is for the TPM to refuse, with its own words. */
const received = bytes(0, MAX_STRUCTURE);
const hash = oneOf(...HASH_NAMES);
const hierarchy = oneOf(...Object.keys(HIERARCHY));
const pcrIndex = integer(0, 31);
const nvIndex = integer(0x0100_0000, 0x01ff_ffff);
const persistentHandle = integer(0x8100_0000, 0x81ff_ffff);
const ekTemplate = oneOf(...EK_TEMPLATES.map(({ name }) => name));

/** ESAPI gives numbers of handles again: one that was flushed, or another connection's, would be something else. */
const open: Check = (value, name, owner) => {
  if ((value instanceof TpmObject || value instanceof Session) && !value.isOpenOn(owner))
    throw new RangeError(`${name} was flushed, or is of another connection`);
};
const object = all(instanceOf(TpmObject), open);
const session = all(instanceOf(Session), open);

const sessions: Check = (value, name, owner) => {
  const check = Array.isArray(value) ? list(optional(session), 0, 3) : session;
  check(value, name, owner);
};
/** Members of {@link Authorization}. */
const authorizing = { auth: optional(sessions), protect: optional(session) };
const authorization = optional(record(authorizing));

/** At most 16 banks (TPM2_NUM_PCR_BANKS); the bitmap's size is that of a selection that was received. */
const selection = list(
  record({ bank: hash, pcrs: list(pcrIndex, 0, 32), sizeofSelect: optional(integer(0, 4)) }),
  0,
  16,
);
const scheme = optional(record({ name: oneOf('rsassa', 'rsapss', 'ecdsa'), hash }));
const attesting = { key: object, qualifyingData: short, scheme, ...authorizing };
const creation = record({
  template: structure,
  authValue: optional(short),
  data: optional(bytes(0, MAX_SENSITIVE)),
  outsideInfo: optional(short),
  creationPcrs: optional(selection),
  ...authorizing,
});
/** An empty nonce or cpHash would bind nothing: who wants that leaves it out. */
const binding = {
  nonceTPM: optional(bytes(16, MAX_DIGEST)),
  cpHash: optional(digest),
  policyRef: optional(short),
  expiration: optional(integer(-0x8000_0000, 0x7fff_ffff)),
};
const sealed = record({
  objectPublic: received,
  duplicate: received,
  encryptedSeed: received,
  releaseKey: structure,
  signature: received,
  expiration: integer(0, 0x7fff_ffff),
  policy: record({
    releaseKeyName: objectName,
    policyRef: short,
    resetCount: integer(0, U32),
    restartCount: integer(0, U32),
    clockBefore: (value, name) => {
      if (typeof value !== 'bigint') throw new TypeError(`${name} is ${typeof value}, not a bigint`);
      if (value < 0n || value > 0xffff_ffff_ffff_ffffn) throw new RangeError(`${name} has not 64 bits`);
    },
    pcrSelection: selection,
    pcrDigest: digest,
  }),
});

/** The arguments of each method of `Tpm` that takes any, in order. */
const ARGUMENTS = {
  startup: { type: oneOf(...Object.keys(STARTUP)) },
  shutdown: { type: oneOf(...Object.keys(STARTUP)) },
  clear: { by: oneOf('platform', 'lockout'), authorization },
  setAuth: { hierarchy, value: short },
  hierarchyChangeAuth: { hierarchy, value: short, authorization },
  dictionaryAttackLockReset: { authorization },
  dictionaryAttackParameters: {
    parameters: record({
      maxTries: integer(0, U32),
      recoveryTime: integer(0, U32),
      lockoutRecovery: integer(0, U32),
    }),
    authorization,
  },
  handles: { range: oneOf(...Object.keys(HANDLE_RANGES)) },
  getRandom: { length: integer(0, MAX_RANDOM) },
  pcrRead: { selection },
  pcrExtend: {
    index: pcrIndex,
    digests: mapping(Object.fromEntries(HASH_NAMES.map((name) => [name, bytesOfSize(digestSize(name))]))),
    authorization,
  },
  pcrReset: { index: pcrIndex, authorization },
  nvReadPublic: { nvIndex },
  nvRead: { nvIndex, authorization },
  createPrimary: { hierarchy, creation },
  create: { parent: object, creation },
  load: { parent: object, parts: record({ privateBytes: structure, publicBytes: structure }), authorization },
  loadExternal: { publicBytes: structure, hierarchy },
  readPublic: { object },
  persistentObject: { handle: persistentHandle },
  evictControl: { object, handle: optional(persistentHandle), authorization },
  import: {
    parent: object,
    blob: record({ objectPublic: structure, duplicate: received, encryptedSeed: received }),
    authorization,
  },
  unseal: { object, authorization },
  quote: { request: record({ ...attesting, selection }) },
  certify: { request: record({ ...attesting, object }) },
  certifyCreation: {
    request: record({ ...attesting, object, creation: record({ hash: digest, ticket: structure }) }),
  },
  activateCredential: {
    object,
    key: object,
    credential: record({ credentialBlob: received, encryptedSecret: received }),
    authorization,
  },
  sign: { request: record({ key: object, digest, scheme, ...authorizing }) },
  verifySignature: { key: object, digest, signature: structure },
  startSession: {
    options: record({
      type: oneOf(...Object.keys(SESSION_TYPE)),
      hash: optional(hash),
      salt: optional(object),
      bind: optional(object),
      encryption: optional(oneOf(0, 128, 256)),
      nonceCaller: optional(bytes(16, MAX_DIGEST)),
    }),
  },
  // An empty digest would mean the values that the PCRs have now.
  policyPCR: { session, selection, pcrDigest: optional(digest) },
  policyCounterTimer: {
    session,
    comparison: record({
      operand: bytes(1, MAX_DIGEST),
      offset: integer(0, U16),
      operation: integer(0, 11), // TPM_EO
    }),
  },
  policySecret: {
    session,
    entity: (value, name, owner) => {
      const check = typeof value === 'string' ? hierarchy : object;
      check(value, name, owner);
    },
    binding: optional(record({ ...binding, ...authorizing })),
  },
  policySigned: { session, key: object, signature: structure, binding: optional(record(binding)) },
  policyCommandCode: { session, code: integer(0, U32) },
  policyOr: { session, digests: list(digest, 2, 8) },
  policyAuthValue: { session },
  policyAuthorize: {
    session,
    approved: record({ approvedPolicy: digest, policyRef: short, keyName: objectName, ticket: structure }),
  },
  policyRestart: { session },
  policyGetDigest: { session },
  endorsementKey: { template: ekTemplate, options: optional(record({ name: optional(objectName) })) },
  endorsementCertificate: { template: ekTemplate },
  attestationKey: { options: record({ ek: object, algorithm: optional(oneOf('ecc', 'rsa')) }) },
  openAttestationKey: { handle: persistentHandle, authValue: short, name: objectName },
  openSealed: { opening: record({ session, sealed, ekTemplate, ekName: objectName }) },
} satisfies Readonly<Record<string, Readonly<Record<string, Check>>>>;

/** A method of `Tpm` whose arguments are checked. */
export type CheckedMethod = keyof typeof ARGUMENTS;

/**
 * Judges what a method of `Tpm` was called with, before anything is sent: what TypeScript can't see, and what comes
 * from callers without it. An argument that isn't given is undefined here; those with a default may be.
 * @throws TypeError, RangeError
 */
export function checkArguments(method: CheckedMethod, args: readonly unknown[], owner: Connection): void {
  const checks: Readonly<Record<string, Check>> = ARGUMENTS[method];
  Object.entries(checks).forEach(([name, check], i) => {
    check(args[i], `${method}: ${name}`, owner);
  });
}

/** Judges what `Tpm.open` was called with. setTimeout takes 31 bits. @throws TypeError, RangeError */
export function checkOpening(tcti: unknown, options: unknown): void {
  if (typeof tcti !== 'string') throw new TypeError(`open: tcti is ${typeof tcti}, not a string`);
  record({ timeoutMs: optional(integer(1, 0x7fff_ffff)) })(options, 'open: options', undefined);
}
