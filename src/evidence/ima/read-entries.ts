import { refuse, toHex } from '../../base/index.ts';
import type { HashName } from '../../tpm/index.ts';
import { pathText } from './path-text.ts';
import { ImaReplay } from './replay.ts';
import type { EntryView } from './replay.ts';
import { digestText } from './rules.ts';

/** An entry as the list claims it; a fact only for the first `consumed` entries of a `VerifiedIma`. */
export interface ImaEntry {
  readonly number: number;
  readonly pcr: number;
  readonly template: string;
  readonly violation: boolean;
  /** As `pathText` writes it; of a violation, no digest covers it. */
  readonly path: string;
  /** `sha256:…`, empty for a template without a digest. */
  readonly digest: string;
  /** True for templates that measure a buffer. */
  readonly buffer: boolean;
  readonly signed: boolean;
}

/** What a list says without a quote. */
export interface ImaReport {
  readonly entries: number;
  /** Entries by template. */
  readonly templates: Readonly<Record<string, number>>;
  readonly violations: number;
  /** Digest of the first boot_aggregate that is no violation, hex. */
  readonly bootAggregate: string | null;
  /** PCR values that the list gives, by bank and index, for kernels from 5.8 on. */
  readonly pcrs: Readonly<Record<string, Readonly<Record<string, string>>>>;
}

const REPORTED_BANKS: readonly HashName[] = ['sha1', 'sha256'];

/**
 * Calls `each` for the entries of a binary list, up to `count` of them: what `policy learn` reads from a list whose
 * first `count` entries were verified.
 * @throws Refusal `malformed`, `ima-template-digest`
 */
export function readImaEntries(
  list: Iterable<Uint8Array>,
  count: number,
  each: (entry: ImaEntry) => void,
): void {
  const visit = (view: EntryView): void => {
    if (view.number < count) each(entryOf(view));
  };
  const replay = new ImaReplay({ banks: [], firstEntry: 0, visit });
  for (const chunk of list) replay.push(chunk);
  replay.finish();
}

/**
 * Parses and replays a binary list.
 * @throws Refusal `malformed` (also for an empty file: that is no list), `ima-template-digest`
 */
export function inspectIma(list: Iterable<Uint8Array>): ImaReport {
  const templates = new Map<string, number>();
  let violations = 0;
  let bootAggregate: string | null = null;
  const visit = (view: EntryView): void => {
    templates.set(view.template.name, (templates.get(view.template.name) ?? 0) + 1);
    if (view.violation) violations++;
    else bootAggregate ??= bootAggregateOf(view);
  };
  const banks = REPORTED_BANKS.map((bank) => ({ bank, modes: ['hash'] as const }));
  const replay = new ImaReplay({ banks, firstEntry: 0, visit });
  for (const chunk of list) replay.push(chunk);
  const { entries, chains, otherPcrs } = replay.finish();
  if (entries === 0) refuse('malformed', 'IMA list: empty at offset 0', { structure: 'IMA list', offset: 0 });
  const pcrs: Record<string, Record<string, string>> = {};
  for (const [pcr, ofPcr] of chains) {
    if (pcr === 10 && entries === sum(otherPcrs.values())) continue;
    for (const chain of ofPcr) (pcrs[chain.bank] ??= {})[String(pcr)] = toHex(chain.value());
  }
  return { entries, templates: Object.fromEntries(templates), violations, bootAggregate, pcrs };
}

function sum(counts: Iterable<number>): number {
  let total = 0;
  for (const count of counts) total += count;
  return total;
}

function bootAggregateOf({ fields, batch }: EntryView): string | null {
  const { name, digest } = fields;
  if (batch.toString('latin1', name.at, name.at + name.length) !== 'boot_aggregate') return null;
  return batch.toString('hex', digest.at, digest.at + digest.length);
}

function entryOf({ number, pcr, template, violation, fields, batch }: EntryView): ImaEntry {
  const { name, digest, signature } = fields;
  const hex = batch.toString('hex', digest.at, digest.at + digest.length);
  return {
    number,
    pcr,
    template: template.name,
    violation,
    path: name.at === -1 ? '' : pathText(batch.toString('latin1', name.at, name.at + name.length)),
    digest: digest.at === -1 ? '' : digestText(fields.digestType, fields.algorithm, hex),
    buffer: template.buffer,
    signed: signature.length > 0,
  };
}
