import { describe, expect, it } from 'vitest';
import type { JsonObject } from '../../src/base/index.ts';
import {
  EMPTY_TRUST_STORE,
  addToStore,
  codeSigningProfile,
  defaultRole,
  extension,
  formatTrustStore,
  parseTrustStore,
  removeFromStore,
  trustFor,
  verifyPath,
} from '../../src/x509/index.ts';
import type { Certificate, TrustEntry } from '../../src/x509/index.ts';
import { expectRefusal } from '../support/refusals.ts';
import { NOW, certificate, data, root } from './support.ts';

const entry = (trusted: Certificate, more: Partial<TrustEntry> = {}): TrustEntry => ({
  purpose: 'ek',
  role: 'anchor',
  vendor: undefined,
  certificate: trusted,
  ...more,
});
const bytes = (value: JsonObject | string) =>
  new TextEncoder().encode(typeof value === 'string' ? value : JSON.stringify(value));

const anchor = root();
const middle = certificate({ subject: 'a', ca: true });
const store = [
  entry(anchor),
  entry(middle, { role: 'intermediate', vendor: 'acme' }),
  entry(anchor, { purpose: 'ak' }),
].reduce(addToStore, EMPTY_TRUST_STORE);
const document = () =>
  JSON.parse(formatTrustStore(store)) as { version: number; certificates: Record<string, unknown>[] };

describe('the trust store', () => {
  it('comes back from its JSON form, which is canonical', () => {
    const text = formatTrustStore(store);
    const again = parseTrustStore(bytes(text));
    expect(formatTrustStore(again)).toBe(text);
    expect(again.entries).toHaveLength(3);
    expect(formatTrustStore(EMPTY_TRUST_STORE)).toBe('{"certificates":[],"version":1}\n');
  });

  it('keeps the purposes apart', () => {
    expect(trustFor(store, 'ek')).toEqual({ anchors: [anchor], pool: [middle] });
    expect(trustFor(store, 'ak')).toEqual({ anchors: [anchor], pool: [] });
    const leaf = certificate({ issuer: 'a' });
    const question = { leaf, now: NOW, profile: codeSigningProfile };
    expect(verifyPath({ ...question, ...trustFor(store, 'ek') }).chain).toHaveLength(3);
    expectRefusal('x509-untrusted', () => verifyPath({ ...question, ...trustFor(store, 'ak') }));
    expectRefusal('x509-no-anchors', () => verifyPath({ ...question, ...trustFor(EMPTY_TRUST_STORE, 'ek') }));
  });

  it('has a certificate once for each purpose; the newer role counts', () => {
    const changed = addToStore(store, entry(middle));
    expect(changed.entries).toHaveLength(3);
    expect(trustFor(changed, 'ek').anchors).toContain(middle);
  });

  it('takes only what can be an issuer', () => {
    const add = (bad: Certificate) => () => addToStore(EMPTY_TRUST_STORE, entry(bad));
    expectRefusal('x509-not-ca', add(certificate({})));
    expectRefusal(
      'x509-issuer-key-usage',
      add(certificate({ extensions: [extension.basicConstraints(true), extension.keyUsage('cRLSign')] })),
    );
    expectRefusal('x509-weak-key', add(root({ key: 'rsa1024' })));
    expectRefusal(
      'x509-name-constraints',
      add(root({ more: [{ oid: '2.5.29.30', value: new Uint8Array([0x30, 0]) }] })),
    );
    expect(defaultRole(anchor)).toBe('anchor');
    expect(defaultRole(middle)).toBe('intermediate');
    const many = { entries: Array.from({ length: 1000 }, () => entry(anchor, { purpose: 'ak' })) };
    expectRefusal('trust-store', () => addToStore(many, entry(middle)));
  });

  it('gives up certificates by fingerprint, its beginning, or vendor', () => {
    const { fingerprint } = anchor;
    expect(removeFromStore(store, { fingerprint }).removed).toHaveLength(2);
    expect(
      removeFromStore(store, { fingerprint: fingerprint.slice(0, 8), purpose: 'ak' }).store.entries,
    ).toHaveLength(2);
    expect(removeFromStore(store, { vendor: 'acme' }).removed).toEqual([store.entries[1]]);
    expectRefusal('trust-store', () => removeFromStore(store, { vendor: 'nobody' }));
    expectRefusal('trust-store', () => removeFromStore(store, { fingerprint: fingerprint.slice(0, 7) }));
    expectRefusal('trust-store', () => removeFromStore(store, { fingerprint: '0'.repeat(64) }));
    expect(() => removeFromStore(store, {})).toThrow(TypeError);
  });

  it('never takes two certificates for one fingerprint', () => {
    const twins = {
      entries: [entry(anchor), entry({ ...middle, fingerprint: `${anchor.fingerprint.slice(0, 63)}x` })],
    };
    expectRefusal('trust-store', () =>
      removeFromStore(twins, { fingerprint: anchor.fingerprint.slice(0, 10) }),
    );
  });

  it('refuses a file that was changed by hand or by accident', () => {
    const first = () => document().certificates[0];
    const file = (...certificates: unknown[]) => bytes({ version: 1, certificates } as unknown as JsonObject);
    const cases: Uint8Array[] = [
      bytes({ certificates: [], version: 2 }),
      bytes({ version: 1 }),
      bytes({ version: 1, certificates: {} }),
      bytes({ version: 1, certificates: [], more: true }),
      file('x'),
      file({ ...first(), purpose: 'tls' }),
      file({ ...first(), role: 'root' }),
      file({ ...first(), vendor: 7 }),
      file({ ...first(), more: 1 }),
      file({ ...first(), certificate: null }),
      file({ ...first(), fingerprint: middle.fingerprint }),
      file(...Array.from({ length: 1001 }, first)),
    ];
    expect(parseTrustStore(file(first())).entries).toHaveLength(1);
    for (const each of cases) expectRefusal('trust-store', () => parseTrustStore(each));
    expectRefusal('malformed', () => parseTrustStore(bytes('{"version":1,"version":1,"certificates":[]}')));
    expectRefusal('malformed', () => parseTrustStore(file({ ...first(), certificate: '!' })));
  });

  it('holds real roots', () => {
    const google = addToStore(EMPTY_TRUST_STORE, entry(data('gce-vtpm/ca-certs/tpm_ek_root_1.cer')));
    expect(parseTrustStore(bytes(formatTrustStore(google))).entries[0]?.certificate.fingerprint).toBe(
      google.entries[0]?.certificate.fingerprint,
    );
  });
});
