import type { Tpm } from '../../native/index.ts';

/** Where a TPM is looked for when nobody says: the resource manager of the kernel. */
export const DEFAULT_TCTI = 'device:/dev/tpmrm0';

/** The TCTI to use: the given one, else that of the environment, else {@link DEFAULT_TCTI}. */
export function tctiOf(given: string | undefined, environment: NodeJS.ProcessEnv): string {
  return given ?? environment['SEALGATE_TCTI'] ?? environment['TPM2TOOLS_TCTI'] ?? DEFAULT_TCTI;
}

/**
 * Opens a TPM. The one place that loads node-tpm2, when it is needed and not before: a verifier has no use for it.
 * @param tcti a configuration string of tpm2-tss
 * @throws Refusal `tpm-bindings` without ffi-napi; `tpm-library`, `tpm-tcti`, `tpm-unreachable` as node-tpm2 does
 */
export async function openTpm(tcti: string): Promise<Tpm> {
  const native = await loadNative();
  return await native.Tpm.open(tcti);
}

/** node-tpm2, for what else it knows of the machine (SO_PEERCRED, flock). */
export async function loadNative(): Promise<typeof import('../../native/index.ts')> {
  return await import('../../native/index.ts');
}
