import { afterEach, describe, expect, it, vi } from 'vitest';
import { LIMITS, Reader, Refusal } from '../../../src/base/index.ts';
import { NO_PCR, parseEventLog } from '../../../src/evidence/index.ts';
import {
  EV,
  SOUND,
  agileEvent,
  boot,
  buildLog,
  readEventLog,
  sha1Event,
  sha256,
  specId,
  u32,
} from '../../support/eventlogs.ts';
import { expectRefusal } from '../../support/refusals.ts';

afterEach(() => {
  vi.restoreAllMocks();
});

const bytes = (...parts: readonly Uint8Array[]): Uint8Array => new Uint8Array(Buffer.concat(parts));
const header = (algorithms?: Parameters<typeof specId>[0]): Buffer =>
  sha1Event(0, EV.NO_ACTION, specId(algorithms));
const SHA256 = [0x0b, sha256('x')] as const;
const malformed = (log: Uint8Array): Refusal => expectRefusal('malformed', () => parseEventLog(log));

describe('parseEventLog', () => {
  it('reads a crypto-agile log without copying', () => {
    const log = boot();
    const parsed = parseEventLog(log);
    expect(parsed.format).toBe('crypto-agile');
    expect(parsed.banks).toEqual(['sha256']);
    expect(parsed.events).toHaveLength(Object.keys(SOUND).length + 1);
    for (const event of parsed.events) {
      expect(event.data.buffer).toBe(log.buffer);
      for (const digest of Object.values(event.digests)) expect(digest.buffer).toBe(log.buffer);
    }
  });

  it('reads the SHA-1 format', () => {
    const parsed = parseEventLog(
      bytes(sha1Event(4, EV.SEPARATOR, new Uint8Array(4)), sha1Event(5, EV.IPL, u32(1))),
    );
    expect(parsed).toMatchObject({ format: 'sha1', banks: ['sha1'], skippedBanks: [] });
    expect(parsed.events.map(({ pcr, type }) => [pcr, type])).toEqual([
      [4, EV.SEPARATOR],
      [5, EV.IPL],
    ]);
  });

  it('skips unknown digest algorithms by their declared size', () => {
    const log = bytes(
      header([
        [0x12, 32],
        [0x0b, 32],
        [0x9999, 7],
      ]),
      agileEvent(0, EV.SEPARATOR, [[0x12, sha256('sm3')], [0x9999, Buffer.alloc(7)], SHA256], u32(0)),
    );
    const parsed = parseEventLog(log);
    expect(parsed.banks).toEqual(['sha256']);
    expect(parsed.skippedBanks).toEqual([0x12, 0x9999]);
    expect(parsed.events[1]?.digests).toEqual({ sha256: new Uint8Array(sha256('x')) });
  });

  it('keeps an EV_NO_ACTION of no PCR, as Windows writes it', () => {
    const parsed = parseEventLog(bytes(header(), agileEvent(NO_PCR, EV.NO_ACTION, [SHA256], u32(1))));
    expect(parsed.events[1]?.pcr).toBe(NO_PCR);
  });

  it('marks an event that misses a declared digest', () => {
    const log = bytes(
      header([
        [0x04, 20],
        [0x0b, 32],
      ]),
      agileEvent(0, EV.SEPARATOR, [SHA256], u32(0)),
    );
    expect(parseEventLog(log).events.map(({ complete }) => complete)).toEqual([true, false]);
  });
});

describe('parseEventLog refuses', () => {
  it('an empty file, which is not a log', () => {
    expectRefusal('no-event-log', () => parseEventLog(new Uint8Array()));
  });

  it('more bytes than the limit before it reads any', () => {
    const read = vi.spyOn(Reader.prototype, 'u32le');
    expect(malformed(new Uint8Array(LIMITS.eventLog + 1)).reason).toContain('over');
    expect(read).not.toHaveBeenCalled();
  });

  it('more events than the limit', () => {
    const event = sha1Event(0, EV.ACTION, new Uint8Array());
    const full = Array.from({ length: LIMITS.eventLogEvents }, () => event);
    expect(parseEventLog(bytes(...full)).events).toHaveLength(LIMITS.eventLogEvents);
    expect(malformed(bytes(...full, event)).reason).toContain('too many events');
  });

  it.each([
    ['no algorithm', []],
    ['nine algorithms', Array.from({ length: 9 }, (_, i) => [0x100 + i, 32] as const)],
    [
      'an algorithm twice',
      [
        [0x0b, 32],
        [0x0b, 32],
      ],
    ],
    ['SHA-256 of 20 bytes', [[0x0b, 20]]],
    ['an unknown digest of 0 bytes', [[0x12, 0]]],
    ['an unknown digest of 60 000 bytes', [[0x12, 60_000]]],
  ] as const)('a Spec ID event with %s', (_, algorithms) => {
    malformed(header(algorithms));
  });

  it.each([
    ['version 1.2', 20, 2],
    ['version 2.1', 20, 1],
    ['version 3.0', 21, 3],
    ['4 294 967 295 algorithms', 24, 0xff],
    ['vendorInfo longer than the event', 32, 1],
  ])('a Spec ID event of %s', (_, offset, value) => {
    const data = specId();
    if (value === 0xff) data.fill(0xff, offset, offset + 4);
    else data[offset] = value;
    malformed(sha1Event(0, EV.NO_ACTION, data));
  });

  it('a Spec ID event with bytes that vendorInfoSize leaves out', () => {
    malformed(sha1Event(0, EV.NO_ACTION, Buffer.concat([specId(), Buffer.of(1)])));
    malformed(readEventLog('tpm2-tools/specid-vendordata.bin'));
    expect(parseEventLog(readEventLog('tpm2-tss/specid-vendordata.b64')).events).toHaveLength(1);
  });

  it('a digest count of 4 G without allocating', () => {
    const event = agileEvent(0, EV.SEPARATOR, [SHA256], u32(0));
    event.writeUInt32LE(0xffff_ffff, 8);
    expect(malformed(bytes(header(), event)).reason).toContain('4294967295 digests');
  });

  it('a digest algorithm that was not declared, and one twice', () => {
    malformed(bytes(header(), agileEvent(0, EV.SEPARATOR, [[0x0c, Buffer.alloc(48)]], u32(0))));
    const two = header([
      [0x0b, 32],
      [0x04, 20],
    ]);
    expect(malformed(bytes(two, agileEvent(0, EV.SEPARATOR, [SHA256, SHA256], u32(0)))).reason).toContain(
      'two digests',
    );
  });

  it.each([24, 32, 255, 0xffff_fffe])('PCR index %s (GHSA-qp88-8f4j-wv7q, GHSA-gf8g-2r5c-74c7)', (pcr) => {
    malformed(bytes(header(), agileEvent(pcr, EV.NO_ACTION, [SHA256], u32(0))));
    malformed(sha1Event(pcr, EV.SEPARATOR, u32(0)));
  });

  it('PCR index 0xFFFFFFFF with a type that extends', () => {
    malformed(bytes(header(), agileEvent(NO_PCR, EV.S_CRTM_VERSION, [SHA256], u32(0))));
  });

  it('an event size beyond the log without allocating', () => {
    const event = sha1Event(0, EV.IPL, u32(0));
    event.writeUInt32LE(0xffff_fff0, 28);
    malformed(event);
  });

  it('0xFF padding, unless that quirk is allowed', () => {
    const padded = bytes(boot(), Buffer.alloc(100, 0xff));
    malformed(padded);
    const allowed = parseEventLog(padded, new Set(['ccel-padding'] as const));
    expect(allowed.events).toHaveLength(parseEventLog(boot()).events.length);
    expect(
      parseEventLog(bytes(boot(), Buffer.of(0xff, 0xff)), new Set(['ccel-padding'] as const)).events,
    ).toHaveLength(allowed.events.length);
    expectRefusal('malformed', () =>
      parseEventLog(bytes(padded, boot()), new Set(['ccel-padding'] as const)),
    );
  });

  it('whatever is left of a log at any byte', () => {
    for (const log of [boot(), readEventLog('tpm2-tools/event-sd-boot-fedora37.bin')]) {
      const ends = eventEnds(log);
      for (let length = 0; length < log.length; length++) {
        const cut = log.slice(0, length);
        if (ends.has(length)) parseEventLog(cut);
        else expect(() => parseEventLog(cut), `cut at ${length}`).toThrow(Refusal);
      }
    }
  });
});

/** Offsets behind each event: a log that ends there is a shorter log. */
function eventEnds(log: Uint8Array): Set<number> {
  const first = parseEventLog(log).events;
  return new Set(first.map(({ data }) => data.byteOffset - log.byteOffset + data.length));
}

describe('parsing is linear in its input', () => {
  it('reads each byte of a log a bounded number of times', () => {
    const count = (events: number): number => {
      const log = buildLog(Array.from({ length: events }, () => SOUND.commandLine));
      const spies = (['u16le', 'u32le', 'bytes', 'peek'] as const).map((name) =>
        vi.spyOn(Reader.prototype, name),
      );
      parseEventLog(log);
      const calls = spies.reduce((sum, spy) => sum + spy.mock.calls.length, 0);
      vi.restoreAllMocks();
      return calls;
    };
    const perEvent = (count(400) - count(200)) / 200;
    expect(perEvent).toBeLessThan(12);
    expect((count(2000) - count(1000)) / 1000).toBe(perEvent);
  });
});
