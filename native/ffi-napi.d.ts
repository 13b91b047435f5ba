// The parts of ffi-napi 4.0.3 and ref-napi 3.0.3 that native/ffi.ts uses; written here since no published typing
// matches our use.
declare module 'ffi-napi' {
  export class DynamicLibrary {
    static readonly FLAGS: { readonly RTLD_NOW: number };
    constructor(path: string, mode: number);
    /** A Buffer at the address of a symbol, which must not be read. */
    get(symbol: string): Buffer;
  }

  const ffi: {
    readonly DynamicLibrary: typeof DynamicLibrary;
    /** libffi's description of a function (ffi_cif). */
    readonly CIF: (result: object, args: readonly object[]) => Buffer;
  };
  export default ffi;
}

declare module 'ffi-napi/lib/bindings.js' {
  const bindings: {
    /** libffi's ffi_call: `args` holds one pointer for each argument, `result` at least 8 bytes. */
    readonly ffi_call: (cif: Buffer, symbol: Buffer, result: Buffer, args: Buffer) => void;
    /** The same on libuv's pool. The Buffers must stay alive until the callback. */
    readonly ffi_call_async: (
      cif: Buffer,
      symbol: Buffer,
      result: Buffer,
      args: Buffer,
      callback: (error: Error | null) => void,
    ) => void;
  };
  export default bindings;
}

declare module 'ref-napi' {
  const ref: {
    readonly types: Readonly<Record<'void' | 'uint8' | 'uint16' | 'uint32' | 'int32' | 'uint64', object>>;
    /** Where a Buffer's bytes are. */
    readonly address: (buffer: Buffer) => number;
  };
  export default ref;
}
