import { Reader, concat } from '../../../base/index.ts';
import { bootLoaderText, plainText } from '../efi/text.ts';
import type { EventLogFacts, Measurement } from '../facts.ts';
import type { LogEvent } from '../log.ts';
import type { RuleContext } from './context.ts';

/** What GRUB writes before the text that it hashes (2.04 and later; Red Hat's patches before). */
const GRUB_LABELS = [
  'grub_cmd: ',
  'kernel_cmdline: ',
  'module_cmdline: ',
  'grub_cmd ',
  'grub_kernel_cmdline ',
  'grub_module_cmdline ',
];
/** systemd-stub's labels for cpio archives: the archive is hashed, not the label. */
const STUB_ARCHIVES = new Set([
  'Credentials initrd',
  'Global credentials initrd',
  'System extension initrd',
  'Configuration extension initrd',
]);

/**
 * PCR 8, 9, 12, 13, 14: what the boot loader did (f10).
 *
 * GRUB's labels are not hashed, so what is a kernel command line is told by its text: it begins with the path of the
 * kernel, and no command does. At most one may exist; an event of PCR 8 that can't be read could be a second.
 */
export function bootLoaderFacts(context: RuleContext): EventLogFacts {
  const { commands, lines } = readGrub(context);
  const stub = stubCommandLines(context);
  const distinct = [...new Set([...lines, ...(stub ?? [])])];
  return {
    grubCommands: commands,
    ...(isCommandLineKnown(context, distinct, stub) && { kernelCommandLine: distinct }),
    bootFiles: measurements(context, 9),
    stubParameters: measurements(context, 12),
    systemExtensions: measurements(context, 13),
    mok: measurements(context, 14),
  };
}

function readGrub(context: RuleContext): { commands: string[]; lines: string[] } {
  const commands: string[] = [];
  const lines: string[] = [];
  for (const event of context.events(8)) {
    const text = measuredText(context, event);
    if (text === undefined) {
      context.problem(event, 'f2', 'a boot loader event whose text is not what was measured');
    } else if (/^[/(]/.test(text) || context.tie(event) !== 'rule:grub') {
      if (lines.length > 0 && !lines.includes(text))
        context.problem(event, 'f10', 'a second kernel command line');
      lines.push(text);
    } else {
      if (/^(grub_)?kernel_cmdline/.test(bootLoaderText(event.data)))
        context.problem(event, 'f10', 'a kernel command line that begins with no path');
      commands.push(text);
    }
  }
  return { commands, lines };
}

/** The text behind a label of GRUB, or an UTF-16 command line of systemd-boot. */
function measuredText(context: RuleContext, event: LogEvent): string | undefined {
  const reader = new Reader(event.data, 'EV_IPL');
  const head = Buffer.from(reader.peek(Math.min(LONGEST_LABEL, reader.remaining)) ?? []).toString('latin1');
  const label = GRUB_LABELS.find((candidate) => head.startsWith(candidate));
  if (label !== undefined) {
    reader.bytes(label.length);
    const text = reader.bytes(reader.remaining - (event.data.at(-1) === 0 ? 1 : 0));
    if (context.tieBy('grub', event, text) || context.tieBy('grub', event, concat([text, NUL])))
      return bootLoaderText(text);
  }
  if (context.isTied(event)) return plainText(event.data);
  // systemd-boot before 251 logged the text with one byte of its two-byte NUL.
  const whole = concat([event.data, NUL]);
  return event.data.length % 2 === 1 && context.tieBy('systemd-boot', event, whole)
    ? plainText(whole)
    : undefined;
}

const NUL = new Uint8Array(1);
const LONGEST_LABEL = 24;

/** PCR 12: UTF-16 texts that are hashed themselves; undefined when something there can't be read. */
function stubCommandLines(context: RuleContext): string[] | undefined {
  const lines: string[] = [];
  let known = true;
  for (const event of context.events(12)) {
    const text = plainText(event.data);
    if (text !== undefined && context.isTied(event)) lines.push(text);
    else {
      known = false;
      const isArchive = text !== undefined && STUB_ARCHIVES.has(text);
      if (text !== undefined && !isArchive)
        context.problem(event, 'f2', 'a parameter of systemd-stub whose text is not what was measured');
    }
  }
  return known ? lines : undefined;
}

/** "None was measured" is a fact only when nothing could have carried one unseen. */
function isCommandLineKnown(
  context: RuleContext,
  lines: readonly string[],
  stub: readonly string[] | undefined,
): boolean {
  if (stub === undefined || !context.sound(12)) return false;
  return lines.length > 0 || context.events(11).length === 0;
}

function measurements(context: RuleContext, pcr: number): Measurement[] {
  return context.events(pcr).map((event) => context.measurement(event));
}
