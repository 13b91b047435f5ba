import { describe, expect, it } from 'vitest';
import { equalBytes } from '../../../src/base/index.ts';
import {
  asciiToBinary,
  evidenceList,
  imaCoverage,
  inspectIma,
  isAsciiList,
  lintImaRules,
} from '../../../src/evidence/index.ts';
import {
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
  ruleDigest,
  rules,
  sha256,
  u32,
  verifyMade,
} from '../../support/ima.ts';
import type { MadeEntry } from '../../support/ima.ts';
import { expectRefusal } from '../../support/refusals.ts';
import { dataFile } from '../../support/vectors.ts';

/** A line as the kernel prints it: PCR, SHA-1 of the template data, template, fields. */
const line = (one: MadeEntry, template: string, ...fields: readonly string[]): string =>
  `${String(one.pcr).padStart(2)} ${hex(h('sha1', one.hashed))} ${template} ${fields.join(' ')}\n`;

describe('the ascii list', () => {
  it.each(['plain-boot', 'secure-boot'])('of %s is the binary one', (boot) => {
    const ascii = dataFile(`boots/${boot}/ima_ascii.txt`);
    expect(isAsciiList(ascii)).toBe(true);
    expect(equalBytes(asciiToBinary(ascii), dataFile(`boots/${boot}/ima_binary.bin`))).toBe(true);
  });

  const digest = sha256('a');
  const text = `sha256:${hex(digest)}`;
  const sig = Uint8Array.of(3, 2, 4);
  it.each<[string, MadeEntry, readonly string[]]>([
    ['ima', legacyEntry(h('sha1', digest), '/a'), [hex(h('sha1', digest)), '/a']],
    ['ima-ng', entry('ima-ng', [dNg(digest), nNg('/a')], { pcr: 9 }), [text, '/a']],
    [
      'ima-ngv2',
      entry('ima-ngv2', [join(latin1('verity:'), dNg(digest)), nNg('/a')]),
      [`verity:${text}`, '/a'],
    ],
    ['ima-sig', entry('ima-sig', [dNg(digest), nNg('/a'), sig]), [text, '/a', hex(sig)]],
    ['ima-sig', entry('ima-sig', [dNg(digest), nNg('/a'), new Uint8Array()]), [text, '/a', '']],
    [
      'ima-buf',
      buffer('kexec-cmdline', latin1('ro')),
      [`sha256:${hex(sha256('ro'))}`, 'kexec-cmdline', hex(latin1('ro'))],
    ],
    [
      'ima-modsig',
      entry('ima-modsig', [dNg(digest), nNg('/a'), sig, dNg(digest), sig]),
      [text, '/a', hex(sig), text, hex(sig)],
    ],
    [
      'ima-modsig',
      entry('ima-modsig', [dNg(digest), nNg('/a'), ...Array<Uint8Array>(3).fill(new Uint8Array())]),
      [text, '/a', '', '', ''],
    ],
    [
      'evm-sig',
      entry('evm-sig', [
        dNg(digest),
        nNg('/a'),
        Uint8Array.of(5),
        latin1('x|y\0'),
        u32(1),
        latin1('v'),
        u32(1000),
        u32(7),
        Uint8Array.of(0xa4, 0x81),
      ]),
      [text, '/a', '05', 'x|y', '01000000', '76', '1000', '7', '33188'],
    ],
  ])('is read for the template %s', (template, one, fields) => {
    const printed = latin1(line(one, template, ...fields));
    expect(asciiToBinary(printed)).toEqual(one.bytes);
    // Editors drop blanks at line ends.
    expect(asciiToBinary(latin1(line(one, template, ...fields).trimEnd()))).toEqual(one.bytes);
  });

  it('can be forged by a file name, which the binary list shows for what it is', () => {
    const innocent = file('/usr/bin/good', 'good');
    const name =
      `/tmp/x\n${line(innocent, 'ima-ng', ruleDigest('good'), '/usr/bin/good').trimEnd()}`.replaceAll(
        ' ',
        '_',
      );
    const forging = `/tmp/x\n10\t${hex(h('sha1', innocent.hashed))}`;
    // The kernel replaces blanks, so a line needs others; what it prints raw is enough to break lines in two.
    for (const path of [name, forging]) {
      const evil = file(path, 'evil');
      const ascii = latin1(
        line(
          bootAggregate(),
          'ima-ng',
          `sha256:${hex(bootAggregate().hashed.slice(12, 44))}`,
          'boot_aggregate',
        ) + line(evil, 'ima-ng', ruleDigest('evil'), path),
      );
      expectRefusal('malformed', () => inspectIma([asciiToBinary(ascii)]));
      const binary = listOf([bootAggregate(), evil]);
      expect(inspectIma([binary]).entries).toBe(2);
      expect(
        verifyMade([evil], { files: { '/usr/bin/good': [ruleDigest('good')] } }).findings.unknown.list,
      ).toMatchObject([{ path }]);
    }
    // A kernel or a copy that leaves blanks alone: the forged line is as good as any.
    const raw = `/tmp/x\n${line(innocent, 'ima-ng', ruleDigest('good'), '/usr/bin/good').trimEnd()}`;
    const evil = file('/tmp/x', 'evil');
    const forged = latin1(line(evil, 'ima-ng', ruleDigest('evil'), raw));
    expect(inspectIma([asciiToBinary(forged)]).entries).toBe(2);
    expect(inspectIma([file(raw, 'evil').bytes]).entries).toBe(1);
  });

  it('is no evidence unless somebody asks for it', () => {
    const ascii = dataFile('boots/secure-boot/ima_ascii.txt');
    const binary = dataFile('boots/secure-boot/ima_binary.bin');
    expectRefusal('ima-ascii', () => evidenceList(ascii));
    expect(equalBytes(evidenceList(ascii, true), binary)).toBe(true);
    expect(evidenceList(binary)).toBe(binary);
    expect(evidenceList(new Uint8Array())).toHaveLength(0);
  });

  const good = line(file('/a', 'a'), 'ima-ng', ruleDigest('a'), '/a');
  it.each([
    ['an empty line', `${good}\n${good}`],
    ['a word', `${good}word\n`],
    ['an unknown template', good.replace('ima-ng', 'ima-nx')],
    ['a field too many', good.replace('/a', '/a /b')],
    ['a digest without algorithm', good.replace('sha256:', '')],
    ['a digest that is not hexadecimal', good.replace('sha256:', 'sha256:x')],
    ['a short SHA-1', good.replace(/ [0-9a-f]{40}/, ' 00')],
    ['an integer that is none', `10 ${'0'.repeat(40)} imode x\n`],
    ['an integer that is too large', `10 ${'0'.repeat(40)} imode 65536\n`],
  ])('with %s is refused with the offset of the line', (_what, text_) => {
    const { detail } = expectRefusal('malformed', () => inspectIma([asciiToBinary(latin1(text_))]));
    expect(detail['offset']).toEqual(expect.any(Number));
  });
});

describe('coverage', () => {
  const policy = file('/etc/ima/ima-policy', 'measure all');
  const CMDLINE = ['root=/dev/vda2', 'ima_policy=tcb', 'ima_appraise=fix'];

  it('of the built-in policy leaves out what is on tmpfs', () => {
    expect(imaCoverage(verifyMade([]), CMDLINE)).toEqual({
      builtinPolicies: ['tcb'],
      appraise: 'fix',
      policyFiles: [],
      kexecLoads: 0,
      bootAggregates: 1,
      exempt: ['tmpfs', 'memfd'],
    });
    expect(imaCoverage(verifyMade([]), ['ima_tcb']).exempt).toEqual(['tmpfs', 'memfd']);
    expect(imaCoverage(verifyMade([]), ['ima_policy="appraise_tcb|tcb"']).builtinPolicies).toEqual([
      'appraise_tcb',
      'tcb',
    ]);
  });

  it('without a policy is nothing', () => {
    for (const arguments_ of [
      [],
      ['ima_policy=appraise_tcb'],
      ['xima_policy=tcb'],
      ['ima_policy='],
      ['ima_policy=tcbx'],
    ]) {
      expect(imaCoverage(verifyMade([]), arguments_).exempt).toEqual(['everything: no policy']);
    }
  });

  it('of a custom policy is what reference values know about it', () => {
    const known = [{ digest: ruleDigest('measure all'), exempt: [] }];
    const coverage = imaCoverage(verifyMade([policy]), CMDLINE, known);
    expect(coverage.policyFiles).toEqual([
      { path: '/etc/ima/ima-policy', digest: ruleDigest('measure all') },
    ]);
    expect(coverage.exempt).toEqual([]);
    expect(imaCoverage(verifyMade([policy]), CMDLINE).exempt).toEqual(['unknown policy']);
    const second = file('/etc/ima/ima-policy', 'dont_measure func=BPRM_CHECK');
    expect(imaCoverage(verifyMade([policy, second]), CMDLINE, known).exempt).toEqual(['unknown policy']);
    const many = Array.from({ length: 101 }, () => policy);
    expect(imaCoverage(verifyMade(many), CMDLINE, known).exempt).toEqual(['unknown policy']);
  });

  it('says when paths are excluded, entries are elsewhere, and kernels were chained', () => {
    expect(
      imaCoverage(verifyMade([policy]), CMDLINE, [{ digest: ruleDigest('measure all'), exempt: [] }], true)
        .exempt,
    ).toEqual(['excluded paths']);
    const chained = verifyMade([
      file('/a', 'a', { pcr: 11 }),
      buffer('kexec-cmdline', latin1('ro')),
      bootAggregate(),
    ]);
    expect(imaCoverage(chained, CMDLINE)).toMatchObject({
      kexecLoads: 1,
      bootAggregates: 2,
      exempt: ['tmpfs', 'memfd', 'measured into another PCR'],
    });
  });
});

describe('review of rules', () => {
  const A = ruleDigest('a');
  const messages = (some: Parameters<typeof rules>[0]): readonly string[] =>
    lintImaRules(rules(some)).map(({ member, message }) => `${member}: ${message}`);

  it('has nothing to say about plain ones', () => {
    expect(messages({ files: { '/a': [A] }, globs: [{ path: '/b/*', digests: [A] }] })).toEqual([]);
  });

  it.each<[string, Parameters<typeof rules>[0], string | RegExp]>([
    ['every exclude', { excludes: ['/tmp/**'] }, 'files at /tmp/** are not judged'],
    ['an exclude of everything', { excludes: ['/**'] }, 'excludes everything'],
    ['a relative exclude', { excludes: ['tmp/*'] }, 'not an absolute path'],
    ['an exclude that matches nothing', { excludes: ['/tmp/'] }, 'matches nothing'],
    ['blanks', { files: { '/a b': [A] } }, 'the kernel writes _'],
    ['empty lists of digests', { globs: [{ path: '/a', digests: [] }] }, 'allows nothing'],
    ['weak digests', { files: { '/a': [`sha1:${'0'.repeat(40)}`] } }, 'can be forged'],
    ['no keyring', { signed: [{ path: '/a', keyrings: [] }] }, 'names no keyring'],
    ['unknown keyrings', { signed: [{ path: '/a', keyrings: ['k'] }] }, 'unknown keyring k'],
    ['tolerated violations', { violations: ['/var/**'] }, 'no digest covers the path'],
    ['any buffer', { buffers: { x: 'any' } }, 'any content is allowed'],
    ['denied files', { files: { '/a': [A] }, denied: { paths: ['/a'], digests: [], keys: [] } }, 'is denied'],
    ['excluded files', { files: { '/a': [A] }, excludes: ['/*'] }, 'any digest passes'],
    ['files in the run directory', { files: { '/var/lib/sealgate/run/x': [A] } }, 'only authorised digests'],
    ['what does not compile', { files: { '/a': ['x'] } }, 'not a digest'],
  ])('warns of %s', (_what, some, expected) => {
    expect(messages(some).join('\n')).toContain(expected);
  });
});
