import { refuse } from '../base/index.ts';
import type { Tpm } from '../../native/index.ts';

/** Where a TPM is looked for when nobody says: the resource manager of the kernel. */
export const DEFAULT_TCTI = 'device:/dev/tpmrm0';

/** The TCTI to use: the given one, else that of the environment, else {@link DEFAULT_TCTI}. */
export function tctiOf(given: string | undefined, environment: NodeJS.ProcessEnv): string {
  return given ?? environment['SEALGATE_TCTI'] ?? environment['TPM2TOOLS_TCTI'] ?? DEFAULT_TCTI;
}

/**
 * Opens a TPM. The one place that loads node-tpm2, when it is needed and not before: a verifier runs where neither
 * ffi-napi nor the TPM software stack is installed.
 * @param tcti a configuration string of tpm2-tss
 * @throws Refusal `tpm-bindings` without ffi-napi; `tpm-library`, `tpm-tcti`, `tpm-unreachable` as node-tpm2 does
 */
export async function openTpm(tcti: string): Promise<Tpm> {
  const native = await loadNative();
  return await native.Tpm.open(tcti);
}

/** node-tpm2, for what else it knows of the machine (SO_PEERCRED, flock). @throws Refusal `tpm-bindings` */
export async function loadNative(): Promise<typeof import('../../native/index.ts')> {
  try {
    return await import('../../native/index.ts');
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    if (!isMissing(error, reason)) throw error;
    return refuse('tpm-bindings', `the optional packages ffi-napi and ref-napi can’t be loaded: ${reason}`);
  }
}

const MISSING = ['ERR_MODULE_NOT_FOUND', 'MODULE_NOT_FOUND', 'ERR_DLOPEN_FAILED'];

/** Not installed, built for another machine, or (node-gyp-build has no code for it) without a binary for this one. */
function isMissing(error: unknown, reason: string): boolean {
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  return MISSING.includes(code) || reason.startsWith('No native build was found');
}
