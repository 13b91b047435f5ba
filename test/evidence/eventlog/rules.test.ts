import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import {
  interpretEventLog,
  parseEventLog,
  problemRefusals,
  replayEventLog,
} from '../../../src/evidence/index.ts';
import type { ClaimedFacts, FactName, Interpretation, Quirk, RuleId } from '../../../src/evidence/index.ts';
import { toHex } from '../../../src/base/index.ts';
import {
  EV,
  GLOBAL,
  OWNER,
  SECURITY,
  SHA256_GUID,
  SHIM,
  SOUND,
  X509_GUID,
  action,
  agileEvent,
  authority,
  boot,
  buildLog,
  config,
  grub,
  guidBytes,
  image,
  separator,
  sha1Event,
  sha256,
  signatureList,
  specId,
  u16,
  u32,
  utf16le,
  variableData,
} from '../../support/eventlogs.ts';
import type { BuiltEvent, SoundPart } from '../../support/eventlogs.ts';

type Changes = Partial<Record<SoundPart, readonly BuiltEvent[]>>;

const interpret = (log: Uint8Array, ...quirks: Quirk[]): Interpretation => {
  const parsed = parseEventLog(log);
  return interpretEventLog(parsed, parsed.banks, new Set(quirks));
};
const factsOf = (changes: Changes, ...quirks: Quirk[]): ClaimedFacts => {
  const { facts, problems } = interpret(boot(changes), ...quirks);
  expect(problems).toEqual([]);
  return facts;
};

/** The log breaks `rule`, and the facts named are gone while those of other PCRs stand. */
function expectBroken(
  rule: RuleId,
  log: Uint8Array,
  lost: readonly FactName[],
  ...quirks: Quirk[]
): Interpretation {
  const result = interpret(log, ...quirks);
  expect(result.problems.map((problem) => problem.rule)).toContain(rule);
  for (const name of lost) expect(result.facts).not.toHaveProperty(name);
  return result;
}

const sha1 = (content: Uint8Array): Buffer => createHash('sha1').update(content).digest();
const text = (value: string): Buffer => Buffer.from(value, 'latin1');
const ipl = (pcr: number, label: string, content: string): BuiltEvent => ({
  pcr,
  type: EV.IPL,
  data: text(label),
  digest: sha256(content),
});

/** What each bank measured of an event, where it isn't the event's data. */
interface Measured {
  readonly sha1: string;
  readonly sha256: string;
}

/** The sound boot without GRUB, in SHA-1 and SHA-256: `event` in the place of `part`, as each bank measured it. */
function twoBankBoot(
  part: SoundPart,
  event: BuiltEvent,
  measured: Measured,
  ...more: BuiltEvent[]
): Uint8Array {
  const left = Object.entries(SOUND).filter(([name]) => name !== 'command' && name !== 'commandLine');
  const events = left.map(([name, sound]: [string, BuiltEvent]) => (name === part ? event : sound));
  const records = [...events, ...more].map((each) => {
    const content = each.digest === undefined ? each.data : text('content');
    const [short, long] = each === event ? [text(measured.sha1), text(measured.sha256)] : [content, content];
    const digests = [[0x04, sha1(short)] as const, [0x0b, sha256(long)] as const];
    return agileEvent(each.pcr, each.type, digests, each.data);
  });
  const banks = specId([
    [0x04, 20],
    [0x0b, 32],
  ]);
  return new Uint8Array(Buffer.concat([sha1Event(0, EV.NO_ACTION, banks), ...records]));
}

describe('a sound boot', () => {
  it('breaks no rule and gives every fact', () => {
    const facts = factsOf({});
    expect(facts).toMatchObject({
      separators: [0, 1, 2, 3, 4, 5, 6, 7],
      firmware: { versions: ['v1'] },
      drivers: [],
      bootVariables: [],
      exitBootServices: true,
      secureBoot: { enabled: true, enforced: true },
      uefiDebugMode: false,
      dmaProtectionDisabled: false,
      grubCommands: ['linux /vmlinuz root=/dev/vda2 ro'],
      kernelCommandLine: ['/vmlinuz root=/dev/vda2 ro'],
      stubParameters: [],
      systemExtensions: [],
      mok: [],
    });
    expect(facts.bootApplications?.map(({ digests }) => digests.sha256)).toEqual([
      sha256('shim').toString('hex'),
      sha256('grub').toString('hex'),
    ]);
    expect(facts.bootFiles).toEqual([
      { pcr: 9, position: 0, digests: { sha256: sha256('kernel').toString('hex') } },
    ]);
    expect(facts.authorities).toEqual([
      { variable: 'db', guid: SECURITY, kind: 'certificate', sha256: facts.db?.certificates[0]?.sha256 },
    ]);
    expect(facts.dbx?.hashes).toEqual([sha256('revoked').toString('hex')]);
  });

  it('needs a bank: without digests nothing is tied', () => {
    expect(() => interpretEventLog(parseEventLog(boot()), [])).toThrow(TypeError);
  });

  it('turns broken rules into refusals of their own', () => {
    const { problems } = interpret(boot({ separator4: [] }));
    expect(problemRefusals(problems).map(({ check, detail }) => [check, detail['event']])).toEqual([
      ['f5', 9],
    ]);
  });
});

describe('(f) format', () => {
  it('EV_NO_ACTION has no digest', () => {
    const event = { pcr: 7, type: EV.NO_ACTION, data: text('hello') };
    expectBroken('f', boot({ separator6: [SOUND.separator6, event] }), ['secureBoot']);
    interpret(boot({ separator6: [SOUND.separator6, { ...event, digest: Buffer.alloc(32) }] }));
  });

  it('a declared digest is never missing', () => {
    const log = Buffer.concat([
      sha1Event(
        0,
        EV.NO_ACTION,
        specId([
          [0x0b, 32],
          [0x04, 20],
        ]),
      ),
      agileEvent(0, EV.SEPARATOR, [[0x0b, sha256(u32(0))]], u32(0)),
    ]);
    expectBroken('f', new Uint8Array(log), ['firmware']);
  });

  const locality = (value: number): BuiltEvent => ({
    pcr: 0,
    type: EV.NO_ACTION,
    data: Buffer.concat([text('StartupLocality\0'), Buffer.of(value)]),
    digest: Buffer.alloc(32),
  });
  const pcr0 = (log: Uint8Array): string =>
    toHex(replayEventLog(parseEventLog(log), 'sha256').get(0) ?? Buffer.alloc(0));
  const replayFrom = (last: number): string => {
    const start = Buffer.alloc(32);
    start[31] = last;
    const measured = sha256(Buffer.concat([start, sha256(SOUND.version.data)]));
    return sha256(Buffer.concat([measured, sha256(u32(0))])).toString('hex');
  };

  it.each([0, 3, 4])('startup locality %s is where PCR 0 starts', (value) => {
    const log = boot({ version: [locality(value), SOUND.version] });
    expect(interpret(log).problems).toEqual([]);
    expect(pcr0(log)).toBe(replayFrom(value));
  });

  it('tolerates a padded StartupLocality, as coreboot writes it', () => {
    const padded = { ...locality(3), data: Buffer.concat([locality(3).data, Buffer.alloc(7)]) };
    const log = boot({ version: [padded, SOUND.version] });
    expect(interpret(log).problems).toEqual([]);
    expect(pcr0(log)).toBe(replayFrom(3));
  });

  it.each([
    ['5', [locality(5), SOUND.version]],
    ['stated twice', [locality(3), locality(3), SOUND.version]],
    ['left out of its event', [{ ...locality(3), data: text('StartupLocality\0') }, SOUND.version]],
    ['stated after the first extend', [SOUND.version, locality(3)]],
  ])('refuses a startup locality %s', (_, version) => {
    expectBroken('f', boot({ version }), ['firmware']);
  });

  it('starts PCR 0 at locality 4 when an H-CRTM comes first, and only then', () => {
    const hcrtm: BuiltEvent = { pcr: 0, type: EV.HCRTM, data: text('HCRTM') };
    const start = Buffer.alloc(32);
    start[31] = 4;
    const first = sha256(Buffer.concat([start, sha256('HCRTM')]));
    const log = buildLog([hcrtm]);
    expect(pcr0(log)).toBe(first.toString('hex'));
    const second = sha256(
      Buffer.concat([sha256(Buffer.concat([Buffer.alloc(32), sha256(SOUND.version.data)])), sha256('HCRTM')]),
    );
    expect(pcr0(buildLog([SOUND.version, hcrtm]))).toBe(second.toString('hex'));
  });
});

describe('f2 data is trusted only when it is tied to the digest', () => {
  const lie = (event: BuiltEvent, data: Uint8Array): BuiltEvent => ({
    ...event,
    data,
    digest: sha256(event.data),
  });

  it('refuses variables, authorities, actions, versions and commands whose data was rewritten', () => {
    const other = config(GLOBAL, 'SecureBoot', Uint8Array.of(0));
    expectBroken('f2', boot({ secureBoot: [lie(SOUND.secureBoot, other.data)] }), ['secureBoot', 'db']);
    expectBroken('f2', boot({ authority: [lie(SOUND.authority, SOUND.kek.data)] }), [
      'secureBoot',
      'authorities',
    ]);
    expectBroken('f2', boot({ calling: [lie(SOUND.calling, text('Nothing to see'))] }), ['bootApplications']);
    expectBroken('f2', boot({ version: [lie(SOUND.version, utf16le('v2\0'))] }), ['firmware']);
    expectBroken('f2', boot({ command: [{ ...SOUND.command, data: text('grub_cmd: echo harmless\0') }] }), [
      'grubCommands',
      'kernelCommandLine',
    ]);
  });

  it('refuses driver configuration hashed by its value alone: the name would be free', () => {
    expectBroken('f2', boot({ secureBoot: [{ ...SOUND.secureBoot, digest: sha256(Uint8Array.of(1)) }] }), [
      'secureBoot',
    ]);
  });

  it('accepts an authority of old shim, one byte longer than what was hashed, and only that', () => {
    const data = Buffer.concat([variableData(SHIM, 'Shim', Buffer.alloc(20, 7)), Buffer.from([1, 2, 3])]);
    const old: BuiltEvent = { pcr: 7, type: EV.AUTHORITY, data, digest: sha256(data.subarray(0, -1)) };
    const log = boot({ authority: [SOUND.authority, old] });
    const { problems, ties, facts } = interpret(log);
    expect(problems).toEqual([]);
    expect(ties).toContain('rule:old-shim-authority');
    expect(facts.authorities).toHaveLength(2);
    expectBroken(
      'f2',
      boot({ authority: [SOUND.authority, { ...old, digest: sha256(data.subarray(0, -2)) }] }),
      ['secureBoot'],
    );
    // Without the stray byte, bytes after the value are somebody's invention.
    expectBroken('f6', boot({ authority: [SOUND.authority, { ...old, digest: sha256(data) }] }), [
      'secureBoot',
    ]);
  });

  it('accepts an action logged with a NUL that was not hashed', () => {
    const event = {
      ...SOUND.calling,
      data: text('Calling EFI Application from Boot Option\0'),
      digest: sha256(SOUND.calling.data),
    };
    const { problems, ties } = interpret(boot({ calling: [event] }));
    expect(problems).toEqual([]);
    expect(ties).toContain('rule:action-text');
  });

  it('leaves actions of coreboot alone, which names files in PCR 2 as EV_ACTION', () => {
    expect(
      interpret(
        boot({
          separator2: [
            { pcr: 2, type: EV.ACTION, data: text('CBFS: fallback/ramstage'), digest: sha256('x') },
            separator(2),
          ],
        }),
      ).problems,
    ).toEqual([]);
  });

  it('ties data in every bank, so that none gets a story of its own', () => {
    const data = SOUND.secureBoot.data;
    const sha1 = Buffer.alloc(20, 1);
    const log = new Uint8Array(
      Buffer.concat([
        sha1Event(
          0,
          EV.NO_ACTION,
          specId([
            [0x0b, 32],
            [0x04, 20],
          ]),
        ),
        agileEvent(
          7,
          EV.DRIVER_CONFIG,
          [
            [0x0b, sha256(data)],
            [0x04, sha1],
          ],
          data,
        ),
      ]),
    );
    const parsed = parseEventLog(log);
    expect(interpretEventLog(parsed, ['sha256']).ties[1]).toBe('digest');
    expect(interpretEventLog(parsed, ['sha256', 'sha1']).ties[1]).toBe('no');
  });
});

describe('boot variables (f2)', () => {
  const path = Buffer.concat([
    Buffer.of(4, 4),
    u16(4 + 14),
    utf16le('\\A.EFI\0'),
    Buffer.of(0x7f, 0xff, 4, 0),
  ]);
  const option = (description: string, attributes = 1): Buffer =>
    Buffer.concat([u32(attributes), u16(path.length), utf16le(`${description}\0`), path]);
  const variable = (name: string, value: Uint8Array, whole: boolean): BuiltEvent => ({
    pcr: 1,
    type: EV.BOOT,
    data: variableData(GLOBAL, name, value),
    digest: sha256(whole ? variableData(GLOBAL, name, value) : value),
  });
  const order = Buffer.concat([u16(1), u16(0x2a)]);

  it('has names when the whole structure was hashed', () => {
    const facts = factsOf({
      separator1: [
        variable('BootOrder', order, true),
        variable('Boot0001', option('A'), true),
        variable('Boot002A', option('B', 0), true),
        separator(1),
      ],
    });
    expect(facts.bootOrder).toEqual(['0001', '002A']);
    expect(facts.bootVariables).toEqual([
      { name: 'Boot0001', active: true, description: 'A', devicePath: '\\A.EFI' },
      { name: 'Boot002A', active: false, description: 'B', devicePath: '\\A.EFI' },
    ]);
  });

  it('has none when only the value was hashed, and then tells an order by its form', () => {
    const facts = factsOf({
      separator1: [
        variable('Boot0007', order, false),
        variable('BootOrder', option('A'), false),
        separator(1),
      ],
    });
    expect(facts.bootOrder).toEqual(['0001', '002A']);
    expect(facts.bootVariables).toEqual([{ active: true, description: 'A', devicePath: '\\A.EFI' }]);
  });

  it('leaves the order out when two values could be it', () => {
    expect(
      factsOf({
        separator1: [variable('BootOrder', order, false), variable('X', u16(1), false), separator(1)],
      }),
    ).not.toHaveProperty('bootOrder');
  });

  it('ignores named variables of other vendors and other names', () => {
    const foreign = { pcr: 1, type: EV.BOOT, data: variableData(OWNER, 'BootOrder', order) };
    const facts = factsOf({ separator1: [foreign, variable('Timeout', u16(3), true), separator(1)] });
    expect(facts.bootVariables).toEqual([]);
    expect(facts).not.toHaveProperty('bootOrder');
  });

  it('refuses a value that was not measured', () => {
    expectBroken(
      'f2',
      boot({ separator1: [{ ...variable('BootOrder', order, true), digest: sha256('x') }, separator(1)] }),
      ['bootOrder', 'bootVariables'],
    );
  });

  it('f4: refuses a variable under the type of a blob', () => {
    for (const whole of [true, false])
      expectBroken(
        'f4',
        boot({ separator1: [{ ...variable('BootOrder', order, whole), type: EV.BLOB }, separator(1)] }),
        ['bootVariables'],
      );
  });
});

describe('f3 digest-only events', () => {
  it('an image whose own event data was measured is none', () => {
    expectBroken('f3', boot({ shim: [{ ...SOUND.shim, digest: sha256(SOUND.shim.data) }] }), [
      'bootApplications',
    ]);
  });

  it('gives no fact from a path or a label', () => {
    const renamed = boot({
      shim: [{ ...SOUND.shim, data: Buffer.alloc(50, 1) }],
      kernel: [{ ...SOUND.kernel, data: text('/another\0') }],
    });
    expect(interpret(renamed).facts).toEqual(interpret(boot()).facts);
  });
});

describe('f4 types per PCR', () => {
  it.each([
    [0, 'firmware'],
    [7, 'secureBoot'],
    [4, 'bootApplications'],
    [1, 'bootVariables'],
    [2, 'drivers'],
    [5, 'exitBootServices'],
  ] as const)('an unknown type in PCR %s costs the facts of that PCR only', (pcr, lost) => {
    const part = `separator${String(pcr)}` as SoundPart;
    const unknown = { pcr, type: 0x8000_00ff, data: text('?') };
    const { facts } = expectBroken('f4', boot({ [part]: [unknown, separator(pcr)] }), [lost]);
    expect(facts).toHaveProperty('grubCommands');
    expect(Object.keys(facts).length).toBeGreaterThan(10);
  });

  it('an action in PCR 7 that has no known meaning there', () => {
    const unknown = action(7, 'Secure Boot Checks Skipped');
    expectBroken('f4', boot({ secureBoot: [unknown, SOUND.secureBoot] }), ['secureBoot']);
  });

  it('B.4 (a): genuine events retyped to one that others ignore, and a forged set behind them', () => {
    const names = ['secureBoot', 'pk', 'kek', 'db', 'dbx', 'separator7'] as const;
    const off = config(GLOBAL, 'SecureBoot', Uint8Array.of(0));
    const genuine = [off, SOUND.pk, SOUND.kek, SOUND.db, SOUND.dbx, SOUND.separator7];
    const changes = Object.fromEntries(names.map((name, i) => [name, [{ ...genuine[i], type: EV.UNUSED }]]));
    const forged = names.map((name) => SOUND[name]);
    expectBroken('f4', boot({ ...changes, exited: [SOUND.exited, ...forged] }), ['secureBoot']);
  });

  it('B.4 (b): a boot loader retyped to a firmware blob', () => {
    expectBroken('f4', boot({ shim: [{ ...SOUND.shim, type: EV.BLOB }, image('what I want you to see')] }), [
      'bootApplications',
    ]);
  });

  it.each([EV.AUTHORITY, 0x800000e3, 0x800000e4, EV.ACTION_EFI])(
    'configuration retyped to 0x%s doesn’t vanish',
    (type) => {
      for (const part of ['db', 'dbx', 'pk', 'secureBoot'] as const)
        expect(interpret(boot({ [part]: [{ ...SOUND[part], type }] })).problems).not.toEqual([]);
    },
  );

  it('an action retyped to an image', () => {
    expectBroken('f4', boot({ calling: [{ ...SOUND.calling, type: EV.APPLICATION }] }), ['bootApplications']);
    expectBroken('f4', boot({ exit: [{ ...SOUND.exit, type: 0x80000006 }] }), [
      'exitBootServices',
      'bootApplications',
    ]);
  });

  it('an image retyped to an action, with its measured bytes as "text"', () => {
    const portableExecutable = Buffer.concat([text('MZ'), Buffer.alloc(300, 0x90)]);
    expectBroken('f2', boot({ shim: [{ pcr: 4, type: EV.ACTION_EFI, data: portableExecutable }] }), [
      'bootApplications',
    ]);
    expectBroken('f2', boot({ shim: [{ pcr: 4, type: EV.ACTION_EFI, data: Buffer.alloc(300, 0x41) }] }), [
      'bootApplications',
    ]);
  });
});

describe('f5 separators', () => {
  it.each([0, 1, 2, 3, 4, 5, 6, 7])(
    'PCR %s: exactly one, of 00000000, and nothing in its disguise',
    (pcr) => {
      const part = `separator${String(pcr)}` as SoundPart;
      const other: BuiltEvent = { pcr, type: pcr === 7 ? EV.ACTION_EFI : EV.ACTION, data: text('x') };
      const good = separator(pcr);
      const sets: Record<string, readonly BuiltEvent[]> = {
        missing: [other],
        twice: [good, good],
        'another value': [{ ...good, data: Buffer.from('00000002', 'hex') }],
        'five bytes': [{ ...good, data: Buffer.alloc(5) }],
        'firmware error FFFFFFFF': [{ ...good, data: Buffer.alloc(4, 0xff) }],
        'firmware error 00000001': [{ ...good, data: Buffer.of(1, 0, 0, 0) }],
        'data that lies': [{ ...good, data: Buffer.alloc(4, 0xff), digest: sha256(u32(0)) }],
        'digest that lies': [{ ...good, digest: sha256('x') }],
        'another type': [{ ...good, type: EV.ACTION }],
        'an error under another type': [{ ...good, data: Buffer.alloc(4, 0xff), type: EV.ACTION }, good],
      };
      for (const [name, events] of Object.entries(sets)) {
        const { problems } = interpret(boot({ [part]: events }));
        expect(
          problems.map(({ rule }) => rule),
          name,
        ).toContain('f5');
      }
    },
  );

  it.each([2, 3, 6])('asks for that of PCR %s too, where nothing else is measured', (pcr) => {
    const part = `separator${String(pcr)}` as SoundPart;
    const { problems } = interpret(boot({ [part]: [] }));
    expect(problems).toEqual([
      expect.objectContaining({ rule: 'f5', reason: `no separator in PCR ${String(pcr)}` }),
    ]);
  });

  it('asks for none in a log that measures nothing there, and of other PCRs', () => {
    expect(interpret(buildLog([{ pcr: 12, type: EV.SEPARATOR, data: text('WBCL') }])).problems).toEqual([]);
  });

  it.each([
    { sha1: 'something else', sha256: '\0\0\0\0' },
    { sha1: '\0\0\0\0', sha256: 'something else' },
  ])('is one in every bank: %j', (measured) => {
    for (const pcr of [0, 1, 2, 3, 4, 5, 6, 7]) {
      const part = `separator${String(pcr)}` as SoundPart;
      const { problems } = interpret(twoBankBoot(part, separator(pcr), measured));
      expect(problems.map(({ rule, reason }) => [rule, reason])).toEqual([
        ['f5', 'separator whose digest is not that of 00000000'],
      ]);
    }
    const genuine = { sha1: '\0\0\0\0', sha256: '\0\0\0\0' };
    expect(interpret(twoBankBoot('separator7', separator(7), genuine)).problems).toEqual([]);
  });

  it('can be excused by a quirk, PCR 7 excepted', () => {
    expect(interpret(boot({ separator4: [] }), 'missing-separators').problems).toEqual([]);
    expectBroken('f5', boot({ separator7: [] }), ['secureBoot'], 'missing-separators');
  });

  it('knows S-CRTM contents of four zero bytes in PCR 0, which still need a separator', () => {
    const contents = {
      pcr: 0,
      type: EV.S_CRTM_CONTENTS,
      data: text('FIT Type 0x2D'),
      digest: sha256(u32(0)),
    };
    const facts = factsOf({ version: [contents, SOUND.version] });
    expect(facts.firmware?.measurements).toHaveLength(2);
    expectBroken('f5', boot({ version: [contents, SOUND.version], separator0: [] }), ['firmware']);
    expectBroken('f5', boot({ separator4: [{ ...contents, pcr: 4 }] }), ['bootApplications']);
  });
});

describe('f6 secure boot', () => {
  const lost = ['secureBoot', 'db', 'authorities'] as const;
  it.each<[string, Changes]>([
    [
      'a second SecureBoot',
      { secureBoot: [SOUND.secureBoot, config(GLOBAL, 'SecureBoot', Uint8Array.of(0))] },
    ],
    ['SecureBoot of 0 bytes', { secureBoot: [config(GLOBAL, 'SecureBoot', new Uint8Array())] }],
    ['SecureBoot of 2 bytes', { secureBoot: [config(GLOBAL, 'SecureBoot', Uint8Array.of(1, 0))] }],
    ['SecureBoot 2', { secureBoot: [config(GLOBAL, 'SecureBoot', Uint8Array.of(2))] }],
    ['SecureBoot under another GUID', { secureBoot: [config(OWNER, 'SecureBoot', Uint8Array.of(1))] }],
    ['db under another GUID', { db: [{ ...SOUND.db, data: variableData(GLOBAL, 'db', new Uint8Array()) }] }],
    ['dbx under another GUID', { dbx: [config(GLOBAL, 'dbx', new Uint8Array())] }],
    ['no SecureBoot', { secureBoot: [] }],
    ['no PK', { pk: [] }],
    ['an empty PK', { pk: [config(GLOBAL, 'PK', new Uint8Array())] }],
    ['no KEK', { kek: [] }],
    ['no db', { db: [] }],
    ['an empty db', { db: [config(SECURITY, 'db', new Uint8Array())] }],
    ['no authority', { authority: [] }],
    ['no authority but a setting of shim', { authority: [authority(SHIM, 'SbatLevel', text('sbat,1'))] }],
    [
      'configuration after the separator',
      { separator7: [SOUND.separator7, config(GLOBAL, 'AuditMode', Uint8Array.of(0))] },
    ],
    ['a UEFI debugger', { secureBoot: [action(7, 'UEFI Debug Mode'), SOUND.secureBoot] }],
    ['one whose NUL was hashed', { secureBoot: [action(7, 'UEFI Debug Mode\0'), SOUND.secureBoot] }],
    ['configuration that is no variable', { dbx: [{ pcr: 7, type: EV.DRIVER_CONFIG, data: text('x') }] }],
    [
      'an authority that is no variable',
      { authority: [SOUND.authority, { pcr: 7, type: EV.AUTHORITY, data: text('x') }] },
    ],
  ])('refuses %s', (_, changes) => {
    expectBroken('f6', boot(changes), lost);
  });

  it('reads "off", with or without keys', () => {
    const off = config(GLOBAL, 'SecureBoot', Uint8Array.of(0));
    expect(factsOf({ secureBoot: [off], pk: [], db: [], authority: [] }).secureBoot).toEqual({
      enabled: false,
      enforced: false,
    });
    expect(factsOf({ secureBoot: [off], authority: [] }).db?.certificates).toHaveLength(1);
  });

  it('says nothing of secure boot where PCR 7 has only its separator', () => {
    const none: Changes = { secureBoot: [], pk: [], kek: [], db: [], dbx: [], authority: [] };
    expect(factsOf(none)).not.toHaveProperty('secureBoot');
  });

  it('reads an empty SecureBoot as off when that quirk is allowed', () => {
    const empty = config(GLOBAL, 'SecureBoot', new Uint8Array());
    expect(
      factsOf({ secureBoot: [empty], authority: [] }, 'empty-secure-boot-variable').secureBoot?.enabled,
    ).toBe(false);
  });

  it('reports DMA protection and authorities of every kind', () => {
    const hash = sha256('allowed by digest');
    const facts = factsOf({
      secureBoot: [action(7, 'DMA Protection Disabled'), SOUND.secureBoot],
      authority: [
        SOUND.authority,
        authority(SECURITY, 'db', Buffer.concat([guidBytes(OWNER), hash])),
        authority(SECURITY, 'db', Buffer.alloc(9)),
      ],
    });
    expect(facts.dmaProtectionDisabled).toBe(true);
    expect(facts.authorities?.map(({ kind }) => kind)).toEqual(['certificate', 'hash', 'other']);
    expect(facts.authorities?.[1]?.sha256).toBe(hash.toString('hex'));
  });
});

describe('f7 signature lists', () => {
  it('a malformed list in any database costs the facts of PCR 7', () => {
    const broken = signatureList(SHA256_GUID, [sha256('x')]).fill(0, 24, 28);
    for (const [part, guid, name] of [
      ['pk', GLOBAL, 'PK'],
      ['kek', GLOBAL, 'KEK'],
      ['db', SECURITY, 'db'],
      ['dbx', SECURITY, 'dbx'],
    ] as const)
      expectBroken('f7', boot({ [part]: [config(guid, name, broken)] }), ['secureBoot', 'dbx']);
  });

  it('a vendor header adds nothing to a database (CVE-2026-12681)', () => {
    const header = Buffer.concat([guidBytes(OWNER), sha256('smuggled')]);
    const facts = factsOf({
      db: [
        config(
          SECURITY,
          'db',
          Buffer.concat([
            signatureList(X509_GUID, [Buffer.alloc(30)]),
            signatureList(SHA256_GUID, [sha256('real')], header),
          ]),
        ),
      ],
    });
    expect(facts.db?.hashes).toEqual([sha256('real').toString('hex')]);
  });
});

describe('f8 and f9 boot applications', () => {
  it('knows actions that were hashed with their NUL', () => {
    const [calling, exit] = [
      action(4, 'Calling EFI Application from Boot Option\0'),
      action(5, 'Exit Boot Services Invocation\0'),
    ];
    expect(factsOf({ calling: [calling], exit: [exit] })).toMatchObject({ exitBootServices: true });
    expectBroken('f8', boot({ calling: [SOUND.calling, calling] }), ['bootApplications']);
  });

  it('more than one attempt needs a quirk', () => {
    const twice = {
      calling: [SOUND.calling, action(4, 'Returning from EFI Application from Boot Option'), SOUND.calling],
    };
    expectBroken('f8', boot(twice), ['bootApplications']);
    expect(factsOf(twice, 'multiple-boot-attempts').bootApplications).toHaveLength(2);
  });

  it('accepts an application before the separator, and lists every image', () => {
    const facts = factsOf({ calling: [image('kernel from the firmware'), SOUND.calling] });
    expect(facts.bootApplications).toHaveLength(3);
  });

  it('lists drivers and anything else that was started, whatever its type', () => {
    const driver = { ...image('driver'), type: 0x80000004 };
    expect(factsOf({ shim: [driver, { ...image('legacy'), type: EV.IPL }] }).bootApplications).toHaveLength(
      3,
    );
  });

  it('f9: without ExitBootServices they are unknown, not guessed', () => {
    const open = { exit: [], exited: [] };
    const facts = factsOf(open);
    expect(facts.exitBootServices).toBe(false);
    expect(facts).not.toHaveProperty('bootApplications');
    expect(factsOf(open, 'unbounded-boot-applications').bootApplications).toHaveLength(2);
  });
});

describe('f10 boot loaders', () => {
  it('refuses other types in PCR 8 and 9', () => {
    expectBroken('f10', boot({ command: [SOUND.command, { pcr: 8, type: EV.ACTION, data: text('x') }] }), [
      'grubCommands',
      'kernelCommandLine',
    ]);
    expectBroken('f10', boot({ kernel: [SOUND.kernel, { pcr: 9, type: EV.BLOB, data: text('x') }] }), [
      'bootFiles',
    ]);
  });

  it('has every digest of PCR 9, the kernel stub’s tagged events too', () => {
    const tag = Buffer.concat([u32(0x8f3b22ec), u32(13), text('Linux initrd\0')]);
    expect(
      factsOf({ kernel: [SOUND.kernel, { pcr: 9, type: EV.EVENT_TAG, data: tag, digest: sha256('initrd') }] })
        .bootFiles,
    ).toHaveLength(2);
  });

  it.each([
    ['grub_cmd: ', 'kernel_cmdline: ', ''],
    ['grub_cmd ', 'grub_kernel_cmdline ', ''],
    ['grub_cmd ', 'grub_kernel_cmdline ', '\0'],
  ])('reads "%s…" and "%s…" (hashed with %j)', (commandLabel, lineLabel, nul) => {
    const event = (label: string, value: string): BuiltEvent => ({
      ...grub(label, value),
      digest: sha256(`${value}${nul}`),
    });
    const facts = factsOf({
      command: [event(commandLabel, 'set timeout=0')],
      commandLine: [event(lineLabel, '(hd0,gpt2)/vmlinuz ro')],
    });
    expect(facts.grubCommands).toEqual(['set timeout=0']);
    expect(facts.kernelCommandLine).toEqual(['(hd0,gpt2)/vmlinuz ro']);
  });

  it('takes no kernel command line as a fact: chainloader, no GRUB', () => {
    expect(factsOf({ command: [], commandLine: [] })).toMatchObject({
      kernelCommandLine: [],
      grubCommands: [],
    });
  });

  it('refuses a second, different command line, but not the same one again', () => {
    const other = grub('kernel_cmdline: ', '/vmlinuz init=/bin/sh');
    expectBroken('f10', boot({ commandLine: [SOUND.commandLine, other] }), ['kernelCommandLine']);
    expect(factsOf({ commandLine: [SOUND.commandLine, SOUND.commandLine] }).kernelCommandLine).toHaveLength(
      1,
    );
  });

  it('tells a command line by its text: labels are not hashed', () => {
    // The real line relabelled as a command, and a command that looks like a line relabelled as one.
    const hidden = grub('grub_cmd: ', '/vmlinuz init=/bin/sh');
    expectBroken('f10', boot({ commandLine: [hidden, SOUND.commandLine] }), ['kernelCommandLine']);
    expectBroken('f10', boot({ commandLine: [grub('kernel_cmdline: ', 'echo /vmlinuz ro')] }), [
      'kernelCommandLine',
    ]);
  });

  it('reads systemd-boot’s UTF-16 command lines in PCR 8 and 12', () => {
    const line = utf16le('root=/dev/vda2 quiet');
    const old = {
      pcr: 8,
      type: EV.IPL,
      data: Buffer.concat([line, Buffer.of(0)]),
      digest: sha256(Buffer.concat([line, u16(0)])),
    };
    expect(factsOf({ command: [], commandLine: [old] }).kernelCommandLine).toEqual(['root=/dev/vda2 quiet']);
    const stub = { pcr: 12, type: EV.IPL, data: Buffer.concat([line, u16(0)]) };
    const facts = factsOf({ command: [], commandLine: [stub, stub] });
    expect(facts.kernelCommandLine).toEqual(['root=/dev/vda2 quiet']);
    expect(facts.stubParameters).toHaveLength(2);
  });

  it('knows no command line when something in PCR 12 can’t be read', () => {
    const credentials = {
      pcr: 12,
      type: EV.IPL,
      data: utf16le('Credentials initrd\0'),
      digest: sha256('cpio'),
    };
    expect(factsOf({ commandLine: [SOUND.commandLine, credentials] })).not.toHaveProperty(
      'kernelCommandLine',
    );
    expectBroken('f2', boot({ commandLine: [{ ...credentials, data: utf16le('root=/dev/vda2\0') }] }), [
      'kernelCommandLine',
      'stubParameters',
    ]);
    const binary = { pcr: 12, type: EV.EVENT_TAG, data: Buffer.alloc(8), digest: sha256('dtb') };
    expect(factsOf({ commandLine: [binary] })).not.toHaveProperty('kernelCommandLine');
  });

  const section = (name: string, content: string, label = name): BuiltEvent[] => [
    { pcr: 11, type: EV.IPL, data: utf16le(`${label}\0`), digest: sha256(`${name}\0`) },
    { pcr: 11, type: EV.IPL, data: utf16le(`${label}\0`), digest: sha256(content) },
  ];

  it('reads the sections of a unified kernel image by their hashed names', () => {
    const events = [
      ...section('.linux', 'kernel'),
      ...section('.cmdline', 'ro', '.initrd'),
      ...section('.fromthefuture', 'x'),
    ];
    const facts = factsOf({ command: [], commandLine: events });
    expect(facts.unifiedKernelImage?.sections.map(({ name, digests }) => [name, digests.sha256])).toEqual([
      ['.linux', sha256('kernel').toString('hex')],
      ['.cmdline', sha256('ro').toString('hex')],
      ['.fromthefuture', sha256('x').toString('hex')],
    ]);
    // Its command line is in a section, not in the log.
    expect(facts).not.toHaveProperty('kernelCommandLine');
  });

  it('refuses sections that don’t pair, and takes other PCR 11 events for what they are', () => {
    const [name, content] = section('.linux', 'kernel');
    expectBroken('f10', boot({ commandLine: [name!] }), ['unifiedKernelImage']);
    expectBroken('f10', boot({ commandLine: [name!, content!, ipl(11, 'x', 'y'), ipl(11, 'x', 'z')] }), [
      'unifiedKernelImage',
    ]);
    expect(
      factsOf({ commandLine: [SOUND.commandLine, { pcr: 11, type: 12, data: u32(16) }] }),
    ).not.toHaveProperty('unifiedKernelImage');
  });

  it('gives a section no name that only one bank measured', () => {
    const [name, content] = section('.linux', 'kernel') as [BuiltEvent, BuiltEvent];
    const split = { sha1: '.initrd\0', sha256: '.linux\0' };
    const { facts } = interpret(twoBankBoot('kernel', name, split, content));
    expect(facts).not.toHaveProperty('unifiedKernelImage');
    const agreed = { sha1: '.linux\0', sha256: '.linux\0' };
    const sound = interpret(twoBankBoot('kernel', name, agreed, content));
    expect(sound.facts.unifiedKernelImage?.sections).toHaveLength(1);
  });
});

describe('f11 Windows', () => {
  it('never recurses into SIPA aggregates', () => {
    // Aggregates in aggregates, as deep as an event can hold them (GHSA-hcm6-rjfh-f25p).
    let nested = Buffer.alloc(0);
    for (let depth = 0; depth < 5000; depth++)
      nested = Buffer.concat([u32(0x4001_0001), u32(nested.length), nested]);
    const log = boot({ exited: [SOUND.exited, { pcr: 13, type: EV.EVENT_TAG, data: nested }] });
    expect(interpret(log).problems).toEqual([]);
  });
});

describe('f12 secure boot enforced', () => {
  const mok = (value: Uint8Array): BuiltEvent => authority(SHIM, 'MokSBState', value);

  it.each([
    ['1 in PCR 7', [mok(Uint8Array.of(1))], false],
    ['2 bytes in PCR 7', [mok(Uint8Array.of(0, 0))], false],
    ['empty in PCR 7', [mok(new Uint8Array())], false],
    ['0 in PCR 7', [mok(Uint8Array.of(0))], true],
    ['1 in PCR 14', [ipl(14, 'MokSBState\0', '\x01')], false],
    ['0 in PCR 14', [ipl(14, 'MokSBState\0', '\0')], true],
    [
      'other MOK variables',
      [ipl(14, 'MokListTrusted\0', '\x01'), authority(SHIM, 'MokListTrusted', Uint8Array.of(1))],
      true,
    ],
    ['the name under another GUID', [authority(OWNER, 'MokSBState', Uint8Array.of(1))], true],
  ])('MokSBState %s', (_, events, enforced) => {
    const facts = factsOf({ authority: [SOUND.authority, ...events] });
    expect(facts.secureBoot).toEqual({ enabled: true, enforced });
  });

  it.each([
    [{ sha1: '\0', sha256: '\x01' }, false],
    [{ sha1: '\x01', sha256: '\0' }, false],
    [{ sha1: '\0', sha256: '\0' }, true],
  ])('MokSBState in PCR 14 is 0 in every bank: %j', (measured, enforced) => {
    const log = twoBankBoot('kernel', { pcr: 14, type: EV.IPL, data: text('MokSBState\0') }, measured);
    expect(interpret(log).facts.secureBoot).toEqual({ enabled: true, enforced });
  });

  it('never enforced when off; SBAT level as measured', () => {
    const off = config(GLOBAL, 'SecureBoot', Uint8Array.of(0));
    const facts = factsOf({
      secureBoot: [off],
      authority: [authority(SHIM, 'SbatLevel', text('sbat,1,2023012900\nshim,2\n'))],
    });
    expect(facts.secureBoot).toEqual({ enabled: false, enforced: false });
    expect(facts.sbatLevel).toBe('sbat,1,2023012900\nshim,2\n');
  });

  it('facts of PCR 7 don’t depend on a label in PCR 14 that makes things better', () => {
    const state = { ...mok(Uint8Array.of(1)) };
    const relabelled = factsOf({ authority: [SOUND.authority, state, ipl(14, 'MokList\0', '\x01')] });
    expect(relabelled.secureBoot?.enforced).toBe(false);
  });
});
