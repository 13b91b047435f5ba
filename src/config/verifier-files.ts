import path from 'node:path';
import type { VerifierConfig } from './verifier-schema.ts';

/** What a key is for: one key, one purpose (docs/PROTOCOL.md, "Keys"). */
export interface KeySpec {
  readonly name: KeyName;
  readonly type: 'P-256' | 'Ed25519' | 'secret';
  readonly purpose: string;
  /** Whether the running verifier needs it; the others are taken away after init. */
  readonly online: boolean;
}

export type KeyName =
  | 'tls-ca'
  | 'tls'
  | 'operator-ca'
  | 'agent-ca'
  | 'svid-ca'
  | 'ak-ca'
  | 'authorization'
  | 'ear'
  | 'jwt-svid'
  | 'status'
  | 'log'
  | 'witness'
  | 'challenge'
  | 'master';

const key = (name: KeyName, type: KeySpec['type'], purpose: string, online = true): KeySpec => ({
  name,
  type,
  purpose,
  online,
});

/** Every key of a verifier. */
export const KEYS: readonly KeySpec[] = [
  key('tls-ca', 'P-256', 'issues the TLS server certificate; its fingerprint is what hosts pin', false),
  key('tls', 'P-256', 'TLS server'),
  key('operator-ca', 'P-256', 'issues operator certificates', false),
  key('agent-ca', 'P-256', 'issues agent certificates'),
  key('svid-ca', 'P-256', 'issues X509-SVIDs of workloads'),
  key('ak-ca', 'P-256', 'issues certificates of attestation keys'),
  key('authorization', 'P-256', 'signs authorizations'),
  key('ear', 'P-256', 'signs attestation results'),
  key('jwt-svid', 'P-256', 'signs JWT-SVIDs'),
  key('status', 'P-256', 'signs status lists'),
  key('log', 'Ed25519', 'signs checkpoints of the audit log'),
  key('witness', 'Ed25519', 'cosigns the checkpoints of other logs, as their witness'),
  key('challenge', 'secret', 'makes and checks nonces'),
  key('master', 'secret', 'protects what is stored: row MACs, encrypted values'),
];

/** Name of the file of trust bundles, beside the certificates. */
export const TRUST_BUNDLES = 'trust-bundles.json';

/** Where a verifier's files are, absolute. */
export interface VerifierFiles {
  readonly config: string;
  readonly keys: string;
  readonly certificates: string;
  readonly data: string;
  readonly store: string;
  readonly highWater: string;
  readonly trust: string;
  /** tlog-policy files; undefined where none is configured. */
  readonly witnessPolicy: string | undefined;
  readonly witnessCa: string | undefined;
  readonly witnessedLogs: string | undefined;
  /** Trust bundles from version 1 to the newest: a JSON array of DSSE envelopes. */
  readonly trustBundles: string;
  /** PEM (PKCS #8) of a private key, or hex of a secret. */
  key(name: KeyName): string;
  /** The key that is to follow it, while it is rotated; usually there is none. */
  nextKey(name: KeyName): string;
  /** PEM. */
  certificate(name: KeyName): string;
}

/** Resolves a configuration's paths against its file. */
export function verifierFiles(configFile: string, config: VerifierConfig): VerifierFiles {
  const file = path.resolve(configFile);
  const at = (relative: string): string => path.resolve(path.dirname(file), relative);
  const ifGiven = (file: string): string | undefined => (file === '' ? undefined : at(file));
  const [keys, certificates, data] = [
    at(config.directories.keys),
    at(config.directories.certificates),
    at(config.directories.data),
  ];
  return {
    config: file,
    keys,
    certificates,
    data,
    store: path.join(data, 'store.db'),
    highWater: at(config.log.highWaterFile),
    trust: at(config.trust.file),
    witnessPolicy: ifGiven(config.witnessing.policyFile),
    witnessCa: ifGiven(config.witnessing.caFile),
    witnessedLogs: ifGiven(config.witness.logsFile),
    trustBundles: path.join(certificates, TRUST_BUNDLES),
    key: (name) => path.join(keys, `${name}.key`),
    nextKey: (name) => path.join(keys, `${name}.next.key`),
    certificate: (name) => path.join(certificates, `${name}.pem`),
  };
}

/** The log's name: configured, or made of the trust domain. */
export function logOrigin({ trustDomain, log }: VerifierConfig): string {
  return log.origin === '' ? `${trustDomain}/log` : log.origin;
}

/** The name under which this verifier cosigns: configured, or made of the trust domain. */
export function witnessName({ trustDomain, witness }: VerifierConfig): string {
  return witness.name === '' ? `${trustDomain}/witness` : witness.name;
}
