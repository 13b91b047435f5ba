import { describe, expect, it } from 'vitest';
import { Refusal } from '../../src/base/index.ts';
import {
  NO_IMA_RULES,
  compileImaRules,
  examineEventLog,
  parseEventLog,
  problemRefusals,
  readImaEntries,
  verifyIma,
} from '../../src/evidence/index.ts';
import type { ImaEntry } from '../../src/evidence/index.ts';
import { importSizedAttestationKey, parsePcrValues, verifyQuote } from '../../src/tpm/index.ts';
import { bootEvidence } from '../support/boot-evidence.ts';
import { bootKey, bootQuote } from '../support/boots.ts';
import { dataFile } from '../support/vectors.ts';

/**
 * Every single change to a file of recorded evidence is refused, or changes no fact, no PCR and no IMA entry that is
 * reported: over all bytes of the quote's files, over every field of each event and entry of the logs.
 */
const BOOTS = ['secure-boot', 'plain-boot'];
const flipped = (bytes: Uint8Array, at: number, mask: number): Uint8Array => {
  const out = Uint8Array.from(bytes);
  out[at] = (out[at] ?? 0) ^ mask;
  return out;
};

/** `refused`, or the text of everything that is reported. */
function outcome(report: () => unknown): string {
  try {
    return JSON.stringify(report(), (_name, value: unknown) =>
      typeof value === 'bigint' ? String(value) : value,
    );
  } catch (error) {
    if (error instanceof Refusal) return 'refused';
    throw error;
  }
}

describe.each(BOOTS)('%s', (boot) => {
  const { attest, signature, pcrs: claimed, nonce, selection } = bootQuote(boot);
  const evidence = bootEvidence(boot);

  it.each<[string, Uint8Array, (changed: Uint8Array) => unknown]>([
    [
      'quote.msg',
      attest,
      (changed) =>
        verifyQuote({ attest: changed, signature, pcrs: claimed }, bootKey(boot), { nonce, selection }),
    ],
    [
      'quote.sig',
      signature,
      (changed) =>
        verifyQuote({ attest, signature: changed, pcrs: claimed }, bootKey(boot), { nonce, selection }),
    ],
    [
      'nonce',
      nonce,
      (changed) =>
        verifyQuote({ attest, signature, pcrs: claimed }, bootKey(boot), { nonce: changed, selection }),
    ],
    [
      'ak.pub',
      dataFile(`boots/${boot}/ak.pub`),
      (changed) =>
        verifyQuote({ attest, signature, pcrs: claimed }, importSizedAttestationKey(changed), {
          nonce,
          selection,
        }).key.name,
    ],
  ])('%s: every byte', (_file, bytes, verify) => {
    for (let at = 0; at < bytes.length; at++) {
      // Attribute bits that (h) allows either way don't change whose signature it is, but they change the name.
      const result = outcome(() => verify(flipped(bytes, at, 0x01 << (at % 8))));
      if (result !== 'refused') expect(result).not.toBe(outcome(() => verify(bytes)));
    }
    expect(outcome(() => verify(bytes))).not.toBe('refused');
  });

  it('quoted_pcrs.json: every digit', () => {
    const text = Buffer.from(dataFile(`boots/${boot}/quoted_pcrs.json`)).toString('latin1');
    const verify = (changed: string) =>
      verifyQuote(
        { attest, signature, pcrs: parsePcrValues(Buffer.from(changed, 'latin1')) },
        bootKey(boot),
        { nonce, selection },
      );
    let digits = 0;
    for (const { index } of text.matchAll(/[0-9a-f]/g)) {
      const digit = text[index] === '0' ? '1' : '0';
      const changed = text.slice(0, index) + digit + text.slice(index + 1);
      if (changed === text) continue;
      digits++;
      expect(
        outcome(() => verify(changed)),
        `offset ${String(index)}`,
      ).toBe('refused');
    }
    expect(digits).toBeGreaterThan(700);
  });

  it('eventlog.bin: every field of every event', () => {
    const log = dataFile(`boots/${boot}/eventlog.bin`);
    const report = (bytes: Uint8Array): unknown => {
      const { verified, failures, match } = examineEventLog(bytes, evidence.pcrs);
      if (verified === null) throw Refusal.join(failures);
      // As verify evidence does: a log that breaks a rule is no evidence.
      const problems = problemRefusals(verified.problems);
      if (problems.length > 0) throw Refusal.join(problems);
      return [verified.facts, match?.matches];
    };
    const base = outcome(() => report(log));
    for (const at of eventPositions(log)) {
      const result = outcome(() => report(flipped(log, at, 0x10)));
      if (result !== 'refused') expect(result === base, `offset ${String(at)}`).toBe(true);
    }
    expect(base).not.toBe('refused');
  }, 240_000);

  it('ima_binary.bin: every field of every tenth entry', () => {
    const list = dataFile(`boots/${boot}/ima_binary.bin`);
    const rules = compileImaRules(NO_IMA_RULES);
    const report = (bytes: Uint8Array): unknown => {
      const verified = verifyIma([bytes], {
        pcrs: evidence.pcrs,
        boot: evidence.quote.attest.clockInfo,
        rules,
      });
      const entries: ImaEntry[] = [];
      // The path of a violation is a claim: no digest covers it.
      readImaEntries([bytes], verified.consumed, (entry) =>
        entries.push(entry.violation ? { ...entry, path: '', digest: '' } : entry),
      );
      return [verified.entries, verified.consumed, entries];
    };
    const base = outcome(() => report(list));
    for (const at of imaPositions(list)) {
      const result = outcome(() => report(flipped(list, at, 0x10)));
      if (result !== 'refused') expect(result === base, `offset ${String(at)}`).toBe(true);
    }
    expect(base).not.toBe('refused');
  }, 240_000);
});

/** The first byte of each field of each event: PCR, type, digest count, each algorithm and digest, size, data. */
function eventPositions(log: Uint8Array): number[] {
  const view = new DataView(log.buffer, log.byteOffset, log.byteLength);
  const sizes: Record<number, number> = { 0x0004: 20, 0x000b: 32, 0x000c: 48 };
  const positions: number[] = [];
  let at = 32 + view.getUint32(28, true);
  while (at < log.length) {
    const count = view.getUint32(at + 8, true);
    positions.push(at, at + 4, at + 8);
    at += 12;
    for (let i = 0; i < count; i++) {
      positions.push(at, at + 2, at + 20);
      at += 2 + (sizes[view.getUint16(at, true)] ?? 0);
    }
    const size = view.getUint32(at, true);
    positions.push(
      at,
      ...[0, 0.3, 0.6, 0.9].map((part) => at + 4 + Math.floor(part * size)).filter((p) => p < at + 4 + size),
    );
    at += 4 + size;
  }
  expect(positions.length).toBeGreaterThan(parseEventLog(log).events.length * 10);
  return positions;
}

/** PCR, template digest, name length, name, data length, field lengths and data of every tenth entry. */
function imaPositions(list: Uint8Array): number[] {
  const view = new DataView(list.buffer, list.byteOffset, list.byteLength);
  const positions: number[] = [];
  let at = 0;
  for (let entry = 0; at < list.length; entry++) {
    const name = at + 28;
    const nameLength = view.getUint32(at + 24, true);
    const data = name + nameLength + 4;
    const length = view.getUint32(name + nameLength, true);
    if (entry % 10 === 0) {
      positions.push(
        at,
        at + 4,
        at + 24,
        name,
        name + nameLength,
        data,
        data + 4,
        data + 12,
        data + 20,
        data + length - 8,
        data + length - 1,
      );
    }
    at = data + length;
  }
  return positions;
}
