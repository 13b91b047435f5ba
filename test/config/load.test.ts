import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { configReference } from '../../scripts/lib/config-reference.ts';
import { utf8 } from '../../src/base/index.ts';
import { VERIFIER_SCHEMA, configKeys, readConfig } from '../../src/config/index.ts';
import { PROFILE_SCHEMA } from '../../src/config/index.ts';
import { expectRefusal } from '../support/refusals.ts';

const read = (text: string, environment = {}) => readConfig(VERIFIER_SCHEMA, utf8(text), environment);
const sourceOf = (loaded: ReturnType<typeof read>, name: string) =>
  [...loaded.sources].find(([{ path: at }]) => at.join('.') === name)?.[1];

describe('a configuration', () => {
  it('has a default for every key, and every key a variable of its own and a line of documentation', () => {
    const keys = [...configKeys(VERIFIER_SCHEMA), ...configKeys(PROFILE_SCHEMA)];
    for (const key of keys) {
      expect(key.default, key.variable).not.toBeNull();
      expect(key.description, key.variable).toMatch(/^[A-Z].{10,}\.$/);
    }
    const variables = configKeys(VERIFIER_SCHEMA).map(({ variable }) => variable);
    expect(new Set(variables).size).toBe(variables.length);
    expect(variables).toContain('SEALGATE_LIMITS_REQUESTS_PER_MINUTE_PER_ADDRESS');
    expect(read('').config.listen).toEqual({ address: '0.0.0.0', port: 8443 });
    expect(read('# only a comment\n').config.log.entries).toBe('auditors');
  });

  it('takes the environment before the file, and the file before the default', () => {
    const loaded = read('listen:\n  port: 9000\n', {
      SEALGATE_LISTEN_PORT: '9443',
      SEALGATE_TRUST_DOMAIN: 'a.org',
    });
    expect(loaded.config.listen.port).toBe(9443);
    expect(loaded.config.trustDomain).toBe('a.org');
    expect(read('listen:\n  port: 9000\n').config.listen.port).toBe(9000);
    expect(sourceOf(loaded, 'listen.port')).toBe('environment');
    expect(sourceOf(read('listen:\n  port: 9000\n'), 'listen.port')).toBe('file');
    expect(sourceOf(loaded, 'listen.address')).toBe('default');
    expect(read('', { SEALGATE_ENROLLMENT_APPROVALS: 'true' }).config.enrollment.approvals).toBe(true);
  });

  it.each([
    ['an unknown key', 'prot: 1\n', 'prot is not a key'],
    ['an unknown key in a section', 'listen:\n  prot: 1\n', 'listen.prot is not a key'],
    ['a number as text', 'listen:\n  port: "8443"\n', 'listen.port must be integer'],
    ['a number out of range', 'listen:\n  port: 65536\n', 'listen.port must be <= 65535'],
    ['a value that is none of them', 'log:\n  entries: everybody\n', 'log.entries must match'],
    ['a section that is a text', 'listen: here\n', 'listen must be object'],
    ['a list in place of a mapping', '- 1\n', 'not a mapping'],
    ['a key twice', 'replica: a\nreplica: b\n', 'not YAML'],
    ['an alias', 'url: &u https://a\nreplica: *u\n', 'aliases are not read'],
    ['a trust domain with a slash', 'trustDomain: a/b\n', 'trustDomain must match pattern'],
    ['a plain http address', 'url: http://a\n', 'url must match pattern'],
    ['no YAML at all', '{', 'not YAML'],
    ['a file that is too large', '#'.repeat(300_000), 'over 262144 bytes'],
  ])('refuses %s', (_, text, reason) => {
    expect(expectRefusal('config-form', () => read(text)).reason).toContain(reason);
  });

  it('refuses a variable that is no value of its key', () => {
    for (const text of ['', 'x', '1e3', '08443', '-1'])
      expectRefusal('config-form', () => read('', { SEALGATE_LISTEN_PORT: text }));
    expectRefusal('config-form', () => read('', { SEALGATE_ENROLLMENT_APPROVALS: 'yes' }));
  });

  it('is documented: docs/CONFIG.md is what the schemas say', async () => {
    const page = readFileSync(path.resolve(import.meta.dirname, '../../docs/CONFIG.md'), 'utf8');
    expect(page).toBe(await configReference());
  });
});
