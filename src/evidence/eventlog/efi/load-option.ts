import { Reader } from '../../../base/index.ts';
import { devicePathText } from './device-path.ts';
import { utf16 } from './text.ts';

/** EFI_LOAD_OPTION: the value of a Boot#### variable. */
export interface LoadOption {
  readonly attributes: number;
  readonly description: string;
  readonly devicePath: string;
  /** What the firmware hands to the loaded image. */
  readonly optionalData: Uint8Array;
}

/**
 * Attributes u32, FilePathListLength u16, Description (UTF-16 with NUL), FilePathList, OptionalData
 * (UEFI 2.10 §3.1.3).
 * @throws Refusal `malformed`
 */
export function parseLoadOption(bytes: Uint8Array): LoadOption {
  const reader = new Reader(bytes, 'EFI_LOAD_OPTION');
  const attributes = reader.u32le();
  const pathLength = reader.u16le();
  const description = readDescription(reader);
  const devicePath = devicePathText(reader.bytes(pathLength));
  return { attributes, description, devicePath, optionalData: reader.rest() };
}

function readDescription(reader: Reader): string {
  const left = reader.peek(reader.remaining - (reader.remaining % 2)) ?? new Uint8Array();
  let length = 0;
  while (length < left.length && (left[length] !== 0 || left[length + 1] !== 0)) length += 2;
  if (length >= left.length) reader.malformed('description without NUL');
  const description = utf16(reader.bytes(length));
  reader.bytes(2);
  return description;
}

/** BootOrder: u16 numbers of Boot#### variables, as four hexadecimal digits. @throws Refusal `malformed` */
export function parseBootOrder(bytes: Uint8Array): string[] {
  const reader = new Reader(bytes, 'BootOrder');
  const order: string[] = [];
  while (reader.remaining > 0) order.push(reader.u16le().toString(16).toUpperCase().padStart(4, '0'));
  return order;
}
