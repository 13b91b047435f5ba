import { createHash } from 'node:crypto';
import { parseJsonObject, refuse, shape, toBase64url, toHex, utf8 } from '../base/index.ts';
import type { JsonObject } from '../base/index.ts';
import { frameEntries } from '../evidence/index.ts';
import type { BootCounters } from '../evidence/index.ts';
import { EVIDENCE_TYPE } from '../lifecycle/index.ts';
import { parseAttest } from '../tpm/index.ts';
import type { HostChallenge } from './challenge.ts';
import type { Host } from './host.ts';
import type { HostQuote } from './quote.ts';
import { STATE_FILES } from './state-directory.ts';
import type { StateDirectory } from './state-directory.ts';

/** Evidence as it is sent, and what is to be remembered of it once the verifier has accepted it. */
export interface HostEvidence {
  /** The CMW collection. */
  readonly collection: JsonObject;
  /** SHA-256 (hex) of each record's bytes by name: what the leaf of an allow must name. */
  readonly digests: ReadonlyMap<string, string>;
  /** To be called when an answer to this evidence was accepted. */
  accepted(): void;
}

/** CMW indicator: this record is evidence. */
const EVIDENCE_INDICATOR = 4;
const MEDIA_TYPE = 'application/vnd.sealgate';

/**
 * Evidence for a quote. Event log and known IMA entries are left out only when the challenge says so and the verifier
 * has accepted a quote of this very boot: what it knows is of the boot of the last one that it accepted.
 * The IMA list is read here, so after the quote.
 * @param tree manifest of an artifact that is a tree
 * @throws Refusal `agent-log`, `malformed` for a list that is no IMA list
 */
export function hostEvidence(
  host: Host,
  challenge: Pick<HostChallenge, 'eventLog' | 'imaOffset'>,
  quote: HostQuote,
  tree?: Uint8Array,
): HostEvidence {
  const { resetCount, restartCount } = parseAttest(quote.attest).clockInfo;
  const boot = { resetCount, restartCount };
  const known = sameBoot(readSeen(host.state), boot);
  const records = new Map<string, { readonly type: string; readonly data: Uint8Array }>();
  const add = (name: string, type: string, data: Uint8Array): void => {
    records.set(name, { type: `${MEDIA_TYPE}.${type}`, data });
  };
  const { attest, signature, pcrs } = quote;
  const quoteJson = { attest: toBase64url(attest), signature: toBase64url(signature) };
  add('quote', 'quote+json', utf8(JSON.stringify(quoteJson)));
  add('pcrs', 'pcrs+json', utf8(JSON.stringify(pcrs)));
  const logs = host.evidenceLogs();
  const eventLog = known && challenge.eventLog === 'unchanged' ? null : logs.eventLog();
  if (eventLog !== null) add('uefi-log', 'uefi-log', eventLog);
  const list = logs.imaList();
  if (list !== null) {
    const { tail, offset } = imaTail(list, known ? challenge.imaOffset : 0);
    add('ima-log', offset === 0 ? 'ima-log' : `ima-log;offset=${String(offset)}`, tail);
  }
  if (tree !== undefined) add('tree-manifest', 'tree-manifest', tree);
  return {
    collection: collectionOf(records),
    digests: new Map([...records].map(([name, { data }]) => [name, sha256(data)])),
    accepted: () => {
      if (!known) host.state.write(STATE_FILES.evidenceSeen, JSON.stringify(boot));
    },
  };
}

function collectionOf(
  records: ReadonlyMap<string, { readonly type: string; readonly data: Uint8Array }>,
): JsonObject {
  const members = [...records].map(
    ([name, { type, data }]) => [name, [type, toBase64url(data), EVIDENCE_INDICATOR]] as const,
  );
  return { __cmwc_t: EVIDENCE_TYPE, ...Object.fromEntries(members) };
}

/** The list from an entry on; the whole of it when it has fewer entries than the verifier knows. */
function imaTail(list: Uint8Array, offset: number): { readonly tail: Uint8Array; readonly offset: number } {
  if (offset === 0) return { tail: list, offset: 0 };
  const { consumed, count } = frameEntries(list, 0, offset);
  return count === offset ? { tail: list.slice(consumed), offset } : { tail: list, offset: 0 };
}

const u32 = shape.integer(0, 0xffff_ffff);
const bootShape = shape.object({ resetCount: u32, restartCount: u32 });

function readSeen(state: StateDirectory): BootCounters | undefined {
  const bytes = state.read(STATE_FILES.evidenceSeen);
  if (bytes === undefined) return undefined;
  const limits = { maxBytes: 1024, maxDepth: 2, maxValues: 8 };
  return bootShape(parseJsonObject(bytes, STATE_FILES.evidenceSeen, limits), 'seen', (path, want) =>
    refuse('agent-state', `${path} is not ${want}`, { file: STATE_FILES.evidenceSeen }),
  );
}

const sameBoot = (seen: BootCounters | undefined, boot: BootCounters): boolean =>
  seen?.resetCount === boot.resetCount && seen.restartCount === boot.restartCount;

const sha256 = (data: Uint8Array): string => toHex(createHash('sha256').update(data).digest());
