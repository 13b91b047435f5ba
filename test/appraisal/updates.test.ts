import { Compile } from 'typebox/schema';
import { describe, expect, it } from 'vitest';
import {
  REFERENCES_JSON_SCHEMA,
  appraise,
  openUpdates,
  parseReferences,
  referencesAt,
  referencesJson,
  updateMoments,
} from '../../src/appraisal/index.ts';
import type { ReferenceValues } from '../../src/appraisal/index.ts';
import type { JsonValue } from '../../src/base/index.ts';
import { compileImaRules } from '../../src/evidence/index.ts';
import { ImaRulesByTime } from '../../src/policy/examine.ts';
import { bootEvidence, learnedFrom } from '../support/boot-evidence.ts';
import { expectRefusal } from '../support/refusals.ts';

const golden = learnedFrom('secure-boot');
const ima = golden.ima!;
const [[path, digests] = ['', []]] = Object.entries(ima.rules.files);
const WINDOW = { notBefore: '2026-11-23T00:00:00Z', notAfter: '2026-12-07T00:00:00Z' };
const [BEFORE, FIRST, LAST, AFTER] = [
  Date.parse(WINDOW.notBefore) - 1,
  Date.parse(WINDOW.notBefore),
  Date.parse(WINDOW.notAfter),
  Date.parse(WINDOW.notAfter) + 1,
];

/** References of another state of the machine, with the golden one's values of a file in a window. */
const other: ReferenceValues = parseReferences(
  referencesJson({
    ...golden,
    ima: {
      ...ima,
      rules: { ...ima.rules, files: { ...ima.rules.files, [path]: [`sha256:${'0'.repeat(64)}`] } },
    },
    updates: [{ name: 'a package', ...WINDOW, files: { [path]: digests } }],
  }),
);

/** The recorded boot, judged by the references of a moment. */
function judged(now: number): readonly string[] {
  const references = referencesAt(other, now);
  const { quote, eventLog, ima: list } = bootEvidence('secure-boot', compileImaRules(references.ima!.rules));
  return appraise({ quote, eventLog, ima: list, failures: [] }, references).failures.map(
    ({ check }) => check,
  );
}

describe('an update', () => {
  it('allows old and new in its window, both ends included, and neither before nor after', () => {
    expect(judged(FIRST)).toEqual([]);
    expect(judged(LAST)).toEqual([]);
    expect(judged(BEFORE)).not.toEqual([]);
    expect(judged(AFTER)).toEqual(judged(BEFORE));
  });

  it('is one of few sets of rules, each compiled once', () => {
    const platform = { name: 'vm', references: other };
    const rules = new ImaRulesByTime(new Map([['vm', platform as never]]));
    expect(updateMoments(other)).toHaveLength(4);
    expect(rules.get('vm', FIRST)).toBe(rules.get('vm', LAST));
    expect(rules.get('vm', BEFORE)).toBe(rules.get('vm', AFTER));
    // Findings of one set are none of the other: the list is then judged from its beginning.
    expect(rules.get('vm', FIRST)?.digest).not.toBe(rules.get('vm', AFTER)?.digest);
    expect(rules.get('other', FIRST)).toBeUndefined();
    expect([openUpdates(other, BEFORE), openUpdates(other, FIRST)]).toEqual(['', 'a package']);
  });

  it('adds to every kind of list, and makes no check where there was none', () => {
    const digest = { sha256: 'a'.repeat(64) };
    const pcrs = [{ name: 'boot', bank: 'sha256' as const, values: { 0: ['b'.repeat(64)] } }];
    const references = parseReferences(
      referencesJson({
        ...golden,
        pcrs,
        eventLog: { ...golden.eventLog, firmware: [] },
        updates: [
          {
            ...{ name: 'all', ...WINDOW, commandLines: ['quiet'] },
            ...{ eventLog: { firmware: [digest] }, pcrs: { boot: { 0: ['c'.repeat(64)] } } },
          },
        ],
      }),
    );
    expect(Compile(REFERENCES_JSON_SCHEMA).Check(referencesJson(references))).toBe(true);
    const open = referencesAt(references, FIRST);
    expect(open.eventLog?.firmware).toEqual([digest]);
    expect(open.eventLog?.commandLine?.lines).toContain('quiet');
    expect(open.pcrs?.[0]?.values).toEqual({ 0: ['b'.repeat(64), 'c'.repeat(64)] });
    expect(Object.keys(open.eventLog ?? {}).sort()).toEqual(Object.keys(references.eventLog ?? {}).sort());
    expect(referencesAt(references, BEFORE)).toEqual(references);
  });

  it.each<[string, JsonValue]>([
    ['without an end', { name: 'x', notBefore: WINDOW.notBefore }],
    ['whose window is empty', { name: 'x', notBefore: WINDOW.notAfter, notAfter: WINDOW.notBefore }],
    ['of another form of time', { name: 'x', ...WINDOW, notAfter: '2026-12-07' }],
    ['with an unknown member', { name: 'x', ...WINDOW, excludes: ['/**'] }],
    ['of a PCR that nothing pins', { name: 'x', ...WINDOW, pcrs: { boot: { 7: ['a'.repeat(64)] } } }],
    ['of a list that nothing asks for', { name: 'x', ...WINDOW, eventLog: { mok: [] } }],
  ])('%s is refused', (_, update) => {
    const eventLog = Object.fromEntries(
      Object.entries(golden.eventLog ?? {}).filter(([name]) => name !== 'mok'),
    );
    const json = { ...referencesJson({ ...golden, eventLog }), updates: [update] };
    expectRefusal('references-form', () => parseReferences(json));
  });

  it('twice of one name is refused', () => {
    const update = { name: 'x', ...WINDOW };
    const json = { ...referencesJson(golden), updates: [update, update] };
    expectRefusal('references-form', () => parseReferences(json));
  });
});
