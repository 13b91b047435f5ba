import type { JsonObject } from '../base/index.ts';
import type { Renewal } from './renewal.ts';

/** Bytes that renewals may take of the leaf (64 KiB), the sealed object's JWE (1 MiB) and the answer. */
const MOST = { leaf: 40 * 1024, credentials: 640 * 1024, answer: 512 * 1024 } as const;

/** Bytes of a value as canonical JSON has it, or a little more: lengths of keys and strings are those of UTF-8. */
const sizeOf = (value: JsonObject | readonly JsonObject[] | readonly string[]): number =>
  Buffer.byteLength(JSON.stringify(value));

/**
 * What one attestation can renew: leaf, sealed object and answer are bounded, and a host may have more executions than
 * fit. What doesn't is neither renewed nor ended: the host names it in its next attestation, which it makes at once.
 */
export class RenewalRoom {
  readonly #used = { leaf: 0, credentials: 0, answer: 0 };
  #empty = true;

  /** Takes the renewal's share; false when there is none left. The first always fits: it fitted when it began. */
  take({ executionId, token, credentials, released, signers, deciding }: Renewal): boolean {
    const share = {
      leaf: sizeOf(released.map((one) => ({ ...one }))) + sizeOf([executionId, ...signers, ...deciding]),
      credentials: sizeOf([{ executionId, credentials }]),
      answer: token.length,
    };
    const names = ['leaf', 'credentials', 'answer'] as const;
    if (!this.#empty && names.some((name) => this.#used[name] + share[name] > MOST[name])) return false;
    for (const name of names) this.#used[name] += share[name];
    this.#empty = false;
    return true;
  }
}
