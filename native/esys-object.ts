import { Writer } from '../src/base/index.ts';
import { TPM_ALG, encodePcrSelection } from '../src/tpm/index.ts';
import type { PcrSelection } from '../src/tpm/index.ts';
import { sessionsOf } from './authorization.ts';
import type { Caller } from './caller.ts';
import type { Authorization } from './authorization.ts';
import { HIERARCHY } from './esys-state.ts';
import type { Hierarchy } from './esys-state.ts';
import { TpmObject } from './object.ts';
import { sensitiveCreate, sized, unsized } from './wire.ts';

const NOTHING = new Uint8Array();

/** What is common to TPM2_CreatePrimary and TPM2_Create. */
export interface Creation extends Authorization {
  /** TPMT_PUBLIC. */
  readonly template: Uint8Array;
  /** The new object's authValue; default empty. Encrypted on its way when a session encrypts. */
  readonly authValue?: Uint8Array;
  /** The data of a sealed object. */
  readonly data?: Uint8Array;
  /** Goes into the creation data: at most 64 bytes. */
  readonly outsideInfo?: Uint8Array;
  readonly creationPcrs?: PcrSelection;
}

/** What the TPM says about how it made an object: the input of TPM2_CertifyCreation. */
export interface CreationProof {
  /** TPMS_CREATION_DATA. */
  readonly data: Uint8Array;
  readonly hash: Uint8Array;
  /** TPMT_TK_CREATION. */
  readonly ticket: Uint8Array;
}

/** An object as TPM2_Create and TPM2_Import give it: both halves, loadable under its parent only. */
export interface ObjectParts {
  /** Content of TPM2B_PRIVATE. */
  readonly privateBytes: Uint8Array;
  /** TPMT_PUBLIC. */
  readonly publicBytes: Uint8Array;
}

/** TPM2_CreatePrimary. */
export async function createPrimary(
  caller: Caller,
  hierarchy: Hierarchy,
  creation: Creation,
): Promise<{ readonly object: TpmObject; readonly creation: CreationProof }> {
  const [esys, outPublic, data, hash, ticket] = await caller.command('CreatePrimary', {
    handles: [HIERARCHY[hierarchy]],
    sessions: sessionsOf(1, creation),
    in: creationInput(creation),
  });
  const object = new TpmObject(caller, esys, unsized('TPM2B_PUBLIC', outPublic));
  return { object, creation: creationProof(data, hash, ticket) };
}

/** TPM2_Create under a storage key. */
export async function create(
  caller: Caller,
  parent: TpmObject,
  creation: Creation,
): Promise<ObjectParts & { readonly creation: CreationProof }> {
  const [outPrivate, outPublic, data, hash, ticket] = await caller.command('Create', {
    handles: [parent.esys],
    sessions: sessionsOf(1, creation),
    in: creationInput(creation),
  });
  return {
    privateBytes: unsized('TPM2B_PRIVATE', outPrivate),
    publicBytes: unsized('TPM2B_PUBLIC', outPublic),
    creation: creationProof(data, hash, ticket),
  };
}

/** TPM2_Load. */
export async function load(
  caller: Caller,
  parent: TpmObject,
  parts: ObjectParts,
  authorization: Authorization = {},
): Promise<TpmObject> {
  const [esys] = await caller.command('Load', {
    handles: [parent.esys],
    sessions: sessionsOf(1, authorization),
    in: [sized(parts.privateBytes), sized(parts.publicBytes)],
  });
  return new TpmObject(caller, esys, parts.publicBytes);
}

/** TPM2_LoadExternal of a public key: to verify signatures, or as the key of PolicySigned. */
export async function loadExternal(
  caller: Caller,
  publicBytes: Uint8Array,
  hierarchy: Hierarchy = 'null',
): Promise<TpmObject> {
  const [esys] = await caller.command('LoadExternal', {
    in: [null, sized(publicBytes), HIERARCHY[hierarchy]],
  });
  return new TpmObject(caller, esys, publicBytes);
}

/** What TPM2_ReadPublic tells. */
export interface ReadPublicResult {
  /** TPMT_PUBLIC. */
  readonly publicBytes: Uint8Array;
  readonly name: Uint8Array;
  readonly qualifiedName: Uint8Array;
}

/** TPM2_ReadPublic. */
export async function readPublic(caller: Caller, object: TpmObject): Promise<ReadPublicResult> {
  return readPublicOf(caller, object.esys);
}

/**
 * A persistent object by its TPM handle.
 * @throws TpmError `TPM_RC_HANDLE` when nothing is there
 */
export async function persistentObject(caller: Caller, handle: number): Promise<TpmObject> {
  const esys = await caller.connection.acquire(handle, caller.signal);
  try {
    const { publicBytes } = await readPublicOf(caller, esys);
    return new TpmObject(caller, esys, publicBytes, handle);
  } catch (error) {
    await caller.connection.release(esys);
    throw error;
  }
}

/**
 * TPM2_EvictControl: makes a transient object persistent at `handle`, by owner authorization. The transient one
 * stays loaded.
 */
export async function persist(
  caller: Caller,
  object: TpmObject,
  handle: number,
  authorization: Authorization = {},
): Promise<TpmObject> {
  if (object.life === 'persistent') throw new TypeError('the object is already persistent');
  const [esys] = await caller.command('EvictControl', {
    handles: [HIERARCHY.owner, object.esys],
    sessions: sessionsOf(1, authorization),
    in: [handle],
  });
  caller.connection.share(esys);
  return new TpmObject(caller, esys, object.publicBytes, handle);
}

/** TPM2_EvictControl: {@link persist} at a handle; without one, removes a persistent object. */
export async function evictControl(
  caller: Caller,
  object: TpmObject,
  handle?: number,
  authorization: Authorization = {},
): Promise<TpmObject | undefined> {
  if (handle !== undefined) return persist(caller, object, handle, authorization);
  await evict(caller, object, authorization);
  return undefined;
}

/** TPM2_EvictControl: removes a persistent object from the TPM, by owner authorization. */
async function evict(caller: Caller, object: TpmObject, authorization: Authorization = {}): Promise<void> {
  if (object.handle === undefined) throw new TypeError('the object is not persistent');
  await caller.command('EvictControl', {
    handles: [HIERARCHY.owner, object.esys],
    sessions: sessionsOf(1, authorization),
    in: [object.handle],
  });
  caller.connection.forget(object.esys);
  object.forget();
}

/** An import blob (PROTOCOL 5), each part without its TPM2B size. */
export interface Duplicate {
  /** TPMT_PUBLIC. */
  readonly objectPublic: Uint8Array;
  readonly duplicate: Uint8Array;
  readonly encryptedSeed: Uint8Array;
}

/** TPM2_Import of an object without an inner wrapper. */
export async function importObject(
  caller: Caller,
  parent: TpmObject,
  blob: Duplicate,
  authorization: Authorization = {},
): Promise<ObjectParts> {
  const [outPrivate] = await caller.command('Import', {
    handles: [parent.esys],
    sessions: sessionsOf(1, authorization),
    in: [
      sized(NOTHING),
      sized(blob.objectPublic),
      sized(blob.duplicate),
      sized(blob.encryptedSeed),
      new Writer().u16(TPM_ALG.NULL).finish(),
    ],
  });
  return { privateBytes: unsized('TPM2B_PRIVATE', outPrivate), publicBytes: blob.objectPublic };
}

/** TPM2_Unseal: the data of a sealed object, at most 128 bytes. */
export async function unseal(
  caller: Caller,
  object: TpmObject,
  authorization: Authorization = {},
): Promise<Uint8Array> {
  const [wire] = await caller.command('Unseal', {
    handles: [object.esys],
    sessions: sessionsOf(1, authorization),
    in: [],
  });
  return unsized('TPM2B_SENSITIVE_DATA', wire);
}

function creationInput(creation: Creation): [Uint8Array, Uint8Array, Uint8Array, Uint8Array] {
  return [
    sensitiveCreate(creation.authValue ?? NOTHING, creation.data ?? NOTHING),
    sized(creation.template),
    sized(creation.outsideInfo ?? NOTHING),
    encodePcrSelection(creation.creationPcrs ?? []),
  ];
}

function creationProof(data: Uint8Array, hash: Uint8Array, ticket: Uint8Array): CreationProof {
  return { data: unsized('TPM2B_CREATION_DATA', data), hash: unsized('TPM2B_DIGEST', hash), ticket };
}

async function readPublicOf(caller: Caller, esys: number): Promise<ReadPublicResult> {
  const [area, name, qualifiedName] = await caller.command('ReadPublic', { handles: [esys], in: [] });
  return {
    publicBytes: unsized('TPM2B_PUBLIC', area),
    name: unsized('TPM2B_NAME', name),
    qualifiedName: unsized('TPM2B_NAME', qualifiedName),
  };
}
