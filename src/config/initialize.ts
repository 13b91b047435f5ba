import { createHash, generateKeyPairSync } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { formatVkey, noteSigner } from '../audit/index.ts';
import type { Random } from '../base/index.ts';
import { toHex } from '../base/index.ts';
import { OID, issueCertificate, randomSerial, toPem } from '../x509/index.ts';
import { BACKDATE_MS, DAY_MS, issueOperator } from './issue-operator.ts';
import { firstTrustBundle, makeAuthorityKeys } from './initial-trust.ts';
import type { AuthorityKey, FirstTrust } from './initial-trust.ts';
import { KEYS, TRUST_BUNDLES } from './verifier-files.ts';
import type { KeyName } from './verifier-files.ts';

/** What `init` is told. */
export interface InitOrder {
  readonly trustDomain: string;
  /** `https://host:port`. */
  readonly url: string;
  readonly origin: string;
  /** Name of the first operator, who is an admin. */
  readonly operator: string;
  /** Policy authorities to make, and how many of them must sign. By default one. */
  readonly authorities?: { readonly count: number; readonly threshold: number };
  /** Unix ms. */
  readonly now: number;
}

/** A file that `init` writes; the path is relative to its directory. */
export interface InitFile {
  readonly path: string;
  readonly content: string;
  readonly mode: 0o600 | 0o644;
}

/** Everything that `init` makes, before anything is written. */
export interface Installation {
  readonly files: readonly InitFile[];
  /** Hex SHA-256 of the TLS authority's certificate: what hosts and profiles pin. */
  readonly caFingerprint: string;
  readonly logKey: string;
  /** Relative paths. */
  readonly takeOffline: readonly string[];
  readonly backUp: readonly string[];
  readonly profile: string;
}

const CA_DAYS = 3650;
/** Browsers and TLS libraries refuse server certificates that live longer (CA/Browser Forum, 398 days). */
const TLS_DAYS = 397;
const offline = (name: string): string => `offline/${name}.key`;

/** What each authority may issue. */
const CA_PURPOSES: readonly (readonly [KeyName, string, readonly string[]])[] = [
  ['tls-ca', 'TLS CA', [OID.serverAuth]],
  ['operator-ca', 'Operator CA', [OID.clientAuth]],
  ['agent-ca', 'Agent CA', [OID.clientAuth]],
  ['svid-ca', 'SVID CA', [OID.serverAuth, OID.clientAuth]],
  ['ak-ca', 'AK CA', [OID.tcgAkCertificate]],
];

/** Makes all keys and certificates of a new verifier, its configuration and its first operator. Writes nothing. */
export function planInstallation(order: InitOrder, random: Random): Installation {
  const keys = new Map<KeyName, KeyObject>();
  const files: InitFile[] = [];
  for (const { name, type, online } of KEYS) {
    const { content, key } = newKey(type, random);
    if (key !== undefined) keys.set(name, key);
    files.push({ path: online ? `keys/${name}.key` : offline(name), content, mode: 0o600 });
  }
  const keyOf = (name: KeyName): KeyObject => {
    const key = keys.get(name);
    if (key === undefined) throw new TypeError(`no key pair ${name}`);
    return key;
  };
  const authorities = new Map(
    CA_PURPOSES.map(([name, title, purposes]) => [
      name,
      issueCa(order, title, keyOf(name), purposes, random),
    ]),
  );
  const caOf = (name: KeyName): { certificate: Uint8Array; key: KeyObject } => ({
    certificate: authorities.get(name) ?? new Uint8Array(),
    key: keyOf(name),
  });
  const tls = issueTls(order, keyOf('tls'), caOf('tls-ca'), random);
  for (const [name, certificate] of [...authorities, ['tls', tls] as const])
    files.push({ path: `certificates/${name}.pem`, content: toPem(certificate), mode: 0o644 });
  const caFingerprint = fingerprint(caOf('tls-ca').certificate);
  const logKey = formatVkey(noteSigner(order.origin, 'note', keyOf('log')).key);
  const policyAuthorities = makeAuthorityKeys(order.authorities?.count ?? 1);
  const certificateOf = (name: KeyName): Uint8Array => caOf(name).certificate;
  files.push(...trustFiles(order, policyAuthorities, { logKey, certificateOf, keyOf }));
  files.push(...operatorFiles(order, caOf('operator-ca'), { caFingerprint, logKey }, random));
  files.push({ path: 'sealgate.yaml', content: configText(order), mode: 0o600 });
  return {
    files,
    caFingerprint,
    logKey,
    takeOffline: [...KEYS.filter(({ online }) => !online), ...policyAuthorities].map(({ name }) =>
      offline(name),
    ),
    backUp: [
      'sealgate.yaml',
      'keys/',
      'certificates/',
      'data/ (while the verifier is stopped)',
      'high-water',
    ],
    profile: `operators/${order.operator}.yaml`,
  };
}

function newKey(
  type: 'P-256' | 'Ed25519' | 'secret',
  random: Random,
): { readonly content: string; readonly key?: KeyObject } {
  if (type === 'secret') return { content: `${toHex(random.bytes(32))}\n` };
  const { privateKey } =
    type === 'Ed25519' ? generateKeyPairSync('ed25519') : generateKeyPairSync('ec', { namedCurve: 'P-256' });
  return { content: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(), key: privateKey };
}

function issueCa(
  { trustDomain, now }: InitOrder,
  title: string,
  key: KeyObject,
  purposes: readonly string[],
  random: Random,
): Uint8Array {
  return issueCertificate({
    subject: { organization: trustDomain, commonName: `Sealgate ${title}` },
    publicKey: key,
    issuer: { key },
    serial: randomSerial(random),
    notBefore: now - BACKDATE_MS,
    notAfter: now + CA_DAYS * DAY_MS,
    purpose: { kind: 'ca', pathLength: 0, purposes },
  });
}

/** The TLS server certificate: the URL's host, and this machine's own names. */
function issueTls(
  { trustDomain, url, now }: InitOrder,
  key: KeyObject,
  ca: { readonly certificate: Uint8Array; readonly key: KeyObject },
  random: Random,
): Uint8Array {
  const host = new URL(url).hostname.replace(/^\[|\]$/g, '');
  const isIp = host.includes(':') || /^[\d.]+$/.test(host);
  return issueCertificate({
    subject: { organization: trustDomain, commonName: 'Sealgate verifier' },
    publicKey: key,
    issuer: ca,
    serial: randomSerial(random),
    notBefore: now - BACKDATE_MS,
    notAfter: now + TLS_DAYS * DAY_MS,
    purpose: {
      kind: 'tls-server',
      dns: [...new Set(isIp ? ['localhost'] : [host, 'localhost'])],
      ip: [...new Set(isIp ? [host, '127.0.0.1', '::1'] : ['127.0.0.1', '::1'])],
    },
  });
}

/** The authorities' keys, and trust bundle version 1, which they sign. */
function trustFiles(
  { trustDomain, url, authorities: order }: Omit<InitOrder, 'now'>,
  authorities: readonly AuthorityKey[],
  own: Pick<FirstTrust, 'logKey' | 'certificateOf' | 'keyOf'>,
): InitFile[] {
  const { threshold } = order ?? { threshold: 1 };
  const bundle = firstTrustBundle({ trustDomain, issuer: url, authorities, threshold, ...own });
  return [
    ...authorities.map(({ name, pem }) => ({ path: offline(name), content: pem, mode: 0o600 as const })),
    { path: `certificates/${TRUST_BUNDLES}`, content: `${JSON.stringify([bundle])}\n`, mode: 0o644 },
  ];
}

function operatorFiles(
  { trustDomain, operator: name, url, now }: InitOrder,
  ca: { readonly certificate: Uint8Array; readonly key: KeyObject },
  pins: { readonly caFingerprint: string; readonly logKey: string },
  random: Random,
): InitFile[] {
  const { certificate, keyPem } = issueOperator({ trustDomain, name, roles: ['admin'] }, ca, now, random);
  const profile = profileText({ url, ...pins, certificate: `${name}.pem`, key: `${name}.key` });
  return [
    { path: `operators/${name}.pem`, content: toPem(certificate), mode: 0o644 },
    { path: `operators/${name}.key`, content: keyPem, mode: 0o600 },
    { path: `operators/${name}.yaml`, content: profile, mode: 0o600 },
  ];
}

/** A profile as YAML; all values are plain ASCII, so JSON strings are YAML strings. */
export function profileText(profile: Readonly<Record<string, string>>): string {
  return Object.entries(profile)
    .map(([name, value]) => `${name}: ${JSON.stringify(value)}\n`)
    .join('');
}

function configText({ trustDomain, url }: InitOrder): string {
  return `# Configuration of this verifier. Every other key has its default: sealgate config show.
# The trust domain is a part of every id: it can't be changed later.
trustDomain: ${JSON.stringify(trustDomain)}
url: ${JSON.stringify(url)}
listen:
  port: ${new URL(url).port || '443'}
`;
}

/** Lowercase hex SHA-256 of a certificate's DER. */
export function fingerprint(certificate: Uint8Array): string {
  return toHex(createHash('sha256').update(certificate).digest());
}
