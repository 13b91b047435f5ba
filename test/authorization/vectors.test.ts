import { readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { createHash, createPublicKey, verify } from 'node:crypto';
import { Compile } from 'typebox/schema';
import { describe, expect, it } from 'vitest';
import { REFUSED_OUTCOMES, parseClaims, parseVector, runVector } from '../../src/authorization/index.ts';
import { utf8 } from '../../src/base/index.ts';
import { DENIALS } from '../../src/lifecycle/denial.ts';
import { es256Key, signEs256 } from '../../scripts/lib/deterministic-es256.ts';
import { vectorFiles } from '../../scripts/lib/vectors/cases.ts';
import { expectRefusal } from '../support/refusals.ts';

const ROOT = path.resolve(import.meta.dirname, '../..');
const DATA = path.join(ROOT, 'test/data/authorization');
const FILES = readdirSync(DATA).filter((name) => name.endsWith('.json'));
const bytesOf = (name: string): Uint8Array => new Uint8Array(readFileSync(path.join(DATA, name)));
const jsonOf = (name: string): Record<string, unknown> =>
  JSON.parse(readFileSync(path.join(DATA, name), 'utf8')) as Record<string, unknown>;
const schema = (name: string) =>
  Compile(JSON.parse(readFileSync(path.join(ROOT, 'share/schema', name), 'utf8')) as Record<string, unknown>);

describe('vectors of authorization chains', () => {
  it.each(FILES)('%s', async (name) => {
    const { ok, outcome, expected, refusal } = await runVector(parseVector(bytesOf(name)));
    expect(outcome, refusal?.message).toBe(expected);
    expect(ok).toBe(true);
  });

  it('are there for every outcome, and for chains of every depth', () => {
    const outcomes = FILES.map((name) => jsonOf(name)['outcome'] as string);
    for (const outcome of ['ok', ...REFUSED_OUTCOMES])
      expect(outcomes.filter((one) => one === outcome).length, outcome).toBeGreaterThanOrEqual(6);
    for (let depth = 0; depth <= 8; depth++) expect(FILES).toContain(`ok--depth-${String(depth)}.json`);
    for (const outcome of REFUSED_OUTCOMES) expect(DENIALS).toHaveProperty(outcome);
  });

  it('are what their generator makes, byte for byte', () => {
    const made = vectorFiles();
    expect([...made.keys()].sort()).toEqual([...FILES].sort());
    for (const [name, text] of made)
      expect(readFileSync(path.join(DATA, name), 'utf8') === text, name).toBe(true);
  });

  it('are refused where the stated outcome is not what comes of them', async () => {
    for (const name of FILES.filter((_, i) => i % 20 === 0)) {
      const vector = jsonOf(name);
      for (const other of ['ok', 'revoked', 'expired'])
        if (other !== vector['outcome'])
          expect((await runVector(parseVector(utf8(JSON.stringify({ ...vector, outcome: other }))))).ok).toBe(
            false,
          );
    }
  });
});

describe('the form of a vector', () => {
  const good = jsonOf('ok--depth-1.json');
  const check = schema('authorization-vector.json');

  it('is what the shipped schema says, for every vector', () => {
    for (const name of FILES) expect(check.Check(jsonOf(name)), name).toBe(true);
  });

  it('is closed: whatever is left out, added or of another type is refused, by parser and schema alike', () => {
    let count = 0;
    for (const changed of mutationsOf(good)) {
      count++;
      const parsed = accepts(() => parseVector(utf8(JSON.stringify(changed.value))));
      expect(parsed, `parser ${changed.what}`).toBe(changed.optional ?? false);
      expect(check.Check(changed.value), `schema ${changed.what}`).toBe(changed.optional ?? false);
    }
    expect(count).toBeGreaterThan(60);
  });

  it('refuses what is no vector', () => {
    for (const text of ['', '[]', '{}', '{"name":"x"', 'null', `${JSON.stringify(good)}{}`])
      expect(['malformed', 'vector-form']).toContain(refusedCheck(() => parseVector(utf8(text))));
    const trust = good['trust'] as { keys: object[] };
    const twice = { ...good, trust: { ...trust, keys: [trust.keys[0], trust.keys[0]] } };
    expectRefusal('vector-form', () => parseVector(utf8(JSON.stringify(twice))));
    const [key] = trust.keys as [Record<string, string>];
    for (const bad of [
      { ...key, x: key['y'] },
      { ...key, kid: undefined },
      { ...key, alg: undefined },
    ])
      expectRefusal('authorization-keys', () =>
        parseVector(utf8(JSON.stringify({ ...good, trust: { ...trust, keys: [bad] } }))),
      );
  });
});

describe('the schema of authorization artifacts', () => {
  const check = schema('authorization.json');
  const claimsIn = (name: string): Record<string, unknown>[] =>
    (jsonOf(name)['chain'] as string[]).map(
      (token) =>
        JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()) as Record<string, unknown>,
    );

  it('takes every artifact of the chains that hold', () => {
    for (const name of FILES.filter((file) => file.startsWith('ok--')))
      for (const claims of claimsIn(name)) expect(check.Check(claims), name).toBe(true);
  });

  it('is as closed as the parser', () => {
    const [, claims = {}] = claimsIn('ok--depth-1.json');
    let count = 0;
    for (const { value, what, optional } of mutationsOf(claims)) {
      count++;
      const parsed = accepts(() => parseClaims(utf8(JSON.stringify(value))));
      expect(check.Check(value), `${what}: schema and parser differ`).toBe(parsed);
      if (optional !== true && !OPTIONAL_CLAIMS.test(what)) expect(parsed, what).toBe(false);
    }
    expect(count).toBeGreaterThan(100);
  });
});

/** Claims that may be absent, and no constraints: that a child must have them is said by the rules, not by the form. */
const OPTIONAL_CLAIMS =
  /^without (?:act|act\.act|par_hash|attr\.owner|authorization_details\.0\.constraints\.\w+)$|^authorization_details\.0\.constraints as \{\}$/;

describe('deterministic ES256 for test data', () => {
  // RFC 6979 A.2.5: P-256, SHA-256.
  const secret = Buffer.from('C9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721', 'hex');
  it.each([
    [
      'sample',
      'EFD48B2AACB6A8FD1140DD9CD45E81D69D2C877B56AAF991C34D0EA84EAF3716',
      'F7CB1C942D657C41D436C7A1B6E29F65F3E900DBB9AFF4064DC4AB2F843ACDA8',
    ],
    [
      'test',
      'F1ABB023518351CD71D881567B1EA663ED3EFCF6C5132B354F28D3B0B7D38367',
      '019F4113742A2B14BD25926B49C649155F267E60D3814B4C0CC84250E46F0083',
    ],
  ])('gives the signature of RFC 6979 for %j', (message, r, s) => {
    const signature = signEs256(Buffer.from(message), secret);
    expect(Buffer.from(signature).toString('hex').toUpperCase()).toBe(r + s);
    const key = createPublicKey(es256Key(secret));
    expect(verify('sha256', Buffer.from(message), { key, dsaEncoding: 'ieee-p1363' }, signature)).toBe(true);
    expect(createHash('sha256').update(signature).digest().length).toBe(32);
  });
});

function accepts(action: () => unknown): boolean {
  return refusedCheck(action) === null;
}

function refusedCheck(action: () => unknown): string | null {
  try {
    action();
    return null;
  } catch (error) {
    return (error as { check?: string }).check ?? String(error);
  }
}

interface Mutated {
  readonly what: string;
  readonly value: unknown;
  /** True where the member may be left out. */
  readonly optional?: boolean;
}

/** Every member left out, given another type, and an unknown one beside it. */
function* mutationsOf(
  value: unknown,
  at: readonly (string | number)[] = [],
  root = value,
): Generator<Mutated> {
  if (typeof value !== 'object' || value === null) return;
  if (!Array.isArray(value)) {
    yield { what: `more in ${at.join('.')}`, value: replaced(root, [...at, 'unknown'], 1) };
  }
  for (const [name, member] of Object.entries(value)) {
    const here = [...at, Array.isArray(value) ? Number(name) : name];
    const what = here.join('.');
    if (!Array.isArray(value)) {
      const optional =
        ['description', 'trust.keys.0.use'].includes(what) || /holder\.key\.(?:kid|alg)$/.test(what);
      yield { what: `without ${what}`, value: replaced(root, here, undefined), optional };
    }
    for (const other of [null, true, 1.5, -1, {}, [1]]) {
      if (typeof member === 'object' && JSON.stringify(other) === JSON.stringify(member)) continue;
      yield { what: `${what} as ${JSON.stringify(other)}`, value: replaced(root, here, other) };
    }
    yield* mutationsOf(member, here, root);
  }
}

function replaced(value: unknown, [name, ...rest]: readonly (string | number)[], member: unknown): unknown {
  if (name === undefined) return member;
  if (Array.isArray(value))
    return value.map((item: unknown, i) => (i === name ? replaced(item, rest, member) : item));
  const object = value as Record<string, unknown>;
  const inner = replaced(object[name], rest, member);
  if (inner === undefined) {
    const { [name]: _left, ...others } = object;
    return others;
  }
  return { ...object, [name]: inner };
}
