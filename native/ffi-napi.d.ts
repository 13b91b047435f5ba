// The part of ffi-napi 4.0.3 that native/ffi.ts uses; written here since no published typing matches our use.
declare module 'ffi-napi' {
  /** A function of a library; its arguments are converted by the declared types, unchecked. */
  export interface ForeignFunction {
    (...args: readonly unknown[]): unknown;
    async: (...args: readonly unknown[]) => void;
  }

  export class DynamicLibrary {
    static readonly FLAGS: { readonly RTLD_NOW: number; readonly RTLD_GLOBAL: number };
    constructor(path: string, mode: number);
    /** The address of a symbol, as a Buffer that must not be read. */
    get(symbol: string): Buffer;
  }

  const ffi: {
    readonly DynamicLibrary: typeof DynamicLibrary;
    ForeignFunction: (symbol: Buffer, result: string, args: readonly string[]) => ForeignFunction;
  };
  export default ffi;
}
