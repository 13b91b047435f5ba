import { Reader, Refusal, printable, toHex } from '../../base/index.ts';
import type { HashName } from '../../tpm/index.ts';
import { untrustedImagePath } from './efi/image-load.ts';
import { parseBootOrder, parseLoadOption } from './efi/load-option.ts';
import { parseSignatureLists } from './efi/signature-list.ts';
import { bootLoaderText, plainText, shortHex } from './efi/text.ts';
import { parseVariable } from './efi/variable.ts';
import type { EfiVariable } from './efi/variable.ts';
import { EV, eventTypeName } from './event-types.ts';
import type { LogEvent } from './log.ts';
import type { DataTie } from './rules/context.ts';
import { isSpecId, parseSpecId } from './spec-id.ts';
import { readStartup } from './startup.ts';

/** An event as it is shown. `data` is decoded and escaped, and true only as far as `verified` says. */
export interface EventView {
  readonly index: number;
  readonly pcr: number;
  readonly type: string;
  readonly digests: Readonly<Partial<Record<HashName, string>>>;
  readonly data: string;
  readonly size: number;
  /** `digest`: it hashes to the digest; `rule:…`: a sub-rule of f2 ties it; `no`: anybody may have written it. */
  readonly verified: DataTie;
}

const VARIABLES: ReadonlySet<number> = new Set([
  EV.EFI_VARIABLE_DRIVER_CONFIG,
  EV.EFI_VARIABLE_BOOT,
  EV.EFI_VARIABLE_BOOT2,
  EV.EFI_VARIABLE_AUTHORITY,
]);
const IMAGES: ReadonlySet<number> = new Set([
  EV.EFI_BOOT_SERVICES_APPLICATION,
  EV.EFI_BOOT_SERVICES_DRIVER,
  EV.EFI_RUNTIME_SERVICES_DRIVER,
]);

/** One event for people and for JSON. Never throws on data that doesn't decode: that is shown as hex. */
export function describeEvent(event: LogEvent, tie: DataTie): EventView {
  const digests = Object.fromEntries(Object.entries(event.digests).map(([bank, d]) => [bank, toHex(d)]));
  return {
    index: event.index,
    pcr: event.pcr,
    type: eventTypeName(event.type),
    digests,
    data: printable(decoded(event)),
    size: event.data.length,
    verified: tie,
  };
}

function decoded(event: LogEvent): string {
  try {
    return decode(event) ?? fallback(event.data);
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    return fallback(event.data);
  }
}

function decode(event: LogEvent): string | undefined {
  const { type, data } = event;
  if (type === EV.NO_ACTION) return noAction(event);
  if (type === EV.SEPARATOR) return shortHex(data);
  if (VARIABLES.has(type)) {
    const variable = parseVariable(data);
    return variable && `${variable.name} (${variable.guid}) = ${variableValue(variable)}`;
  }
  if (IMAGES.has(type)) return untrustedImagePath(data) || undefined;
  if (type === EV.EVENT_TAG) return taggedEvent(data);
  // GRUB's text is UTF-8 and may hold line breaks; what isn't text at all falls through to hex.
  if (type === EV.IPL) return plainText(data) ?? bootLoaderText(data).replace(/\0$/, '');
  return undefined;
}

function fallback(data: Uint8Array): string {
  return plainText(data) ?? shortHex(data);
}

function noAction(event: LogEvent): string | undefined {
  const { data } = event;
  if (isSpecId(data)) {
    const ids = parseSpecId(data).algorithms.map(({ id }) => `0x${id.toString(16).padStart(4, '0')}`);
    return `Spec ID Event03, digests ${ids.join(' ')}`;
  }
  const { locality, stated } = readStartup({ events: [event] });
  if (stated) return `StartupLocality ${String(locality)}`;
  // SP800-155 and vendor events begin with a 16-byte signature.
  const signature = new Reader(data, 'EV_NO_ACTION').peek(16);
  const text = signature && plainText(signature);
  return text && `${text} (${String(data.length)} bytes)`;
}

function variableValue({ name, value }: EfiVariable): string {
  if (value.length === 0) return '(empty)';
  if (name === 'BootOrder') return parseBootOrder(value).join(' ');
  if (/^Boot[0-9A-F]{4}$/.test(name)) {
    const { description, devicePath } = parseLoadOption(value);
    return `${description}: ${devicePath}`;
  }
  if (name === 'PK' || name === 'KEK' || name === 'dbx' || (name === 'db' && isList(value))) {
    const { certificates, hashes, others } = parseSignatureLists(value);
    return `${String(certificates.length)} certificates, ${String(hashes.length)} hashes, ${String(others.length)} others`;
  }
  return fallback(value);
}

function isList(value: Uint8Array): boolean {
  const reader = new Reader(value, 'EFI_SIGNATURE_LIST');
  if (reader.remaining < 28) return false;
  reader.bytes(16);
  return reader.u32le() <= value.length;
}

/** TCG_PCClientTaggedEvent: tag u32, size u32, data. */
function taggedEvent(data: Uint8Array): string | undefined {
  const reader = new Reader(data, 'TCG_PCClientTaggedEvent');
  if (reader.remaining < 8) return undefined;
  const tag = reader.u32le();
  const size = reader.u32le();
  if (size !== reader.remaining) return undefined;
  return `tag 0x${tag.toString(16).padStart(8, '0')}: ${fallback(reader.rest())}`;
}
