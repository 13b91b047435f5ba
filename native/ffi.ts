import ffi from 'ffi-napi';

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

// Pointers from C are plain integers, never 'pointer': ref-napi turns each one that it dereferences into a Buffer
// of 1 GiB, which costs a full garbage collection (STACK: 6 ms instead of 0.1 ms a call).
const FFI_TYPE: Readonly<Record<CType | CResult, string>> = {
  void: 'void',
  u8: 'uint8',
  u16: 'uint16',
  u32: 'uint32',
  i32: 'int32',
  size: 'uint64',
  address: 'uint64',
  memory: 'pointer',
  text: 'string',
};

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
  readonly #library: InstanceType<typeof ffi.DynamicLibrary>;
  readonly #functions = new Map<string, NativeFunction>();

  /** @throws Error when the dynamic linker can't load it */
  constructor(soname: string) {
    this.#library = new ffi.DynamicLibrary(soname, ffi.DynamicLibrary.FLAGS.RTLD_NOW);
  }

  /**
   * One function. It is looked up when first asked for (1 to 2 ms), and once.
   * @throws Error when the library doesn't have it
   */
  function(name: string, result: CResult, args: readonly CType[]): NativeFunction {
    const key = `${result} ${name}(${args.join()})`;
    let found = this.#functions.get(key);
    if (found === undefined) this.#functions.set(key, (found = this.#bind(name, result, args)));
    return found;
  }

  #bind(name: string, result: CResult, args: readonly CType[]): NativeFunction {
    const symbol = this.#library.get(name);
    const raw = ffi.ForeignFunction(
      symbol,
      FFI_TYPE[result],
      args.map((type) => FFI_TYPE[type]),
    );
    const checked = (values: readonly Argument[]): readonly Argument[] => {
      if (values.length !== args.length)
        throw new TypeError(`${name} takes ${String(args.length)} arguments`);
      args.forEach((type, i) => {
        checkArgument(name, i, type, values[i]);
      });
      return values;
    };
    const call = (...values: readonly Argument[]): number => toNumber(name, raw(...checked(values)));
    const start = (...values: readonly Argument[]): Promise<number> =>
      new Promise((resolve, reject) => {
        raw.async(...checked(values), (error: Error | null, value: unknown) => {
          // `values` is named here so that no Buffer in it is collected while C works with it.
          if (error !== null) reject(new Error(`${name}(${String(values.length)}): ${error.message}`));
          else resolve(toNumber(name, value));
        });
      });
    return Object.assign(call, { start });
  }
}

/**
 * ffi-napi turns undefined, null and text into 0 without a word, so every argument is checked before.
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

function toNumber(name: string, value: unknown): number {
  if (value === null || value === undefined) return 0; // void
  if (typeof value === 'number') return value;
  // ref-napi gives integers over 2^53 as text; no user-space address is that high.
  throw new RangeError(`${name} gave ${typeof value} ${JSON.stringify(value)}`);
}
