import { createPublicKey, generateKeyPairSync } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { formatVkey, noteSigner } from '../audit/index.ts';
import { jwkThumbprint } from '../base/index.ts';
import type { TrustBundle, TrustBundleDocument } from '../policy/index.ts';
import { TRUST_KEYS } from './initial-trust.ts';
import { KEYS } from './verifier-files.ts';
import type { KeyName, KeySpec } from './verifier-files.ts';

/** Keys that hosts know by the trust bundle: a rotation overlaps there, and hosts walk its chain. */
export const ROTATED_BY_BUNDLE = ['log', 'authorization', 'ear', 'status', 'jwt-svid'] as const;
export type RotatedKey = (typeof ROTATED_BY_BUNDLE)[number];

/** What exchanging each other key needs; there is one line for every key of a verifier. */
const OTHERWISE: Readonly<Record<Exclude<KeyName, RotatedKey>, string>> = {
  'tls-ca': 'hosts and profiles pin it: new pins everywhere, then a new tls certificate',
  tls: 'a new certificate by the offline TLS CA; nobody pins this key',
  'operator-ca': 'new operator certificates by a new CA; the old ones end with it',
  'agent-ca': 'a trust bundle with both CAs; the old one goes when its last certificate (24 h) has ended',
  'svid-ca': 'a trust bundle with both CAs; the old one goes when its last SVID has ended',
  'ak-ca': 'a trust bundle with both CAs',
  witness: 'the operators of the logs put the new key into their witness policies first',
  challenge: 'a restart with a new key; nonces of the old one (60 s) are void',
  master: 'what is stored is protected by it: a new store from an export',
};

/** How a key is exchanged, in a line. */
export function rotationOf(name: KeyName): string {
  return isRotatedByBundle(name)
    ? `sealgate key rotate ${name}: next key, trust bundle with both, then the old one goes`
    : OTHERWISE[name];
}

export function isRotatedByBundle(name: string): name is RotatedKey {
  return ROTATED_BY_BUNDLE.some((one) => one === name);
}

/** A new private key of the kind that `name` is: PKCS #8, PEM. */
export function makeKey(name: RotatedKey): { readonly pem: string; readonly key: KeyObject } {
  const { type } = KEYS.find((spec): spec is KeySpec => spec.name === name) ?? { type: 'P-256' };
  const { privateKey } =
    type === 'Ed25519' ? generateKeyPairSync('ed25519') : generateKeyPairSync('ec', { namedCurve: 'P-256' });
  return { pem: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(), key: privateKey };
}

/**
 * The next version of a trust bundle, in which exactly `keys` are there for the purpose of `name`: both during the
 * overlap, the new one afterwards. Nothing else changes.
 * @param origin of the log
 */
export function documentWithKeys(
  current: TrustBundle,
  name: RotatedKey,
  keys: readonly KeyObject[],
  origin: string,
): TrustBundleDocument {
  const next = nextDocument(current);
  if (name === 'log')
    return { ...next, log: keys.map((key) => formatVkey(noteSigner(origin, 'note', key).key)) };
  const [purpose] = Object.entries(TRUST_KEYS).find(([, key]) => key === name) ?? [];
  if (purpose === undefined) throw new TypeError(`no purpose of ${name}`);
  const listed = keys.map((key) => ({
    kid: jwkThumbprint(key),
    algorithm: 'ES256' as const,
    key: createPublicKey(key).export({ type: 'spki', format: 'pem' }).toString(),
  }));
  return { ...next, keys: { ...next.keys, [purpose]: listed } };
}

/** The same content as the next version: it names the digest of the one before. */
export function nextDocument({ document, version, digest }: TrustBundle): TrustBundleDocument {
  return { ...document, version: version + 1, previous: digest };
}

/** Whether a trust bundle has this key for the purpose of `name`. */
export function bundleHas(bundle: TrustBundle, name: RotatedKey, key: KeyObject, origin: string): boolean {
  if (name === 'log') return bundle.document.log.includes(formatVkey(noteSigner(origin, 'note', key).key));
  const kid = jwkThumbprint(key);
  const purpose = Object.entries(TRUST_KEYS).find(([, one]) => one === name)?.[0] as keyof typeof TRUST_KEYS;
  return bundle.keys[purpose].some((one) => one.kid === kid && jwkThumbprint(one.key) === kid);
}
