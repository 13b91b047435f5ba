import { Compile } from 'typebox/schema';
import { describe, expect, it } from 'vitest';
import {
  REFERENCES_JSON_SCHEMA,
  appraise,
  imaRulesOf,
  isAffirming,
  parseReferences,
  referencesJson,
} from '../../src/appraisal/index.ts';
import type { Appraisal, EventLogReferences, ReferenceValues } from '../../src/appraisal/index.ts';
import { Refusal } from '../../src/base/index.ts';
import { compileImaRules } from '../../src/evidence/index.ts';
import { bootEvidence, learnBoot, learnedFrom } from '../support/boot-evidence.ts';
import { expectRefusal } from '../support/refusals.ts';

const golden = learnedFrom('secure-boot');
const ima = golden.ima!;

function appraiseBoot(boot: string, references: ReferenceValues): Appraisal {
  const rules = compileImaRules(
    imaRulesOf(references),
    references.gateway ? { manifest: references.gateway.files } : {},
  );
  const { quote, eventLog, ima: list } = bootEvidence(boot, rules);
  return appraise({ quote, eventLog, ima: list, failures: [] }, references);
}
const failing = (appraisal: Appraisal): string[] => [
  ...new Set(appraisal.failures.map(({ check }) => check)),
];
const boot = (change: Partial<EventLogReferences>): ReferenceValues => ({
  ...golden,
  eventLog: { ...golden.eventLog, ...change },
});

describe('the golden host itself', () => {
  it('is affirmed, and says what was never measured', () => {
    const appraisal = appraiseBoot('secure-boot', golden);
    expect(appraisal.failures).toEqual([]);
    expect(appraisal.status).toBe('affirming');
    // tmpfs is exempt from the built-in policy, so executables can't be 2.
    expect(appraisal.vector).toEqual({ hardware: 2, configuration: 2, executables: 3 });
    expect(appraisal.exempt).toEqual(['tmpfs', 'memfd']);
    expect(isAffirming(appraisal, ['configuration', 'executables'])).toBe(true);
    expect(isAffirming(appraisal, ['instance-identity'])).toBe(false);
  });

  it('has an identity once it is enrolled', () => {
    const { quote, eventLog, ima: list } = bootEvidence('secure-boot', compileImaRules(ima.rules));
    const appraisal = appraise(
      { quote, eventLog, ima: list, failures: [], enrollment: { manufacturer: 'IBM' } },
      golden,
    );
    expect(appraisal.vector['instance-identity']).toBe(2);
  });

  it('its references fit the JSON Schema, which knows every member', () => {
    const schema = Compile(REFERENCES_JSON_SCHEMA);
    expect(schema.Check(referencesJson({ ...golden, gateway: { files: { '/x': 'a'.repeat(64) } } }))).toBe(
      true,
    );
    const misspelt = { ...golden, eventLog: { ...golden.eventLog, secureboot: {} } };
    expect(schema.Check(misspelt)).toBe(false);
    expect(schema.Check({ ...golden, ima: { rules: ima.rules } })).toBe(false);
  });

  it('references survive being written and read', () => {
    expect(parseReferences(JSON.parse(JSON.stringify(referencesJson(golden))) as never)).toEqual(golden);
  });
});

describe('another boot', () => {
  it('with a changed command line is refused, and the reason names the arguments', () => {
    const appraisal = appraiseBoot('secure-boot-tampered-cmdline', golden);
    expect(appraisal.status).toBe('warning');
    expect(appraisal.failures[0]?.check).toBe('command-line');
    expect(appraisal.failures[0]?.reason).toContain(
      'added: apparmor=0 module.sig_enforce=0 ima_appraise=off',
    );
    expect(failing(appraisal)).toEqual(expect.arrayContaining(['boot-file', 'grub-command', 'ima-file']));
  });

  it('without secure boot is refused', () => {
    const appraisal = appraiseBoot('plain-boot', golden);
    expect(appraisal.failures[0]?.check).toBe('secure-boot');
    expect(isAffirming(appraisal)).toBe(false);
  });
});

describe('a golden host whose command line no event shows', () => {
  it('is affirmed by what was learned from it, which asks for no IMA policy and says so', () => {
    const { references, warnings } = learnBoot('plain-boot');
    expect(references.ima?.coverage).not.toHaveProperty('builtInPolicies');
    expect(warnings).toContain(
      'no verified command line or custom policy tells what the kernel measures: ima-policy is not asked for',
    );
    const appraisal = appraiseBoot('plain-boot', references);
    expect(appraisal.failures).toEqual([]);
    expect(appraisal).toMatchObject({ status: 'affirming', vector: { executables: 3 } });
    expect(appraisal.exempt).toContain('everything: no policy');
  });

  it('is refused with a list of policies that is empty: nothing listed means nothing allowed', () => {
    const { references } = learnBoot('plain-boot');
    const ima = references.ima!;
    const none = { ...references, ima: { ...ima, coverage: { ...ima.coverage, builtInPolicies: [] } } };
    expect(appraiseBoot('plain-boot', none).failures[0]?.check).toBe('ima-policy');
  });

  it('is refused where a listed custom policy was not loaded', () => {
    const { references } = learnBoot('plain-boot');
    const ima = references.ima!;
    const policyFiles = [{ sha256: 'a'.repeat(64), exempt: [] }];
    const custom = { ...references, ima: { ...ima, coverage: { ...ima.coverage, policyFiles } } };
    expect(appraiseBoot('plain-boot', custom).failures[0]?.check).toBe('ima-policy');
  });
});

/** What the golden boot would fail if the references were others: one row for each check. */
const REFUSED: [string, ReferenceValues][] = [
  ['tpm-manufacturer', { ...golden, tpm: { manufacturers: ['INTC'] } }],
  ['tpm-firmware', { ...golden, tpm: { firmwareFloor: 'f'.repeat(16) } }],
  ['pcr-value', { ...golden, pcrs: [{ name: 'x', bank: 'sha256', values: { '7': ['0'.repeat(64)] } }] }],
  ['pcr-value', { ...golden, pcrs: [{ name: 'x', bank: 'sha384', values: { '7': ['0'.repeat(96)] } }] }],
  ['secure-boot', boot({ secureBoot: { enabled: true, enforced: false } })],
  ['command-line', boot({ commandLine: { lines: [], arguments: [], prefixes: [], required: [] } })],
  ['command-line', boot({ commandLine: { lines: ['quiet'], arguments: [], prefixes: [], required: [] } })],
  ['boot-application', boot({ bootApplications: golden.eventLog!.bootApplications!.slice(1) })],
  ['boot-application', boot({ bootApplications: [] })],
  ['boot-file', boot({ bootFiles: golden.eventLog!.bootFiles!.slice(0, -1) })],
  ['mok', boot({ mok: [] })],
  ['firmware-measurement', boot({ firmware: [] })],
  ['grub-command', boot({ grubCommands: [] })],
  ['boot-authority', boot({ authorities: [] })],
  ['key-database', boot({ db: [] })],
  ['key-database', boot({ platformKey: [] })],
  ['key-database', boot({ keyExchangeKeys: [] })],
  ['dbx', boot({ requiredDbx: ['0'.repeat(64)] })],
  ['sbat-level', boot({ sbatLevels: ['sbat,1,2099\n'] })],
  ['uki-section', boot({ unifiedKernelImage: { '.linux': [] } })],
  ['stub-parameter', boot({ stubParameters: [] })],
  ['system-extension', boot({ systemExtensions: [] })],
  ['ima-file', { ...golden, ima: { ...ima, rules: { ...ima.rules, files: {} } } }],
  ['ima-violation', { ...golden, ima: { ...ima, rules: { ...ima.rules, violations: [] } } }],
  [
    'ima-denied',
    {
      ...golden,
      ima: { ...ima, rules: { ...ima.rules, denied: { ...ima.rules.denied, paths: ['/usr/bin/**'] } } },
    },
  ],
  [
    'ima-policy',
    { ...golden, ima: { ...ima, coverage: { ...ima.coverage, builtInPolicies: ['critical_data'] } } },
  ],
  ['ima-policy', { ...golden, ima: { ...ima, coverage: { ...ima.coverage, builtInPolicies: [] } } }],
  ['lockdown', { ...golden, ima: { ...ima, coverage: { ...ima.coverage, lockdown: 'integrity' } } }],
  ['gateway-measured', { ...golden, gateway: { files: { '/usr/lib/sealgate/main.js': 'a'.repeat(64) } } }],
];

describe('each reference value can refuse', () => {
  it.each(REFUSED)('%s (%#)', (check, references) => {
    const appraisal = appraiseBoot('secure-boot', references);
    expect(failing(appraisal)).toContain(check);
    expect(['warning', 'contraindicated']).toContain(appraisal.status);
    expect(isAffirming(appraisal)).toBe(false);
    // What the host is told is its own value, never the expected one.
    for (const { detail } of appraisal.failures) expect(Object.keys(detail)).not.toContain('expected');
  });

  it('a denied file is contraindicated, not merely a warning', () => {
    const denied = { ...ima.rules.denied, paths: ['/usr/bin/**'] };
    const appraisal = appraiseBoot('secure-boot', {
      ...golden,
      ima: { ...ima, rules: { ...ima.rules, denied } },
    });
    expect(appraisal.status).toBe('contraindicated');
    expect(appraisal.vector.executables).toBe(96);
  });

  it('an exclude makes executables 3 at best, and it says so', () => {
    const appraisal = appraiseBoot('secure-boot', {
      ...golden,
      ima: { ...ima, rules: { ...ima.rules, excludes: ['/opt/**'] } },
    });
    expect(appraisal.exempt).toContain('excluded paths');
    expect(appraisal.vector.executables).toBe(3);
  });

  it('a command line by exact arguments and prefixes', () => {
    const commandLine = {
      lines: [],
      arguments: ['ro', 'ima_policy=tcb', 'ima_template=ima-ng', 'ima_hash=sha256'],
      prefixes: ['/boot/vmlinuz-', 'root=', 'console='],
      required: ['ima_policy=tcb'],
    };
    expect(appraiseBoot('secure-boot', boot({ commandLine })).failures).toEqual([]);
    expect(failing(appraiseBoot('secure-boot-tampered-cmdline', boot({ commandLine })))).toContain(
      'command-line',
    );
    const more = { ...commandLine, required: ['lockdown=integrity'] };
    expect(failing(appraiseBoot('secure-boot', boot({ commandLine: more })))).toContain('command-line');
  });
});

describe('evidence that is not there', () => {
  const { quote, eventLog, ima: list } = bootEvidence('secure-boot', compileImaRules(ima.rules));
  const none = new Refusal('no-event-log', 'there is no event log');

  it('a missing log is a denial with its own verdict', () => {
    const appraisal = appraise({ quote, eventLog: null, ima: list, failures: [none] }, golden);
    expect(appraisal.failures[0]).toBe(none);
    expect(isAffirming(appraisal)).toBe(false);
    expect(appraisal.status).not.toBe('affirming');
  });

  it('a missing list is a denial too', () => {
    const gone = new Refusal('ima-empty', 'no list');
    const appraisal = appraise({ quote, eventLog, ima: null, failures: [gone] }, golden);
    expect(appraisal.failures).toContain(gone);
    expect(appraisal.status).not.toBe('affirming');
  });

  it('missing without a reason is a fault of the caller, never a pass', () => {
    expect(() => appraise({ quote, eventLog: null, ima: list, failures: [] }, golden)).toThrow(TypeError);
  });

  it('references that speak of the TPM alone ask for no log', () => {
    const appraisal = appraise(
      { quote, eventLog: null, ima: null, failures: [] },
      { version: 1, platform: 'x', tpm: { firmwareFloor: '0'.repeat(16) } },
    );
    expect(appraisal).toMatchObject({ status: 'affirming', vector: { hardware: 2 }, failures: [] });
  });
});

describe('reference values as a document', () => {
  it.each<[string, object]>([
    ['about nothing', { version: 1, platform: 'x' }],
    ['about nothing, with empty parts', { version: 1, platform: 'x', tpm: {}, eventLog: {}, pcrs: [] }],
    ['another version', { version: 2, platform: 'x', tpm: { firmwareFloor: '0'.repeat(16) } }],
    ['an unknown member', { version: 1, platform: 'x', tpm: { firmwareFloor: '0'.repeat(16) }, pcr: [] }],
    [
      'a misspelt member of the boot',
      { version: 1, platform: 'x', eventLog: { secureboot: { enabled: true, enforced: true } } },
    ],
    [
      'SHA-1 values',
      { version: 1, platform: 'x', pcrs: [{ name: 'a', bank: 'sha1', values: { '0': ['0'.repeat(40)] } }] },
    ],
    [
      'PCR 24',
      {
        version: 1,
        platform: 'x',
        pcrs: [{ name: 'a', bank: 'sha256', values: { '24': ['0'.repeat(64)] } }],
      },
    ],
    [
      'a gateway without IMA',
      { version: 1, platform: 'x', tpm: { firmwareFloor: '0'.repeat(16) }, gateway: { files: {} } },
    ],
    ['a list in place of the document', []],
  ])('refuses %s', (name, value) => {
    expectRefusal('references-form', () => parseReferences(value as never));
    // What isn't about form no schema says.
    if (!/nothing|without/.test(name)) expect(Compile(REFERENCES_JSON_SCHEMA).Check(value)).toBe(false);
  });

  // The command line of a host could take back what it asks for: `lsm=` without lockdown, for one.
  it.each([
    ['a built-in IMA policy', { builtInPolicies: ['tcb'], lockdown: 'none' }],
    ['lockdown', { builtInPolicies: [], lockdown: 'integrity' }],
  ] as const)('refuses %s without a rule for the command line', (_, asked) => {
    const eventLog: EventLogReferences = { secureBoot: { enabled: true, enforced: true } };
    const coverage = { ...ima.coverage, ...asked };
    const references = referencesJson({ ...golden, eventLog, ima: { ...ima, coverage } });
    const refusal = expectRefusal('references-form', () => parseReferences(references));
    expect(refusal.reason).toContain('commandLine');
    const nothing = { ...ima.coverage, builtInPolicies: [], lockdown: 'none' } as const;
    expect(() =>
      parseReferences(referencesJson({ ...golden, eventLog, ima: { ...ima, coverage: nothing } })),
    ).not.toThrow();
  });

  it('refuses an empty prefix: every argument begins with it', () => {
    const commandLine = { lines: [], arguments: [], prefixes: [''], required: [] };
    expectRefusal('references-form', () => parseReferences(referencesJson(boot({ commandLine }))));
  });
});
