import { describe, expect, it } from 'vitest';
import { assessArtifact, signSshsig, verifyArtifact } from '../../src/artifact/index.ts';
import type { SignatureEnvelope, VerifiedArtifact } from '../../src/artifact/index.ts';
import { utf8 } from '../../src/base/index.ts';
import { CLOCK, DIGESTS, SHA256, dsse, makeKeys, signer, trustOf } from '../support/artifact.ts';
import { expectRefusal } from '../support/refusals.ts';

const keys = makeKeys();
const ssh = (name: keyof typeof keys): SignatureEnvelope => ({
  format: 'ssh',
  bytes: utf8(signSshsig(DIGESTS.sha256, keys[name], 'file')),
});
const three = [signer(keys.ed), signer(keys.ec), signer(keys.rsa)];
const assess = (members: Parameters<typeof trustOf>[0], ...envelopes: SignatureEnvelope[]) =>
  assessArtifact({ digests: DIGESTS, envelopes }, trustOf({ signers: three, ...members }), CLOCK);

describe('t distinct keys of n', () => {
  it('two of three, in two formats', () => {
    const found = assess({ threshold: 2, names: ['tool'] }, dsse(keys.rsa), ssh('ec'));
    expect(found).toMatchObject({
      refusal: undefined,
      threshold: { need: 2, have: 2 },
      digest: SHA256,
      name: 'tool',
    });
    expect(found.signers.map(({ format }) => format).sort()).toEqual(['dsse', 'ssh']);
    expect(found.signers.every(({ name }) => name === 'tool')).toBe(true);
  });

  it('one key counts once: in two formats, in two files, under two entries', () => {
    const again = { ...signer(keys.ec), name: 'the same key again', encoding: 'der' };
    const found = assess(
      { threshold: 2, signers: [...three, again] },
      dsse(keys.ec),
      ssh('ec'),
      dsse(keys.ec, { version: '2' }),
    );
    expect(found.refusal?.check).toBe('artifact-threshold');
    expect(found.threshold).toEqual({ need: 2, have: 1 });
    expect(found.signers).toHaveLength(1);
  });

  it('stripping a signature leaves too few', () => {
    const envelopes = [dsse(keys.ed), dsse(keys.ec)];
    expect(assess({ threshold: 2 }, ...envelopes).refusal).toBeUndefined();
    for (const left of envelopes)
      expect(assess({ threshold: 2 }, left).refusal?.check).toBe('artifact-threshold');
    expect(assess({ threshold: 2 }).refusal?.check).toBe('artifact-unsigned');
  });

  it('a good signature is not hidden by a broken one, which is reported', () => {
    const junk: SignatureEnvelope[] = [
      { format: 'dsse', bytes: utf8('{') },
      { format: 'cms', bytes: utf8('junk') },
      { format: 'ssh', bytes: new Uint8Array(300_000) },
    ];
    const found = assess({}, ...junk, dsse(keys.ed));
    expect(found.refusal).toBeUndefined();
    expect(found.rejected.map(({ check }) => check)).toEqual(['malformed', 'malformed', 'malformed']);
    // Alone they decide, and all are named.
    const none = assess({}, ...junk);
    expect(none.refusal?.failures.map(({ check }) => check)).toEqual(['malformed', 'malformed', 'malformed']);
  });

  it('too few good ones: the threshold speaks first, then why the others do not count', () => {
    const found = assess({ threshold: 2, names: ['tool'] }, dsse(keys.ed), dsse(keys.ec, { name: 'other' }));
    expect(found.refusal?.failures.map(({ check }) => check)).toEqual([
      'artifact-threshold',
      'artifact-name',
    ]);
  });

  it('more envelopes than the bound are refused', () => {
    const many = Array.from({ length: 65 }, () => ssh('ed'));
    expectRefusal('malformed', () => assess({}, ...many));
  });
});

describe('one artifact, one name', () => {
  it('signers who disagree do not add up', () => {
    const found = assess({ threshold: 2 }, dsse(keys.ed, { name: 'a' }), dsse(keys.ec, { name: 'b' }));
    expect(found.refusal?.failures.map(({ check }) => check)).toEqual([
      'artifact-threshold',
      'artifact-name',
    ]);
    expect(found).toMatchObject({ name: 'a', threshold: { need: 2, have: 1 } });
  });

  it('the name that most keys signed is the artifact’s', () => {
    const found = assess(
      { threshold: 2 },
      dsse(keys.ed, { name: 'a' }),
      dsse(keys.ec, { name: 'b' }),
      dsse(keys.rsa, { name: 'b' }),
    );
    expect(found).toMatchObject({ refusal: undefined, name: 'b', threshold: { need: 2, have: 2 } });
  });

  it('formats without a name take the only allowed one, and none when there are several', () => {
    expect(assess({ names: ['tool'] }, ssh('ed')).signers[0]?.name).toBe('tool');
    expect(assess({ names: ['tool', 'other'] }, ssh('ed'))).toMatchObject({ refusal: undefined, name: null });
    expect(assess({}, ssh('ed'))).toMatchObject({ refusal: undefined, name: null });
    // Beside a statement, its name.
    expect(assess({ threshold: 2 }, ssh('ed'), dsse(keys.ec)).signers.map(({ name }) => name)).toEqual([
      'tool',
      'tool',
    ]);
  });

  it('versions that differ are no version', () => {
    const found = assess({ threshold: 2 }, dsse(keys.ed, { version: '1' }), dsse(keys.ec, { version: '2' }));
    expect(found).toMatchObject({ refusal: undefined, version: null });
    expect(assess({}, dsse(keys.ed, { version: '1' })).version).toBe('1');
  });
});

describe('verifyArtifact', () => {
  it('throws the refusal, or gives what only it can give', () => {
    const trust = trustOf({ signers: three });
    const good: VerifiedArtifact = verifyArtifact(
      { digests: DIGESTS, envelopes: [dsse(keys.ed)] },
      trust,
      CLOCK,
    );
    expect(good.signers).toHaveLength(1);
    // @ts-expect-error a look-alike is not verified: the type says so
    const forged: VerifiedArtifact = {
      digest: SHA256,
      signers: [],
      threshold: { need: 1, have: 1 },
      name: null,
      version: null,
    };
    expect(forged).not.toBe(good);
    expectRefusal('artifact-unsigned', () =>
      verifyArtifact({ digests: DIGESTS, envelopes: [] }, trust, CLOCK),
    );
  });

  it('a digest of another size is a programming error', () => {
    const digests = { sha256: new Uint8Array(20) };
    expect(() => assessArtifact({ digests, envelopes: [] }, trustOf({ signers: three }), CLOCK)).toThrow(
      TypeError,
    );
  });
});
