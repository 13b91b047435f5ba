import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { utf8 } from '../../src/base/index.ts';
import type { JsonObject, JsonValue } from '../../src/base/index.ts';
import {
  CEDAR_SCHEMA,
  POLICY_LIMITS,
  PolicyEngine,
  adminRequest,
  compilePolicies,
  enrollRequest,
  executeRequest,
  initiatorId,
  loadCedar,
} from '../../src/policy/index.ts';
import type { CedarModule, CedarPolicies, PolicyRequest } from '../../src/policy/index.ts';
import { deepNesting, jsonDepth, onlySafeIntegers } from '../../src/policy/cedar/nesting.ts';
import { expectRefusal } from '../support/refusals.ts';
import { build, facts } from './support.ts';

const PERMIT = '@id("permit-all")\npermit (principal, action, resource);\n';
const execute = (condition: string, effect = 'permit', id = 'p'): string =>
  `@id("${id}")\n${effect} (principal, action == Action::"Execute", resource)\nwhen { ${condition} };\n`;

function compile(text: string, schema?: string): CedarPolicies {
  return compilePolicies(
    [{ name: 'a.cedar', bytes: utf8(text) }],
    schema === undefined ? undefined : { name: 'schema.cedarschema', bytes: utf8(schema) },
    loadCedar,
  ).policies;
}
function engineOf(text: string): PolicyEngine {
  const engine = new PolicyEngine(loadCedar);
  engine.load(compile(text));
  return engine;
}
const ask = (text: string, change: Parameters<typeof facts>[0] = {}) =>
  engineOf(text).authorize(executeRequest(facts(change)));

describe('the policy engine', () => {
  it('allows with an explicit permit only, and says which', () => {
    expect(ask(execute('context.host.sets.contains("granted")'))).toEqual({
      allow: true,
      ids: ['p'],
      errors: [],
    });
    expect(ask(execute('context.request.privileged'))).toEqual({ allow: false, ids: [], errors: [] });
    expect(ask(PERMIT + execute('true', 'forbid', 'no'))).toEqual({ allow: false, ids: ['no'], errors: [] });
  });

  it('denies where nothing is loaded', () => {
    const engine = new PolicyEngine(loadCedar);
    expect(engine.authorize(executeRequest(facts()))).toEqual({
      ...{ allow: false, ids: [], errors: ['no policy'] },
    });
  });

  it('H1: an erroring forbid denies, though the engine by itself would skip it', () => {
    const text =
      PERMIT + execute('context.request.uid + 9007199254740991 * 1024 * 1024 > 0', 'forbid', 'overflow');
    const decision = ask(text);
    expect(decision.allow).toBe(false);
    expect(decision.errors.join()).toContain('overflow');
    expect(decision.ids).toEqual(['permit-all']);
  });

  it('H1: a request that is not of the schema is denied: unknown, missing and mistyped members', () => {
    const engine = engineOf(PERMIT);
    const good = executeRequest(facts());
    expect(engine.authorize(good).allow).toBe(true);
    const missing = Object.fromEntries(Object.entries(good.context).filter(([name]) => name !== 'time'));
    for (const context of [
      { ...good.context, more: 1 },
      missing,
      { ...good.context, time: '1' },
      { ...good.context, request: { ...(good.context['request'] as object), uid: true } },
    ]) {
      expect(engine.authorize({ ...good, context })).toMatchObject({
        allow: false,
        ids: [],
      });
    }
    expect(engine.authorize({ ...good, resource: { type: 'Host', id: 'x' } }).allow).toBe(false);
    expect(engine.authorize({ ...good, principal: { type: 'Operator', id: 'x' } }).allow).toBe(false);
  });

  it('H2: a trap denies, the instance is dropped and the next question gets a new one', () => {
    let made = 0;
    const engine = new PolicyEngine((): CedarModule => {
      const cedar = loadCedar();
      made++;
      // The third instance (two were for loading) is poisoned the way submitted text would do it.
      if (made === 2) {
        expect(() =>
          cedar.policyToJson(`permit(principal,action,resource) when {${'('.repeat(400)}`),
        ).toThrow();
      }
      return cedar;
    });
    engine.load(compile(PERMIT));
    const first = engine.authorize(executeRequest(facts()));
    const second = engine.authorize(executeRequest(facts()));
    // Whether a poisoned instance still answers is luck; what it must never do is to stay when it doesn't.
    expect(second).toEqual({ allow: true, ids: ['permit-all'], errors: [] });
    expect(first.allow ? made : made - 1).toBe(2);
  });

  it('H2: an engine that throws denies and is replaced', () => {
    let broken = true;
    let made = 0;
    const engine = new PolicyEngine(() => {
      made++;
      const cedar = loadCedar();
      return {
        ...cedar,
        statefulIsAuthorized: (call) => {
          if (broken) throw new RangeError('Maximum call stack size exceeded');
          return cedar.statefulIsAuthorized(call);
        },
      };
    });
    engine.load(compile(PERMIT));
    for (let i = 0; i < 3; i++) {
      const decision = engine.authorize(executeRequest(facts()));
      expect(decision).toMatchObject({ allow: false, ids: [] });
      expect(decision.errors[0]).toContain('RangeError');
    }
    expect(made).toBe(4);
    broken = false;
    expect(engine.authorize(executeRequest(facts())).allow).toBe(true);
  });

  it('H2: a full stack denies', () => {
    const engine = engineOf(PERMIT);
    engine.authorize(executeRequest(facts()));
    const request = executeRequest(facts());
    const deep = (): boolean => {
      try {
        return deep();
      } catch {
        return engine.authorize(request).allow;
      }
    };
    // Near the end of the stack the answer may be no; it is never an exception.
    expect(typeof deep()).toBe('boolean');
    expect(engine.authorize(request).allow).toBe(true);
  });

  it('H3: ids are sorted', () => {
    const text = ['c', 'a', 'b', 'z', 'k'].map((id) => execute('true', 'permit', id)).join('');
    expect(ask(text).ids).toEqual(['a', 'b', 'c', 'k', 'z']);
  });

  it.each([
    ['BigInt', 1n],
    ['over 2^53', 2 ** 53],
    ['fraction', 1.5],
    ['NaN', Number.NaN],
    ['null', null],
    ['undefined', undefined],
  ])('H4: %s in the context is denied without reaching the engine', (_name, time) => {
    let made = 0;
    const engine = new PolicyEngine(() => {
      made++;
      return loadCedar();
    });
    engine.load(compile(PERMIT));
    expect(engine.authorize(executeRequest(facts())).allow).toBe(true);
    const good = executeRequest(facts());
    const context = { ...good.context, time } as unknown as PolicyRequest['context'];
    expect(engine.authorize({ ...good, context }).allow).toBe(false);
    expect(engine.authorize(good).allow).toBe(true);
    expect(made).toBe(2);
  });

  it('H4: escapes of the JSON form are denied', () => {
    const engine = engineOf(PERMIT);
    const good = executeRequest(facts());
    for (const name of [{ __entity: { type: 'Host', id: 'x' } }, { __extn: { fn: 'ip', arg: '1.1.1.1' } }]) {
      const context = { ...good.context, host: { ...(good.context['host'] as object), name } };
      expect(engine.authorize({ ...good, context }).allow).toBe(false);
    }
  });

  it('H4: integers over 2^53 in a policy are refused: the engine would read another number', () => {
    expectRefusal('policy-number', () => compile(execute('context.time == 9007199254740993')));
    compile(execute('context.time == 9007199254740991'));
  });

  it('H5: two engines do not mix', () => {
    const [active, staged] = [engineOf(PERMIT), engineOf(execute('false'))];
    expect(active.authorize(executeRequest(facts())).allow).toBe(true);
    expect(staged.authorize(executeRequest(facts())).allow).toBe(false);
    expect(active.authorize(executeRequest(facts())).allow).toBe(true);
  });

  it('H6: policies that do not load leave the slot as it was', () => {
    const engine = engineOf(execute('context.host.state == "active"'));
    const good = compile(PERMIT);
    const [first] = good.policies;
    const bad = (policy: JsonObject): CedarPolicies => ({ ...good, policies: [{ id: 'x', policy }] });
    for (const broken of [
      bad({ effect: 'permit' }),
      bad({ ...first?.policy, effect: 'maybe' }),
      bad({
        ...first?.policy,
        conditions: [{ kind: 'when', body: { '.': { left: { Var: 'context' }, attr: 'q' } } }],
      }),
      { ...good, schema: { '': { entityTypes: 1 } } as unknown as JsonObject },
    ]) {
      expectRefusal('policy-invalid', () => {
        engine.load(broken);
      });
      expect(engine.authorize(executeRequest(facts())).ids).toEqual(['p']);
    }
  });
});

describe('an engine that says no while it loads', () => {
  it.each(['preparsePolicySet', 'preparseSchema'] as const)('H6: %s', (failing) => {
    let broken = false;
    const failure = { type: 'failure' as const, errors: [] };
    const engine = new PolicyEngine(() => {
      const cedar = loadCedar();
      return { ...cedar, ...(broken && { [failing]: () => failure }) };
    });
    engine.load(compile(PERMIT));
    broken = true;
    expectRefusal('policy-invalid', () => {
      engine.load(compile(PERMIT));
    });
    // The next instance can't be loaded either: nothing is allowed by what a failed preparse left there.
    const decision = engine.authorize(executeRequest(facts()));
    expect(decision).toMatchObject({ allow: false, ids: [] });
  });
});

describe('compiling policies', () => {
  it('H7: each policy has an @id of its own, across files', () => {
    expectRefusal('policy-id', () => compile('permit (principal, action, resource);'));
    expectRefusal('policy-id', () => compile('@id("a b") permit (principal, action, resource);'));
    const refusal = expectRefusal('policy-id', () =>
      compilePolicies(
        [
          { name: 'a.cedar', bytes: utf8(`// one\n${PERMIT}`) },
          { name: 'b.cedar', bytes: utf8(`\n\n${PERMIT}`) },
        ],
        undefined,
        loadCedar,
      ),
    );
    expect(refusal.detail).toMatchObject({ file: 'b.cedar', line: 3, id: 'permit-all' });
  });

  it('H8: white space, comments and order change nothing', () => {
    const a = execute('context.time > 5', 'permit', 'a');
    const b = execute('context.host.name == "x // y"', 'permit', 'b');
    expect(compile(`// c\n${b}\n\n${a}`)).toEqual(compile(a + b.replaceAll('\n', ' // more\n  ')));
    expect(compile(PERMIT, `// other\n${CEDAR_SCHEMA}\n`)).toEqual(compile(PERMIT));
  });

  it.each([
    ['parentheses', `${'('.repeat(65)}true${')'.repeat(65)}`],
    ['sets', `${'['.repeat(65)}1${']'.repeat(65)} == 1`],
    ['records', `${'{a:'.repeat(65)}1${'}'.repeat(65)} == 1`],
    ['hidden by closing brackets', `${')'.repeat(200)}${'('.repeat(400)}`],
    ['behind strings', `"\\"" == "((" && ${'('.repeat(400)}true${')'.repeat(400)}`],
  ])('H2: nested %s are refused before the engine sees them', (_name, condition) => {
    let calls = 0;
    const guarded = () => {
      const cedar = loadCedar();
      return {
        ...cedar,
        policySetTextToParts: (text: string) => {
          calls++;
          return cedar.policySetTextToParts(text);
        },
      };
    };
    const file = { name: 'a.cedar', bytes: utf8(execute(condition)) };
    expectRefusal('policy-nesting', () => compilePolicies([file], undefined, guarded));
    expect(calls).toBe(0);
  });

  it('H2: long chains are refused, and a trap of the parser is a refusal', () => {
    const chain = (n: number): string => Array.from({ length: n }, () => 'true').join(' && ');
    expectRefusal('policy-nesting', () => compile(execute(chain(150))));
    expectRefusal('policy-engine', () => compile(execute(chain(20_000))));
    compile(execute(chain(40)));
    // The instance that trapped was one of its own.
    compile(PERMIT);
  });

  it('what passes the bounds is decided by the engine', () => {
    const inner = `${'!('.repeat(40)}context.host.sets.contains("granted")${')'.repeat(40)}`;
    expect(ask(execute(inner)).allow).toBe(true);
    const wide = Array.from({ length: 40 }, (_, i) => `context.host.name != "x${i}"`).join(' && ');
    expect(ask(execute(wide)).allow).toBe(true);
  });

  it('bounds sizes and counts', () => {
    const file = { name: 'a.cedar', bytes: new Uint8Array(POLICY_LIMITS.fileBytes + 1) };
    expectRefusal('policy-size', () => compilePolicies([file], undefined, loadCedar));
    const many = Array.from({ length: 65 }, (_, i) => ({ name: `${i}.cedar`, bytes: utf8('') }));
    expectRefusal('policy-size', () => compilePolicies(many, undefined, loadCedar));
    expectRefusal('policy-source', () => compilePolicies([], undefined, loadCedar));
    expectRefusal('policy-source', () => compile('// nothing\n'));
  });

  it('names file and line of what does not parse or validate', () => {
    expect(
      expectRefusal('policy-syntax', () => compile(`${PERMIT}\npermit (principal action);`)).reason,
    ).toContain('a.cedar:4:');
    const unknown = expectRefusal('policy-invalid', () =>
      compile(`// ü\n${PERMIT}${execute('context.nope == 1')}`),
    );
    expect(unknown.reason).toContain('a.cedar:6:');
    expect(unknown.detail).toMatchObject({ file: 'a.cedar', line: 6, id: 'p' });
    // Optional members need `has` first.
    expectRefusal('policy-invalid', () => compile(execute('context.initiator.issuer == "x"')));
    compile(execute('context has initiator && context.initiator.issuer == "x"'));
    expectRefusal('policy-syntax', () =>
      compile('@id("a") permit (principal == ?principal, action, resource);'),
    );
    const both = expectRefusal('policy-invalid', () =>
      compile(execute('context.a == 1', 'permit', 'a') + execute('context.b == 1', 'permit', 'b')),
    );
    expect(both.failures).toHaveLength(2);
  });

  it('reports what can never hold', () => {
    const { warnings } = compilePolicies(
      [{ name: 'a.cedar', bytes: utf8(execute('false')) }],
      undefined,
      loadCedar,
    );
    expect(warnings.join()).toContain('a.cedar:');
  });

  it('accepts the schema of this version with claims, and no other', () => {
    const withClaims = (claims: string): string =>
      CEDAR_SCHEMA.replace(/type InitiatorClaims = \{\s*\};/, `type InitiatorClaims = { ${claims} };`);
    const text = execute(
      'context has initiator.claims.team && context.initiator.claims.team == "ops" && context.initiator.proven',
    );
    // Without the claim in the schema the rule can never hold.
    const never = compilePolicies([{ name: 'a.cedar', bytes: utf8(text) }], undefined, loadCedar);
    expect(never.warnings.join()).toContain('a.cedar:');
    const policies = compile(
      text,
      withClaims('team?: String, level?: Long, groups?: Set<String>, admin?: Bool'),
    );
    const engine = new PolicyEngine(loadCedar);
    engine.load(policies);
    const initiator = { issuer: 'https://i', subject: 's', proven: true, claims: { team: 'ops' } };
    expect(engine.authorize(executeRequest(facts({ initiator }))).allow).toBe(true);
    const wrong = { ...initiator, claims: { team: 7 } };
    expect(engine.authorize(executeRequest(facts({ initiator: wrong }))).allow).toBe(false);
    for (const schema of [
      withClaims('team: String'),
      withClaims('team?: { a: String }'),
      withClaims('host?: Host'),
      CEDAR_SCHEMA.replace('privileged: Bool', 'privileged?: Bool'),
      `${CEDAR_SCHEMA}\nentity Other;`,
    ])
      expectRefusal('policy-schema', () => compile(text, schema));
    expectRefusal('policy-syntax', () => compile(text, 'entity;'));
  });
});

describe('bounds', () => {
  it('sees brackets outside of strings and comments only', () => {
    expect(deepNesting(`"${'('.repeat(99)}" // ${'('.repeat(99)}\n()`)).toBeUndefined();
    expect(deepNesting('('.repeat(65))).toBe(64);
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 64 }), (n) => {
        expect(deepNesting('('.repeat(n) + ')'.repeat(n))).toBeUndefined();
      }),
    );
  });

  it('measures depth and numbers of JSON', () => {
    expect(jsonDepth(1)).toBe(0);
    expect(jsonDepth([{ a: [] }])).toBe(3);
    let deep: JsonValue = 1;
    for (let i = 0; i < 200; i++) deep = [deep];
    expect(jsonDepth(deep)).toBeGreaterThan(POLICY_LIMITS.jsonDepth);
    expect(onlySafeIntegers({ a: [1, { b: 2 ** 53 }] })).toBe(false);
    expect(onlySafeIntegers({ a: [1, 'x', null] })).toBe(true);
  });
});

describe('facts', () => {
  it('names the acting principal: parent, else initiator, else host', () => {
    const initiator = { issuer: 'https://i', subject: 'a#b/c', proven: false, claims: {} };
    const parent = { execution: 'e', host: 'h', artifact: 's', scopes: [], depth: 1 };
    expect(executeRequest(facts()).principal).toEqual({ type: 'Host', id: 'a'.repeat(64) });
    expect(executeRequest(facts({ initiator })).principal).toEqual({
      type: 'Initiator',
      id: 'https://i#a%23b%2Fc',
    });
    expect(executeRequest(facts({ initiator, parent })).principal).toEqual({ type: 'Execution', id: 'e' });
    fc.assert(
      fc.property(fc.string(), fc.string(), fc.string(), fc.string(), (a, b, c, d) => {
        fc.pre(a !== c || b !== d);
        fc.pre([a, b, c, d].every((one) => one.isWellFormed()));
        expect(initiatorId(a, b)).not.toBe(initiatorId(c, d));
      }),
    );
  });

  it('carries every fact in the form of the schema', () => {
    const engine = engineOf(PERMIT);
    const full = facts({
      initiator: { issuer: 'i', subject: 's', proven: true, claims: {} },
      parent: { execution: 'e', host: 'h', artifact: 's', scopes: ['a'], depth: 1 },
      artifact: { name: 'n', digest: 'd', type: 'tree', version: '1.2', executedDigest: 'x', signers: [] },
    });
    const interpreter = { path: '/bin/sh', sha256: 'c'.repeat(64), measured: true, args: ['-e'] };
    const request = { ...full.request, interpreter };
    expect(engine.authorize(executeRequest({ ...full, request }))).toEqual({
      allow: true,
      ids: ['permit-all'],
      errors: [],
    });
    expectRefusal('policy-request', () => executeRequest({ ...full, request: { ...request, argv: [] } }));
  });

  it('asks about administration by role', () => {
    const engine = new PolicyEngine(loadCedar);
    engine.load(build().bundle.document.cedar);
    const target = { kind: 'host', id: 'h' };
    const may = (
      action: 'Revoke' | 'Publish' | 'PutSecret' | 'Approve',
      role: string,
      kind = 'host',
    ): boolean =>
      engine.authorize(
        adminRequest({
          time: 1,
          action,
          operator: { name: 'a', roles: [role] },
          target: { ...target, kind },
        }),
      ).allow;
    expect(may('Revoke', 'revoke')).toBe(true);
    expect(may('Revoke', 'revoke', 'signer')).toBe(true);
    expect(may('Revoke', 'audit')).toBe(false);
    expect(may('Publish', 'policy', 'policy')).toBe(true);
    expect(may('Publish', 'policy')).toBe(false);
    expect(may('PutSecret', 'secrets', 'secret')).toBe(true);
    expect(may('Approve', 'invite')).toBe(false);
    expectRefusal('policy-request', () => may('Revoke', 'revoke', 'toString'));
    const enroll = {
      time: 1,
      hostId: 'h',
      admission: 'token',
      platform: 'server',
      labels: [],
      certified: true,
    } as const;
    expect(engine.authorize(enrollRequest(enroll)).allow).toBe(true);
  });
});
