import { EV } from '../event-types.ts';
import type { LogEvent } from '../log.ts';
import type { RuleContext } from './context.ts';

const FIRMWARE_PCRS = [0, 1, 2, 3, 4, 5, 6, 7];
const NORMAL = '\0\0\0\0';
/** The firmware failed: FFFFFFFF since TCG 1.2, 00000001 in the TPM 2.0 profile. */
const ERROR = '\xff\xff\xff\xff';
const ERRORS = [ERROR, '\x01\0\0\0'];

/**
 * The digest (not the type, which nothing covers) says that an event is a separator. One exception from real machines:
 * a Firmware Interface Table record of four zero bytes, measured as S-CRTM contents of PCR 0. It can't stand in for the
 * separator, which is still required.
 */
export function isSeparator(context: RuleContext, event: LogEvent): boolean {
  return context.isConstant(event, NORMAL) && !(event.pcr === 0 && event.type === EV.S_CRTM_CONTENTS);
}

/**
 * f5: exactly one separator in each of PCR 0–7, also in those that nothing else was measured into, as soon as the log
 * measures anything there; a separator's digest is that of its data 00000000, and whatever has a separator's digest is
 * one. A type that lies in either direction would move the border between firmware and operating system.
 */
export function checkSeparators(context: RuleContext): void {
  const last = FIRMWARE_PCRS.flatMap((pcr) => context.events(pcr).slice(-1)).reduce<LogEvent | undefined>(
    (a, b) => (a === undefined || a.index < b.index ? b : a),
    undefined,
  );
  if (last === undefined) return;
  for (const pcr of FIRMWARE_PCRS) {
    const events = context.events(pcr);
    const separators = events.filter((event) => checkOne(context, event));
    const [, second] = separators;
    if (second !== undefined) context.problem(second, 'f5', `a second separator in PCR ${String(pcr)}`);
    // PCR 7 has no exception: without its separator nothing tells configuration from what ran later.
    const excused = pcr !== 7 && context.allows('missing-separators');
    if (separators.length === 0 && !excused) {
      const { index } = events[0] ?? last;
      context.problem({ index, pcr }, 'f5', `no separator in PCR ${String(pcr)}`);
    }
  }
}

/** Checks one event; true when it counts as its PCR's separator. */
function checkOne(context: RuleContext, event: LogEvent): boolean {
  const separates = isSeparator(context, event);
  if (event.type !== EV.SEPARATOR) {
    // Not 00000001: that is also the value of a boot order, hashed alone by some firmware.
    if (separates || context.isConstant(event, ERROR))
      context.problem(event, 'f5', 'a separator under another event type');
    return separates;
  }
  if (ERRORS.some((text) => context.isConstant(event, text)))
    context.problem(event, 'f5', 'the firmware reported an error before it started the boot loader');
  // In every bank: a digest of its own in one of them is something else that was measured there.
  else if (!context.matches(event, NORMAL) || event.data.length !== NORMAL.length || event.data.some(Boolean))
    context.problem(event, 'f5', 'separator whose digest is not that of 00000000');
  return true;
}
