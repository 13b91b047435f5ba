import { ffiPackages } from './ffi-packages.ts';
import type { DynamicLibrary, FfiPackages } from './ffi-packages.ts';

/**
 * C types of arguments: fixed-width integers, `size` for size_t, `address` for a pointer that C gave us (kept as a
 * number), `memory` for a Buffer of ours or null, `text` for a NUL-terminated string.
 */
export type CType = 'u8' | 'u16' | 'u32' | 'i32' | 'size' | 'address' | 'memory' | 'text';
/** C types of results; a pointer is only ever an address. */
export type CResult = 'void' | 'u32' | 'i32' | 'size' | 'address';
/** What an argument can be; {@link checkArgument} says which for which type. */
export type Argument = number | string | Buffer | null;

/** A C function: called at once on this thread, or on libuv's pool with `start`. `void` gives 0. */
export interface NativeFunction {
  (...args: readonly Argument[]): number;
  start: (...args: readonly Argument[]) => Promise<number>;
}

// Pointers are plain integers, never 'pointer': ref-napi turns each one that it dereferences into a Buffer of 1 GiB,
// which costs a full garbage collection (6 ms instead of 0.1 ms a call).
const ARGUMENT_TYPE = {
  u8: 'uint8',
  u16: 'uint16',
  u32: 'uint32',
  i32: 'int32',
  size: 'uint64',
  address: 'uint64',
  memory: 'uint64',
  text: 'uint64',
} as const satisfies Readonly<Record<CType, string>>;
const RESULT_TYPE = {
  void: 'void',
  u32: 'uint32',
  i32: 'int32',
  size: 'uint64',
  address: 'uint64',
} as const satisfies Readonly<Record<CResult, string>>;

const RANGE: Readonly<Partial<Record<CType, readonly [number, number]>>> = {
  u8: [0, 0xff],
  u16: [0, 0xffff],
  u32: [0, 0xffff_ffff],
  i32: [-0x8000_0000, 0x7fff_ffff],
  size: [0, Number.MAX_SAFE_INTEGER],
  address: [0, Number.MAX_SAFE_INTEGER],
};

/** A shared library in this process. It is never unloaded: its functions stay valid. */
export class SharedLibrary {
  readonly #packages: FfiPackages;
  readonly #library: DynamicLibrary;
  readonly #functions = new Map<string, NativeFunction>();

  /**
   * @param packages see {@link ffiPackages}
   * @throws Error when the dynamic linker can't load it
   */
  constructor(soname: string, packages: FfiPackages = ffiPackages()) {
    const { ffi } = packages;
    this.#packages = packages;
    this.#library = new ffi.DynamicLibrary(soname, ffi.DynamicLibrary.FLAGS.RTLD_NOW);
  }

  /**
   * One function. It is looked up when first asked for (1 to 2 ms), and once.
   * @throws Error when the library doesn't have it
   */
  function(name: string, result: CResult, args: readonly CType[]): NativeFunction {
    const key = `${result} ${name}(${args.join()})`;
    let found = this.#functions.get(key);
    if (found === undefined) {
      found = bind(this.#packages, this.#library.get(name), name, result, args);
      this.#functions.set(key, found);
    }
    return found;
  }
}

function bind(
  { ffi, bindings, ref }: FfiPackages,
  symbol: Buffer,
  name: string,
  result: CResult,
  types: readonly CType[],
): NativeFunction {
  const cif = ffi.CIF(
    ref.types[RESULT_TYPE[result]],
    types.map((type) => ref.types[ARGUMENT_TYPE[type]]),
  );
  // Calls that run at the same time need a frame each; others use one again.
  const free: Frame[] = [];
  const fill = (values: readonly Argument[]): Frame => {
    if (values.length !== types.length)
      throw new TypeError(`${name} takes ${String(types.length)} arguments`);
    types.forEach((type, i) => {
      checkArgument(name, i, type, values[i]);
    });
    const frame = free.pop() ?? new Frame(types.length, ref.address);
    values.forEach((value, i) => {
      frame.set(i, value);
    });
    return frame;
  };
  const finish = (frame: Frame): number => {
    const value = frame.take(result);
    free.push(frame);
    return value;
  };
  const call = (...values: readonly Argument[]): number => {
    const frame = fill(values);
    bindings.ffi_call(cif, symbol, frame.result, frame.pointers);
    return finish(frame);
  };
  const start = (...values: readonly Argument[]): Promise<number> =>
    new Promise((resolve, reject) => {
      const frame = fill(values);
      bindings.ffi_call_async(cif, symbol, frame.result, frame.pointers, (error) => {
        // The callback holds cif, symbol and frame, and the frame the caller's Buffers, until C is done with them.
        const value = finish(frame);
        if (error === null) resolve(value);
        else reject(new Error(`${name}: ${error.message}`));
      });
    });
  return Object.assign(call, { start });
}

const SLOT = 8;

/**
 * The arguments of one call as libffi wants them: a value for each, and a pointer to each value. It is ours, made
 * once, because ffi-napi's own wrapper makes a Buffer with a finalizer for every argument of every call.
 */
class Frame {
  readonly result = Buffer.alloc(SLOT);
  readonly pointers: Buffer;
  readonly #addressOf: (buffer: Buffer) => number;
  readonly #values: Buffer;
  /** What the values point to, kept alive. */
  readonly #held: (Buffer | undefined)[] = [];

  constructor(size: number, addressOf: (buffer: Buffer) => number) {
    this.#addressOf = addressOf;
    this.#values = Buffer.alloc(SLOT * Math.max(1, size));
    this.pointers = Buffer.alloc(this.#values.length);
    const start = addressOf(this.#values);
    for (let i = 0; i < size; i++) writeAddress(this.pointers, SLOT * i, start + SLOT * i);
  }

  /** Writes a checked argument; libffi reads as many of the eight bytes as its type has (little-endian). */
  set(index: number, value: Argument): void {
    const at = SLOT * index;
    if (typeof value === 'number') {
      if (value < 0) this.#values.writeInt32LE(value, at);
      else writeAddress(this.#values, at, value);
      return;
    }
    const memory = typeof value === 'string' ? Buffer.from(`${value}\0`, 'utf8') : value;
    this.#held[index] = memory ?? undefined;
    writeAddress(this.#values, at, memory === null ? 0 : this.#addressOf(memory));
  }

  /** The result; nothing is held any more. */
  take(type: CResult): number {
    this.#held.length = 0;
    if (type === 'void') return 0;
    if (type === 'i32') return this.result.readInt32LE();
    return type === 'u32' ? this.result.readUInt32LE() : Number(this.result.readBigUInt64LE());
  }
}

function writeAddress(buffer: Buffer, offset: number, value: number): void {
  buffer.writeUInt32LE(value % 2 ** 32, offset);
  buffer.writeUInt32LE(Math.floor(value / 2 ** 32), offset + 4);
}

/**
 * Nothing below checks what it is given, so every argument is checked before.
 * @throws TypeError for the wrong type, RangeError for a number that its C type can't hold
 */
function checkArgument(name: string, index: number, type: CType, value: unknown): void {
  const where = `${name}: argument ${String(index + 1)} (${type})`;
  const range = RANGE[type];
  if (range !== undefined) {
    if (typeof value !== 'number' || !Number.isInteger(value))
      throw new TypeError(`${where} is not an integer`);
    if (value < range[0] || value > range[1])
      throw new RangeError(`${where} is out of range: ${String(value)}`);
  } else if (type === 'text') {
    if (typeof value !== 'string') throw new TypeError(`${where} is not a string`);
    if (value.includes('\0')) throw new TypeError(`${where} holds a NUL`);
  } else if (value !== null && !(Buffer.isBuffer(value) && value.length > 0)) {
    // An empty Buffer has no address of its own.
    throw new TypeError(`${where} is neither null nor a Buffer with bytes`);
  }
}
