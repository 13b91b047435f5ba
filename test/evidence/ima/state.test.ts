import { describe, expect, it } from 'vitest';
import {
  compileImaRules,
  decodeImaState,
  encodeImaState,
  requireGatewayMeasured,
  verifyIma,
} from '../../../src/evidence/index.ts';
import type { ImaQuestion, ImaState, VerifiedIma } from '../../../src/evidence/index.ts';
import type { JsonObject, JsonValue } from '../../../src/base/index.ts';
import {
  BOOT,
  bootAggregate,
  buffer,
  file,
  hex,
  latin1,
  listOf,
  quoted,
  replayed,
  ruleDigest,
  rules,
  sha256,
  violation,
} from '../../support/ima.ts';
import type { Mode } from '../../support/ima.ts';
import { expectRefusal } from '../../support/refusals.ts';

const RULES = compileImaRules(
  rules({
    files: { '/a': [ruleDigest('a')], '/d': [ruleDigest('d')] },
    violations: ['/v'],
    buffers: { b: 'any' },
  }),
  { manifest: { '/m': hex(sha256('m')) } },
);
const ENTRIES = [
  bootAggregate(),
  file('/a', 'a'),
  file('/m', 'm'),
  violation('/v'),
  file('/evil', 'evil'),
  buffer('b', latin1('x')),
  file('/d', 'd'),
  violation('/w'),
  file('/x', 'x'),
];

/** As it comes back from a store. */
const stored = (state: ImaState): ImaState =>
  decodeImaState(JSON.parse(JSON.stringify(encodeImaState(state))) as JsonValue);

function verify(from: number, to: number, more: Partial<ImaQuestion> = {}): VerifiedIma {
  return verifyIma([listOf(ENTRIES.slice(from, to))], {
    pcrs: quoted({ sha256: replayed(ENTRIES.slice(0, to), 'sha256') }),
    boot: BOOT,
    rules: RULES,
    firstEntry: from,
    ...more,
  });
}

describe('verification in steps', () => {
  it('gives what verification of the whole list gives, wherever it is divided', () => {
    const whole = verify(0, ENTRIES.length);
    for (let cut = 1; cut <= ENTRIES.length; cut++) {
      const state = stored(verify(0, cut).state);
      const rest = verify(cut, ENTRIES.length, { state });
      expect(rest.findings).toEqual(whole.findings);
      expect(rest).toMatchObject({
        entries: 9,
        consumed: 9,
        fresh: 9 - cut,
        bootAggregate: whole.bootAggregate,
      });
      expect(encodeImaState(rest.state)).toEqual(encodeImaState(whole.state));
    }
  });

  it('keeps no more of a quote’s clock than the boot', () => {
    const clockInfo = { ...BOOT, clock: 123_456_789n, safe: true };
    const { state } = verify(0, 3, { boot: clockInfo });
    expect(stored(state).boot).toEqual(BOOT);
    expect(verify(3, 5, { boot: clockInfo, state }).fresh).toBe(2);
  });

  it('goes on from a quote with nothing new, and one with a longer list', () => {
    const state = stored(verify(0, 5).state);
    const same = verifyIma([], {
      pcrs: quoted({ sha256: replayed(ENTRIES.slice(0, 5), 'sha256') }),
      boot: BOOT,
      rules: RULES,
      firstEntry: 5,
      state,
    });
    expect(same).toMatchObject({ entries: 5, consumed: 5, fresh: 0 });
    const longer = verifyIma([listOf(ENTRIES.slice(5))], {
      pcrs: quoted({ sha256: replayed(ENTRIES.slice(0, 7), 'sha256') }),
      boot: BOOT,
      rules: RULES,
      firstEntry: 5,
      state,
    });
    expect(longer).toMatchObject({ entries: 9, consumed: 7, fresh: 2 });
    expect(longer.state.entries).toBe(7);
  });

  it('costs what is new, however much was seen before: the state stays as small, and only the rest is read', () => {
    const sizes: number[] = [];
    for (const seen of [20, 20_000]) {
      const entries = [bootAggregate(), ...Array.from({ length: seen }, () => file('/a', 'a'))];
      const step = (from: number, to: number, state?: ImaState): VerifiedIma =>
        verifyIma([listOf(entries.slice(from, to))], {
          pcrs: quoted({ sha256: replayed(entries.slice(0, to), 'sha256') }),
          boot: BOOT,
          rules: RULES,
          firstEntry: from,
          ...(state === undefined ? {} : { state }),
        });
      const known = stored(step(0, entries.length - 2).state);
      const rest = step(entries.length - 2, entries.length, known);
      expect(rest).toMatchObject({ entries: entries.length, fresh: 2 });
      sizes.push(JSON.stringify(encodeImaState(rest.state)).length);
    }
    const [short = 0, long = 0] = sizes;
    // Only its counters have more digits.
    expect(long - short).toBeLessThan(32);
  });

  it('remembers what the manifest wanted and keys that were loaded', () => {
    const state = stored(verify(0, 5).state);
    requireGatewayMeasured(verify(5, 9, { state }));
  });

  it('takes the whole list although a state is known', () => {
    const { state } = verify(0, 5);
    expect(verify(0, 9, { state }).fresh).toBe(9);
  });

  it.each<[string, Partial<ImaQuestion>]>([
    ['there is no state', { state: undefined }],
    ['the host was rebooted', { boot: { ...BOOT, resetCount: 3 } }],
    ['the host was suspended', { boot: { ...BOOT, restartCount: 1 } }],
    ['entries are missing between', { firstEntry: 6 }],
    ['entries are sent again', { firstEntry: 4 }],
    ['the rules changed', { rules: compileImaRules(rules()) }],
  ])('needs the whole list when %s', (_what, more) => {
    const { state } = verify(0, 5);
    expectRefusal('ima-state-lost', () => verify(5, 9, { state, ...more }));
  });

  it('needs the whole list when the quote covers other banks', () => {
    const { state } = verify(0, 5);
    const pcrs = quoted({ sha384: replayed(ENTRIES, 'sha384') });
    expectRefusal('ima-state-lost', () => verify(5, 9, { state, pcrs }));
  });

  it('names a bank that it can’t follow', () => {
    const { state } = verify(0, 5);
    const pcrs = quoted({ sha256: replayed(ENTRIES, 'sha256'), sha384: replayed(ENTRIES, 'sha384') });
    const ima = verify(5, 9, { state, pcrs });
    expect(ima.unchecked).toEqual(['pcr10:sha384']);
    expect([...ima.banks.keys()]).toEqual(['sha256']);
  });

  it('refuses what does not go on from the state', () => {
    const { state } = verify(0, 5);
    const banks = new Map([['sha256', { mode: 'hash', value: new Uint8Array(32).fill(1) }]] as const);
    expectRefusal('ima-behind-quote', () => verify(5, 9, { state: { ...state, banks } }));
  });

  it.each<[Mode, number]>([
    ['padded', 3],
    ['padded-legacy', 3],
    ['padded', 5],
    ['padded-legacy', 5],
  ])('follows a bank that is %s, also when that was not clear yet (%i)', (mode, cut) => {
    const ask = (count: number) => ({
      pcrs: quoted({ sha256: replayed(ENTRIES.slice(0, count), 'sha256', mode) }),
      boot: BOOT,
      rules: RULES,
    });
    const first = verifyIma([listOf(ENTRIES.slice(0, cut))], ask(cut));
    const rest = verifyIma([listOf(ENTRIES.slice(cut))], {
      ...ask(9),
      firstEntry: cut,
      state: stored(first.state),
    });
    expect(rest.consumed).toBe(9);
    expect([...rest.banks.values()]).toEqual([mode]);
  });
});

describe('the stored state', () => {
  const state = verify(0, 5).state;
  const json = encodeImaState(state);

  it('comes back as it was', () => {
    expect(stored(state)).toEqual(state);
    expect(decodeImaState(json, json['digest'] as string)).toEqual(state);
  });

  it('is refused when any value in it changed, or one is missing', () => {
    const paths: string[][] = [];
    const collect = (value: JsonValue, at: string[]): void => {
      if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
        for (const [name, member] of Object.entries(value as JsonObject)) collect(member, [...at, name]);
      }
      if (at.length > 0) paths.push(at);
    };
    collect(json, []);
    expect(paths.length).toBeGreaterThan(25);
    for (const at of paths) {
      for (const change of ['drop', 'alter'] as const) {
        const copy = JSON.parse(JSON.stringify(json)) as Record<string, unknown>;
        let parent = copy;
        for (const name of at.slice(0, -1)) parent = parent[name] as Record<string, unknown>;
        const last = at.at(-1)!;
        if (change === 'drop') Reflect.deleteProperty(parent, last);
        else parent[last] = typeof parent[last] === 'number' ? parent[last] + 1 : `${String(parent[last])}0`;
        expectRefusal('ima-state-damaged', () => decodeImaState(copy as unknown as JsonValue));
      }
    }
  });

  it('is refused when it is an older one than was recorded', () => {
    const later = encodeImaState(verify(0, 7).state);
    expectRefusal('ima-state-damaged', () => decodeImaState(json, later['digest'] as string));
  });

  it('is refused when it is something else', () => {
    for (const value of [null, [], 'x', {}, { digest: 'x' }]) {
      expectRefusal('ima-state-damaged', () => decodeImaState(value));
    }
  });
});
