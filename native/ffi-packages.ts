import { createRequire } from 'node:module';
import { refuse } from '../src/base/index.ts';

/**
 * The parts of ffi-napi 4.0.3 that native/ffi.ts uses, ffi-napi/lib/bindings.js: libffi itself, and the dynamic linker.
 * What the package puts around it isn't loaded: it takes as long again, and makes a Buffer of 1 GiB for each symbol. No
 * published typing matches our use.
 */
interface FfiBindings {
  readonly RTLD_NOW: number;
  readonly FFI_CIF_SIZE: number;
  readonly FFI_DEFAULT_ABI: number;
  readonly FFI_OK: number;
  /** libffi's ffi_type of each C type. */
  readonly FFI_TYPES: Readonly<Record<FfiType, Buffer>>;
  /** Functions of the dynamic linker. */
  readonly StaticFunctions: Readonly<Record<'dlopen' | 'dlsym' | 'dlerror', Buffer>>;
  /** libffi's ffi_prep_cif: `types` holds a pointer for each argument; both must stay where they are. */
  readonly ffi_prep_cif: (cif: Buffer, count: number, result: Buffer, types: Buffer, abi: number) => number;
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
  /** Where a Buffer's bytes are. */
  readonly address: (buffer: Buffer) => number;
  /** A Buffer at the address that `pointer` holds; what it can be cut from is 1 GiB long, whatever `size` is. */
  readonly readPointer: (pointer: Buffer, offset: number, size: number) => Buffer;
}

/** libffi's names of C types. */
export type FfiType = 'void' | 'uint8' | 'uint16' | 'uint32' | 'int32' | 'uint64';

/** Both packages. */
export interface FfiPackages {
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
