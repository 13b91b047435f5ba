import { Refusal } from '../src/base/index.ts';
import type { Argument, CType, NativeFunction } from './ffi.ts';
import { commandOf } from './command-table.ts';
import type { CommandName, Parameters, ParameterType, ResultType, Results } from './command-table.ts';
import { LIBRARIES, loadLibrary } from './library.ts';
import { OutSlot, Structure } from './memory.ts';
import type { Address } from './memory.ts';
import { toStructure, toWire, wipeSized } from './mu.ts';
import { CommandQueue } from './queue.ts';
import { closeTcti, openTcti } from './tctildr.ts';
import { tpmError } from './tpm-error.ts';

/** An ESYS_TR: ESAPI's own number for a TPM entity. */
export type EsysHandle = number;

/** ESYS_TR constants (tss2_esys.h). PCR n is n. */
export const ESYS_TR = {
  NONE: 0xfff,
  PASSWORD: 0x0ff,
  OWNER: 0x101,
  NULL: 0x107,
  LOCKOUT: 0x10a,
  ENDORSEMENT: 0x10b,
  PLATFORM: 0x10c,
} as const;

/** A session as a command uses it. */
export interface SessionUse {
  readonly esys: EsysHandle;
  /** True when it was started with a symmetric algorithm: then it encrypts first parameters. */
  readonly encrypts: boolean;
  /** False to let the TPM end the session with this command. */
  readonly continueSession: boolean;
  /** Called after each command that succeeded with it. */
  readonly used?: () => void;
}

/** Something in the TPM or in ESAPI that must be given back. */
export interface Releasable {
  flush(): Promise<void>;
}

/** What a command is called with. */
export interface Call<N extends CommandName> {
  readonly handles?: readonly EsysHandle[];
  /** For each handle that needs authorization one, in order; then further ones. At most three. */
  readonly sessions?: readonly SessionUse[];
  readonly in: Parameters<N>;
  readonly signal?: AbortSignal | undefined;
}

/** A plain password authorization with the entity's authValue; free of secrets only when that is empty. */
export const PASSWORD: SessionUse = { esys: ESYS_TR.PASSWORD, encrypts: false, continueSession: true };

/** TPMA_SESSION (TPM 2.0 Part 2 §8.4). `decrypt` and `encrypt` are from the TPM's point of view. */
const SESSION = { continueSession: 0x01, decrypt: 0x20, encrypt: 0x40 } as const;
const ALL_ATTRIBUTES = 0xff;

/** One ESYS_CONTEXT over one TCTI: every call, one after the other. */
export class Connection {
  readonly tcti: string;
  readonly timeoutMs: number;
  readonly #queue = new CommandQueue();
  readonly #open = new Set<Releasable>();
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
    const rc = await initialize.start(slot.memory, tctiContext, null);
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
    return this.#queue.run(label(name), () => this.#invoke(name, call), options);
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
    return this.#queue.run(label('TR_FromTPMPublic'), job, { signal, timeoutMs: this.timeoutMs });
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
  async close(): Promise<void> {
    for (const resource of [...this.#open].reverse()) {
      // A TPM that is gone has nothing to flush; the rest must still be given back.
      await resource.flush().catch(() => undefined);
    }
    const late = this.#queue.broken?.check === 'tpm-timeout';
    if (this.#queue.broken?.check === 'tpm-closed') return;
    this.#queue.break(new Refusal('tpm-closed', 'the connection to the TPM is closed'));
    const finalized = this.#queue.idle().then(() => this.#finalize());
    // A late command still uses the context: it is freed when that ends, but nobody waits for it.
    if (!late) await finalized;
  }

  #closeHandle(handle: EsysHandle, times: number): void {
    this.#shared.delete(handle);
    const close = esysFunction('TR_Close', ['address', 'memory']);
    // The call that fails says that it was gone already.
    for (let i = 0; i < times && close(this.#esys, new OutSlot(handle).memory) === 0; i++);
  }

  async #finalize(): Promise<void> {
    const finalize = esysFunction('Finalize', ['memory'], 'void');
    await finalize.start(new OutSlot(this.#esys).memory);
    closeTcti(this.#tctiContext);
  }

  async #invoke<N extends CommandName>(name: N, call: Call<N>): Promise<Results<N>> {
    const command = commandOf(name);
    const handles = call.handles ?? [];
    const sessions = call.sessions ?? [];
    if (handles.length !== command.handles) throw new RangeError(`${name}: wrong number of handles`);
    if (sessions.length > 3) throw new RangeError(`${name}: more than three sessions`);
    this.#setAttributes(command.in[0], command.out, sessions);
    const inputs = command.in.map((type, i) => input(type, call.in[i] ?? null));
    const outputs = command.out.map(() => new OutSlot());
    const slots = command.sessions ? [0, 1, 2].map((i) => sessions[i]?.esys ?? ESYS_TR.NONE) : [];
    const args: Argument[] = [
      this.#esys,
      ...handles,
      ...slots,
      ...inputs.map((value) => (value instanceof Structure ? value.memory : value)),
      ...outputs.map((slot) => slot.memory),
    ];
    try {
      const call = commandFunction(name);
      const rc = command.local === true ? call(...args) : await call.start(...args);
      if (rc !== 0) throw this.#failed(rc, name);
      return readResults(command.out, outputs, command.secret === true) as unknown as Results<N>; // by the table
    } finally {
      for (const value of inputs) if (value instanceof Structure) value.wipe();
    }
  }

  /** Which parameters a session encrypts depends on the command: only a leading TPM2B can be (Part 1 §21). */
  #setAttributes(
    first: ParameterType | undefined,
    results: readonly ResultType[],
    sessions: readonly SessionUse[],
  ): void {
    const firstResult = results.find((type) => type !== 'object');
    const coder = sessions.findIndex((session) => session.encrypts);
    sessions.forEach((session, i) => {
      if (session.esys === ESYS_TR.PASSWORD) return;
      let flags = session.continueSession ? SESSION.continueSession : 0;
      // Only one session may decrypt, and one encrypt.
      if (i === coder && isSized(first)) flags |= SESSION.decrypt;
      if (i === coder && isSized(firstResult)) flags |= SESSION.encrypt;
      const set = esysFunction('TRSess_SetAttributes', ['address', 'u32', 'u8', 'u8']);
      const rc = set(this.#esys, session.esys, flags, ALL_ATTRIBUTES);
      if (rc !== 0) throw tpmError(rc, 'Esys_TRSess_SetAttributes');
    });
  }

  #failed(rc: number, name: CommandName): Error {
    const error = tpmError(rc, label(name));
    // Where the answer got lost, nothing that follows could be told apart from it.
    if (error.layer === 'tcti') this.#queue.break(error);
    return error;
  }
}

function esysFunction(name: string, args: readonly CType[], result: 'u32' | 'void' = 'u32'): NativeFunction {
  return loadLibrary(LIBRARIES.esys).function(`Esys_${name}`, result, args);
}

function commandFunction(name: CommandName): NativeFunction {
  const command = commandOf(name);
  return esysFunction(name, [
    'address',
    ...Array<CType>(command.handles + (command.sessions ? 3 : 0)).fill('u32'),
    ...command.in.map(cType),
    ...command.out.map((): CType => 'memory'),
  ]);
}

function cType(type: ParameterType): CType {
  return type === 'u8' || type === 'u16' || type === 'u32' || type === 'i32' ? type : 'memory';
}

function input(type: ParameterType, value: number | Uint8Array | null): number | Structure | null {
  if (type === 'u8' || type === 'u16' || type === 'u32' || type === 'i32' || value === null) {
    if (value instanceof Uint8Array) throw new TypeError(`bytes for ${type}`);
    return value;
  }
  if (!(value instanceof Uint8Array)) throw new TypeError(`a number for ${type}`);
  return toStructure(type, value);
}

function readResults(
  types: readonly ResultType[],
  slots: readonly OutSlot[],
  secret: boolean,
): (number | Uint8Array)[] {
  const free = esysFunction('Free', ['address'], 'void');
  const pointers = slots.filter((_, i) => isStructure(types[i])).map((slot) => slot.address);
  try {
    return types.map((type, i) => {
      const slot = slots[i] ?? new OutSlot();
      if (type === 'u8') return slot.u8;
      if (type === 'u32' || type === 'object') return slot.u32;
      const wire = toWire(type, slot.address);
      if (secret && i === 0) wipeSized(type, wire, slot.address);
      return wire;
    });
  } finally {
    for (const pointer of pointers) free(pointer);
  }
}

function isStructure(type: ResultType | undefined): boolean {
  return type !== undefined && type !== 'u8' && type !== 'u32' && type !== 'object';
}

function isSized(type: ParameterType | ResultType | undefined): boolean {
  return type?.startsWith('TPM2B_') ?? false;
}

function label(name: CommandName): string {
  return name.startsWith('TR') ? `Esys_${name}` : `TPM2_${name}`;
}
