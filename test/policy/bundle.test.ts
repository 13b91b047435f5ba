import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { canonicalJson, parseJsonObject, utf8 } from '../../src/base/index.ts';
import type { JsonObject, JsonValue } from '../../src/base/index.ts';
import {
  bundleBytes,
  diffBundles,
  escapeSegment,
  expandSpiffeTemplate,
  grantedCredentials,
  hostSetsOf,
  loadCedar,
  parseBundle,
  parseSpiffeTemplate,
  platformOf,
  readBundle,
  readCases,
  runCases,
  selectClaims,
  templateUses,
} from '../../src/policy/index.ts';
import { parseYaml } from '../../src/policy/yaml.ts';
import { expectRefusal } from '../support/refusals.ts';
import { HOST, build, text, yamlWith } from './support.ts';

const built = build();
const json = (): Record<string, JsonValue> =>
  parseJsonObject(bundleBytes(built.bundle), 'bundle', { maxBytes: 1 << 20, maxDepth: 112 });
/** The bundle with one member replaced, by path. */
function changed(path: string, value: JsonValue | undefined): JsonObject {
  const root = json();
  const names = path.split('.');
  const last = names.pop() ?? '';
  let at: Record<string, JsonValue> = root;
  for (const name of names) at = at[name] as Record<string, JsonValue>;
  if (value === undefined) Reflect.deleteProperty(at, last);
  else at[last] = value;
  return root;
}

describe('building', () => {
  it('gives the same hash whatever the white space, comments and order', () => {
    const yaml = text('policy.yaml');
    const shuffled = [...yaml.matchAll(/^[a-zA-Z][^]*?(?=^[a-zA-Z]|(?![^]))/gm)]
      .map(([block]) => block)
      .reverse();
    const same = build({
      'policy.yaml': `# other\n${shuffled.join('\n')}`,
      'execute.cedar': undefined,
      'administer.cedar': undefined,
      'z.cedar': text('execute.cedar').replaceAll('\n', '\n// comment\n'),
      'sub/a.cedar': text('administer.cedar').replaceAll(' ', '  '),
      'schema.cedarschema': undefined,
      'references/server.json': JSON.stringify(JSON.parse(text('references/server.json'))),
    });
    expect(same.bundle.hash).toBe(built.bundle.hash);
    expect(bundleBytes(same.bundle)).toEqual(bundleBytes(built.bundle));
    expect(parseBundle(bundleBytes(built.bundle)).hash).toBe(built.bundle.hash);
    expect(build({ 'policy.yaml': yamlWith('expiration: 30', 'expiration: 31') }).bundle.hash).not.toBe(
      built.bundle.hash,
    );
  });

  it('is closed by default, and warns of what to replace', () => {
    expect(hostSetsOf(built.bundle, { id: HOST, platform: 'server', labels: [] })).toEqual([]);
    expect(built.warnings.join('\n')).toContain('hostSets.granted: is empty');
    expect(built.warnings.join('\n')).toContain('gateway.files');
  });

  it('warns of excludes, tolerances and bearer tokens', () => {
    const references = text('references/server.json')
      .replace('"excludes": []', '"excludes": ["/opt/**"]')
      .replace('"policyFiles": []', `"policyFiles": [{"sha256": "${'a'.repeat(64)}", "exempt": ["tmpfs"]}]`)
      .replace('"lockdown": "integrity"', '"lockdown": "none"');
    const { warnings } = build({
      'references/server.json': references,
      'policy.yaml': yamlWith('loaderVariables: []', 'loaderVariables: [LD_PRELOAD]').replace(
        '2026-12-31',
        '2029-12-31',
      ),
    });
    for (const part of ['/opt/**', 'tmpfs', 'lockdown', 'LD_PRELOAD', 'days'])
      expect(warnings.join('\n')).toContain(part);
  });

  it('warns of references to PCRs that are not quoted', () => {
    const references = text('references/server.json').replace('"bootApplications": []', '"mok": []');
    const quoting = (selection: string): string =>
      build({
        'references/server.json': references,
        'policy.yaml': yamlWith(
          '"sha256:0,1,2,3,4,5,6,7,8,9,14"',
          `"sha256:0,1,2,3,4,5,6,7,8,9${selection}"`,
        ).replace('sealed: "sha256:0,1,2,3,4,5,6,7,14"', 'sealed: "sha256:0,1,2,3,4,5,6,7"'),
      }).warnings.join('\n');
    const [none, stub, all] = [quoting(''), quoting(',11,14'), quoting(',11,12,14')];
    expect(none).toContain('PCR 11 and 12 not quoted');
    expect(none).toContain('mok is asked for and PCR 14 is not quoted');
    expect(stub).toContain('PCR 12 not quoted');
    expect(stub).not.toContain('mok');
    expect(all).not.toContain('not quoted');
  });

  it.each([
    ['a missing file', 'policy-source', { 'references/server.json': undefined }],
    [
      'a file outside',
      'policy-source',
      { 'policy.yaml': yamlWith('artifacts: artifacts', 'artifacts: ../artifacts') },
    ],
    ['no policy.yaml', 'policy-source', { 'policy.yaml': undefined }],
    ['an unknown member', 'policy-form', { 'policy.yaml': `${text('policy.yaml')}\nextra: 1\n` }],
    ['cedar in the YAML', 'policy-form', { 'policy.yaml': `${text('policy.yaml')}\ncedar: {}\n` }],
    ['a missing member', 'policy-form', { 'policy.yaml': yamlWith('attribution: {}', '') }],
    [
      'a negative expiration',
      'policy-form',
      { 'policy.yaml': yamlWith('expiration: 30', 'expiration: -30') },
    ],
    ['no expiration', 'policy-form', { 'policy.yaml': yamlWith('expiration: 30', 'expiration: 0') }],
    [
      'a long authorization',
      'policy-form',
      { 'policy.yaml': yamlWith('authorizationLifetime: 300', 'authorizationLifetime: 301') },
    ],
    ['a deep delegation', 'policy-form', { 'policy.yaml': yamlWith('maxDepth: 0', 'maxDepth: 9') }],
    [
      'PCR 10 sealed',
      'policy-form',
      { 'policy.yaml': yamlWith('sealed: "sha256:0,', 'sealed: "sha256:10,') },
    ],
    ['PCR 11 sealed', 'policy-form', { 'policy.yaml': yamlWith('7,14"\n    ref', '7,11"\n    ref') }],
    ['sealed, not quoted', 'policy-form', { 'policy.yaml': yamlWith('7,14"\n    ref', '7,12"\n    ref') }],
    ['PCR 23 quoted', 'policy-form', { 'policy.yaml': yamlWith('9,14"', '9,14,23"') }],
    ['SHA-1', 'policy-form', { 'policy.yaml': yamlWith('quoted: "sha256:', 'quoted: "sha1:') }],
    ['an empty window', 'policy-form', { 'policy.yaml': yamlWith('2026-12-31', '2026-10-31') }],
    ['no time', 'policy-form', { 'policy.yaml': yamlWith('2026-12-31', '2026-02-30') }],
    [
      'previous in version 1',
      'policy-form',
      { 'policy.yaml': yamlWith('previous: null', `previous: sha256:${'a'.repeat(64)}`) },
    ],
    ['no previous in version 2', 'policy-form', { 'policy.yaml': yamlWith('version: 1', 'version: 2') }],
    [
      'an unknown host set',
      'policy-form',
      { 'policy.yaml': yamlWith('hosts: [granted]', 'hosts: [others]') },
    ],
    [
      'a set of everybody',
      'policy-form',
      { 'policy.yaml': yamlWith('    hosts: []\n', '    platforms: [server]\n') },
    ],
    ['a set of no labels', 'policy-form', { 'policy.yaml': yamlWith('    hosts: []\n', '    labels: []\n') }],
    [
      'no IMA references',
      'policy-form',
      { 'references/server.json': '{"version":1,"platform":"server","tpm":{"manufacturers":["STM "]}}' },
    ],
    [
      'an unmeasured runtime with a measured gateway',
      'policy-form',
      { 'policy.yaml': yamlWith('runtime: measured', 'runtime: unmeasured') },
    ],
    [
      'references about nothing',
      'references-form',
      { 'references/server.json': '{"version":1,"platform":"server"}' },
    ],
    ['trust in nobody', 'trust-document', { 'artifacts.json': '{"version":1}' }],
    [
      'a bad template',
      'spiffe-template',
      { 'policy.yaml': yamlWith('/{platform}/{artifact}', '/{platform}/../{artifact}') },
    ],
    [
      'a key set without keys',
      'initiator-issuer',
      {
        'policy.yaml': yamlWith(
          'initiators: []',
          'initiators: [{issuer: i, jwks: {keys: []}, bearer: true, maxLifetime: 60, claims: []}]',
        ),
      },
    ],
    [
      'a claim without a type',
      'policy-form',
      {
        'policy.yaml': yamlWith(
          'initiators: []',
          'initiators: [{issuer: i, jwks: {keys: []}, bearer: true, maxLifetime: 60, claims: [team]}]',
        ),
      },
    ],
  ])('refuses %s', (_name, check, change) => {
    expectRefusal(check, () => build(change));
  });

  it('names file and line', () => {
    const refusal = expectRefusal('policy-form', () =>
      build({ 'policy.yaml': yamlWith('expiration: 30', 'expiration: soon') }),
    );
    const line = text('policy.yaml').split('\n').indexOf('  expiration: 30') + 1;
    expect(refusal.detail).toMatchObject({ file: 'policy.yaml', line, member: 'policy.sealing.expiration' });
  });

  it.each([10, 11, 15])('seals to no PCR %i, though it is quoted: user space moves it', (pcr) => {
    const yaml = yamlWith('7,14"\n    ref', `7,${String(pcr)}"\n    ref`).replace(
      'quoted: "sha256:0,1,2,3,4,5,6,7,8,9,14"',
      'quoted: "sha256:0,1,2,3,4,5,6,7,8,9,10,11,14,15"',
    );
    expect(yaml).toContain('9,10,11,14,15');
    const refusal = expectRefusal('policy-form', () => build({ 'policy.yaml': yaml }));
    expect(refusal.detail).toMatchObject({ member: 'policy.platforms.server.sealed' });
  });

  it('refuses artifact trust that no manifest can carry', () => {
    const trust = JSON.parse(text('artifacts.json')) as Record<string, JsonValue>;
    trust['deny'] = Array.from({ length: 2500 }, (_, i) => `sha256:${i.toString(16).padStart(64, '0')}`);
    expectRefusal('policy-size', () => build({ 'artifacts.json': JSON.stringify(trust) }));
  });
});

describe('reading a bundle', () => {
  it.each<[string, string, JsonValue | undefined, string]>([
    ['another form', 'v', 2, 'policy-form'],
    ['an unknown member', 'more', 1, 'policy-form'],
    ['no policies', 'cedar.policies', [], 'policy-form'],
    ['an unsafe number', 'cedar.policies', [{ id: 'a', policy: { x: 2 ** 53 } }], 'policy-number'],
    ['an id that is none', 'cedar.policies', [{ id: 'a b', policy: {} }], 'policy-form'],
    [
      'two policies of one id',
      'cedar.policies',
      [
        { id: 'a', policy: {} },
        { id: 'a', policy: {} },
      ],
      'policy-form',
    ],
    [
      'unsorted policies',
      'cedar.policies',
      [
        { id: 'b', policy: {} },
        { id: 'a', policy: {} },
      ],
      'policy-form',
    ],
    ['a missing member', 'sealing', undefined, 'policy-form'],
  ])('refuses %s', (_name, path, value, check) => {
    expectRefusal(check, () => readBundle(changed(path, value)));
  });

  it('refuses deep policies, duplicate members and trailing bytes', () => {
    let deep: JsonValue = 1;
    for (let i = 0; i < 104; i++) deep = [deep];
    expectRefusal('policy-nesting', () =>
      readBundle(changed('cedar.policies', [{ id: 'a', policy: { deep } }])),
    );
    const file = Buffer.from(bundleBytes(built.bundle)).toString('utf8');
    expectRefusal('malformed', () => parseBundle(utf8(file.replace('{', '{"v":1,'))));
    expectRefusal('malformed', () => parseBundle(utf8(`${file}x`)));
    expectRefusal('malformed', () => parseBundle(utf8('['.repeat(10_000))));
  });

  it('any changed scalar changes the hash or is refused', () => {
    const file = canonicalJson(built.bundle.json);
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: file.length - 1 }),
        fc.constantFrom('0', '7', 'a', '-'),
        (at, put) => {
          fc.pre(/[0-9a-z]/.test(file[at] ?? '') && file[at] !== put);
          const other = file.slice(0, at) + put + file.slice(at + 1);
          try {
            expect(parseBundle(utf8(other)).hash).not.toBe(built.bundle.hash);
          } catch (error) {
            if (!(error instanceof Error) || error.name !== 'Refusal') throw error;
          }
        },
      ),
      { numRuns: 60 },
    );
  });
});

describe('YAML', () => {
  const parse = (yaml: string) => parseYaml(utf8(yaml), 'f.yaml', 'f').value;

  it('is JSON with comments', () => {
    expect(parse('a: 1 # c\nb: [x, "y", null, ~]\nc: {d: no, e: 0x10, "f": on}\n')).toEqual({
      a: 1,
      b: ['x', 'y', null, null],
      c: { d: 'no', e: 16, f: 'on' },
    });
  });

  it.each([
    ['duplicate keys', 'a: 1\na: 2'],
    ['nested duplicate keys', 'a: {b: 1, b: 2}'],
    ['an anchor', 'a: &x 1'],
    ['an alias', 'a: &x 1\nb: *x'],
    ['an alias bomb', `a: &a [x,x]\n${'bcdefgh'.replace(/./g, (c) => `${c}: &${c} [*a,*a]\n`)}`],
    ['a tag', 'a: !!str 1'],
    ['an own tag', 'a: !x 1'],
    ['a merge key', 'a: {b: 1}\nc:\n  <<: {d: 1}'],
    ['a key that is a number', '1: a'],
    ['a key that is a list', '? [a]\n: 1'],
    ['__proto__', '__proto__: {a: 1}'],
    ['YAML 1.1', '%YAML 1.1\n---\na: no'],
    ['a tag directive', '%TAG ! tag:x,1:\n---\na: 1'],
    ['two documents', 'a: 1\n---\nb: 1'],
    ['no document', ''],
    ['a scalar', 'x'],
    ['a list', '- a'],
    ['an unsafe integer', 'a: 9007199254740993'],
    ['a fraction', 'a: 1.5'],
    ['infinity', 'a: .inf'],
    ['bad syntax', 'a: [1'],
    ['tabs', 'a:\n\t- b'],
    ['deep flow nesting', `a: ${'['.repeat(20_000)}`],
    [
      'deep block nesting',
      `a:\n${Array.from({ length: 40 }, (_, i) => `${' '.repeat(i + 1)}b:`).join('\n')}`,
    ],
    ['many values', `a: [${'1,'.repeat(100_001)}]`],
    ['many bytes', `# ${'x'.repeat(1024 * 1024)}`],
  ])('refuses %s, with the line', (_name, yaml) => {
    expect(expectRefusal('policy-yaml', () => parse(yaml)).detail['line']).toBeTypeOf('number');
  });

  it('refuses what is not UTF-8', () => {
    expectRefusal('malformed', () => parseYaml(new Uint8Array([0x61, 0x3a, 0xff]), 'f', 'f'));
  });
});

describe('SPIFFE path templates', () => {
  const parts = { platform: 'server', artifact: 'report', scope: 'reports.read', host: HOST };
  const expand = (template: string, change: Partial<typeof parts> = {}) =>
    expandSpiffeTemplate('example.org', template, { ...parts, ...change });

  it('is made of verified parts', () => {
    expect(expand('/w/{platform}/{artifact}-{scope}')).toBe(
      'spiffe://example.org/w/server/report-reports.read',
    );
    expect(templateUses('/w/{host}', 'host')).toBe(true);
    expect(templateUses('/w/{host}', 'scope')).toBe(false);
  });

  it.each([
    '',
    'w',
    '/',
    '/a/',
    '//a',
    '/.',
    '/a/../b',
    '/{}',
    '/{name}',
    '/{host',
    '/a b',
    '/ä',
    '/%41',
    `/${'a'.repeat(600)}`,
  ])('refuses the template %j', (template) => {
    expectRefusal('spiffe-template', () => parseSpiffeTemplate(template));
  });

  it('a value brings no segment, no relative path and no other id', () => {
    expect(expand('/{artifact}', { artifact: '../admin' })).toBe('spiffe://example.org/_2e._2fadmin');
    expect(expand('/{artifact}', { artifact: '..' })).toBe('spiffe://example.org/_2e.');
    expect(expand('/{artifact}', { artifact: '.' })).toBe('spiffe://example.org/_2e');
    expect(expand('/{artifact}', { artifact: 'é_' })).toBe('spiffe://example.org/_c3_a9_5f');
    expectRefusal('spiffe-template', () => expand('/{scope}', { scope: '' }));
    expectRefusal('spiffe-id', () => expand('/{artifact}', { artifact: 'ü'.repeat(600) }));
  });

  it('different values give different ids', () => {
    const value = fc.oneof(
      fc.string(),
      fc.string({ unit: fc.constantFrom('.', '_', 'a', '/', '2', 'e', '\0', '\u202e') }),
    );
    fc.assert(
      fc.property(value, value, (a, b) => {
        fc.pre(a !== b && a.isWellFormed() && b.isWellFormed());
        expect(escapeSegment(a)).not.toBe(escapeSegment(b));
        for (const one of [escapeSegment(a), escapeSegment(b)]) {
          expect(one).toMatch(/^[A-Za-z0-9._-]*$/);
          expect(['.', '..']).not.toContain(one);
        }
      }),
    );
  });
});

describe('grants', () => {
  const { bundle } = build({
    'policy.yaml': yamlWith(
      '    hosts: []\n',
      `    hosts: ["${HOST}"]\n  prod: { labels: ["env=prod", "tier=1"], platforms: [server] }\n`,
    ).replace('  # database:', '  db: { kind: secret, secret: db, hosts: [prod] }\n  # database:'),
  });
  const host = (id: string, labels: string[], platform = 'server') => ({ id, platform, labels });

  it('by id, or by every label of a platform of the set', () => {
    expect(hostSetsOf(bundle, host(HOST, []))).toEqual(['granted']);
    expect(hostSetsOf(bundle, host('x', ['env=prod', 'tier=1', 'a=b']))).toEqual(['prod']);
    expect(hostSetsOf(bundle, host('x', ['env=prod']))).toEqual([]);
    expect(hostSetsOf(bundle, host('x', ['env=prod', 'tier=1'], 'other'))).toEqual([]);
  });

  it('releases nothing that is not granted to the host', () => {
    expect(grantedCredentials(bundle, host(HOST, []), ['workload'])).toMatchObject([{ name: 'workload' }]);
    for (const name of ['db', 'nothing', 'toString', '__proto__'])
      expectRefusal('policy-credential', () =>
        grantedCredentials(bundle, host(HOST, []), ['workload', name]),
      );
    expect(grantedCredentials(bundle, host(HOST, []), [])).toEqual([]);
  });

  it('knows its platforms', () => {
    expect(platformOf(bundle, host(HOST, []), Date.now()).runtime).toBe('measured');
    expectRefusal('policy-platform', () => platformOf(bundle, host(HOST, [], 'other'), Date.now()));
  });

  it('selects claims that the bundle names, of forms that policies can see', () => {
    const document = {
      ...bundle.document,
      initiators: [
        { issuer: 'i', jwks: {}, bearer: true, maxLifetime: 1, claims: ['a', 'b', 'c', 'd', 'toString'] },
      ],
    };
    const claims = { a: 'x', b: [1], c: { d: 1 }, d: ['x'], e: 'no' };
    expect(selectClaims({ ...bundle, document }, 'i', claims)).toEqual({ a: 'x', d: ['x'] });
    expect(selectClaims({ ...bundle, document }, 'j', claims)).toEqual({});
  });
});

describe('cases and differences', () => {
  it('the starter passes its own cases, and a wrong expectation fails', () => {
    const results = runCases(
      built.bundle,
      readCases(utf8(text('cases.yaml')), 'cases.yaml', built.bundle),
      loadCedar,
    );
    expect(results.filter(({ ok }) => !ok)).toEqual([]);
    const wrong = text('cases.yaml')
      .replace('expect: allow', 'expect: deny')
      .replace('[never-privileged]', '[]');
    const failed = runCases(built.bundle, readCases(utf8(wrong), 'cases.yaml', built.bundle), loadCedar);
    expect(failed.filter(({ ok }) => !ok)).toHaveLength(2);
  });

  it.each([
    ['an unknown member', ['time: 1800000000\n    host', 'tim: 1\n    host']],
    ['an unknown platform', ['platform: server', 'platform: other']],
    ['two kinds of facts', ['    execute: {}', '    execute: {}\n    administer: {}']],
    ['no facts', ['    execute: {}', '']],
    ['a wrong type', ['uid: 1000', 'uid: root']],
  ] as const)('refuses a case with %s', (_name, [find, replace]) => {
    const yaml = text('cases.yaml').replace(find, replace);
    expect(
      expectRefusal('policy-case', () => readCases(utf8(yaml), 'cases.yaml', built.bundle)).detail,
    ).toHaveProperty('line');
  });

  it('says what changed', () => {
    const other = build({
      'policy.yaml': yamlWith('expiration: 30', 'expiration: 60').replace('[instance-identity, ', '['),
      'execute.cedar': text('execute.cedar').replace('"never-privileged"', '"never"'),
    });
    expect(diffBundles(built.bundle, built.bundle)).toEqual([]);
    expect(diffBundles(built.bundle, other.bundle).map(({ kind, path }) => `${kind} ${path}`)).toEqual([
      'added cedar.never',
      'removed cedar.never-privileged',
      'removed platforms.server.requiredClaims[]',
      'changed sealing.expiration',
    ]);
  });
});
