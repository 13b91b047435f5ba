import { describe, expect, it } from 'vitest';
import {
  compileImaRules,
  inspectIma,
  isVerifiedIma,
  readImaEntries,
  verifyIma,
} from '../../../src/evidence/index.ts';
import type { ImaQuestion } from '../../../src/evidence/index.ts';
import { ImaReplay } from '../../../src/evidence/ima/replay.ts';
import type { HashName } from '../../../src/tpm/index.ts';
import {
  BOOT,
  bootAggregate,
  buffer,
  dNg,
  entry,
  file,
  h,
  hex,
  join,
  latin1,
  legacyEntry,
  listOf,
  nNg,
  quoted,
  replayed,
  ruleDigest,
  rules,
  sha256,
  signedFile,
  u32,
  verifyMade,
  violation,
} from '../../support/ima.ts';
import type { MadeEntry, Mode } from '../../support/ima.ts';
import { expectRefusal } from '../../support/refusals.ts';

const SOME = [
  bootAggregate(),
  file('/usr/bin/a', 'a'),
  violation('/var/log/x'),
  file('/usr/bin/b', 'b'),
  file('/usr/bin/c', 'c'),
];
const NO_RULES = compileImaRules(rules());

function ask(
  pcr10: Partial<Record<HashName, Uint8Array | null>>,
  more: Partial<ImaQuestion> = {},
): ImaQuestion {
  return { pcrs: quoted(pcr10), boot: BOOT, rules: NO_RULES, ...more };
}

describe('matching with the quoted PCR 10', () => {
  it('proves the prefix that gives it, and nothing after it', () => {
    for (let count = 1; count <= SOME.length; count++) {
      const value = replayed(SOME.slice(0, count), 'sha256');
      const ima = verifyIma([listOf(SOME)], ask({ sha256: value }));
      expect(ima).toMatchObject({ entries: 5, consumed: count, fresh: count });
      expect(ima.findings.files).toBe(SOME.slice(1, count).filter((one) => !one.violation).length);
    }
  });

  it.each<[HashName, Mode]>([
    ['sha256', 'hash'],
    ['sha256', 'padded'],
    ['sha256', 'padded-legacy'],
    ['sha384', 'hash'],
    ['sha384', 'padded'],
    ['sha384', 'padded-legacy'],
    ['sha512', 'hash'],
    ['sha512', 'padded'],
    ['sha512', 'padded-legacy'],
  ])('finds how the kernel extends the %s bank: %s', (bank, mode) => {
    const ima = verifyIma([listOf(SOME)], ask({ [bank]: replayed(SOME, bank, mode) }));
    expect(Object.fromEntries(ima.banks)).toEqual({ [bank]: mode });
    expect(ima.consumed).toBe(5);
  });

  it('matches several banks, each in its own way', () => {
    const pcr10 = {
      sha1: replayed(SOME, 'sha1'),
      sha256: replayed(SOME, 'sha256'),
      sha384: replayed(SOME, 'sha384', 'padded'),
      sha512: replayed(SOME, 'sha512', 'padded-legacy'),
    };
    expect(Object.fromEntries(verifyIma([listOf(SOME)], ask(pcr10)).banks)).toEqual({
      sha1: 'hash',
      sha256: 'hash',
      sha384: 'padded',
      sha512: 'padded-legacy',
    });
  });

  it('never mixes the ways within a bank', () => {
    let value = new Uint8Array(32);
    SOME.forEach((one, i) => {
      const padded = join(h('sha1', one.hashed), new Uint8Array(12));
      const extended = one.violation
        ? new Uint8Array(32).fill(0xff)
        : i < 3
          ? h('sha256', one.hashed)
          : padded;
      value = new Uint8Array(h('sha256', value, extended));
    });
    expectRefusal('ima-behind-quote', () => verifyIma([listOf(SOME)], ask({ sha256: value })));
  });

  it('refuses banks that end at different entries', () => {
    for (const bank of ['sha1', 'sha384'] as const) {
      const pcr10 = { sha256: replayed(SOME, 'sha256'), [bank]: replayed(SOME.slice(0, 4), bank) };
      expectRefusal('ima-banks-differ', () => verifyIma([listOf(SOME)], ask(pcr10)));
    }
    const padded = {
      sha256: replayed(SOME, 'sha256', 'padded'),
      sha384: replayed(SOME.slice(0, 4), 'sha384', 'padded'),
    };
    expectRefusal('ima-banks-differ', () => verifyIma([listOf(SOME)], ask(padded)));
  });

  it('refuses a bank whose value no entry gives beside one that matches', () => {
    const pcr10 = { sha256: replayed(SOME, 'sha256'), sha384: new Uint8Array(48).fill(1) };
    expectRefusal('ima-banks-differ', () => verifyIma([listOf(SOME)], ask(pcr10)));
  });

  it('takes SHA-1 along and never for enough', () => {
    expectRefusal('ima-not-quoted', () =>
      verifyIma([listOf(SOME)], ask({ sha1: replayed(SOME, 'sha1'), sha256: null })),
    );
    expectRefusal('ima-behind-quote', () =>
      verifyIma(
        [listOf(SOME)],
        ask({ sha1: new Uint8Array(20).fill(1), sha256: new Uint8Array(32).fill(1) }),
      ),
    );
  });

  it('refuses an empty list, and one that is read before the first extend', () => {
    expectRefusal('ima-empty', () => verifyIma([], ask({ sha256: replayed(SOME, 'sha256') })));
    expectRefusal('ima-empty', () => verifyIma([], ask({ sha256: new Uint8Array(32) })));
    expectRefusal('ima-boot-aggregate', () => verifyIma([listOf(SOME)], ask({ sha256: new Uint8Array(32) })));
  });

  it('says what it looked for when no prefix matches', () => {
    const refusal = expectRefusal('ima-behind-quote', () =>
      verifyIma([listOf(SOME.slice(0, 3))], ask({ sha256: replayed(SOME, 'sha256') })),
    );
    expect(refusal.detail).toMatchObject({
      entries: 3,
      expected: { sha256: hex(replayed(SOME, 'sha256')) },
    });
  });

  it('makes facts that nothing else can make', () => {
    const ima = verifyMade([file('/a', 'a')]);
    expect(isVerifiedIma(ima)).toBe(true);
    expect(isVerifiedIma(Object.assign({}, ima))).toBe(false);
    expect(isVerifiedIma(null)).toBe(false);
  });
});

describe('boot_aggregate', () => {
  const other = entry('ima-ng', [dNg(sha256('another boot')), nNg('boot_aggregate')]);
  const verify = (entries: readonly MadeEntry[], more: Partial<ImaQuestion> = {}) =>
    verifyIma([listOf(entries)], ask({ sha256: replayed(entries, 'sha256') }, more));

  it('has to be the first entry', () => {
    expectRefusal('ima-boot-aggregate', () => verify([file('/a', 'a'), bootAggregate()]));
    expectRefusal('ima-boot-aggregate', () => verify([file('/a', 'a')]));
    const violated = entry('ima-ng', [dNg(new Uint8Array(32)), nNg('boot_aggregate')], { violation: true });
    expectRefusal('ima-boot-aggregate', () => verify([violated, file('/a', 'a')]));
  });

  it('has to be that of the quoted PCRs', () => {
    expect(verify([bootAggregate()]).bootAggregate.checkedWith).toBe('quote');
    expectRefusal('ima-boot-aggregate', () => verify([other]));
  });

  it('is refused in an algorithm that no bank has', () => {
    const sm3 = entry('ima-ng', [dNg(new Uint8Array(32), 'sm3'), nNg('boot_aggregate')]);
    expectRefusal('ima-boot-aggregate', () => verify([sm3]));
  });

  it('counts a second one, which a kernel started by kexec adds', () => {
    const { findings } = verify([bootAggregate(), file('/a', 'a'), bootAggregate()]);
    expect(findings.bootAggregates.total).toBe(2);
    expect(findings.bootAggregates.list[1]?.entry).toBe(2);
  });

  it('a later one with another digest counts, and is judged like any other file', () => {
    const { findings } = verify([bootAggregate(), file('/a', 'a'), other]);
    expect(findings.bootAggregates.total).toBe(2);
    expect(findings.unknown.list.map(({ path }) => path)).toContain('boot_aggregate');
  });

  it('is compared with the event log where the quote lacks PCRs, and named as unchecked', () => {
    const sha1 = bootAggregate('sha1');
    const logPcrs = { get: (bank: HashName, index: number) => h(bank, latin1(`pcr ${index}`)) };
    const wrong = { get: (bank: HashName) => new Uint8Array(bank === 'sha1' ? 20 : 32) };
    const withLog = verify([sha1], { logPcrs });
    expect(withLog.bootAggregate).toMatchObject({ bank: 'sha1', checkedWith: 'log' });
    expect(withLog.unchecked).toEqual(['boot_aggregate']);
    expect(verify([sha1]).bootAggregate.checkedWith).toBe('unchecked');
    expect(verify([sha1]).unchecked).toEqual(['boot_aggregate']);
    expectRefusal('ima-boot-aggregate', () => verify([sha1], { logPcrs: wrong }));
    const both = { sha1: replayed([sha1], 'sha1'), sha256: replayed([sha1], 'sha256') };
    expect(verifyIma([sha1.bytes], ask(both)).bootAggregate.checkedWith).toBe('quote');
  });

  it('uses quoted values where there are some, and the log for the others', () => {
    const all = [bootAggregate()];
    const pcrs = quoted({ sha256: replayed(all, 'sha256') }, 3);
    expect(verify(all, { pcrs }).bootAggregate.checkedWith).toBe('unchecked');
    const logPcrs = { get: (bank: HashName, index: number) => h(bank, latin1(`pcr ${index}`)) };
    expect(verify(all, { pcrs, logPcrs }).bootAggregate.checkedWith).toBe('log');
  });

  it('of the first template is over SHA-1', () => {
    const pcrs = [...Array(8).keys()].map((index) => h('sha1', latin1(`pcr ${index}`)));
    const all = [
      legacyEntry(h('sha1', ...pcrs), 'boot_aggregate'),
      legacyEntry(h('sha1', latin1('a')), '/a'),
    ];
    const ima = verifyIma([listOf(all)], {
      ...ask({ sha1: replayed(all, 'sha1'), sha256: replayed(all, 'sha256') }),
      rules: compileImaRules(rules({ files: { '/a': [`sha1:${hex(h('sha1', latin1('a')))}`] } })),
    });
    expect(ima.bootAggregate.checkedWith).toBe('quote');
    expect(ima.findings.known).toBe(1);
  });
});

describe('entries of other PCRs', () => {
  const moved = file('/usr/bin/moved', 'moved', { pcr: 11 });

  it('are replayed for themselves, counted, named as unchecked, and prove nothing', () => {
    const allowed = { files: { '/usr/bin/moved': [ruleDigest('moved')] } };
    const ima = verifyMade([moved, file('/a', 'a')], allowed);
    expect([...ima.otherPcrs]).toEqual([[11, 1]]);
    expect(ima.unchecked).toEqual(['ima-pcr-11']);
    expect(ima.findings).toMatchObject({ files: 1, known: 0 });
    const report = inspectIma([listOf([bootAggregate(), moved])]);
    expect(Object.keys(report.pcrs['sha256'] ?? {})).toEqual(['10', '11']);
    expect(report.pcrs['sha256']?.['11']).toBe(hex(replayed([moved], 'sha256', 'hash', 11)));
  });

  it('cannot take entries away from PCR 10', () => {
    const all = [bootAggregate(), file('/evil', 'evil')];
    const hidden = listOf([bootAggregate(), file('/evil', 'evil', { pcr: 11 })]);
    expectRefusal('ima-behind-quote', () => verifyIma([hidden], ask({ sha256: replayed(all, 'sha256') })));
  });

  it('are refused above the PCRs that exist', () => {
    for (const pcr of [24, 32, 0xffffffff]) {
      expectRefusal('malformed', () => inspectIma([file('/a', 'a', { pcr }).bytes]));
    }
  });
});

describe('form of entries', () => {
  const inspect = (...entries: readonly MadeEntry[]) => inspectIma([listOf(entries)]);
  const MODES = latin1('security.selinux|security.ima\0');
  const sig = join(Uint8Array.of(3, 2, 4, 1, 2, 3, 4, 0, 1), Uint8Array.of(9));
  const digest = sha256('a');

  it.each<[string, readonly Uint8Array[]]>([
    ['ima-ng', [dNg(digest), nNg('/a')]],
    ['ima-ngv2', [join(latin1('ima:'), dNg(digest)), nNg('/a')]],
    ['ima-ngv2', [join(latin1('verity:'), dNg(digest)), nNg('/a')]],
    ['ima-sig', [dNg(digest), nNg('/a'), sig]],
    ['ima-sig', [dNg(digest), nNg('/a'), new Uint8Array()]],
    ['ima-sig', [dNg(digest), nNg('/a'), Uint8Array.of(5, 1)]],
    ['ima-sigv2', [join(latin1('ima:'), dNg(digest)), nNg('/a'), sig]],
    ['ima-buf', [dNg(digest), nNg('kexec-cmdline'), latin1('ro quiet')]],
    ['ima-modsig', [dNg(digest), nNg('/a'), sig, dNg(digest), latin1('PKCS7')]],
    ['ima-modsig', [dNg(digest), nNg('/a'), sig, new Uint8Array(), new Uint8Array()]],
    [
      'evm-sig',
      [
        dNg(digest),
        nNg('/a'),
        Uint8Array.of(5),
        MODES,
        u32(2),
        latin1('v'),
        u32(0),
        u32(0),
        Uint8Array.of(1, 2),
      ],
    ],
    ['evm-sig', [dNg(digest), nNg('/a'), ...Array<Uint8Array>(7).fill(new Uint8Array())]],
    ['d-ng|n-ng', [dNg(digest), nNg('/a')]],
    ['d|n', [h('sha1', digest), nNg('/a')]],
    ['n-ng', [nNg('/a')]],
    ['d-ng|d|n|n-ng', [dNg(digest), h('sha1', digest), nNg('/b'), nNg('/a')]],
    ['imode|iuid', [Uint8Array.of(1, 2), u32(0)]],
    ...['sha1', 'sha384', 'sha512'].map((name): [string, readonly Uint8Array[]] => [
      'ima-ng',
      [dNg(h(name, digest), name), nNg('/a')],
    ]),
  ])('%s is read', (template, fields) => {
    const one = entry(template, fields);
    expect(inspect(one)).toMatchObject({
      templates: { [template]: 1 },
      pcrs: { sha1: { 10: hex(replayed([one], 'sha1')) }, sha256: { 10: hex(replayed([one], 'sha256')) } },
    });
  });

  it.each<[string, string, readonly Uint8Array[]]>([
    ['an unknown template', 'ima-nx', [dNg(digest), nNg('/a')]],
    ['a template that is a member of every object', 'constructor', [dNg(digest), nNg('/a')]],
    ['an unknown field', 'd-ng|x', [dNg(digest), nNg('/a')]],
    ['an empty field name', 'd-ng|', [dNg(digest), nNg('/a')]],
    ['sixteen fields', Array(16).fill('n').join('|'), Array<Uint8Array>(16).fill(nNg('/a'))],
    ['a field too few', 'ima-ng', [dNg(digest)]],
    ['a field too many', 'ima-ng', [dNg(digest), nNg('/a'), nNg('/b')]],
    ['ima-sig called ima-ng', 'ima-ng', [dNg(digest), nNg('/a'), sig]],
    ['ima-ngv2 called ima-ng', 'ima-ng', [join(latin1('ima:'), dNg(digest)), nNg('/a')]],
    ['ima-ng called ima-ngv2', 'ima-ngv2', [dNg(digest), nNg('/a')]],
    ['a key called signature', 'ima-sig', [dNg(digest), nNg('.ima'), Uint8Array.of(0x30, 0)]],
    ['a digest without its algorithm', 'ima-ng', [digest, nNg('/a')]],
    ['an unknown algorithm', 'ima-ng', [dNg(digest, 'sha257'), nNg('/a')]],
    ['a digest that is too short', 'ima-ng', [dNg(digest.slice(1)), nNg('/a')]],
    ['a digest that is too long', 'ima-ng', [dNg(join(digest, digest)), nNg('/a')]],
    ['an empty digest field', 'ima-ng', [new Uint8Array(), nNg('/a')]],
    ['an unknown type of digest', 'ima-ngv2', [join(latin1('tree:'), dNg(digest)), nNg('/a')]],
    ['a short SHA-1', 'd|n', [new Uint8Array(19), nNg('/a')]],
    ['a name without its NUL', 'ima-ng', [dNg(digest), latin1('/a')]],
    ['an empty name field', 'ima-ng', [dNg(digest), new Uint8Array()]],
    ['a NUL inside a name', 'ima-ng', [dNg(digest), latin1('/a\0/b\0')]],
    ['a string without its NUL', 'xattrnames', [latin1('a')]],
    ['an EVM signature of another type', 'evmsig', [Uint8Array.of(3)]],
    ['an integer of one byte', 'imode', [Uint8Array.of(1)]],
    ['an integer of two bytes', 'iuid', [Uint8Array.of(1, 2)]],
    ['lengths that are not integers', 'xattrlengths', [Uint8Array.of(1, 2, 3)]],
  ])('%s is refused', (_what, template, fields) => {
    const { detail } = expectRefusal('malformed', () => inspect(bootAggregate(), entry(template, fields)));
    expect(detail['offset']).toBeGreaterThanOrEqual(bootAggregate().bytes.length);
  });

  it('a field that is longer than its entry is refused, and one that claims 4 GiB', () => {
    for (const length of [100, 0xffffffff]) {
      const data = join(u32(length), dNg(digest));
      const bytes = join(u32(10), h('sha1', data), u32(6), latin1('ima-ng'), u32(data.length), data);
      expectRefusal('malformed', () => inspectIma([bytes, file('/a', 'a').bytes]));
    }
  });

  it('lengths of an entry are bounded before anything is read for them', () => {
    const head = (name: number, data: number) =>
      join(u32(10), new Uint8Array(20), u32(name), latin1('ima-ng'), u32(data));
    for (const bytes of [
      head(0, 5),
      head(256, 5),
      head(0xffffffff, 5),
      head(6, 0xffffffff),
      head(6, 1048577),
    ]) {
      expectRefusal('malformed', () => inspectIma([bytes]));
    }
    const named = join(u32(10), new Uint8Array(20), u32(3), latin1('ima'), new Uint8Array(20), u32(256));
    expectRefusal('malformed', () => inspectIma([named]));
  });

  it('a name with a NUL is refused in the first template, too', () => {
    expectRefusal('malformed', () => inspect(legacyEntry(h('sha1', digest), '/a\0b')));
    expect(inspect(legacyEntry(h('sha1', digest), 'x'.repeat(255))).entries).toBe(1);
  });

  it('a large entry is read, also when it comes in small pieces', () => {
    const big = entry('ima-buf', [dNg(digest), nNg('policy'), new Uint8Array(900_000).fill(7)]);
    const list = listOf([bootAggregate(), big, file('/a', 'a')]);
    const pieces: Uint8Array[] = [];
    for (let at = 0; at < list.length; at += 10_000) pieces.push(list.slice(at, at + 10_000));
    expect(inspectIma(pieces)).toEqual(inspectIma([list]));
    expect(inspectIma(pieces).entries).toBe(3);
  });

  it('more templates than any kernel has are refused', () => {
    const names = ['d', 'n', 'd-ng', 'n-ng'];
    const formats = names.flatMap((a) =>
      names.flatMap((b) => names.flatMap((c) => names.map((d) => [a, b, c, d]))),
    );
    const made = formats.slice(0, 65).map((fields) =>
      entry(
        fields.join('|'),
        fields.map((field) =>
          field === 'd' ? h('sha1', digest) : field === 'd-ng' ? dNg(digest) : nNg('/a'),
        ),
      ),
    );
    expect(inspect(...made.slice(0, 64)).entries).toBe(64);
    expectRefusal('malformed', () => inspect(...made));
  });

  it('a list over the size limit is refused when the limit is passed', () => {
    const one = file('/a', 'a').bytes;
    const replay = new ImaReplay({
      banks: [],
      firstEntry: 0,
      visit: () => undefined,
      maxBytes: 3 * one.length,
    });
    for (let i = 0; i < 3; i++) replay.push(one);
    expectRefusal('malformed', () => {
      replay.push(one);
    });
  });
});

describe('changed lists', () => {
  const list = listOf(SOME);
  const violationStart = SOME.slice(0, 2).reduce((sum, { bytes }) => sum + bytes.length, 0);
  const violationEnd = violationStart + SOME[2]!.bytes.length;
  const asked = ask({ sha256: replayed(SOME, 'sha256') });
  const honest = verifyIma([list], asked);

  it('every changed byte of an entry that a digest covers is refused', () => {
    for (let at = 0; at < list.length; at++) {
      if (at >= violationStart + 24 && at < violationEnd) continue;
      for (const flip of [0x01, 0x80]) {
        const changed = list.slice();
        changed[at] = (changed[at] ?? 0) ^ flip;
        expect(() => verifyIma([changed], asked), `byte ${at}`).toThrow();
      }
    }
  });

  it('what no digest covers of a violation changes nothing but the path that is claimed', () => {
    let claims = 0;
    for (let at = violationStart + 24; at < violationEnd; at++) {
      const changed = list.slice();
      changed[at] = (changed[at] ?? 0) ^ 1;
      try {
        const ima = verifyIma([changed], asked);
        claims++;
        expect({ ...ima.findings, violations: ima.findings.violations.total }).toEqual({
          ...honest.findings,
          violations: honest.findings.violations.total,
        });
        expect(ima).toMatchObject({ entries: 5, consumed: 5 });
      } catch (error) {
        expect(error).toMatchObject({ check: 'malformed' });
      }
    }
    expect(claims).toBeGreaterThan(8);
  });

  it('dropped, doubled and exchanged entries are refused', () => {
    const orders = [
      SOME.slice(0, 4),
      [...SOME.slice(0, 1), ...SOME.slice(2)],
      [...SOME.slice(0, 2), SOME[1]!, ...SOME.slice(2)],
      [SOME[0]!, SOME[3]!, SOME[2]!, SOME[1]!, SOME[4]!],
    ];
    for (const order of orders) expectRefusal('ima-behind-quote', () => verifyIma([listOf(order)], asked));
  });

  it('a good entry cannot be passed off as a violation, nor the other way round', () => {
    const hidden = { ...SOME[1]!, bytes: SOME[1]!.bytes.slice() };
    hidden.bytes.fill(0, 4, 24);
    expectRefusal('ima-behind-quote', () => verifyIma([listOf([SOME[0]!, hidden, ...SOME.slice(2)])], asked));
  });

  it('the SHA-1 column is recomputed, of known entries, of unknown ones, and behind the quoted value', () => {
    const files = { '/usr/bin/a': [ruleDigest('a')], '/usr/bin/b': [ruleDigest('b')] };
    const withRules = { ...asked, rules: compileImaRules(rules({ files })) };
    expect(verifyIma([list], withRules).findings.known).toBe(2);
    const starts = SOME.map((_, i) => SOME.slice(0, i).reduce((sum, { bytes }) => sum + bytes.length, 0));
    for (const i of [0, 1, 3, 4]) {
      const changed = list.slice();
      changed[starts[i]! + 10] = (changed[starts[i]! + 10] ?? 0) ^ 4;
      const refusal = expectRefusal('ima-template-digest', () => verifyIma([changed], withRules));
      expect(refusal.detail['offset']).toBe(starts[i]! + 4);
    }
    const behind = join(list, file('/z', 'z').bytes);
    behind[list.length + 5] = (behind[list.length + 5] ?? 0) ^ 1;
    expectRefusal('ima-template-digest', () => verifyIma([behind], withRules));
    expect(verifyIma([join(list, file('/z', 'z').bytes)], withRules)).toMatchObject({
      entries: 6,
      consumed: 5,
    });
  });

  it('is the same in pieces of any size', () => {
    for (const size of [1, 2, 7, 64, 1000]) {
      const pieces: Uint8Array[] = [];
      for (let at = 0; at < list.length; at += size) pieces.push(list.slice(at, at + size));
      expect(verifyIma(pieces, asked)).toEqual(honest);
    }
  });

  it('is the same for many entries and for few of them', () => {
    const many = [bootAggregate(), ...Array.from({ length: 9000 }, (_, i) => file(`/f${i}`, `c${i}`))];
    const files = Object.fromEntries(many.slice(1).map((_, i) => [`/f${i}`, [ruleDigest(`c${i}`)]]));
    const question = {
      ...ask({ sha256: replayed(many, 'sha256') }),
      rules: compileImaRules(rules({ files })),
    };
    const ima = verifyIma([listOf(many)], question);
    expect(ima.findings).toMatchObject({ files: 9000, known: 9000 });
    for (const size of [1000, 40_000, 100_000]) {
      expect(verifyIma(inOneMemory(listOf(many), size), question).findings).toEqual(ima.findings);
    }
  });
});

describe('reading a verified list', () => {
  it('gives the entries up to the number that was verified', () => {
    const got: string[] = [];
    readImaEntries(
      [listOf([...SOME, signedFile('/s', 's', Uint8Array.of(3)), buffer('x', latin1('b'))])],
      6,
      (one) => {
        got.push(`${one.number} ${one.template} ${one.path} ${one.violation} ${one.signed} ${one.buffer}`);
      },
    );
    expect(got).toEqual([
      '0 ima-ng boot_aggregate false false false',
      '1 ima-ng /usr/bin/a false false false',
      '2 ima-ng /var/log/x true false false',
      '3 ima-ng /usr/bin/b false false false',
      '4 ima-ng /usr/bin/c false false false',
      '5 ima-sig /s false true false',
    ]);
  });

  it('an empty file is no list', () => {
    expect(expectRefusal('malformed', () => inspectIma([])).detail['offset']).toBe(0);
  });
});

/** The list in pieces that all have the same memory, as a file is read. */
function inOneMemory(list: Uint8Array, size: number): Iterable<Uint8Array> {
  const memory = new Uint8Array(size);
  return {
    *[Symbol.iterator]() {
      for (let at = 0; at < list.length; at += size) {
        const piece = list.subarray(at, at + size);
        memory.fill(0xee).set(piece);
        yield memory.subarray(0, piece.length);
      }
    },
  };
}
