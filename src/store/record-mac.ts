import { createHmac, hkdfSync } from 'node:crypto';
import type { RecordRef } from '../audit/ledger.ts';
import { Writer, equalBytes, refuse, utf8 } from '../base/index.ts';

/** Derives a key for one purpose from the master key (HKDF-SHA-256, RFC 5869): 32 bytes. */
export function deriveKey(master: Uint8Array, purpose: string): Uint8Array {
  return new Uint8Array(hkdfSync('sha256', master, new Uint8Array(), `sealgate/${purpose}/v1`, 32));
}

/** What a row's MAC covers. */
export interface SealedRow extends RecordRef {
  readonly version: number;
  readonly body: string;
  readonly leaf: string;
}

/**
 * HMAC-SHA-256 over every column: a row that was moved, swapped or edited in the database is noticed at use. An older row
 * with its own MAC is what record-set.ts notices, a whole older store the high-water file.
 */
export function rowMac(key: Uint8Array, row: SealedRow): Uint8Array {
  const body = utf8(row.body);
  const bytes = new Writer()
    .sized16(utf8(row.kind))
    .sized16(utf8(row.id))
    .u32(row.version)
    .sized16(utf8(row.leaf))
    .u32(body.length)
    .bytes(body)
    .finish();
  return new Uint8Array(createHmac('sha256', key).update(bytes).digest());
}

/** @throws Refusal `record-forged` */
export function checkRowMac(key: Uint8Array, row: SealedRow, mac: Uint8Array): void {
  if (!equalBytes(rowMac(key, row), Uint8Array.from(mac))) {
    refuse('record-forged', 'a row of the store was not written by this verifier', {
      kind: row.kind,
      id: row.id,
    });
  }
}
