import { describe, expect, expectTypeOf, it } from 'vitest';
import {
  eventsOf,
  examineEventLog,
  firstDivergence,
  isVerifiedEventLog,
  matchEventLog,
  parseEventLog,
  replayEventLog,
  verifyEventLog,
} from '../../../src/evidence/index.ts';
import type {
  ClaimedFacts,
  EventLogExamination,
  EventLogFacts,
  PcrTable,
  VerifiedEventLog,
  VerifiedFacts,
} from '../../../src/evidence/index.ts';
import { verifyQuote } from '../../../src/tpm/index.ts';
import type { ClaimedPcrs, HashName, VerifiedPcrs } from '../../../src/tpm/index.ts';
import { digest, parsePcrValues } from '../../../src/tpm/index.ts';
import { verifyPcrValues } from '../../../src/tpm/quote/pcr-values.ts';
import { bootKey, bootQuote } from '../../support/boots.ts';
import { EV, SOUND, boot, grub, image, readEventLog, readJson, sha256 } from '../../support/eventlogs.ts';
import { expectRefusal } from '../../support/refusals.ts';

/** Verified values as a quote over them would give them. */
function quoted(values: PcrTable): VerifiedPcrs {
  const pcrSelection = [...values].map(([bank, ofBank]) => ({
    bank,
    pcrs: [...ofBank.keys()].sort((a, b) => a - b),
  }));
  const all = pcrSelection.flatMap(({ bank, pcrs }) => pcrs.map((pcr) => values.get(bank)!.get(pcr)!));
  const pcrDigest = digest('sha256', ...all);
  return verifyPcrValues({ attested: { type: 'quote', pcrSelection, pcrDigest } }, 'sha256', values);
}

/** PCR 0–9 after a log in one bank, changed as a test needs. */
function pcrsAfter(
  log: Uint8Array,
  changes: Readonly<Record<number, Uint8Array>> = {},
  bank: HashName = 'sha256',
): PcrTable {
  const replayed = replayEventLog(parseEventLog(log), bank);
  const zero = new Uint8Array(bank === 'sha256' ? 32 : 20);
  const values = new Map(Array.from({ length: 10 }, (_, pcr) => [pcr, replayed.get(pcr) ?? zero] as const));
  for (const [pcr, value] of Object.entries(changes)) values.set(Number(pcr), value);
  return new Map([[bank, values]]);
}

const checks = ({ failures }: EventLogExamination): string[] => failures.map(({ check }) => check);
const other = new Uint8Array(32).fill(7);

describe('verifyEventLog against real quotes', () => {
  const verifiedQuote = (name: string, path = '.') => {
    const { attest, signature, pcrs, nonce, facts } = bootQuote(name, path);
    return verifyQuote({ attest, signature, pcrs }, bootKey(name, facts.signerPublic), { nonce }).pcrs!;
  };

  it.each(['secure-boot', 'plain-boot', 'secure-boot-tampered-cmdline'])('%s', (name) => {
    const verified = verifyEventLog(readEventLog(`boots/${name}/eventlog.bin`), verifiedQuote(name));
    expect(verified.problems).toEqual([]);
    expect(Object.values(verified.match.matches.sha256!)).not.toContain(false);
    expect(verified.facts.secureBoot?.enabled).toBe(name !== 'plain-boot');
    expect(isVerifiedEventLog(verified)).toBe(true);
    // PCR 11–13 are not in the quote: their facts are nobody's.
    expect(verified.facts).not.toHaveProperty('unifiedKernelImage');
    expect(verified.facts).not.toHaveProperty('stubParameters');
    expect(verified.facts).toHaveProperty('mok');
  });

  it('over all PCRs: systemd-pcrphase is explained, not denied', () => {
    const { facts, match } = verifyEventLog(
      readEventLog('boots/plain-boot/eventlog.bin'),
      verifiedQuote('plain-boot', 'extra/allpcrs'),
    );
    expect(match.phases).toEqual({ sha256: ['sysinit', 'ready'] });
    expect(facts.unifiedKernelImage?.sections).toHaveLength(4);
  });

  it('over two banks, and over the sha384 bank', () => {
    for (const path of ['extra/multibank', 'extra/bank384']) {
      const verified = verifyEventLog(
        readEventLog('boots/secure-boot/eventlog.bin'),
        verifiedQuote('secure-boot', path),
      );
      expect(verified.problems).toEqual([]);
      const banks = Object.keys(verified.match.matches);
      if (verified.facts.mok?.[0] !== undefined)
        expect(Object.keys(verified.facts.mok[0].digests)).toEqual(banks);
    }
  });

  it('over one PCR: only its facts', () => {
    const { facts } = verifyEventLog(
      readEventLog('boots/secure-boot/eventlog.bin'),
      verifiedQuote('secure-boot', 'extra/onepcr'),
    );
    expect(facts.separators!.length).toBeLessThan(2);
    expect(Object.keys(facts).length).toBeLessThan(12);
  });

  it('refuses the log of the tampered boot under the good quote, saying which PCRs differ', () => {
    const examined = examineEventLog(
      readEventLog('boots/secure-boot-tampered-cmdline/eventlog.bin'),
      verifiedQuote('secure-boot'),
    );
    expect(examined.verified).toBeNull();
    expect(examined.failures.map(({ check, detail }) => [check, detail['pcr']])).toEqual([
      ['e24', 8],
      ['e24', 9],
    ]);
  });
});

describe('matching (e24, e25)', () => {
  const log = boot();

  it('accepts values that the log explains, and initial ones that nothing was logged for', () => {
    const values = pcrsAfter(boot({ separator3: [] }), { 15: new Uint8Array(32) });
    expect(matchEventLog(parseEventLog(boot({ separator3: [] })), values)).toMatchObject({
      matches: { sha256: { 0: true, 3: true, 9: true, 15: true } },
      diverging: [],
      unexplained: [],
    });
  });

  it('f1: order and set of digests in a PCR are proven; the type of an event is not', () => {
    const swapped = boot({ shim: [SOUND.grubImage], grubImage: [SOUND.shim] });
    expect(checks(examineEventLog(swapped, quoted(pcrsAfter(log))))).toEqual(['e24']);
    const more = boot({ grubImage: [SOUND.grubImage, image('evil')] });
    expect(checks(examineEventLog(more, quoted(pcrsAfter(log))))).toEqual(['e24']);
    const retyped = boot({ shim: [{ ...SOUND.shim, type: 0x80000004 }] });
    expect(examineEventLog(retyped, quoted(pcrsAfter(log))).verified?.facts).toEqual(
      verifyEventLog(log, quoted(pcrsAfter(log))).facts,
    );
  });

  it('refuses each diverging PCR with both values', () => {
    const { failures, verified, match } = examineEventLog(
      log,
      quoted(pcrsAfter(log, { 4: other, 7: other })),
    );
    expect(verified).toBeNull();
    expect(match?.matches.sha256).toMatchObject({ 0: true, 4: false, 7: false });
    expect(failures.map(({ check, detail }) => [check, detail['bank'], detail['pcr']])).toEqual([
      ['e24', 'sha256', 4],
      ['e24', 'sha256', 7],
    ]);
    expectRefusal('e24', () => verifyEventLog(log, quoted(pcrsAfter(log, { 4: other }))));
  });

  it('says when the log lacks ExitBootServices, or goes on after the value', () => {
    const short = boot({ exit: [], exited: [] });
    const hint = (value: EventLogExamination): unknown => value.failures[0]?.detail['hint'];
    expect(hint(examineEventLog(short, quoted(pcrsAfter(log))))).toBe('log-ends-before-exit-boot-services');
    expect(hint(examineEventLog(log, quoted(pcrsAfter(short))))).toBe('log-continues-after-this-value');
    expect(hint(examineEventLog(short, quoted(pcrsAfter(log, { 5: other }))))).toBeUndefined();
  });

  it('has a verdict of its own for a log of another boot', () => {
    const elsewhere = Object.fromEntries([0, 4, 5, 7, 8, 9].map((pcr) => [pcr, other]));
    const { failures } = examineEventLog(log, quoted(pcrsAfter(log, elsewhere)));
    expect(failures.map(({ check }) => check)).toEqual(['log-older-than-boot']);
    expect(failures[0]?.detail['pcrs']).toHaveLength(6);
  });

  it('e25: PCR 0–9 that no event explains are refused, 11 and 15 reported, 10 and 16–23 are not the log’s', () => {
    const withoutGrub = boot({ command: [], commandLine: [], kernel: [] });
    const { failures, match } = examineEventLog(
      withoutGrub,
      quoted(pcrsAfter(withoutGrub, { 8: other, 9: other, 15: other })),
    );
    expect(failures.map(({ check, detail }) => [check, detail['pcr']])).toEqual([
      ['e25', 8],
      ['e25', 9],
    ]);
    expect(match?.unexplained).toHaveLength(3);
    const userSpace = pcrsAfter(log, { 10: other, 11: other, 15: other, 16: other, 23: other });
    const { verified } = examineEventLog(log, quoted(userSpace));
    expect(verified?.match.unexplained.map(({ pcr }) => pcr)).toEqual([11, 15]);
  });

  it('a command line in PCR 12 can’t be hidden: by leaving PCR 12 or its events out', () => {
    const line = { pcr: 12, type: EV.IPL, data: Buffer.from('init=/bin/sh\0', 'utf16le') };
    const real = boot({ commandLine: [SOUND.commandLine, line] });
    const after = replayEventLog(parseEventLog(real), 'sha256').get(12)!;
    const examine = (bytes: Uint8Array, changes: Record<number, Uint8Array>): EventLogExamination =>
      examineEventLog(bytes, quoted(pcrsAfter(bytes, changes)));
    // All of it: the fact has both lines.
    const whole = examine(real, { 12: after }).verified?.facts;
    expect(whole?.kernelCommandLine).toContain('init=/bin/sh');
    expect(whole?.stubParameters).toHaveLength(1);
    // PCR 12 not quoted: its events are nobody's, and neither is the command line.
    const unquoted = examine(real, {}).verified?.facts;
    expect(unquoted).toHaveProperty('grubCommands');
    expect(unquoted).not.toHaveProperty('kernelCommandLine');
    expect(unquoted).not.toHaveProperty('stubParameters');
    // Its events left out: the quote says that there were some.
    const { failures, verified } = examine(log, { 12: after });
    expect(verified).toBeNull();
    expect(failures.map(({ check, detail }) => [check, detail['pcr']])).toEqual([['e25', 12]]);
    // Another value than theirs.
    expect(checks(examine(real, { 12: other }))).toEqual(['e24']);
  });

  it('"no command line was measured" needs PCR 11 and 12', () => {
    const chained = boot({ commandLine: [] });
    const initial = new Uint8Array(32);
    const facts = (changes: Record<number, Uint8Array>): EventLogFacts | undefined =>
      examineEventLog(chained, quoted(pcrsAfter(chained, changes))).verified?.facts;
    expect(facts({ 11: initial, 12: initial })?.kernelCommandLine).toEqual([]);
    for (const changes of [{}, { 11: initial }, { 12: initial }, { 11: other, 12: initial }])
      expect(facts(changes)).not.toHaveProperty('kernelCommandLine');
  });

  it.each([12, 13, 14])('e25: a quoted PCR %i that no event explains is refused', (pcr) => {
    const examined = examineEventLog(log, quoted(pcrsAfter(log, { [pcr]: other })));
    expect(examined.failures.map(({ check, detail }) => [check, detail['pcr']])).toEqual([['e25', pcr]]);
    const initial = pcrsAfter(log, { [pcr]: new Uint8Array(32) });
    expect(examineEventLog(log, quoted(initial)).failures).toEqual([]);
  });

  it('CVE-2021-42299: a used bank whose PCR 0–7 are initial is refused, logged or not', () => {
    const zeros = new Map(Array.from({ length: 8 }, (_, pcr) => [pcr, new Uint8Array(64)] as const));
    const { failures } = examineEventLog(
      log,
      quoted(new Map([...pcrsAfter(log), ['sha512', zeros] as const])),
    );
    expect(failures.map(({ check }) => check)).toEqual(['bank-not-extended']);
    const none = new Map(Array.from({ length: 8 }, (_, pcr) => [pcr, new Uint8Array(32)] as const));
    expect(checks(examineEventLog(log, quoted(new Map([['sha256', none] as const]))))).toContain(
      'bank-not-extended',
    );
    // Some firmware leaves single PCRs alone.
    const some = new Map([1, 2, 3].map((pcr) => [pcr, new Uint8Array(32)] as const));
    expect(
      examineEventLog(
        boot({ separator1: [], separator2: [], separator3: [] }),
        quoted(new Map([['sha256', some] as const])),
      ).failures,
    ).toEqual([]);
  });

  it('refuses a bank that the log has no digests of', () => {
    const values = new Map([['sha1', new Map([[0, new Uint8Array(20).fill(1)]])] as const]);
    expect(checks(examineEventLog(log, quoted(values)))).toEqual(['e24']);
    expect(
      checks(examineEventLog(readEventLog('go-tpm-tools/debian-10.bin'), quoted(pcrsAfter(log)))),
    ).toEqual(['e24']);
  });

  it('never takes facts of one bank when another quoted one is not the log’s', () => {
    const bytes = readEventLog('boots/secure-boot/eventlog.bin');
    const all = parsePcrValues(Buffer.from(JSON.stringify(readJson('boots/secure-boot/pcrs.json'))));
    const mixed: ClaimedPcrs = new Map([
      ['sha256', new Map([[7, all.get('sha256')!.get(7)!]])],
      [
        'sha384',
        new Map([
          [4, all.get('sha384')!.get(4)!],
          [5, all.get('sha384')!.get(5)!],
        ]),
      ],
    ]);
    const { facts } = verifyEventLog(bytes, quoted(mixed));
    expect(facts).not.toHaveProperty('secureBoot');
    expect(facts).not.toHaveProperty('bootApplications');
  });

  it('f13: no log is a verdict of its own, never "nothing to check"', () => {
    for (const none of [undefined, new Uint8Array()]) {
      const refusal = expectRefusal('no-event-log', () => verifyEventLog(none, quoted(pcrsAfter(log))));
      expect(refusal.reason).toContain('extended');
      expect(refusal.detail['pcrs']).toContain(4);
      const empty = new Map([['sha256', new Map([[10, other]])] as const]);
      expectRefusal('no-event-log', () => verifyEventLog(none, quoted(empty)));
    }
  });

  it('refuses a malformed log', () => {
    expect(checks(examineEventLog(log.slice(0, -1), quoted(pcrsAfter(log))))).toEqual(['malformed']);
  });

  it('reports broken rules and keeps the facts that they don’t touch', () => {
    const broken = boot({ separator4: [] });
    const { verified } = examineEventLog(broken, quoted(pcrsAfter(broken)));
    expect(verified?.problems.map(({ rule }) => rule)).toEqual(['f5']);
    expect(verified?.facts).toHaveProperty('secureBoot');
    expect(verified?.facts).not.toHaveProperty('bootApplications');
  });

  it('finds no order of phases that isn’t one', () => {
    const image = { pcr: 11, type: EV.IPL, data: new Uint8Array(1), digest: sha256('.linux\0') };
    const unified = boot({ commandLine: [image, image] });
    const base = replayEventLog(parseEventLog(unified), 'sha256').get(11)!;
    const extend = (value: Uint8Array, word: string): Uint8Array =>
      new Uint8Array(sha256(Buffer.concat([value, sha256(word)])));
    const phases = (words: readonly string[]) =>
      matchEventLog(
        parseEventLog(unified),
        new Map([['sha256', new Map([[11, words.reduce(extend, base)]])]]),
      );
    expect(phases([]).phases).toEqual({});
    expect(
      phases(['enter-initrd', 'leave-initrd', 'sysinit', 'ready', 'shutdown', 'final']).phases.sha256,
    ).toHaveLength(6);
    expect(phases(['sysinit', 'ready']).matches.sha256).toEqual({ 11: true });
    expect(phases(['ready', 'sysinit']).matches.sha256).toEqual({ 11: false });
    expect(phases(['sysinit', 'sysinit']).diverging).toHaveLength(1);
  });
});

describe('a PCR value of the wrong size', () => {
  it('never matches', () => {
    const values = new Map([
      [
        'sha256',
        new Map([
          [7, new Uint8Array(31)],
          [11, new Uint8Array(1)],
        ]),
      ] as const,
    ]);
    expect(matchEventLog(parseEventLog(boot()), values).matches.sha256?.[7]).toBe(false);
  });
});

describe('firstDivergence', () => {
  const log = parseEventLog(boot());
  const reference = log.events
    .filter(({ pcr }) => pcr === 8)
    .map(({ digests }) => Buffer.from(digests.sha256!).toString('hex'));

  it('finds the event behind a measurement', () => {
    const verified = verifyEventLog(boot(), quoted(pcrsAfter(boot())));
    const [shim] = verified.facts.bootApplications ?? [];
    expect(verified.eventOf(shim!)?.data).toEqual(new Uint8Array(SOUND.shim.data));
    expect(verified.eventOf({ pcr: 4, position: 4 })).toBeUndefined();
    expect(verified.ties).toHaveLength(log.events.length);
    expect(eventsOf(log, 4)).toHaveLength(4);
  });

  it('is the first event whose digest is not the reference’s', () => {
    expect(firstDivergence(log, 'sha256', 8, reference)).toBeUndefined();
    const changed = parseEventLog(boot({ command: [grub('grub_cmd: ', 'linux /vmlinuz init=/bin/sh')] }));
    expect(firstDivergence(changed, 'sha256', 8, reference)).toMatchObject({
      position: 0,
      event: 19,
      expected: reference[0],
    });
    const longer = parseEventLog(boot({ commandLine: [SOUND.commandLine, SOUND.commandLine] }));
    expect(firstDivergence(longer, 'sha256', 8, reference)).toMatchObject({ position: 2, expected: null });
    expect(firstDivergence(log, 'sha256', 8, [...reference, 'aa'])).toEqual({
      position: 2,
      event: null,
      expected: 'aa',
      got: null,
    });
  });
});

describe('types', () => {
  it('claims are not facts, and nobody makes a verified log', () => {
    expectTypeOf<ClaimedFacts>().not.toExtend<VerifiedFacts>();
    expectTypeOf<EventLogFacts>().not.toExtend<VerifiedFacts>();
    expectTypeOf<VerifiedFacts>().not.toExtend<ClaimedFacts>();
    expectTypeOf<VerifiedFacts>().toExtend<EventLogFacts>();
    expectTypeOf<{ log: object; facts: object }>().not.toExtend<VerifiedEventLog>();
    expectTypeOf<PcrTable>().not.toExtend<Parameters<typeof verifyEventLog>[1]>();
    expect(isVerifiedEventLog({ facts: {}, problems: [] })).toBe(false);
  });
});
