import { describe, expect, it } from 'vitest';
import { inspectIma, readImaEntries } from '../../../src/evidence/index.ts';
import { expectRefusal } from '../../support/refusals.ts';
import { dataFile, dataJson } from '../../support/vectors.ts';

interface Expected {
  readonly file: string;
  readonly events: readonly {
    readonly pcr: number;
    readonly template: string;
    readonly name: string;
    readonly violation: boolean;
  }[];
  readonly pcrSha1: string;
  readonly pcrSha256_if_kernel_ge_5_8: string | null;
}

const EXPECTED = dataJson('tpm2-tss-ima/expected.json') as readonly Expected[];

/** Decoded as upstream stores it: with whatever follows the last record. */
function decoded(file: string): Uint8Array {
  return new Uint8Array(
    Buffer.from(Buffer.from(dataFile(`tpm2-tss-ima/${file}`)).toString('latin1'), 'base64'),
  );
}

/** Bytes of the whole records, by the sizes that the records state. */
function wholeRecords(bytes: Uint8Array): number {
  const view = Buffer.from(bytes);
  let at = 0;
  for (;;) {
    if (at + 28 > view.length) return at;
    const nameLength = view.readUInt32LE(at + 24);
    const data = at + 28 + nameLength;
    const legacy = view.toString('latin1', at + 28, data) === 'ima';
    const sizeAt = legacy ? data + 20 : data;
    if (sizeAt + 4 > view.length) return at;
    const end = sizeAt + 4 + view.readUInt32LE(sizeAt);
    if (end > view.length) return at;
    at = end;
  }
}

const FILES = EXPECTED.map((expected) => ({ ...expected, bytes: decoded(expected.file) })).map((one) => ({
  ...one,
  end: wholeRecords(one.bytes),
}));
/** One vector lacks the NUL of its only name: nothing of it can be read. */
const TRUNCATED = FILES.filter(({ end }) => end === 0);
const WHOLE = FILES.filter(({ end }) => end > 0);

describe('IMA lists of tpm2-tss', () => {
  it('are the six that were published, one of them without its last byte', () => {
    expect(FILES).toHaveLength(6);
    expect(TRUNCATED.map(({ file }) => file)).toEqual(['sml-ima-ng-sha1-invalidated.b64']);
  });

  it.each(WHOLE)('$file replays to the published PCR values', ({ bytes, end, events, ...expected }) => {
    const list = [bytes.slice(0, end)];
    const report = inspectIma(list);
    const [first] = events;
    expect(report.entries).toBe(events.length);
    expect(report.templates).toEqual({ [first!.template]: events.length });
    expect(report.violations).toBe(events.filter(({ violation }) => violation).length);
    expect(report.pcrs['sha1']).toEqual({ [first!.pcr]: expected.pcrSha1 });
    if (expected.pcrSha256_if_kernel_ge_5_8 !== null) {
      expect(report.pcrs['sha256']).toEqual({ [first!.pcr]: expected.pcrSha256_if_kernel_ge_5_8 });
    }
    const names: string[] = [];
    readImaEntries(list, Infinity, ({ path }) => names.push(path));
    expect(names).toEqual(events.map(({ name }) => name));
  });

  it.each(WHOLE.filter(({ bytes, end }) => end < bytes.length))(
    '$file is refused with the bytes that follow its last record',
    ({ bytes, end }) => {
      expect(expectRefusal('malformed', () => inspectIma([bytes])).detail['offset']).toBe(end);
    },
  );

  it.each(TRUNCATED)(
    '$file is refused as it is, and as a violation of PCR 13 when it is completed',
    (vector) => {
      expectRefusal('malformed', () => inspectIma([vector.bytes]));
      const completed = new Uint8Array([...vector.bytes, 0]);
      const report = inspectIma([completed]);
      expect(report).toMatchObject({ entries: 1, violations: 1, bootAggregate: null });
      expect(report.pcrs).toEqual({
        sha1: { 13: vector.pcrSha1 },
        sha256: { 13: vector.pcrSha256_if_kernel_ge_5_8 },
      });
    },
  );

  it.each(WHOLE)('$file is refused when it is cut at any byte inside a record', ({ bytes, end }) => {
    const ends = new Set<number>();
    for (let cut = 0; cut <= end; cut++) if (wholeRecords(bytes.slice(0, cut)) === cut) ends.add(cut);
    for (let cut = 1; cut < end; cut++) {
      const part = [bytes.slice(0, cut)];
      if (ends.has(cut)) expect(inspectIma(part).entries).toBeGreaterThan(0);
      else expectRefusal('malformed', () => inspectIma(part));
    }
  });
});
