import { describe, expect, it } from 'vitest';
import {
  describeEvent,
  eventTypeName,
  interpretEventLog,
  parseEventLog,
} from '../../../src/evidence/index.ts';
import {
  EV,
  GLOBAL,
  SECURITY,
  SHIM,
  SOUND,
  boot,
  buildLog,
  sha256,
  u16,
  u32,
  u64,
  utf16le,
  variableData,
} from '../../support/eventlogs.ts';
import type { BuiltEvent } from '../../support/eventlogs.ts';

/** How an event is shown. */
function shown(event: Pick<BuiltEvent, 'type' | 'data'> & { pcr?: number }): string {
  const log = parseEventLog(buildLog([{ pcr: 6, ...event }]));
  return describeEvent(log.events[1]!, 'no').data;
}
const text = (value: string): Buffer => Buffer.from(value, 'latin1');
const variable = (guid: string, name: string, value: Uint8Array): string =>
  shown({ type: EV.DRIVER_CONFIG, data: variableData(guid, name, value) });

describe('describeEvent', () => {
  it.each([
    ['a separator', EV.SEPARATOR, u32(0), '00000000'],
    ['an action', EV.ACTION_EFI, text('Exit Boot Services Invocation'), 'Exit Boot Services Invocation'],
    ['UTF-16 text', EV.S_CRTM_VERSION, utf16le('v1\0'), 'v1'],
    ['binary data', EV.BLOB, Buffer.from('00ff10', 'hex'), '00ff10'],
    ['long binary data', EV.BLOB, Buffer.alloc(65, 0x80), `${'80'.repeat(64)}…`],
    ['nothing', EV.POST_CODE, new Uint8Array(), ''],
    [
      'a tag',
      EV.EVENT_TAG,
      Buffer.concat([u32(0xec223b8f), u32(5), text('initrd'.slice(0, 5))]),
      'tag 0xec223b8f: initr',
    ],
    [
      'a tag whose size is wrong',
      EV.EVENT_TAG,
      Buffer.concat([u32(1), u32(9), text('x')]),
      '010000000900000078',
    ],
    ['a short tag', EV.EVENT_TAG, Buffer.of(1), '01'],
    ['GRUB’s text with control characters', EV.IPL, text('grub_cmd: a\x1b\n\0'), 'grub_cmd: a\\u{1b}\\u{a}'],
    ['a variable that is none', EV.DRIVER_CONFIG, text('SecureBoot'), 'SecureBoot'],
    [
      'an image without a path',
      EV.APPLICATION,
      Buffer.concat([u64(1), u64(2), u64(3), u64(0)]),
      expect.stringMatching(/^01000000/),
    ],
    ['an image event that is none', EV.APPLICATION, Buffer.of(1, 2), '0102'],
    [
      'vendor information',
      EV.NO_ACTION,
      Buffer.concat([text('SP800-155 Event3'), Buffer.alloc(20)]),
      'SP800-155 Event3 (36 bytes)',
    ],
    ['short information', EV.NO_ACTION, Buffer.of(1), '01'],
  ])('%s', (_, type, data, expected) => {
    expect(shown({ type, data })).toEqual(expected);
  });

  it('variables with their values', () => {
    expect(variable(GLOBAL, 'SecureBoot', Uint8Array.of(1))).toBe(`SecureBoot (${GLOBAL}) = 01`);
    expect(variable(GLOBAL, 'BootOrder', Buffer.concat([u16(1), u16(0x2a)]))).toBe(
      `BootOrder (${GLOBAL}) = 0001 002A`,
    );
    expect(variable(SECURITY, 'dbx', new Uint8Array())).toBe(`dbx (${SECURITY}) = (empty)`);
    expect(variable(SHIM, 'SbatLevel', text('sbat,1\nshim,2\n'))).toBe(
      `SbatLevel (${SHIM}) = sbat,1\\u{a}shim,2\\u{a}`,
    );
    expect(variable(SECURITY, 'db', Buffer.alloc(20, 0xee))).toContain('eeee');
    expect(variable(SECURITY, 'db', Buffer.alloc(40, 0xee))).toContain('eeee');
    expect(shown(SOUND.db)).toBe(`db (${SECURITY}) = 1 certificates, 0 hashes, 0 others`);
    // A list that doesn't parse is shown as it is.
    expect(variable(GLOBAL, 'PK', Buffer.from('01ff', 'hex'))).toMatch(/^[0-9a-f]+…?$/);
    expect(variable(GLOBAL, 'Boot0001', Buffer.from('01ff', 'hex'))).toMatch(/^[0-9a-f]+…?$/);
  });

  it('names types, unknown ones as numbers', () => {
    expect(eventTypeName(4)).toBe('EV_SEPARATOR');
    expect(eventTypeName(0x800000ff)).toBe('0x800000ff');
    expect(eventTypeName(0x402)).toBe('0x00000402');
  });

  it('hides nothing of a boot option that holds half a character', () => {
    const path = Buffer.of(0x7f, 0xff, 4, 0);
    const option = Buffer.concat([u32(1), u16(4), Buffer.of(0x00, 0xd8), utf16le('A\0'), path]);
    const data = variableData(GLOBAL, 'Boot0001', option);
    expect(shown({ type: EV.BOOT, data })).toContain('\\u{d800}A');
    const log = parseEventLog(boot({ separator1: [{ pcr: 1, type: EV.BOOT, data }, SOUND.separator1] }));
    const [found] = interpretEventLog(log, log.banks).facts.bootVariables ?? [];
    expect(found?.description).toBe('\\u{d800}A');
    expect(found?.description.isWellFormed()).toBe(true);
  });

  it('firmware that names what it measured as EV_NONHOST_INFO breaks no rule, a changed text does', () => {
    const info = (data: Uint8Array): BuiltEvent => ({ pcr: 0, type: 0x11, data, digest: sha256('blob') });
    const problems = (data: Uint8Array) => {
      const log = parseEventLog(boot({ version: [SOUND.version, info(data)] }));
      return interpretEventLog(log, log.banks).problems.map(({ rule }) => rule);
    };
    expect(problems(Buffer.from('00ff', 'hex'))).toEqual([]);
    expect(problems(text('a firmware'))).toEqual(['f2']);
  });
});
