import { objectName } from '../src/tpm/index.ts';
import { bytes } from './arguments.ts';
import { flushContext } from './caller.ts';
import type { Caller } from './caller.ts';
import type { EsysHandle, Releasable } from './esys-types.ts';
import { sized } from './wire.ts';

/** How an object lives: `transient` ones are flushed, `persistent` ones stay in the TPM. */
export type ObjectLife = 'transient' | 'persistent';

/** TPM2B_AUTH: at most the largest digest. */
const checkAuthValue = bytes(0, 64);

/** A loaded or persistent object, by ESAPI's handle. */
export class TpmObject implements Releasable, AsyncDisposable {
  readonly esys: EsysHandle;
  readonly life: ObjectLife;
  /** TPM handle of a persistent object. */
  readonly handle: number | undefined;
  /** TPMT_PUBLIC as the TPM gave it. */
  readonly publicBytes: Uint8Array;
  /** nameAlg ‖ digest of the public area. */
  readonly name: Uint8Array;
  readonly #caller: Caller;
  #released = false;

  /** @internal made by commands of `Tpm` */
  constructor(caller: Caller, esys: EsysHandle, publicBytes: Uint8Array, handle?: number) {
    this.#caller = caller;
    this.esys = esys;
    this.handle = handle;
    this.life = handle === undefined ? 'transient' : 'persistent';
    this.publicBytes = publicBytes;
    this.name = objectName(publicBytes);
    caller.connection.track(this);
  }

  /** @internal true while commands of this connection can use it */
  isOpenOn(connection: unknown): boolean {
    return !this.#released && this.#caller.connection === connection;
  }

  /**
   * Tells ESAPI the authValue that its sessions are to prove; nothing is sent. It holds for every `TpmObject` of the
   * same persistent object on this connection.
   */
  async setAuth(authValue: Uint8Array): Promise<void> {
    checkAuthValue(authValue, 'setAuth: authValue', undefined);
    await this.#caller.command('TR_SetAuth', { handles: [this.esys], in: [sized(authValue)] });
  }

  /** TPM2_FlushContext for a transient object; for a persistent one only ESAPI forgets it. May be called again. */
  async flush(): Promise<void> {
    if (this.#released) return;
    const { connection } = this.#caller;
    if (this.life === 'persistent') await connection.release(this.esys);
    else await flushContext(connection, this.esys);
    this.forget();
  }

  /** @internal the TPM no longer has it, or ESAPI forgot it */
  forget(): void {
    this.#released = true;
    this.#caller.connection.untrack(this);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.flush();
  }
}
