import { ffiPackages } from './ffi-packages.ts';
import type { FfiPackages, FfiType } from './ffi-packages.ts';
import { codePointer } from './code-pointer.ts';

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
} as const satisfies Readonly<Record<CType, FfiType>>;
const RESULT_TYPE = {
  void: 'void',
  u32: 'uint32',
  i32: 'int32',
  size: 'uint64',
  address: 'uint64',
} as const satisfies Readonly<Record<CResult, FfiType>>;

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
  readonly #handle: number;
  readonly #functions = new Map<string, NativeFunction>();

  /**
   * @param packages see {@link ffiPackages}
   * @throws Error when the dynamic linker can't load it
   */
  constructor(soname: string, packages: FfiPackages = ffiPackages()) {
    this.#packages = packages;
    this.#handle = linker(packages).dlopen(soname, packages.bindings.RTLD_NOW);
    if (this.#handle === 0) throw new Error(linkerError(packages));
  }

  /**
   * One function. It is looked up when first asked for, and once.
   * @throws Error when the library doesn't have it
   */
  function(name: string, result: CResult, args: readonly CType[]): NativeFunction {
    const key = `${result} ${name}(${args.join()})`;
    let found = this.#functions.get(key);
    if (found === undefined) {
      const address = linker(this.#packages).dlsym(this.#handle, name);
      if (address === 0) throw new Error(linkerError(this.#packages));
      found = bind(this.#packages, codePointer(this.#packages, address), name, result, args);
      this.#functions.set(key, found);
    }
    return found;
  }
}

/** The dynamic linker's functions, which give addresses here and not Buffers, and what its messages are read with. */
interface Linker {
  readonly dlopen: NativeFunction;
  readonly dlsym: NativeFunction;
  readonly dlerror: NativeFunction;
  readonly strlen: NativeFunction;
  readonly memcpy: NativeFunction;
}

let loadedLinker: Linker | undefined;

function linker(packages: FfiPackages): Linker {
  return (loadedLinker ??= loadLinker(packages));
}

function loadLinker(packages: FfiPackages): Linker {
  const { StaticFunctions, RTLD_NOW } = packages.bindings;
  const dlopen = bind(packages, StaticFunctions.dlopen, 'dlopen', 'address', ['text', 'i32']);
  const dlsym = bind(packages, StaticFunctions.dlsym, 'dlsym', 'address', ['address', 'text']);
  const dlerror = bind(packages, StaticFunctions.dlerror, 'dlerror', 'address', []);
  // Now, since the next call of any of the three takes the last message away.
  const c = dlopen('libc.so.6', RTLD_NOW);
  const found = (name: string): Buffer => {
    const address = c === 0 ? 0 : dlsym(c, name);
    if (address === 0) throw new Error(`${name} of libc.so.6 was not found`);
    return codePointer(packages, address);
  };
  const strlen = bind(packages, found('strlen'), 'strlen', 'size', ['address']);
  const memcpy = bind(packages, found('memcpy'), 'memcpy', 'address', ['memory', 'address', 'size']);
  return { dlopen, dlsym, dlerror, strlen, memcpy };
}

/** What the dynamic linker says of its last failure. */
function linkerError(packages: FfiPackages): string {
  const { dlerror, strlen, memcpy } = linker(packages);
  const address = dlerror();
  const length = address === 0 ? 0 : strlen(address);
  if (length === 0) return 'the dynamic linker gives no reason';
  const text = Buffer.alloc(length);
  memcpy(text, address, length);
  return text.toString('utf8');
}

/** libffi's description of a function (ffi_cif). */
interface CallInterface {
  readonly cif: Buffer;
  /** What it points to, kept where it is. */
  readonly types: Buffer;
}

function prepare({ bindings, ref }: FfiPackages, result: CResult, types: readonly CType[]): CallInterface {
  const { FFI_TYPES, FFI_CIF_SIZE, FFI_DEFAULT_ABI, FFI_OK } = bindings;
  const cif = Buffer.alloc(FFI_CIF_SIZE);
  const pointers = Buffer.alloc(SLOT * Math.max(1, types.length));
  types.forEach((type, i) => {
    writeAddress(pointers, SLOT * i, ref.address(FFI_TYPES[ARGUMENT_TYPE[type]]));
  });
  const status = bindings.ffi_prep_cif(
    cif,
    types.length,
    FFI_TYPES[RESULT_TYPE[result]],
    pointers,
    FFI_DEFAULT_ABI,
  );
  if (status !== FFI_OK) throw new Error(`ffi_prep_cif: ${String(status)}`);
  return { cif, types: pointers };
}

function bind(
  packages: FfiPackages,
  symbol: Buffer,
  name: string,
  result: CResult,
  types: readonly CType[],
): NativeFunction {
  const { bindings, ref } = packages;
  const prepared = prepare(packages, result, types);
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
    bindings.ffi_call(prepared.cif, symbol, frame.result, frame.pointers);
    return finish(frame);
  };
  const start = (...values: readonly Argument[]): Promise<number> =>
    new Promise((resolve, reject) => {
      const frame = fill(values);
      bindings.ffi_call_async(prepared.cif, symbol, frame.result, frame.pointers, (error) => {
        // The callback holds the call interface, symbol and frame, and the frame the caller's Buffers, until C is done with them.
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
