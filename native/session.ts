import { Writer } from '../src/base/index.ts';
import { TPM_ALG, digestSize, hashId } from '../src/tpm/index.ts';
import type { HashName } from '../src/tpm/index.ts';
import { flushContext } from './caller.ts';
import type { Caller } from './caller.ts';
import { ESYS_TR } from './esys-types.ts';
import type { EsysHandle, Releasable, SessionUse } from './esys-types.ts';
import type { TpmObject } from './object.ts';
import { sized, unsized } from './wire.ts';

/** TPM_SE (TPM 2.0 Part 2 §6.11). */
export const SESSION_TYPE = { hmac: 0, policy: 1, trial: 3 } as const;

/** What {@link startSession} starts. */
export interface SessionOptions {
  /** `hmac` proves auth values without sending them, `policy` satisfies an authPolicy, `trial` only computes one. */
  readonly type: keyof typeof SESSION_TYPE;
  /** Hash of the session; a policy session must have the nameAlg of the object it authorizes. Default sha256. */
  readonly hash?: HashName;
  /** A decryption key that a fresh salt is encrypted to, so that a listener can't compute the session's key. */
  readonly salt?: TpmObject;
  /** An object whose authValue goes into the session's key. */
  readonly bind?: TpmObject;
  /** AES-CFB key size for parameter encryption, 0 for none. Default 128 with `salt`, else 0. */
  readonly encryption?: 0 | 128 | 256;
  /** 16 bytes up to the hash's size; ESAPI makes them if not given. */
  readonly nonceCaller?: Uint8Array;
}

/** An authorization session. It lives until it is flushed, or ends with a command (see {@link Session.last}). */
export class Session implements SessionUse, Releasable, AsyncDisposable {
  readonly type: SessionOptions['type'];
  readonly hash: HashName;
  readonly esys: EsysHandle;
  readonly encrypts: boolean;
  readonly #caller: Caller;
  #continue = true;
  #ended = false;

  /** @internal see `Tpm.startSession` */
  constructor(
    caller: Caller,
    esys: EsysHandle,
    type: SessionOptions['type'],
    hash: HashName,
    encrypts: boolean,
  ) {
    this.#caller = caller;
    this.esys = esys;
    this.type = type;
    this.hash = hash;
    this.encrypts = encrypts;
    caller.connection.track(this);
  }

  get continueSession(): boolean {
    return this.#continue;
  }

  /** @internal true while commands of this connection can use it */
  isOpenOn(connection: unknown): boolean {
    return !this.#ended && this.#caller.connection === connection;
  }

  /** Makes the next command that it authorizes its last: when that succeeds, the TPM itself ends the session. */
  last(): this {
    this.#continue = false;
    return this;
  }

  /** @internal called after each command that succeeded with this session */
  used(): void {
    if (!this.#continue) this.#forget();
  }

  /** The TPM's newest nonce: after the start what a PolicySigned signature binds (TPM 2.0 Part 1 §19.6.4). */
  async nonceTPM(): Promise<Uint8Array> {
    const [nonce] = await this.#caller.command('TRSess_GetNonceTPM', { handles: [this.esys], in: [] });
    return unsized('TPM2B_NONCE', nonce);
  }

  /** Ends the session. May be called again. */
  async flush(): Promise<void> {
    if (this.#ended) return;
    await flushContext(this.#caller.connection, this.esys);
    this.#forget();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.flush();
  }

  #forget(): void {
    this.#ended = true;
    this.#caller.connection.untrack(this);
  }
}

/** TPM2_StartAuthSession. */
export async function startSession(caller: Caller, options: SessionOptions): Promise<Session> {
  const { type, hash = 'sha256', salt, bind, nonceCaller } = options;
  const keyBits = options.encryption ?? (salt === undefined ? 0 : 128);
  if (nonceCaller !== undefined && (nonceCaller.length < 16 || nonceCaller.length > digestSize(hash))) {
    throw new RangeError(`nonceCaller of ${String(nonceCaller.length)} bytes`);
  }
  const symmetric = new Writer();
  if (keyBits === 0) symmetric.u16(TPM_ALG.NULL);
  else symmetric.u16(TPM_ALG.AES).u16(keyBits).u16(TPM_ALG.CFB);
  const [esys] = await caller.command('StartAuthSession', {
    handles: [salt?.esys ?? ESYS_TR.NONE, bind?.esys ?? ESYS_TR.NONE],
    in: [
      nonceCaller === undefined ? null : sized(nonceCaller),
      SESSION_TYPE[type],
      symmetric.finish(),
      hashId(hash),
    ],
  });
  return new Session(caller, esys, type, hash, keyBits !== 0);
}
