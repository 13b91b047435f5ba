import { createPublicKey, generateKeyPairSync } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { normalKey, parseDsse } from '../artifact/index.ts';
import type { DsseEnvelope } from '../artifact/index.ts';
import { jwkThumbprint, utf8 } from '../base/index.ts';
import type { JsonObject } from '../base/index.ts';
import { TRUST_BUNDLE_TYPE, signAsAuthority, trustBundleBytes } from '../policy/index.ts';
import type { TrustBundleDocument } from '../policy/index.ts';
import { toPem } from '../x509/index.ts';
import type { KeyName } from './verifier-files.ts';

/** A policy authority's new key; its private half never belongs on the verifier. */
export interface AuthorityKey {
  readonly name: string;
  /** PKCS #8, PEM. */
  readonly pem: string;
  readonly key: KeyObject;
}

/** Makes keys of policy authorities: Ed25519. */
export function makeAuthorityKeys(count: number): readonly AuthorityKey[] {
  return Array.from({ length: count }, (_, i) => {
    const { privateKey } = generateKeyPairSync('ed25519');
    const pem = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
    return { name: `policy-authority-${String(i + 1)}`, pem, key: privateKey };
  });
}

/** What trust bundle version 1 says of a new verifier. */
export interface FirstTrust {
  readonly trustDomain: string;
  /** `iss` of what this verifier signs. */
  readonly issuer: string;
  /** vkey of the log. */
  readonly logKey: string;
  /** DER of a CA's certificate. */
  readonly certificateOf: (name: KeyName) => Uint8Array;
  readonly keyOf: (name: KeyName) => KeyObject;
  readonly authorities: readonly AuthorityKey[];
  /** Authorities that must sign, of those. */
  readonly threshold: number;
}

/** Which key of the ring each purpose of a trust bundle is. */
export const TRUST_KEYS = {
  authorization: 'authorization',
  ear: 'ear',
  status: 'status',
  jwtSvid: 'jwt-svid',
} as const;
/** Which certificate authority each purpose of a trust bundle is. */
export const TRUST_CAS = { agent: 'agent-ca', svid: 'svid-ca', attestation: 'ak-ca' } as const;

/** Trust bundle version 1, signed by every authority that it names: a DSSE envelope. */
export function firstTrustBundle(trust: FirstTrust): JsonObject {
  const payload = trustBundleBytes(documentOf(trust));
  let signed: JsonObject | undefined;
  for (const { key } of trust.authorities) {
    const signing = { privateKey: key, publicKey: normalKey(createPublicKey(key)) };
    signed = signAsAuthority(payload, TRUST_BUNDLE_TYPE, signing, before(signed));
  }
  if (signed === undefined) throw new RangeError('a trust bundle needs an authority');
  return signed;
}

function before(signed: JsonObject | undefined): DsseEnvelope | undefined {
  return signed === undefined ? undefined : parseDsse(utf8(JSON.stringify(signed)));
}

function documentOf(trust: FirstTrust): TrustBundleDocument {
  const ca = (name: KeyName): string[] => [toPem(trust.certificateOf(name))];
  const signing = (name: KeyName) => {
    const key = trust.keyOf(name);
    return [{ kid: jwkThumbprint(key), algorithm: 'ES256' as const, key: publicPem(key) }];
  };
  return {
    v: 1,
    trustDomain: trust.trustDomain,
    version: 1,
    previous: null,
    issuer: trust.issuer,
    cas: { agent: ca(TRUST_CAS.agent), svid: ca(TRUST_CAS.svid), attestation: ca(TRUST_CAS.attestation) },
    keys: {
      authorization: signing(TRUST_KEYS.authorization),
      ear: signing(TRUST_KEYS.ear),
      status: signing(TRUST_KEYS.status),
      jwtSvid: signing(TRUST_KEYS.jwtSvid),
    },
    log: [trust.logKey],
    authorities: {
      threshold: trust.threshold,
      keys: trust.authorities.map(({ name, key }) => ({ name, algorithm: 'ed25519', key: publicPem(key) })),
    },
    witnesses: null,
  };
}

const publicPem = (key: KeyObject): string =>
  createPublicKey(key).export({ type: 'spki', format: 'pem' }).toString();
