import { randomBytes } from 'node:crypto';
import { equalBytes, refuse, toHex } from '../src/base/index.ts';
import { akTemplate } from '../src/tpm/ak-template.ts';
import { encodePublic } from '../src/tpm/index.ts';
import type { Caller } from './caller.ts';
import { EkSession, withHierarchyAuth } from './ek-session.ts';
import { getHandles } from './esys-capability.ts';
import { create, load, persist, persistentObject, readPublic } from './esys-object.ts';
import type { TpmObject } from './object.ts';
import { isTpmError } from './tpm-error.ts';

/** Where AKs are kept: out of the way of the EKs' own handles. */
const HANDLES = { first: 0x8101_0020, last: 0x8101_003f };
const AUTH_SIZE = 32;

/** What kind of AK, under which EK. */
export interface AttestationKeyOptions {
  readonly ek: TpmObject;
  /** Default ECC P-256 with ECDSA; `rsa` is RSA-2048 with RSASSA. Both SHA-256. */
  readonly algorithm?: 'ecc' | 'rsa';
}

/** A new AK. */
export interface NewAttestationKey {
  /** Persistent, with its authValue set. */
  readonly key: TpmObject;
  readonly handle: number;
  /** Secret, 32 bytes: to be kept with mode 0600, or as a systemd credential. */
  readonly authValue: Uint8Array;
  /** What its quotes name as qualifiedSigner: under the EK, in the endorsement hierarchy. */
  readonly qualifiedName: Uint8Array;
}

/**
 * Makes an attestation key under the EK and keeps it at a free handle in 0x81010020–3f. In the endorsement hierarchy,
 * since elsewhere the TPM obfuscates resetCount, restartCount and firmwareVersion in quotes (TPM 2.0 Part 1 §36.7).
 * Nobody else's object is ever evicted.
 * @throws Refusal `tpm-no-handle` when the range is full
 */
export async function createAttestationKey(
  caller: Caller,
  { ek, algorithm = 'ecc' }: AttestationKeyOptions,
): Promise<NewAttestationKey> {
  const authValue = freshAuthValue();
  await using session = await EkSession.start(caller, ek);
  const template = encodePublic(akTemplate(algorithm === 'ecc' ? 'ecc-p256' : 'rsa-2048'));
  const parts = await create(caller, ek, { template, authValue, auth: await session.authorize() });
  await using transient = await load(caller, ek, parts, { auth: await session.authorize() });
  const { qualifiedName } = await readPublic(caller, transient);
  const key = await persistAtFreeHandle(caller, transient, ek);
  await key.setAuth(authValue);
  return { key, handle: key.handle ?? 0, authValue, qualifiedName };
}

/**
 * The AK that was made before.
 * @param name the one that was enrolled: another object at that handle is refused
 * @throws TpmError `TPM_RC_HANDLE` when nothing is there; Refusal `tpm-ak-mismatch`
 */
export async function openAttestationKey(
  caller: Caller,
  handle: number,
  authValue: Uint8Array,
  name: Uint8Array,
): Promise<TpmObject> {
  const key = await persistentObject(caller, handle);
  if (!equalBytes(name, key.name)) {
    await key.flush();
    refuse('tpm-ak-mismatch', `another object than the enrolled AK is at 0x${handle.toString(16)}`, {
      name: toHex(key.name),
    });
  }
  await key.setAuth(authValue);
  return key;
}

async function persistAtFreeHandle(caller: Caller, key: TpmObject, ek: TpmObject): Promise<TpmObject> {
  const taken = new Set(await getHandles(caller, 'persistent'));
  for (let handle = HANDLES.first; handle <= HANDLES.last; handle++) {
    if (taken.has(handle)) continue;
    try {
      return await withHierarchyAuth(caller, 'owner', ek, (auth) =>
        persist(caller, key, handle, auth === undefined ? {} : { auth }),
      );
    } catch (error) {
      // Another process was faster.
      if (!isTpmError(error, 'TPM_RC_NV_DEFINED')) throw error;
    }
  }
  return refuse('tpm-no-handle', 'all handles for attestation keys, 0x81010020 to 0x8101003f, are taken');
}

/** Its last byte isn't zero: TPMs drop trailing zeros of auth values, software may not (Part 1 §19.6.4.3). */
function freshAuthValue(): Uint8Array {
  for (;;) {
    const value = new Uint8Array(randomBytes(AUTH_SIZE));
    if (value[AUTH_SIZE - 1] !== 0) return value;
  }
}
