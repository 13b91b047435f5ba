import { createPrivateKey, createPublicKey, sign } from 'node:crypto';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import {
  addSignature,
  assessArtifact,
  dsseJson,
  encodeStatement,
  joinDsse,
  normalKey,
  parseDsse,
  parsePublicKey,
  preAuthenticationEncoding,
  signDsse,
  verifyArtifact,
  verifyDsseSignatures,
} from '../../src/artifact/index.ts';
import type { TrustedKey } from '../../src/artifact/index.ts';
import { Refusal, fromHex, fromUtf8, toBase64, toBase64url, toHex, utf8 } from '../../src/base/index.ts';
import type { JsonValue } from '../../src/base/index.ts';
import {
  CLOCK,
  DIGESTS,
  NOW,
  SHA256,
  dsse,
  jsonEnvelope,
  makeKeys,
  signer,
  statementOf,
  trustOf,
} from '../support/artifact.ts';
import { expectRefusal } from '../support/refusals.ts';

interface Vectors {
  keys: Record<string, { public: string }>;
  vectors: {
    id: string;
    envelope: JsonValue;
    trustedKeys: string[];
    threshold: number;
    supportedPayloadTypes: string[];
    pae: string;
    expect: 'accept' | 'reject';
  }[];
}

const VECTORS = JSON.parse(
  readFileSync(path.resolve(import.meta.dirname, '../data/dsse/vectors.json'), 'utf8'),
) as Vectors;

const keys = makeKeys();
const trust = trustOf({ signers: [signer(keys.ed)], names: ['tool'] });
const verify = (envelope: { format: 'dsse'; bytes: Uint8Array } | ReturnType<typeof dsse>, by = trust) =>
  verifyArtifact({ digests: DIGESTS, envelopes: [envelope] }, by, CLOCK);
const signed = (payload: Uint8Array) => dsse(keys.ed, { payload });

describe('DSSE protocol vectors', () => {
  const trusted = (name: string): TrustedKey => ({
    name,
    key: normalKey(
      createPublicKey({
        key: { kty: 'OKP', crv: 'Ed25519', x: toBase64url(fromHex(VECTORS.keys[name]?.public ?? '')) },
        format: 'jwk',
      }),
    ),
    algorithm: 'ed25519',
    encoding: 'der',
    formats: ['dsse'],
    hashes: ['sha256'],
    notBefore: undefined,
    notAfter: undefined,
  });

  it.each(VECTORS.vectors)('$id: $expect', (vector) => {
    const accepted = (): boolean => {
      const envelope = parseDsse(utf8(JSON.stringify(vector.envelope)));
      const { signers } = verifyDsseSignatures(envelope, vector.trustedKeys.map(trusted));
      const distinct = new Set(signers.map(({ key }) => key.fingerprint)).size;
      return distinct >= vector.threshold && vector.supportedPayloadTypes.includes(envelope.payloadType);
    };
    if (vector.id === 'empty-payload-type') expectRefusal('malformed', accepted);
    else expect(accepted()).toBe(vector.expect === 'accept');
    if (vector.expect === 'accept') {
      const { payloadType, payload } = parseDsse(utf8(JSON.stringify(vector.envelope)));
      expect(toHex(preAuthenticationEncoding(payloadType, payload))).toBe(vector.pae);
    }
  });

  // The protocol page's own example: ECDSA P-256, signature as raw r ‖ s.
  it('verifies the example of protocol.md, with its encoding only', () => {
    const coordinate = (decimal: bigint) => toBase64url(fromHex(decimal.toString(16).padStart(64, '0')));
    const key = normalKey(
      createPublicKey({
        key: {
          kty: 'EC',
          crv: 'P-256',
          x: coordinate(46950820868899156662930047687818585632848591499744589407958293238635476079160n),
          y: coordinate(5640078356564379163099075877009565129882514886557779369047442380624545832820n),
        },
        format: 'jwk',
      }),
    );
    const envelope = parseDsse(
      utf8(
        '{"payload": "aGVsbG8gd29ybGQ=", "payloadType": "http://example.com/HelloWorld", "signatures": [{"sig": ' +
          '"A3JqsQGtVsJ2O2xqrI5IcnXip5GToJ3F+FnZ+O88SjtR6rDAajabZKciJTfUiHqJPcIAriEGAHTVeCUjW2JIZA=="}]}',
      ),
    );
    const pae = preAuthenticationEncoding(envelope.payloadType, envelope.payload);
    expect(fromUtf8(pae, 'PAE')).toBe('DSSEv1 29 http://example.com/HelloWorld 11 hello world');
    const as = (encoding: 'der' | 'ieee-p1363') =>
      verifyDsseSignatures(envelope, [{ ...trusted('A'), key, algorithm: 'ecdsa-p256', encoding }]).signers
        .length;
    expect(as('ieee-p1363')).toBe(1);
    expect(as('der')).toBe(0);
  });
});

describe('DSSE envelope', () => {
  const good = JSON.parse(fromUtf8(dsse(keys.ed).bytes, 'envelope')) as {
    payload: string;
    payloadType: string;
    signatures: { sig: string; keyid?: string }[];
  };
  const { sig } = good.signatures[0]!;

  it('is accepted in both base64 alphabets, strictly, and the keyid decides nothing', () => {
    const url = (text: string) => text.replaceAll('+', '-').replaceAll('/', '_');
    expect(verify(jsonEnvelope(good)).signers).toHaveLength(1);
    expect(
      verify(jsonEnvelope({ ...good, payload: url(good.payload), signatures: [{ sig: url(sig) }] })).name,
    ).toBe('tool');
    for (const keyid of ['', 'somebody else', 'sha256:00']) {
      expect(verify(jsonEnvelope({ ...good, signatures: [{ sig, keyid }] })).signers).toHaveLength(1);
    }
  });

  it.each<[string, JsonValue]>([
    ['white space in base64', { ...good, payload: `${good.payload.slice(0, 8)}\n${good.payload.slice(8)}` }],
    ['junk in base64', { ...good, payload: `${good.payload}!` }],
    ['both alphabets in one text', { ...good, payload: `-/${good.payload.slice(2)}` }],
    ['unused bits', { ...good, payload: 'QR==' }],
    ['too much padding', { ...good, signatures: [{ sig: `${sig}=` }] }],
    ['url-safe with wrong padding', { ...good, signatures: [{ sig: '-_-_Pj8==' }] }],
    ['an unknown member', { ...good, extra: 1 }],
    ['an unknown member in a signature', { ...good, signatures: [{ sig, alg: 'none' }] }],
    ['no signatures', { ...good, signatures: [] }],
    ['too many signatures', { ...good, signatures: Array.from({ length: 65 }, () => ({ sig })) }],
    ['an empty signature', { ...good, signatures: [{ sig: '' }] }],
    ['no payload', { payloadType: good.payloadType, signatures: good.signatures }],
    ['no payload type', { payload: good.payload, signatures: good.signatures }],
    ['a keyid that is no text', { ...good, signatures: [{ sig, keyid: 1 }] }],
    ['an array', [good]],
  ])('refuses %s', (_name, envelope) => {
    expectRefusal('malformed', () => verify(jsonEnvelope(envelope)));
  });

  it('refuses duplicate members and trailing bytes', () => {
    const text = JSON.stringify(good);
    const twice = text.replace('{', `{"payload":"${toBase64(statementOf({}))}",`);
    expectRefusal('malformed', () => verify({ format: 'dsse', bytes: utf8(twice) }));
    expectRefusal('malformed', () => verify({ format: 'dsse', bytes: utf8(`${text}x`) }));
    expectRefusal('malformed', () => verify({ format: 'dsse', bytes: new Uint8Array(300_000) }));
  });

  it('refuses another payload type, even a signed one', () => {
    const envelope = addSignature(
      { payloadType: 'application/json', payload: statementOf({}), signatures: [] },
      keys.ed,
    );
    expectRefusal('dsse-payload-type', () => verify(jsonEnvelope(dsseJson(envelope))));
  });

  it('refuses a payload that was changed after it was signed', () => {
    const changed = { ...good, payload: toBase64(statementOf({ predicate: { version: '9' } })) };
    expectRefusal('artifact-signature', () => verify(jsonEnvelope(changed)));
  });

  it('does not take a signature over the bare payload for one over its encoding', () => {
    const payload = statementOf({});
    const bare = new Uint8Array(sign(null, payload, keys.ed.privateKey));
    const envelope = dsseJson({
      payloadType: good.payloadType,
      payload,
      signatures: [{ keyid: undefined, sig: bare }],
    });
    expectRefusal('artifact-signature', () => verify(jsonEnvelope(envelope)));
  });
});

describe('ECDSA encoding comes from configuration', () => {
  const der = jsonEnvelope(dsseJson(signDsse(statementOf({}), keys.ec, 'der')));
  const raw = jsonEnvelope(dsseJson(signDsse(statementOf({}), keys.ec, 'ieee-p1363')));
  const derTrust = trustOf({ signers: [signer(keys.ec)] });
  const rawTrust = trustOf({ signers: [signer(keys.ec, { encoding: 'ieee-p1363' })] });

  it('verifies the configured one and refuses the other', () => {
    expect(verify(der, derTrust).signers).toHaveLength(1);
    expect(verify(raw, rawTrust).signers).toHaveLength(1);
    expectRefusal('artifact-signature', () => verify(raw, derTrust));
    expectRefusal('artifact-signature', () => verify(der, rawTrust));
  });
});

describe('in-toto Statement', () => {
  it.each<[string, string, Uint8Array]>([
    [
      'another statement type',
      'dsse-statement-type',
      statementOf({ _type: 'https://in-toto.io/Statement/v0.1' }),
    ],
    [
      'another predicate type',
      'dsse-predicate-type',
      statementOf({ predicateType: 'https://slsa.dev/provenance/v1' }),
    ],
    [
      'the digest of another file',
      'dsse-subject',
      statementOf({ subject: [{ name: 'tool', digest: { sha256: '00'.repeat(32) } }] }),
    ],
    [
      'a SHA-1 digest only',
      'dsse-subject',
      statementOf({ subject: [{ name: 'tool', digest: { sha1: '00'.repeat(20) } }] }),
    ],
    [
      'two digests that contradict each other',
      'dsse-subject',
      statementOf({ subject: [{ name: 'tool', digest: { sha256: SHA256, sha512: '00'.repeat(64) } }] }),
    ],
    ['no subject', 'dsse-statement', statementOf({ subject: [] })],
    ['a subject without digest', 'dsse-statement', statementOf({ subject: [{ name: 'tool' }] })],
    ['a digest that is no text', 'dsse-statement', statementOf({ subject: [{ digest: { sha256: 1 } }] })],
    ['a digest that is no hex', 'malformed', statementOf({ subject: [{ digest: { sha256: 'zz' } }] })],
    ['an unknown member', 'dsse-statement', statementOf({ more: 1 })],
    ['an unknown member of our predicate', 'dsse-statement', statementOf({ predicate: { verison: '1' } })],
    ['a predicate that is no object', 'dsse-statement', statementOf({ predicate: [] })],
    ['a version that is none', 'dsse-statement', statementOf({ predicate: { version: 'latest' } })],
    [
      'a time that is none',
      'dsse-statement',
      statementOf({ predicate: { signedAt: '2026-02-30T00:00:00Z' } }),
    ],
    ['no JSON', 'malformed', utf8('{')],
    ['duplicate members', 'malformed', utf8('{"_type":"a","_type":"https://in-toto.io/Statement/v1"}')],
    [
      'no predicate type',
      'dsse-statement',
      utf8(`{"_type":"https://in-toto.io/Statement/v1","subject":[{"digest":{"sha256":"${SHA256}"}}]}`),
    ],
  ])('refuses %s', (_name, check, payload) => {
    expectRefusal(check, () => verify(signed(payload)));
  });

  it('reads nothing of a payload that no trusted key signed', () => {
    const stranger = dsse(keys.ec, { payload: utf8('{') });
    expectRefusal('artifact-signature', () => verify(stranger));
  });

  it('takes the subject with our digest out of several, by an allowed name when there is one', () => {
    const subject = [
      { name: 'other', digest: { sha256: '11'.repeat(32) } },
      { name: 'alias', digest: { sha256: SHA256.toUpperCase() } },
      {
        name: 'tool',
        digest: { sha256: SHA256, sha512: toHex(DIGESTS.sha512), gitCommit: 'abc' },
        uri: 'pkg:x/y',
      },
    ];
    expect(verify(signed(statementOf({ subject }))).name).toBe('tool');
    expect(verify(signed(statementOf({ subject })), trustOf({ signers: [signer(keys.ed)] })).name).toBe(
      'alias',
    );
  });

  it('accepts other predicate types that the trust document lists, whatever they hold', () => {
    const predicateType = 'https://slsa.dev/provenance/v1';
    const listed = trustOf({ signers: [signer(keys.ed)], predicateTypes: [predicateType] });
    const payload = statementOf({ predicateType, predicate: { version: 7, buildDefinition: {} } });
    expect(verify(signed(payload), listed)).toMatchObject({ version: null, name: 'tool' });
  });
});

describe('several signatures in one envelope', () => {
  const statement = encodeStatement({ name: 'tool', sha256: SHA256, signedAt: NOW });
  const two = addSignature(signDsse(statement, keys.ed), keys.ec);

  it('counts distinct keys and replaces a key’s earlier signature', () => {
    expect(addSignature(two, keys.ec).signatures).toHaveLength(2);
    const both = trustOf({ threshold: 2, signers: [signer(keys.ed), signer(keys.ec)] });
    expect(verify(jsonEnvelope(dsseJson(two)), both).threshold).toEqual({ need: 2, have: 2 });
  });

  it('a stranger’s signature beside good ones is reported and counts nothing', () => {
    const found = assessArtifact(
      { digests: DIGESTS, envelopes: [jsonEnvelope(dsseJson(two))] },
      trust,
      CLOCK,
    );
    expect(found.refusal).toBeUndefined();
    expect(found.rejected.map(({ check }) => check)).toEqual(['artifact-signature']);
  });

  it('a second signer joins only the very same payload', () => {
    const file = (payload: Uint8Array, payloadType?: string) =>
      utf8(JSON.stringify({ ...dsseJson(signDsse(payload, keys.ed)), ...(payloadType && { payloadType }) }));
    const wanted = { name: 'tool', sha256: SHA256, signedAt: NOW + 60_000, version: '1.0' };
    const theirs = (change: object) => encodeStatement({ ...wanted, signedAt: NOW, ...change });
    expect(joinDsse(file(theirs({})), wanted)?.payload).toEqual(theirs({}));
    for (const payload of [
      theirs({ name: 'other' }),
      theirs({ version: '1.1' }),
      theirs({ sha256: '00'.repeat(32) }),
      // Would stay fresh for ever.
      theirs({ signedAt: NOW + 3_600_000 }),
      theirs({ signedAt: undefined }),
      theirs({ notAfter: NOW }),
      // A second subject would be signed blindly.
      statementOf({
        subject: [
          { name: 'tool', digest: { sha256: SHA256 } },
          { name: 'evil', digest: { sha256: '00'.repeat(32) } },
        ],
        predicate: { version: '1.0', signedAt: '2026-11-22T12:00:00Z' },
      }),
      utf8('{}'),
    ]) {
      expect(joinDsse(file(payload), wanted)).toBeUndefined();
    }
    expect(joinDsse(file(theirs({}), 'application/json'), wanted)).toBeUndefined();
    expect(joinDsse(utf8('no envelope'), wanted)).toBeUndefined();
  });
});

describe('truncation and bit flips', () => {
  const { bytes } = dsse(keys.ed);

  it('every shorter envelope is refused', () => {
    for (let length = 0; length < bytes.length; length++) {
      const cut = { format: 'dsse', bytes: bytes.slice(0, length) } as const;
      expect(() => verify(cut), String(length)).toThrow(Refusal);
    }
  });

  it('every changed byte is refused, or is the keyid', () => {
    const keyid = Buffer.from(bytes).indexOf('sha256:', Buffer.from(bytes).indexOf('keyid'));
    for (let at = 0; at < bytes.length; at++) {
      if (at >= keyid && at < keyid + 'sha256:'.length + 64) continue;
      const changed = bytes.slice();
      changed[at] = (changed[at] ?? 0) ^ 1;
      expect(() => verify({ format: 'dsse', bytes: changed }), String(at)).toThrow(Refusal);
    }
  });
});

it('parsePublicKey reads what the vectors’ keys are as PEM', () => {
  const pem = createPublicKey(createPrivateKey(keys.ed.privateKey.export({ type: 'pkcs8', format: 'pem' })));
  expect(parsePublicKey(pem.export({ type: 'spki', format: 'pem' }) as string).fingerprint).toBe(
    keys.ed.publicKey.fingerprint,
  );
});
