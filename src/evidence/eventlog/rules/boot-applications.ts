import type { EventLogFacts } from '../facts.ts';
import { ACTION, isAction, isActionType } from './actions.ts';
import type { RuleContext } from './context.ts';
import { isSeparator } from './separators.ts';

/**
 * PCR 4 and 5: the Authenticode digests of all images that were started (f3, f8, f9).
 *
 * Every event of PCR 4 that is neither its separator nor a proven action counts as an image, whatever its type: calling
 * one something else doesn't take it off the list. Order between PCR 4 and 5 is not provable, so appraisal asks that
 * *all* of them are allowed; and where the firmware doesn't measure ExitBootServices, nothing says that the list is the
 * firmware's own, so it is reported as unknown.
 */
export function bootApplicationFacts(context: RuleContext): EventLogFacts {
  const images = context
    .events(4)
    .filter((event) => !isSeparator(context, event) && !isActionType(event.type));
  for (const image of images) {
    if (context.isTied(image))
      context.problem(image, 'f3', 'an image load event whose own data was measured: not an image');
  }
  const attempts = context.events(4).filter((event) => isAction(context, event, ACTION.CALLING_APPLICATION));
  const [, second] = attempts;
  if (second !== undefined && !context.allows('multiple-boot-attempts'))
    context.problem(second, 'f8', `${String(attempts.length)} boot attempts`);

  const exitBootServices = context
    .events(5)
    .some((event) => isAction(context, event, ACTION.EXIT_BOOT_SERVICES));
  if (!exitBootServices && !context.allows('unbounded-boot-applications')) return { exitBootServices };
  return { exitBootServices, bootApplications: images.map((event) => context.measurement(event)) };
}
