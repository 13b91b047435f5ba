import type { Reader } from '../../../base/index.ts';
import { toHex } from '../../../base/index.ts';

/** Vendor GUIDs of variables that a rule names (UEFI 2.10 §3.3 and §32.6; shim). */
export const GUID = {
  EFI_GLOBAL_VARIABLE: '8be4df61-93ca-11d2-aa0d-00e098032b8c',
  EFI_IMAGE_SECURITY_DATABASE: 'd719b2cb-3d3a-4596-a3bc-dad00e67656f',
  SHIM_LOCK: '605dab50-e046-4300-abb6-3dd810dd8b23',
} as const;

/** An EFI_GUID: the first three fields are little-endian. */
export function readGuid(reader: Reader): string {
  const hex = toHex(reader.bytes(16));
  // A dbx has hundreds of these, so the bytes are put in order without an array.
  const part = (from: number): string => hex.substring(2 * from, 2 * from + 2);
  const first = part(3) + part(2) + part(1) + part(0);
  return `${first}-${part(5)}${part(4)}-${part(7)}${part(6)}-${hex.substring(16, 20)}-${hex.substring(20)}`;
}
