import { Refusal } from '../src/base/index.ts';
import type { CommandName, Results } from './command-table.ts';
import { callEsys, commandLabel, esysFunction } from './esys-call.ts';
import type { Call, EsysHandle, Releasable } from './esys-types.ts';
import { OutSlot } from './memory.ts';
import type { Address } from './memory.ts';
import { duringCall } from './process-gate.ts';
import { CommandQueue } from './queue.ts';
import { closeTcti, openTcti, wakeLostCommand } from './tctildr.ts';
import { TpmError, tpmError } from './tpm-error.ts';

/** One ESYS_CONTEXT over one TCTI: every call, one after the other. */
export class Connection {
  readonly tcti: string;
  readonly timeoutMs: number;
  readonly #queue = new CommandQueue(() => {
    wakeLostCommand(this.tcti);
  });
  readonly #open = new Set<Releasable>();
  #closing: Promise<void> | undefined;
  readonly #authSet = new Set<EsysHandle>();
  readonly #shared = new Map<EsysHandle, { readonly users: number; readonly acquired: number }>();
  readonly #esys: Address;
  readonly #tctiContext: Address;

  private constructor(tcti: string, timeoutMs: number, tctiContext: Address, esys: Address) {
    this.tcti = tcti;
    this.timeoutMs = timeoutMs;
    this.#tctiContext = tctiContext;
    this.#esys = esys;
  }

  /** @throws Refusal `tpm-library`, `tpm-tcti`; TpmError `tpm-unreachable`; Refusal `tpm-timeout` */
  static async open(tcti: string, timeoutMs: number): Promise<Connection> {
    const initialize = esysFunction('Initialize', ['memory', 'address', 'memory']);
    const tctiContext = await openTcti(tcti, timeoutMs);
    const slot = new OutSlot();
    const rc = await duringCall(() => initialize.start(slot.memory, tctiContext, null));
    if (rc !== 0) {
      closeTcti(tctiContext);
      throw tpmError(rc, `open ${tcti}`);
    }
    return new Connection(tcti, timeoutMs, tctiContext, slot.address);
  }

  /** Why nothing can be sent any more: closed, broken off, late. */
  get broken(): Refusal | undefined {
    return this.#queue.broken;
  }

  /**
   * Runs one command.
   * @throws TpmError when the TPM or a layer refuses; Refusal `tpm-timeout`, `tpm-closed`; the signal's reason
   */
  command<N extends CommandName>(name: N, call: Call<N>): Promise<Results<N>> {
    const options = { signal: call.signal, timeoutMs: this.timeoutMs };
    return this.#queue.run(commandLabel(name), () => this.#invoke(name, call), options);
  }

  /** True when an authValue that isn't empty was set for a hierarchy: it must not be sent as a password. */
  hasAuth(handle: EsysHandle): boolean {
    return this.#authSet.has(handle);
  }

  /** Esys_TR_SetAuth of a hierarchy. @param auth TPM2B_AUTH */
  async setAuth(handle: EsysHandle, auth: Uint8Array): Promise<void> {
    await this.command('TR_SetAuth', { handles: [handle], in: [auth] });
    if (auth.length > 2) this.#authSet.add(handle);
    else this.#authSet.delete(handle);
  }

  /** Remembers what `close` must give back. */
  track(resource: Releasable): void {
    this.#open.add(resource);
  }

  /** Forgets it, once it was given back. */
  untrack(resource: Releasable): void {
    this.#open.delete(resource);
  }

  /**
   * An ESYS_TR for a persistent object or NV index (Esys_TR_FromTPMPublic). tpm2-tss gives the same number each time
   * for one TPM handle, and frees it at the first close (3.2) or counts (4.x): so it is counted here.
   * @throws TpmError `TPM_RC_HANDLE` when nothing is there
   */
  acquire(tpmHandle: number, signal: AbortSignal | undefined): Promise<EsysHandle> {
    const job = async (): Promise<EsysHandle> => {
      const [handle] = await this.#invoke('TR_FromTPMPublic', { handles: [tpmHandle], in: [] });
      this.share(handle); // in the same job: a release that waits behind it must see this user
      return handle;
    };
    return this.#queue.run(commandLabel('TR_FromTPMPublic'), job, { signal, timeoutMs: this.timeoutMs });
  }

  /** Counts one more user of an ESYS_TR that {@link Connection.release} is to give back. */
  share(handle: EsysHandle): void {
    const shared = this.#shared.get(handle) ?? { users: 0, acquired: 0 };
    this.#shared.set(handle, { users: shared.users + 1, acquired: shared.acquired + 1 });
  }

  /** Gives an ESYS_TR back to ESAPI without touching the TPM, once nobody uses it any more. */
  async release(handle: EsysHandle): Promise<void> {
    if (this.broken !== undefined) return;
    const job = (): Promise<void> => {
      const { users, acquired } = this.#shared.get(handle) ?? { users: 1, acquired: 1 };
      if (users > 1) this.#shared.set(handle, { users: users - 1, acquired });
      else this.#closeHandle(handle, acquired);
      return Promise.resolve();
    };
    await this.#queue.run('Esys_TR_Close', job, { timeoutMs: this.timeoutMs });
  }

  /** An ESYS_TR that ESAPI gave back by itself: its persistent object was evicted. */
  forget(handle: EsysHandle): void {
    this.#shared.delete(handle);
  }

  /** Flushes what is still open, newest first, and ends the connection. Further calls do nothing. */
  close(): Promise<void> {
    return (this.#closing ??= this.#close());
  }

  async #close(): Promise<void> {
    for (const resource of [...this.#open].reverse()) {
      // A TPM that is gone has nothing to flush; the rest must still be given back.
      await resource.flush().catch(() => undefined);
    }
    const late = this.broken?.check === 'tpm-timeout';
    this.#queue.break(new Refusal('tpm-closed', 'the connection to the TPM is closed'));
    const finalized = this.#queue.idle().then(() => this.#finalize());
    // A late command still uses the context: it is freed when that ends, but nobody waits for it.
    if (late) finalized.catch(() => undefined);
    else await finalized;
  }

  #closeHandle(handle: EsysHandle, times: number): void {
    this.#shared.delete(handle);
    const close = esysFunction('TR_Close', ['address', 'memory']);
    // The call that fails says that it was gone already.
    for (let i = 0; i < times && close(this.#esys, new OutSlot(handle).memory) === 0; i++);
  }

  async #finalize(): Promise<void> {
    const finalize = esysFunction('Finalize', ['memory'], 'void');
    await duringCall(() => finalize.start(new OutSlot(this.#esys).memory));
    closeTcti(this.#tctiContext);
  }

  async #invoke<N extends CommandName>(name: N, call: Call<N>): Promise<Results<N>> {
    try {
      return await duringCall(async () => {
        // Whoever asked for it was told meanwhile that it was not sent.
        if (this.broken !== undefined) throw this.broken;
        return await callEsys(this.#esys, name, call);
      });
    } catch (error) {
      // Where an answer got lost, nothing that follows could be told apart from it.
      if (error instanceof TpmError && error.layer === 'tcti') this.#queue.break(error);
      throw error;
    }
  }
}
