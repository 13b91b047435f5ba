import { plainText } from '../efi/text.ts';
import { EV } from '../event-types.ts';
import type { EventLogFacts } from '../facts.ts';
import { extendsPcr } from '../replay.ts';
import { readStartup } from '../startup.ts';
import type { RuleContext } from './context.ts';
import { isSeparator } from './separators.ts';

/**
 * (f): every event has each declared digest; EV_NO_ACTION has a zero digest (Windows' own ones in no PCR excepted); PCR 0
 * starts as the events allow.
 */
export function checkFormat(context: RuleContext): void {
  for (const event of context.log.events) {
    if (!event.complete) context.problem(event, 'f', 'a digest of a declared bank is missing');
    if (extendsPcr(event) || event.pcr > 23) continue;
    if (!Object.values(event.digests).every((digest) => digest.every((byte) => byte === 0)))
      context.problem(event, 'f', 'EV_NO_ACTION with a digest: it was never extended');
  }
  for (const { event, reason } of readStartup(context.log).problems) {
    const record = context.log.events[event];
    if (record !== undefined) context.problem(record, 'f', reason);
  }
}

/** PCR 0 and 2: digests of firmware and drivers (f3), and the texts among them that are hashed themselves. */
export function firmwareFacts(context: RuleContext): EventLogFacts {
  const events = context.events(0).filter((event) => !isSeparator(context, event));
  const versions: string[] = [];
  for (const event of events) {
    // Other firmware logs a name for what it measured as EV_NONHOST_INFO; a text must be what was measured.
    const isText = event.type === EV.NONHOST_INFO && plainText(event.data) !== undefined;
    if ((event.type === EV.S_CRTM_VERSION || isText) && !context.isTied(event))
      context.problem(event, 'f2', 'version that is not what was measured');
    const text = context.isTied(event) ? plainText(event.data) : undefined;
    if (text !== undefined) versions.push(text.replace(/\0+$/, ''));
  }
  const drivers = context.events(2).filter((event) => !isSeparator(context, event));
  return {
    firmware: { versions, measurements: events.map((event) => context.measurement(event)) },
    drivers: drivers.map((event) => context.measurement(event)),
  };
}
