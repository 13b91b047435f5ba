import { existsSync, readdirSync } from 'node:fs';
import { Refusal, refuse } from '../src/base/index.ts';
import { peerAddress, shutdownSocket } from './libc.ts';
import { LIBRARIES, loadLibrary } from './library.ts';
import { OutSlot } from './memory.ts';
import type { Address } from './memory.ts';
import { duringCall } from './process-gate.ts';
import { tpmError } from './tpm-error.ts';

/** The TCTI modules of tpm2-tss and of tpm2-abrmd, with their Debian 12 packages. */
const MODULES: Readonly<Record<string, { readonly debian: string; readonly example: string }>> = {
  device: { debian: 'libtss2-tcti-device0', example: 'device:/dev/tpmrm0' },
  swtpm: { debian: 'libtss2-tcti-swtpm0', example: 'swtpm:path=/run/swtpm/socket' },
  mssim: { debian: 'libtss2-tcti-mssim0', example: 'mssim:host=localhost,port=2321' },
  cmd: { debian: 'libtss2-tcti-cmd0', example: 'cmd:swtpm_ioctl' },
  tabrmd: { debian: 'libtss2-tcti-tabrmd0', example: 'tabrmd:bus_name=com.intel.tss2.Tabrmd' },
};

/**
 * Opens the way to a TPM.
 * @param tcti a configuration string of tpm2-tss, `module:options`
 * @returns a TSS2_TCTI_CONTEXT pointer
 * @throws Refusal `tpm-tcti` for a string that names no module; `tpm-library` when its module isn't installed;
 *   `tpm-unreachable` when nothing answers there; `tpm-timeout`
 */
export async function openTcti(tcti: string, timeoutMs: number): Promise<Address> {
  const name = tcti.split(':', 1)[0] ?? '';
  const module = Object.hasOwn(MODULES, name) ? MODULES[name] : undefined;
  if (module === undefined) {
    const examples = Object.values(MODULES).map(({ example }) => example);
    refuse('tpm-tcti', `"${tcti}" names no TCTI module; it looks like ${examples.join(', ')}`, { tcti });
  }
  loadLibrary({ soname: `libtss2-tcti-${name}.so.0`, debian: module.debian });
  const initialize = loadLibrary(LIBRARIES.tctildr).function('Tss2_TctiLdr_Initialize', 'u32', [
    'text',
    'memory',
  ]);
  const slot = new OutSlot();
  const opening = duringCall(() => initialize.start(tcti, slot.memory));
  const rc = await withTimeout(opening, timeoutMs, tcti, () => {
    // It answered after all: nobody waits for this connection any more.
    closeTcti(slot.address);
  });
  if (rc !== 0) throw unreachable(tcti, name, rc);
  return slot.address;
}

/** Closes the way to a TPM. */
export function closeTcti(context: Address): void {
  if (context === 0) return;
  const finalize = loadLibrary(LIBRARIES.tctildr).function('Tss2_TctiLdr_Finalize', 'void', ['memory']);
  finalize(new OutSlot(context).memory);
}

/**
 * Wakes the thread in which a command waits for an answer that doesn't come: while it is blocked, this process can't
 * even end. An emulator's socket is shut down, so the command fails; the kernel's driver gives up by itself.
 */
export function wakeLostCommand(tcti: string): void {
  const peers = peersOf(tcti);
  if (peers.length === 0) return;
  for (const name of readdirSync('/proc/self/fd')) {
    const peer = peerAddress(Number(name));
    if (peer !== null && peers.includes(peer)) shutdownSocket(Number(name));
  }
}

/** What an emulator's command and control sockets are connected to: paths, or ports (2321 if none is named). */
function peersOf(tcti: string): readonly (string | number)[] {
  if (!/^(swtpm|mssim)(:|$)/.test(tcti)) return [];
  const path = /[:,]path=([^,]+)/.exec(tcti)?.[1];
  if (path !== undefined) return [path, `${path}.ctrl`];
  const port = Number(/[:,]port=(\d+)/.exec(tcti)?.[1] ?? 2321);
  return [port, port + 1];
}

async function withTimeout(
  opening: Promise<number>,
  timeoutMs: number,
  tcti: string,
  late: () => void,
): Promise<number> {
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      void opening.then(late, () => undefined);
      wakeLostCommand(tcti);
      reject(new Refusal('tpm-timeout', `open ${tcti}: no answer within ${String(timeoutMs)} ms`, { tcti }));
    }, timeoutMs);
  });
  try {
    return await Promise.race([opening, timeout]);
  } finally {
    clearTimeout(timer);
  }
}

function unreachable(tcti: string, module: string, rc: number): Refusal {
  const { text, name } = tpmError(rc, `open ${tcti}`);
  if (name === 'TSS2_TCTI_RC_BAD_VALUE')
    return new Refusal('tpm-tcti', `"${tcti}" has options that the module ${module} doesn't take`, { tcti });
  const hint = module === 'device' ? deviceHint(tcti) : 'is a TPM (or emulator) listening there?';
  return new Refusal('tpm-unreachable', `${tcti} can't be opened (${text}): ${hint}`, { tcti, name });
}

function deviceHint(tcti: string): string {
  const device = tcti.slice('device:'.length) || '/dev/tpmrm0';
  return existsSync(device)
    ? `may this user read and write ${device}? It belongs to the agent's user`
    : `there is no ${device}: is the TPM enabled in the firmware, and its kernel module loaded?`;
}
