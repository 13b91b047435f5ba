import { Reader } from '../../../base/index.ts';
import { readGuid } from './guid.ts';
import { utf16 } from './text.ts';

/** UEFI_VARIABLE_DATA (PC Client Platform Firmware Profile §10.2.6). */
export interface EfiVariable {
  readonly guid: string;
  readonly name: string;
  /** VariableData, a view. */
  readonly value: Uint8Array;
  /** Bytes after VariableData: 0 except in authority events of old shim. */
  readonly trailing: number;
}

/**
 * VariableName GUID, UnicodeNameLength u64, VariableDataLength u64 (characters and bytes), name, data;
 * little-endian.
 * @returns undefined when the lengths don't fit or the name is empty: events of other types are tried too, so that
 * a renamed type doesn't hide a variable
 */
export function parseVariable(data: Uint8Array): EfiVariable | undefined {
  const reader = new Reader(data, 'UEFI_VARIABLE_DATA');
  if (reader.remaining < 32) return undefined;
  const guid = reader.nested(16, 'EFI_GUID');
  const nameLength = reader.u64le();
  const valueLength = reader.u64le();
  // Bounded as bigint: a sum of two u64 must not lose bits.
  if (nameLength === 0n || 2n * nameLength + valueLength > BigInt(reader.remaining)) return undefined;
  const name = utf16(reader.bytes(2 * Number(nameLength)));
  const value = reader.bytes(Number(valueLength));
  return { guid: readGuid(guid), name, value, trailing: reader.remaining };
}
