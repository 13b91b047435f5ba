import { refuse } from '../src/base/index.ts';
import { ffiPackages } from './ffi-packages.ts';
import { SharedLibrary } from './ffi.ts';

/** A library of tpm2-tss or the C library: the name that the dynamic linker knows, and who brings it. */
export interface LibraryName {
  readonly soname: string;
  /** The Debian 12 package, for the message when it is missing. */
  readonly debian: string;
}

/** What node-tpm2 stands on (tpm2-tss 3.2.1 in Debian 12). */
export const LIBRARIES = {
  tctildr: { soname: 'libtss2-tctildr.so.0', debian: 'libtss2-tctildr0' },
  mu: { soname: 'libtss2-mu.so.0', debian: 'libtss2-mu0' },
  esys: { soname: 'libtss2-esys.so.0', debian: 'libtss2-esys-3.0.2-0' },
  rc: { soname: 'libtss2-rc.so.0', debian: 'libtss2-rc0' },
  c: { soname: 'libc.so.6', debian: 'libc6' },
} as const;

// tpm2-tss logs every failure to stderr by itself; here a failure is an error object with a better text. Whoever
// wants that log sets TSS2_LOG. It must be set before the first call and stay: each module reads it when it first logs.
process.env['TSS2_LOG'] ??= 'all+none';

const loaded = new Map<string, SharedLibrary>();

/**
 * Loads a library, once.
 * @throws Refusal `tpm-library` that says which Debian package to install, `tpm-bindings` without ffi-napi
 */
export function loadLibrary({ soname, debian }: LibraryName): SharedLibrary {
  let library = loaded.get(soname);
  if (library === undefined) {
    const packages = ffiPackages();
    try {
      library = new SharedLibrary(soname, packages);
    } catch (error) {
      const detail = error instanceof Error ? error.message : String(error);
      const absent = detail === `${soname}: cannot open shared object file: No such file or directory`;
      const problem = absent ? 'is not installed' : `can't be loaded (${detail})`;
      refuse('tpm-library', `${soname} ${problem}: apt-get install ${debian}`, {
        library: soname,
        package: debian,
      });
    }
    loaded.set(soname, library);
  }
  return library;
}
