import { Reader } from '../../../base/index.ts';
import { devicePathText } from './device-path.ts';

/**
 * UEFI_IMAGE_LOAD_EVENT: location, length and link-time address (u64 each), length of the device path (u64), path.
 * No digest covers any of it: for showing only, never for a decision.
 * @returns the path as text, empty where the firmware gave none
 * @throws Refusal `malformed`
 */
export function untrustedImagePath(data: Uint8Array): string {
  const reader = new Reader(data, 'UEFI_IMAGE_LOAD_EVENT');
  reader.bytes(24);
  const length = reader.u64le();
  if (length > BigInt(reader.remaining)) reader.malformed(`device path of ${String(length)} bytes`);
  return length === 0n ? '' : devicePathText(reader.bytes(Number(length)));
}
