import { EV, eventTypeName } from '../event-types.ts';
import type { RuleContext } from './context.ts';

const EVERYWHERE = [EV.SEPARATOR, EV.ACTION, EV.EFI_ACTION];
const VARIABLES = [EV.EFI_VARIABLE_DRIVER_CONFIG, EV.EFI_VARIABLE_BOOT, EV.EFI_VARIABLE_BOOT2];
const BLOBS = [
  EV.EFI_PLATFORM_FIRMWARE_BLOB,
  EV.EFI_PLATFORM_FIRMWARE_BLOB2,
  EV.EFI_HANDOFF_TABLES,
  EV.EFI_HANDOFF_TABLES2,
  EV.EVENT_TAG,
  EV.COMPACT_HASH,
];
const DRIVERS = [EV.EFI_BOOT_SERVICES_DRIVER, EV.EFI_RUNTIME_SERVICES_DRIVER];
const NON_HOST = [EV.NONHOST_CODE, EV.NONHOST_CONFIG, EV.NONHOST_INFO];
const CONFIGURATION = [EV.CPU_MICROCODE, EV.PLATFORM_CONFIG_FLAGS, EV.TABLE_OF_DEVICES];
const SPDM = [EV.EFI_SPDM_FIRMWARE_BLOB, EV.EFI_SPDM_FIRMWARE_CONFIG];
const HOST_CODE = [EV.POST_CODE, EV.POST_CODE2, EV.S_CRTM_CONTENTS, EV.S_CRTM_VERSION, EV.EFI_HCRTM_EVENT];
/** What is started in PCR 4; a firmware blob is *not* one of them. */
const IMAGES = [EV.EFI_BOOT_SERVICES_APPLICATION, ...DRIVERS, EV.IPL];
const OS = [EV.IPL, EV.EVENT_TAG, EV.COMPACT_HASH, EV.SEPARATOR, EV.ACTION, EV.EFI_ACTION];

/** f4: per PCR, the types that real firmware, boot loaders and kernels use there. Wide where no fact is made. */
const ALLOWED: Readonly<Record<number, ReadonlySet<number>>> = {
  0: new Set([...EVERYWHERE, ...HOST_CODE, ...BLOBS, ...DRIVERS, ...NON_HOST, ...CONFIGURATION, ...SPDM]),
  1: new Set([...EVERYWHERE, ...HOST_CODE, ...BLOBS, ...VARIABLES, ...NON_HOST, ...CONFIGURATION, ...SPDM]),
  2: new Set([
    ...EVERYWHERE,
    ...BLOBS,
    ...DRIVERS,
    ...NON_HOST,
    ...SPDM,
    EV.EFI_BOOT_SERVICES_APPLICATION,
    EV.TABLE_OF_DEVICES,
  ]),
  3: new Set([...EVERYWHERE, ...BLOBS, ...VARIABLES, ...NON_HOST, ...CONFIGURATION, ...SPDM]),
  4: new Set([...EVERYWHERE, ...IMAGES, EV.OMIT_BOOT_DEVICE_EVENTS]),
  5: new Set([
    ...EVERYWHERE,
    ...VARIABLES,
    ...BLOBS,
    EV.EFI_GPT_EVENT,
    EV.EFI_GPT_EVENT2,
    EV.IPL,
    EV.IPL_PARTITION_DATA,
  ]),
  6: new Set([...EVERYWHERE, ...HOST_CODE, ...BLOBS, ...VARIABLES, ...NON_HOST, ...CONFIGURATION, EV.IPL]),
  7: new Set([
    EV.SEPARATOR,
    EV.EFI_ACTION,
    EV.EFI_VARIABLE_DRIVER_CONFIG,
    EV.EFI_VARIABLE_AUTHORITY,
    EV.EFI_SPDM_DEVICE_POLICY,
    EV.EFI_SPDM_DEVICE_AUTHORITY,
  ]),
  // f10: GRUB writes EV_IPL only; the kernel's stub adds tagged events in PCR 9.
  8: new Set([EV.IPL]),
  9: new Set([EV.IPL, EV.EVENT_TAG]),
  11: new Set(OS),
  12: new Set(OS),
  13: new Set(OS),
  14: new Set(OS),
};

/** f4: an event type that doesn't belong into its PCR costs the facts of that PCR, never of another. */
export function checkTypes(context: RuleContext): void {
  for (const [key, allowed] of Object.entries(ALLOWED)) {
    for (const event of context.events(Number(key))) {
      if (allowed.has(event.type)) continue;
      const rule = event.pcr === 8 || event.pcr === 9 ? 'f10' : 'f4';
      context.problem(event, rule, `${eventTypeName(event.type)} doesn't belong into PCR ${key}`);
    }
  }
}
