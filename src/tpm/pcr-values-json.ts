import { fromHex, isJsonObject, parseJsonObject, refuse, toHex } from '../base/index.ts';
import type { JsonObject, JsonValue } from '../base/index.ts';
import { isHashName } from './algorithms.ts';
import type { HashName } from './algorithms.ts';
import type { ClaimedPcrs, PcrValue } from './quote/pcr-values.ts';

/** PCR values of every bank and index, in hex, with room for white space. */
const MAX_BYTES = 64 * 1024;
const STRUCTURE = 'PCR values';

/**
 * PCR values as JSON: `{"sha256":{"0":"hex"}}`, or an answer that has them as its member `pcrs`. Nothing about them
 * is verified.
 * @throws Refusal `malformed` for unknown banks, odd indexes, values that aren't hexadecimal
 */
export function parsePcrValues(bytes: Uint8Array): ClaimedPcrs {
  const document = parseJsonObject(bytes, STRUCTURE, { maxBytes: MAX_BYTES, maxDepth: 4 });
  const banks = Object.hasOwn(document, 'pcrs') ? requireObject(document['pcrs'], 'pcrs') : document;
  const claimed = new Map<HashName, ReadonlyMap<number, Uint8Array>>();
  for (const [bank, values] of Object.entries(banks)) {
    if (!isHashName(bank)) return malformed(`unknown bank "${bank}"`);
    claimed.set(bank, parseBank(bank, requireObject(values, bank)));
  }
  return claimed;
}

/** Verified or read values as `{"sha256":{"0":"hex"}}`. */
export function pcrValuesJson(values: Iterable<PcrValue>): JsonObject {
  const banks: Record<string, Record<string, string>> = {};
  for (const { bank, index, value } of values) (banks[bank] ??= {})[String(index)] = toHex(value);
  return banks;
}

function parseBank(bank: HashName, values: JsonObject): ReadonlyMap<number, Uint8Array> {
  const parsed = new Map<number, Uint8Array>();
  for (const [index, value] of Object.entries(values)) {
    if (!/^(0|[1-9]\d{0,3})$/.test(index)) return malformed(`"${index}" of ${bank} is no PCR index`);
    if (typeof value !== 'string') return malformed(`PCR ${index} of ${bank} is not a string`);
    parsed.set(Number(index), fromHex(value, `PCR ${index} of ${bank}`));
  }
  return parsed;
}

function requireObject(value: JsonValue | undefined, name: string): JsonObject {
  return isJsonObject(value) ? value : malformed(`"${name}" is not an object`);
}

function malformed(reason: string): never {
  refuse('malformed', `${STRUCTURE}: ${reason}`, { structure: STRUCTURE });
}
