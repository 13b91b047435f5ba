import { createRequire } from 'node:module';
import { refuse } from '../src/base/index.ts';

/** The parts of ffi-napi 4.0.3 that native/ffi.ts uses; no published typing matches our use. */
interface FfiNapi {
  readonly DynamicLibrary: {
    readonly FLAGS: { readonly RTLD_NOW: number };
    new (path: string, mode: number): DynamicLibrary;
  };
  /** libffi's description of a function (ffi_cif). */
  readonly CIF: (result: object, args: readonly object[]) => Buffer;
}

/** A library that the dynamic linker loaded. */
export interface DynamicLibrary {
  /** A Buffer at the address of a symbol, which must not be read. */
  get(symbol: string): Buffer;
}

/** ffi-napi/lib/bindings.js: libffi itself. */
interface FfiBindings {
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
}

/** The parts of ref-napi 3.0.3 that native/ffi.ts uses. */
interface RefNapi {
  readonly types: Readonly<Record<'void' | 'uint8' | 'uint16' | 'uint32' | 'int32' | 'uint64', object>>;
  /** Where a Buffer's bytes are. */
  readonly address: (buffer: Buffer) => number;
}

/** Both packages. */
export interface FfiPackages {
  readonly ffi: FfiNapi;
  readonly bindings: FfiBindings;
  readonly ref: RefNapi;
}

let loaded: FfiPackages | undefined;

/**
 * The optional packages, loaded when first used: `sealgate/native` can be imported where there are none, and says so
 * when a TPM is opened.
 * @throws Refusal `tpm-bindings` when they aren't installed or have no binary for this machine
 */
export function ffiPackages(): FfiPackages {
  return (loaded ??= load());
}

function load(): FfiPackages {
  const require = createRequire(import.meta.url);
  try {
    // What CommonJS packages export has no type; these interfaces were written by reading their sources.
    return {
      ffi: require('ffi-napi') as FfiNapi,
      bindings: require('ffi-napi/lib/bindings.js') as FfiBindings,
      ref: require('ref-napi') as RefNapi,
    };
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    if (!isMissing(error, reason)) throw error;
    const [first = ''] = reason.split('\n');
    return refuse('tpm-bindings', `the optional packages ffi-napi and ref-napi can’t be loaded: ${first}`);
  }
}

const MISSING = ['MODULE_NOT_FOUND', 'ERR_DLOPEN_FAILED'];

/** Not installed, built for another machine, or (node-gyp-build has no code for it) without a binary for this one. */
function isMissing(error: unknown, reason: string): boolean {
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  return MISSING.includes(code) || reason.startsWith('No native build was found');
}
