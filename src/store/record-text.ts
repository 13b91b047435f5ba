import type { RecordRef, StoredRecord } from '../audit/ledger.ts';
import { parseJsonObject, utf8 } from '../base/index.ts';

/** Records may hold policy bundles; nothing that decides is larger. */
const RECORD_LIMITS = { maxBytes: 8 * 1024 * 1024 };

/** A record as its row has it: what crosses threads, and is parsed only where somebody looks into it. */
export interface RecordText extends RecordRef {
  readonly version: number;
  readonly leaf: string;
  /** Canonical JSON. */
  readonly text: string;
}

/** A record with its body parsed. */
export function recordOf({ text, ...row }: RecordText): StoredRecord {
  return { ...row, body: parseJsonObject(utf8(text), 'record', RECORD_LIMITS) };
}
