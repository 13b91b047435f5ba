import { generateKeyPairSync } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { formatVkey, noteSigner } from '../../src/audit/index.ts';
import type { Checkpoint } from '../../src/audit/index.ts';
import { fromHex, utf8 } from '../../src/base/index.ts';
import {
  TRUST_BUNDLE_TYPE,
  goesOnFrom,
  openFirstTrustBundle,
  openGivenTrustChain,
  openNextTrustBundle,
  readTrustBundle,
  requireNotAfterClosing,
  signAsAuthority,
  trustBundleBytes,
} from '../../src/policy/index.ts';
import type { Succession, TrustBundleDocument, VerifiedTrustBundle } from '../../src/policy/index.ts';
import { expectRefusal } from '../support/refusals.ts';
import { ed25519, p256, pem } from './support.ts';

/** Logs that were closed, as trust bundles name them: what an operator, or who has a verifier's keys, may make of it. */

const authority = ed25519();
const root = (digit: string): string => `sha256:${digit.repeat(64)}`;
const bytes = (digit: string): Uint8Array => fromHex(digit.repeat(64));
const vkey = (origin: string): string =>
  formatVkey(noteSigner(origin, 'note', generateKeyPairSync('ed25519').privateKey).key);
const [LOG, LOG2, LOG3] = ['example.org/log', 'example.org/log-2', 'example.org/log-3'].map(vkey);
const first: TrustBundleDocument = {
  ...{ v: 1, trustDomain: 'example.org', version: 1, previous: null, issuer: 'https://verifier.example.org' },
  cas: { agent: [], svid: [], attestation: [] },
  keys: {
    authorization: [{ kid: 'a1', algorithm: 'ES256', key: pem(p256()) }],
    ...{ ear: [], status: [], jwtSvid: [] },
  },
  log: [LOG ?? ''],
  authorities: { threshold: 1, keys: [{ name: 'a', algorithm: 'ed25519', key: pem(authority) }] },
  witnesses: null,
};
const step = (from: string, size: string, to: string, digit = 'a'): Succession => ({
  closed: { origin: `example.org/${from}`, size, root: root(digit) },
  kept: '4',
  opened: { origin: `example.org/${to}`, root: root('b') },
});
const one = step('log', '90', 'log-2');

const sign = (document: TrustBundleDocument, key = authority): Uint8Array =>
  utf8(JSON.stringify(signAsAuthority(trustBundleBytes(document), TRUST_BUNDLE_TYPE, key, undefined)));
const start = openFirstTrustBundle(sign(first), 'example.org');
const next = (before: VerifiedTrustBundle, change: Partial<TrustBundleDocument>): Uint8Array =>
  sign({ ...before.document, version: before.version + 1, previous: before.digest, ...change });
const succeeded = openNextTrustBundle(start, next(start, { log: [LOG2 ?? ''], succession: [one] }));

describe('a closed log in a trust bundle', () => {
  it('comes with the key of the log that opened, in the next version', () => {
    expect(succeeded.succession).toEqual([one]);
    expect(succeeded.log.map(({ name }) => name)).toEqual(['example.org/log-2']);
    const again = { log: [LOG3 ?? ''], succession: [one, step('log-2', '7', 'log-3')] };
    expect(openNextTrustBundle(succeeded, next(succeeded, again)).succession).toHaveLength(2);
  });

  it('is the only way in which keys of another log come', () => {
    expectRefusal('trust-bundle-chain', () => openNextTrustBundle(start, next(start, { log: [LOG2 ?? ''] })));
    const both = { log: [LOG ?? '', LOG2 ?? ''] };
    expectRefusal('trust-bundle-chain', () => openNextTrustBundle(start, next(start, both)));
    expectRefusal('policy-signatures', () =>
      openNextTrustBundle(start, sign({ ...start.document, version: 2, previous: start.digest }, ed25519())),
    );
  });

  it.each([
    ['taken back', { log: [LOG ?? ''], succession: undefined }],
    ['taken back, the log going on', { succession: undefined }],
    ['closed at less', { succession: [step('log', '89', 'log-2')] }],
    ['closed with another root', { succession: [step('log', '90', 'log-2', 'c')] }],
    [
      'followed by another first entry',
      { succession: [{ ...one, opened: { ...one.opened, root: root('c') } }] },
    ],
    ['followed by another log', { log: [LOG3 ?? ''], succession: [step('log', '90', 'log-3')] }],
    ['said to have kept more', { succession: [{ ...one, kept: '5' }] }],
    ['of another name', { succession: [step('other', '90', 'log-2')] }],
  ])('is never %s afterwards', (_, { succession, ...change }) => {
    const { succession: gone, ...document } = succeeded.document;
    expect(gone).toBeDefined();
    const bad = { ...document, ...change, version: 3, previous: succeeded.digest };
    expectRefusal('trust-bundle-chain', () =>
      openNextTrustBundle(succeeded, sign(succession === undefined ? bad : { ...bad, succession })),
    );
  });

  it('may be closed at more, when somebody has seen more of it', () => {
    const more = { succession: [step('log', '91', 'log-2', 'd')] };
    expect(openNextTrustBundle(succeeded, next(succeeded, more)).succession[0]?.closed.size).toBe('91');
  });

  it('does not lead in from elsewhere, in a circle, or to a log without its keys', () => {
    const closing = (succession: readonly Succession[], log = LOG2) =>
      trustBundleBytes({ ...first, log: [log ?? ''], succession });
    const two = [one, step('log-2', '5', 'log')];
    for (const bad of [two, [one, step('log-9', '5', 'log-3')], [step('log', '5', 'log')]])
      expectRefusal('trust-bundle-form', () => closing(bad, LOG));
    expectRefusal('trust-bundle-form', () => closing([one], LOG));
    expectRefusal('trust-bundle-form', () => closing([]));
    expectRefusal('trust-bundle-form', () => closing([step('log', '-1', 'log-2')]));
    expectRefusal('trust-bundle-form', () => closing([{ ...one, kept: '91' }]));
    const { kept, ...unsaid } = one;
    expect(kept).toBe('4');
    expectRefusal('trust-bundle-form', () => closing([unsaid as Succession]));
    expect(readTrustBundle(closing([one])).succession).toEqual([one]);
    // A first version of another verifier's log is no successor of ours.
    const foreign = { log: [LOG3 ?? ''], succession: [step('log-2', '5', 'log-3')] };
    expectRefusal('trust-bundle-chain', () => openNextTrustBundle(start, next(start, foreign)));
  });
});

describe('a list of trust bundles that somebody is given', () => {
  const list = (...envelopes: readonly Uint8Array[]): Uint8Array =>
    utf8(`[${envelopes.map((envelope) => Buffer.from(envelope).toString()).join(',')}]`);
  const second = next(start, { log: [LOG2 ?? ''], succession: [one] });

  it('is walked from its version 1, each version signed by those that the one before names', () => {
    expect(openGivenTrustChain(list(sign(first))).current.digest).toBe(start.digest);
    expect(openGivenTrustChain(list(sign(first), second)).current.succession).toEqual([one]);
  });

  it('is not believed in part, without its beginning, or by others’ signatures', () => {
    const other = sign({ ...start.document, version: 2, previous: start.digest }, ed25519());
    expectRefusal('policy-signatures', () => openGivenTrustChain(list(sign(first), other)));
    expectRefusal('policy-signatures', () => openGivenTrustChain(list(sign(first, ed25519()))));
    expectRefusal('trust-bundle-chain', () => openGivenTrustChain(list(second)));
    expectRefusal('trust-bundle-chain', () => openGivenTrustChain(list()));
    expectRefusal('trust-bundle-form', () => openGivenTrustChain(second));
    const domain = next(start, { trustDomain: 'elsewhere.org' });
    expectRefusal('trust-bundle-domain', () => openGivenTrustChain(list(sign(first), domain)));
  });
});

describe('what is remembered of a log that was closed', () => {
  const seen = (size: bigint, digit = 'a', origin = 'example.org/log'): Checkpoint => ({
    ...{ origin, size, root: bytes(digit) },
  });
  const opened = { origin: 'example.org/log-2', size: 1n, root: bytes('b') };

  it('goes on at the successor’s first entry, when it was no more than what it was closed at', () => {
    expect(goesOnFrom(seen(4n, 'f'), succeeded)).toEqual(opened);
    expect(goesOnFrom(seen(90n), succeeded)).toEqual(opened);
  });

  it('is shown to nobody with more than it was closed at, or as much and something else', () => {
    for (const sound of [seen(89n, 'f'), seen(90n), seen(900n, 'f', 'example.org/log-2')])
      expect(() => {
        requireNotAfterClosing(sound, succeeded);
      }).not.toThrow();
    expectRefusal('log-succession', () => {
      requireNotAfterClosing(seen(91n), succeeded);
    });
    expectRefusal('log-succession', () => {
      requireNotAfterClosing(seen(90n, 'f'), succeeded);
    });
    requireNotAfterClosing(seen(91n), start);
  });

  it('stays what it is where nobody closed that log', () => {
    expect(goesOnFrom(seen(900n), start)).toEqual(seen(900n));
    expect(goesOnFrom(seen(9n, 'f', 'example.org/log-2'), succeeded)).toEqual(
      seen(9n, 'f', 'example.org/log-2'),
    );
    expect(goesOnFrom(seen(9n, 'f', 'elsewhere.org/log'), succeeded)).toEqual(
      seen(9n, 'f', 'elsewhere.org/log'),
    );
  });

  it('is not given up for less, or for another history', () => {
    expect(expectRefusal('log-succession', () => goesOnFrom(seen(91n), succeeded)).detail).toMatchObject({
      ...{ remembered: '91', closed: '90' },
    });
    expectRefusal('log-succession', () => goesOnFrom(seen(90n, 'f'), succeeded));
  });

  it('goes on over several, from wherever it was', () => {
    const { succession } = succeeded;
    const line = { succession: [...succession, step('log-2', '7', 'log-3')] };
    const third = { ...opened, origin: 'example.org/log-3' };
    expect(goesOnFrom(seen(4n), line)).toEqual(third);
    expect(goesOnFrom(seen(6n, 'f', 'example.org/log-2'), line)).toEqual(third);
    expectRefusal('log-succession', () => goesOnFrom(seen(8n, 'f', 'example.org/log-2'), line));
  });
});
