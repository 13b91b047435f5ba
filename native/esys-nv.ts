import { concat, refuse } from '../src/base/index.ts';
import { TPMA_NV, parseNvPublic } from '../src/tpm/nv-public.ts';
import type { NvPublic } from '../src/tpm/nv-public.ts';
import { sessionsOf } from './authorization.ts';
import type { Caller } from './caller.ts';
import type { Authorization } from './authorization.ts';
import { ESYS_TR } from './esys-types.ts';
import type { EsysHandle } from './esys-types.ts';
import { PROPERTY, getHandles, getProperties } from './esys-capability.ts';
import { unsized, unsizedOf } from './wire.ts';

/** TPM_PT_NV_BUFFER_MAX of a TPM that doesn't tell. */
const SMALLEST_NV_BUFFER = 512;

/** Handles of all defined NV indexes. */
export function nvIndexes(caller: Caller): Promise<number[]> {
  return getHandles(caller, 'nv');
}

/** TPM2_NV_ReadPublic. @throws TpmError `TPM_RC_HANDLE` when the index isn't defined */
export async function nvReadPublic(caller: Caller, nvIndex: number): Promise<NvPublic> {
  return withIndex(caller, nvIndex, async (esys) => (await readPublic(caller, esys)).area);
}

/**
 * The whole data of an NV index, in as many TPM2_NV_Read as its size needs; authorized by the index itself where it
 * allows that, else by the owner.
 * @throws TpmError `TPM_RC_HANDLE` when it isn't defined; Refusal `tpm-nv` when neither may read it
 */
export async function nvRead(
  caller: Caller,
  nvIndex: number,
  authorization: Authorization = {},
): Promise<Uint8Array> {
  const chunk =
    (await getProperties(caller, PROPERTY.nvBufferMax)).get(PROPERTY.nvBufferMax) ?? SMALLEST_NV_BUFFER;
  return withIndex(caller, nvIndex, async (esys) => {
    const { area } = await readPublic(caller, esys);
    const authority = reader(area, esys);
    const parts: Uint8Array[] = [];
    for (let offset = 0; offset < area.dataSize; offset += chunk) {
      const size = Math.min(chunk, area.dataSize - offset);
      const [wire] = await caller.command('NV_Read', {
        handles: [authority, esys],
        sessions: sessionsOf(1, authorization),
        in: [size, offset],
      });
      parts.push(unsizedOf('TPM2B_MAX_NV_BUFFER', wire, size, size));
    }
    return concat(parts);
  });
}

function reader(area: NvPublic, index: EsysHandle): EsysHandle {
  if ((area.attributes & TPMA_NV.AUTHREAD) !== 0) return index;
  if ((area.attributes & TPMA_NV.OWNERREAD) !== 0) return ESYS_TR.OWNER;
  return refuse(
    'tpm-nv',
    `NV index 0x${area.nvIndex.toString(16)} can be read neither by its own authorization nor by the owner`,
    {
      nvIndex: area.nvIndex,
    },
  );
}

async function readPublic(caller: Caller, esys: EsysHandle): Promise<{ readonly area: NvPublic }> {
  const [wire] = await caller.command('NV_ReadPublic', { handles: [esys], in: [] });
  return { area: parseNvPublic(unsized('TPM2B_NV_PUBLIC', wire)) };
}

/** ESAPI knows an index by a handle of its own, which must be given back. */
async function withIndex<T>(
  caller: Caller,
  nvIndex: number,
  use: (esys: EsysHandle) => Promise<T>,
): Promise<T> {
  const esys = await caller.connection.acquire(nvIndex, caller.signal);
  try {
    return await use(esys);
  } finally {
    await caller.connection.release(esys);
  }
}
