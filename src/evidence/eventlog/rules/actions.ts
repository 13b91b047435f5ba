import { EV } from '../event-types.ts';
import { asciiText } from '../efi/text.ts';
import type { LogEvent } from '../log.ts';
import type { RuleContext } from './context.ts';

/** EV_EFI_ACTION strings (PC Client Platform Firmware Profile §10.4.4) that a rule gives a meaning. */
export const ACTION = {
  CALLING_APPLICATION: 'Calling EFI Application from Boot Option',
  RETURNING_FROM_APPLICATION: 'Returning from EFI Application from Boot Option',
  EXIT_BOOT_SERVICES: 'Exit Boot Services Invocation',
  EXIT_BOOT_SERVICES_FAILED: 'Exit Boot Services Returned with Failure',
  EXIT_BOOT_SERVICES_SUCCEEDED: 'Exit Boot Services Returned with Success',
  DEBUG_MODE: 'UEFI Debug Mode',
  DMA_PROTECTION_DISABLED: 'DMA Protection Disabled',
} as const;

const KNOWN = Object.values(ACTION);
/** All that firmware reports in PCR 7; another text could be one that makes secure boot worth nothing. */
const PCR7_ACTIONS = [ACTION.DEBUG_MODE, ACTION.DMA_PROTECTION_DISABLED];
/** PCRs whose facts depend on actions. In others firmware of coreboot's kind writes file names as EV_ACTION. */
const STRICT_PCRS = new Set([4, 5, 7]);
/** No firmware writes longer ones; a PE image, hashed as "action text", would be. */
const MAX_TEXT = 256;

/** True where the digest is that of a known action's text, which some firmware hashes with a NUL. */
export function isAction(context: RuleContext, event: LogEvent, text: string): boolean {
  return context.isConstant(event, text) || context.isConstant(event, `${text}\0`);
}

/** True for the types whose data is a string that is hashed as it is. */
export function isActionType(type: number): boolean {
  return type === EV.EFI_ACTION || type === EV.ACTION || type === EV.OMIT_BOOT_DEVICE_EVENTS;
}

/**
 * f2 and f4 for actions: their text hashes to the digest (with or without a NUL), is short printable ASCII, and a known
 * action doesn't hide under another type.
 */
export function checkActions(context: RuleContext): void {
  for (let pcr = 0; pcr <= 7; pcr++) {
    for (const event of context.events(pcr)) {
      if (isActionType(event.type)) checkText(context, event);
      else if (STRICT_PCRS.has(pcr) && KNOWN.some((text) => isAction(context, event, text)))
        context.problem(event, 'f4', 'the digest of an EFI action under another event type');
    }
  }
}

function checkText(context: RuleContext, event: LogEvent): void {
  const text = asciiText(event.data);
  const tied = context.isTied(event) || (text !== undefined && context.tieBy('action-text', event, text));
  const strict = STRICT_PCRS.has(event.pcr);
  if (!tied && (strict || event.type === EV.EFI_ACTION))
    context.problem(event, 'f2', 'the text of an action is not what was measured');
  else if (strict && (text === undefined || event.data.length > MAX_TEXT))
    context.problem(event, 'f2', 'an action that is not a short text');
  else if (event.pcr === 7 && !PCR7_ACTIONS.some((known) => isAction(context, event, known)))
    context.problem(event, 'f4', 'an action that has no known meaning for secure boot');
}
