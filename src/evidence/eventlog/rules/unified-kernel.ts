import { utf16 } from '../efi/text.ts';
import type { EventLogFacts, SectionFacts } from '../facts.ts';
import type { LogEvent } from '../log.ts';
import type { RuleContext } from './context.ts';

/** PE sections that systemd-stub measures into PCR 11 (UAPI.5 "Unified Kernel Image"). */
const SECTIONS = [
  '.linux',
  '.osrel',
  '.cmdline',
  '.initrd',
  '.ucode',
  '.splash',
  '.dtb',
  '.dtbauto',
  '.hwids',
  '.efifw',
  '.uname',
  '.sbat',
  '.pcrpkey',
  '.profile',
];

/**
 * PCR 11 of a unified kernel image: for each section the digest of its name with a NUL, then that of its content (f10).
 * The name's digest is recognised itself, so the label beside it decides nothing.
 */
export function unifiedKernelFacts(context: RuleContext): EventLogFacts {
  const events = context.events(11);
  const [first] = events;
  if (first === undefined || sectionName(context, first) === undefined) return {};
  const sections: SectionFacts[] = [];
  for (let i = 0; i < events.length; i += 2) {
    const [nameEvent, content] = [events[i], events[i + 1]];
    const name = nameEvent && sectionName(context, nameEvent);
    if (nameEvent === undefined) break;
    if (name === undefined || content === undefined) {
      context.problem(nameEvent, 'f10', 'not a pair of section name and section content');
      break;
    }
    context.tieBy('section-name', nameEvent, `${name}\0`);
    sections.push({ name, ...context.measurement(content) });
  }
  return { unifiedKernelImage: { sections } };
}

function sectionName(context: RuleContext, event: LogEvent): string | undefined {
  const known = SECTIONS.find((name) => context.isConstant(event, `${name}\0`));
  // What only one bank calls a section has no name: in the others something else was measured.
  if (known !== undefined) return context.matches(event, `${known}\0`) ? known : undefined;
  // A section of a later version: its name is the event's own data.
  const label = utf16(event.data).replace(/\0+$/, '');
  return /^\.[a-z0-9]{1,15}$/.test(label) && context.matches(event, `${label}\0`) ? label : undefined;
}
