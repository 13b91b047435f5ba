import { describe, expect, it } from 'vitest';
import {
  RUN_DIRECTORY,
  compileImaRules,
  missingFromManifest,
  parseImaRules,
  requireArtifactMeasured,
  requireGatewayMeasured,
} from '../../../src/evidence/index.ts';
import type { ImaFindings, ImaRules } from '../../../src/evidence/index.ts';
import type { JsonValue } from '../../../src/base/index.ts';
import {
  buffer,
  dNg,
  entry,
  file,
  h,
  hex,
  join,
  latin1,
  nNg,
  ruleDigest,
  rules,
  sha256,
  signedFile,
  verifyMade,
  violation,
} from '../../support/ima.ts';
import type { MadeEntry } from '../../support/ima.ts';
import { expectRefusal } from '../../support/refusals.ts';

const judge = (entries: readonly MadeEntry[], some: Partial<ImaRules>): ImaFindings =>
  verifyMade(entries, some).findings;
const DENIED = { paths: [], digests: [], keys: [] };
const A = ruleDigest('a');

/** The three ways an entry can get to a verdict: known by its template digest, by its path, and with a signature field. */
const WAYS: readonly [string, (path: string, content: string) => MadeEntry][] = [
  ['ima-ng', file],
  ['ima-sig', (path, content) => signedFile(path, content, new Uint8Array())],
  ['d-ng|n-ng', (path, content) => entry('d-ng|n-ng', [dNg(sha256(content)), nNg(path)])],
];

describe.each(WAYS)('files in %s entries', (_template, made) => {
  it('are known by path and digest together', () => {
    const found = judge([made('/a', 'a'), made('/a', 'b'), made('/b', 'a')], { files: { '/a': [A] } });
    expect(found).toMatchObject({ files: 3, known: 1, unknown: { total: 2 } });
    expect(found.unknown.list).toEqual([
      { entry: 2, path: '/a', digest: ruleDigest('b'), reason: 'digest is not listed' },
      { entry: 3, path: '/b', digest: A, reason: 'path is not listed' },
    ]);
  });

  it('may have several digests while an update is rolled out', () => {
    const files = { '/a': [A, ruleDigest('b')] };
    expect(judge([made('/a', 'a'), made('/a', 'b'), made('/a', 'c')], { files })).toMatchObject({
      known: 2,
      unknown: { total: 1 },
    });
  });

  it('match globs, with one of the digests that they list', () => {
    const globs = [{ path: '/usr/*/x', digests: [A] }];
    const list = [made('/usr/lib/x', 'a'), made('/usr/lib/x', 'b'), made('/usr/lib/y/x', 'a')];
    expect(judge(list, { globs })).toMatchObject({ known: 1, unknown: { total: 2 } });
  });

  it('are not judged where they are excluded, and counted', () => {
    const found = judge([made('/tmp/x', 'x'), made('/tmp', 'x'), made('/tmpx', 'x'), made('/a/tmp/x', 'x')], {
      excludes: ['/tmp/**'],
    });
    expect(found).toMatchObject({ excluded: 1, known: 0, unknown: { total: 3 } });
  });

  it('are denied by path or digest, whatever else allows them', () => {
    const allowed = {
      files: { '/a': [A], '/b': [ruleDigest('b')] },
      globs: [{ path: '/**', digests: [A, ruleDigest('b')] }],
      excludes: ['/**'],
    };
    const list = [made('/a', 'a'), made('/b', 'b'), made('/c', 'a')];
    expect(judge(list, allowed)).toMatchObject({ known: 3, denied: { total: 0 } });
    expect(judge(list, { ...allowed, denied: { ...DENIED, digests: [A] } })).toMatchObject({
      known: 1,
      denied: { total: 2, list: [{ path: '/a' }, { path: '/c' }] },
    });
    expect(judge(list, { ...allowed, denied: { ...DENIED, paths: ['/b*'] } })).toMatchObject({
      known: 2,
      denied: { total: 1, list: [{ path: '/b' }] },
    });
  });

  it('named like a member of every object are unknown', () => {
    for (const name of ['__proto__', 'constructor', 'toString']) {
      expect(judge([made(name, 'a')], {}).unknown.list).toMatchObject([{ path: name }]);
    }
  });

  it('with names that are not UTF-8 are told apart', () => {
    const files = { '/caf\\xe9': [A], '/café': [A], '/back\\\\slash': [A] };
    const utf8 = Buffer.from('/café', 'utf8').toString('latin1');
    const list = [made('/caf\xe9', 'a'), made(utf8, 'a'), made('/back\\slash', 'a'), made('/caf\xe8', 'a')];
    expect(judge(list, { files })).toMatchObject({ known: 3, unknown: { list: [{ path: '/caf\\xe8' }] } });
  });

  it('list at most a hundred unknown ones, and count all', () => {
    const list = Array.from({ length: 150 }, (_, i) => made(`/x${i}`, 'x'));
    const { unknown } = judge(list, {});
    expect(unknown.total).toBe(150);
    expect(unknown.list).toHaveLength(100);
  });
});

describe('digests', () => {
  it('of content and of fs-verity are different things', () => {
    const verity = entry('ima-ngv2', [join(latin1('verity:'), dNg(sha256('a'))), nNg('/a')]);
    const content = entry('ima-ngv2', [join(latin1('ima:'), dNg(sha256('a'))), nNg('/a')]);
    expect(judge([verity, content], { files: { '/a': [A] } })).toMatchObject({ known: 1 });
    expect(judge([verity, content], { files: { '/a': [`verity:${A}`] } })).toMatchObject({ known: 1 });
    expect(judge([verity], { files: {} }).unknown.list).toMatchObject([{ digest: `verity:${A}` }]);
  });

  it('of other algorithms are compared as they are', () => {
    const list = [entry('ima-ng', [dNg(h('sha512', latin1('a')), 'sha512'), nNg('/a')])];
    expect(judge(list, { files: { '/a': [`sha512:${hex(h('sha512', latin1('a')))}`] } }).known).toBe(1);
    expect(judge(list, { files: { '/a': [A] } }).known).toBe(0);
  });

  it('missing from a template leave a file unknown', () => {
    expect(judge([entry('n-ng', [nNg('/a')])], { files: { '/a': [A] } }).unknown.list).toEqual([
      { entry: 1, path: '/a', digest: '', reason: 'digest is not listed' },
    ]);
    expect(judge([entry('d-ng', [dNg(sha256('a'))])], {}).unknown.list).toMatchObject([{ path: '' }]);
  });

  it.each([
    'sha256',
    'sha256:',
    'sha256:00',
    `md7:${'0'.repeat(64)}`,
    `sha256:${'g'.repeat(64)}`,
    `${A}:00`,
    'verity:',
  ])('that are none (%s) are refused when rules are compiled', (digest) => {
    expectRefusal('malformed', () => compileImaRules(rules({ files: { '/a': [digest] } })));
  });
});

describe('violations', () => {
  it('are counted, and tolerated by the path that is claimed', () => {
    const found = judge([violation('/var/log/a'), violation('/usr/bin/b')], { violations: ['/var/log/*'] });
    expect(found.violations.total).toBe(2);
    expect(found.violationsNotTolerated).toBe(1);
    expect(found).toMatchObject({ files: 0, known: 0 });
  });

  it('never count as a listed file', () => {
    const path = '/usr/bin/b';
    const found = judge([violation(path)], { files: { [path]: [`sha256:${'0'.repeat(64)}`] } });
    expect(found).toMatchObject({ files: 0, known: 0, violationsNotTolerated: 1 });
  });
});

describe('buffers', () => {
  const cmdline = latin1('ro quiet');
  const digest = ruleDigest(cmdline);

  it('are allowed by name and digest, or by name', () => {
    const list = [buffer('kexec-cmdline', cmdline), buffer('dm_table_load', latin1('x'))];
    const found = judge(list, { buffers: { 'kexec-cmdline': [digest], dm_table_load: 'any' } });
    expect(found).toMatchObject({ buffers: 2, unknownBuffers: { total: 0 }, files: 0 });
    expect(judge(list, {})).toMatchObject({ buffers: 0, unknownBuffers: { total: 2 } });
    expect(judge([buffer('toString', cmdline)], {}).unknownBuffers.total).toBe(1);
  });

  it('of a kernel that is loaded by kexec are listed', () => {
    expect(judge([buffer('kexec-cmdline', cmdline)], { buffers: { 'kexec-cmdline': 'any' } }).kexec).toEqual({
      total: 1,
      list: [{ entry: 1, name: 'kexec-cmdline', digest }],
    });
  });
});

describe('the run directory', () => {
  const path = `${RUN_DIRECTORY}0190/program`;
  const isAuthorised = (digest: string): boolean => digest === hex(sha256('program'));

  it('holds authorised digests only, whatever the rules list', () => {
    const ima = verifyMade(
      [file(path, 'program'), file(path, 'evil'), file(`${RUN_DIRECTORY}x`, 'evil')],
      { files: { [path]: [ruleDigest('evil')] }, excludes: ['/var/**'] },
      { isAuthorised },
    );
    expect(ima.findings.run).toMatchObject({
      authorised: 1,
      unauthorised: {
        total: 2,
        list: [{ entry: 2, path, reason: 'not authorised on this host' }, { entry: 3 }],
      },
    });
    expect(ima.findings).toMatchObject({ known: 0, excluded: 0 });
    expect(ima.runFiles).toEqual([
      { entry: 1, path, sha256: hex(sha256('program')), authorised: true },
      { entry: 2, path, sha256: hex(sha256('evil')), authorised: false },
      { entry: 3, path: `${RUN_DIRECTORY}x`, sha256: hex(sha256('evil')), authorised: false },
    ]);
  });

  it('authorises nothing by itself, nothing that is denied, and no digest of another kind', () => {
    const allowNone = verifyMade([file(path, 'program')]);
    expect(allowNone.findings.run.unauthorised.total).toBe(1);
    const denied = verifyMade(
      [file(path, 'program')],
      { denied: { ...DENIED, digests: [ruleDigest('program')] } },
      { isAuthorised },
    );
    expect(denied.findings).toMatchObject({ run: { authorised: 0 }, denied: { total: 1 } });
    const sha512 = entry('ima-ng', [dNg(h('sha512', latin1('program')), 'sha512'), nNg(path)]);
    expect(verifyMade([sha512], {}, { isAuthorised: () => true }).runFiles).toMatchObject([
      { sha256: null, authorised: false },
    ]);
  });

  it('can be another one', () => {
    const expectations = { runDirectory: '/srv/run/' };
    const ima = verifyMade(
      [file('/srv/run/x', 'program'), file(path, 'program')],
      {},
      { expectations, isAuthorised },
    );
    expect(ima.findings).toMatchObject({ run: { authorised: 1 }, unknown: { total: 1 } });
  });

  it('has to have the artifact before the quote', () => {
    const ima = verifyMade([file(path, 'program')], {}, { isAuthorised });
    expect(requireArtifactMeasured(ima, hex(sha256('program'))).path).toBe(path);
    expectRefusal('artifact-measured', () => requireArtifactMeasured(ima, hex(sha256('other'))));
    const elsewhere = verifyMade([file('/tmp/program', 'program')], {}, { isAuthorised });
    expectRefusal('artifact-measured', () => requireArtifactMeasured(elsewhere, hex(sha256('program'))));
  });

  it('lists some thousand files and counts all', () => {
    const many = (content: string) =>
      Array.from({ length: 4200 }, (_, i) => file(`${RUN_DIRECTORY}${i}`, content));
    const strange = verifyMade(many('evil'), {}, { isAuthorised });
    expect(strange.runFiles).toHaveLength(4096);
    expect(strange.findings.run.unauthorised.total).toBe(4200);
    const known = verifyMade(many('program'), {}, { isAuthorised });
    expect(known.runFiles).toHaveLength(1);
    expect(known.findings.run.authorised).toBe(4200);
  });

  it('finds what is authorised among any number of files', () => {
    const last = hex(sha256('last'));
    const files = Array.from({ length: 4200 }, (_, i) => file(`${RUN_DIRECTORY}${i}`, String(i)));
    const entries = [...files, file(`${RUN_DIRECTORY}last`, 'last')];
    for (const isAuthorised of [() => true, (digest: string) => digest === last])
      expect(requireArtifactMeasured(verifyMade(entries, {}, { isAuthorised }), last).entry).toBe(4201);
  });
});

describe('the gateway’s manifest', () => {
  const manifest = { '/opt/sealgate/main.js': hex(sha256('main')), '/usr/bin/node': hex(sha256('node')) };
  const verify = (entries: readonly MadeEntry[], some: Partial<ImaRules> = {}) =>
    verifyMade(entries, some, { expectations: { manifest } });
  const main = file('/opt/sealgate/main.js', 'main');
  const node = file('/usr/bin/node', 'node');

  it('is measured when each of its files is, with its digest', () => {
    const ima = verify([main, node]);
    expect(ima.findings).toMatchObject({ known: 2, unknown: { total: 0 } });
    expect(missingFromManifest(ima)).toEqual([]);
    requireGatewayMeasured(ima);
  });

  it.each<[string, readonly MadeEntry[], readonly string[]]>([
    ['a file is missing', [main], ['/usr/bin/node']],
    ['all are missing', [], ['/opt/sealgate/main.js', '/usr/bin/node']],
    ['a file has another digest', [main, file('/usr/bin/node', 'evil')], ['/usr/bin/node']],
    ['a file is at another path', [main, file('/usr/local/bin/node', 'node')], ['/usr/bin/node']],
    [
      'a file was measured into another PCR',
      [main, file('/usr/bin/node', 'node', { pcr: 11 })],
      ['/usr/bin/node'],
    ],
    ['a file was only violated', [main, violation('/usr/bin/node')], ['/usr/bin/node']],
  ])('is not when %s', (_what, entries, missing) => {
    const ima = verify(entries);
    expect(missingFromManifest(ima)).toEqual(missing);
    expect(
      expectRefusal('gateway-measured', () => {
        requireGatewayMeasured(ima);
      }).detail,
    ).toEqual({
      missing,
      total: missing.length,
    });
  });

  it('is not when it is unknown', () => {
    expectRefusal('gateway-measured', () => {
      requireGatewayMeasured(verifyMade([main, node]));
    });
  });

  it('counts beside listed digests, and not for denied ones', () => {
    expect(
      missingFromManifest(verify([main, node], { files: { '/usr/bin/node': [ruleDigest('old')] } })),
    ).toEqual([]);
    const denied = { denied: { ...DENIED, digests: [ruleDigest('node')] } };
    expect(missingFromManifest(verify([main, node], denied))).toEqual(['/usr/bin/node']);
  });

  it('does not count entries behind the quoted value', () => {
    const entries = [main, node];
    const shorter = verifyMade([main], {}, { expectations: { manifest } });
    expect(missingFromManifest(shorter)).toEqual(['/usr/bin/node']);
    expect(missingFromManifest(verify(entries))).toEqual([]);
  });
});

describe('rules as JSON', () => {
  it('are read with every member, and no other', () => {
    const some = rules({
      files: { '/a': [A] },
      globs: [{ path: '/b/*', digests: [A] }],
      signed: [{ path: '/usr/**', keyrings: ['k'] }],
      buffers: { x: 'any', y: [A] },
    });
    expect(parseImaRules(JSON.parse(JSON.stringify(some)) as JsonValue)).toEqual(some);
    const without = Object.fromEntries(Object.entries(some).filter(([name]) => name !== 'files'));
    for (const wrong of [without, { ...some, exclude: [] }, { ...some, buffers: { x: 'all' } }, null, []]) {
      expectRefusal('malformed', () => parseImaRules(wrong));
    }
  });

  it('that differ have different digests', () => {
    const digests = [
      compileImaRules(rules()),
      compileImaRules(rules({ excludes: ['/x'] })),
      compileImaRules(rules(), { manifest: { '/a': hex(sha256('a')) } }),
      compileImaRules(rules(), { runDirectory: '/x/' }),
    ].map(({ digest }) => digest);
    expect(new Set(digests).size).toBe(4);
    expect(compileImaRules(rules()).digest).toBe(digests[0]);
  });
});
