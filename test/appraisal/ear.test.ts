import { generateKeyPairSync } from 'node:crypto';
import { compactVerify } from 'jose';
import { describe, expect, it } from 'vitest';
import { appraise, earClaims, policyId, signEar } from '../../src/appraisal/index.ts';
import type { EarContext } from '../../src/appraisal/index.ts';
import { bootEvidence } from '../support/boot-evidence.ts';

const { quote } = bootEvidence('secure-boot');
const appraisal = appraise(
  { quote, eventLog: null, ima: null, failures: [] },
  { version: 1, platform: 'x', tpm: { firmwareFloor: '0'.repeat(16) } },
);
const context: EarContext = {
  audience: 'gateway',
  nonce: 'bm9uY2U',
  jti: 'j',
  issuedAt: 1,
  expires: 2,
  confirmation: 'k',
  verifier: { build: 'sealgate 0.1.0', developer: 'sealgate' },
  policyHash: new Uint8Array(32),
};

describe('EAR', () => {
  it('deployed dialect', () => {
    expect(earClaims(appraisal, context)).toEqual({
      eat_profile: 'tag:github.com,2023:veraison/ear',
      'ear.verifier-id': { build: 'sealgate 0.1.0', developer: 'sealgate' },
      submods: {
        host: {
          'ear.status': 2,
          'ear.trustworthiness-vector': { hardware: 2 },
          'ear.appraisal-policy-id': policyId(new Uint8Array(32)),
        },
      },
      eat_nonce: 'bm9uY2U',
      aud: 'gateway',
      jti: 'j',
      iat: 1,
      exp: 2,
      cnf: { jkt: 'k' },
    });
    expect(policyId(new Uint8Array(32))).toBe(`ni:///sha-256;${'A'.repeat(43)}`);
  });

  it('draft-03 dialect', () => {
    const claims = earClaims(appraisal, context, 'draft-03');
    expect(claims).toMatchObject({
      eat_profile: 'tag:ietf.org,2026:rats/ear#03',
      submods: {
        host: {
          ear_status: 2,
          ear_trustworthiness_vector: { hardware: 2 },
          ear_appraisal_policy_ids: [policyId(new Uint8Array(32))],
        },
      },
    });
    expect(claims['ear.verifier-id']).toBeUndefined();
  });

  it('is signed as eat+jwt', async () => {
    const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const { payload, protectedHeader } = await compactVerify(
      await signEar(earClaims(appraisal, context), { kid: 'e', key: privateKey }),
      publicKey,
    );
    expect(protectedHeader).toEqual({ alg: 'ES256', kid: 'e', typ: 'eat+jwt' });
    expect(JSON.parse(Buffer.from(payload).toString())).toEqual(earClaims(appraisal, context));
  });

  it.each([
    ['a public key', () => generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey],
    ['another curve', () => generateKeyPairSync('ec', { namedCurve: 'P-384' }).privateKey],
    ['another kind', () => generateKeyPairSync('ed25519').privateKey],
  ])('is not signed with %s', async (_, key) => {
    const signed = signEar(earClaims(appraisal, context), { kid: 'e', key: key() });
    await expect(signed).rejects.toThrow(TypeError);
  });
});
