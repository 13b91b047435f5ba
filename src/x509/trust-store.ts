import { canonicalJson, fromBase64, isJsonObject, parseJsonObject, refuse, toBase64 } from '../base/index.ts';
import type { JsonObject, JsonValue } from '../base/index.ts';
import { parseCertificate } from './certificate.ts';
import type { Certificate } from './certificate.ts';
import { sameName } from './name.ts';
import { checkExtensions, checkIssuer, checkKeyStrength, described } from './path-checks.ts';

/** What a certificate is trusted for; roots of one purpose say nothing about the other. */
export type TrustPurpose = 'ek' | 'ak';

/** An anchor ends a path; an intermediate only helps to find one. */
export type TrustRole = 'anchor' | 'intermediate';

/** One certificate of the store. */
export interface TrustEntry {
  readonly purpose: TrustPurpose;
  readonly role: TrustRole;
  /** Name of the shipped set that it came from; undefined for the operator's own files. */
  readonly vendor: string | undefined;
  readonly certificate: Certificate;
}

/** The certificates that an operator switched on: plain data, in the order of adding. */
export interface TrustStore {
  readonly entries: readonly TrustEntry[];
}

const VERSION = 1;
const MAX_ENTRIES = 1000;
export const EMPTY_TRUST_STORE: TrustStore = { entries: [] };

/**
 * Parses the JSON form. Unknown members, another version and a fingerprint that isn't the certificate's are refused:
 * a trust file that was edited by accident must not lose or gain trust silently.
 * @throws Refusal `malformed`, `trust-store`
 */
export function parseTrustStore(bytes: Uint8Array): TrustStore {
  const document = parseJsonObject(bytes, 'trust store', { maxBytes: 32 * 1024 * 1024 });
  exactMembers(document, ['version', 'certificates']);
  const { version, certificates } = document;
  if (version !== VERSION)
    refuse('trust-store', 'trust store of an unknown version', { version: version ?? null });
  if (!Array.isArray(certificates) || certificates.length > MAX_ENTRIES)
    refuse('trust-store', 'certificates is no list, or too long');
  return (certificates as readonly JsonValue[]).map(parseEntry).reduce(addToStore, EMPTY_TRUST_STORE);
}

/** The JSON form: canonical, one line, ends with a line feed. */
export function formatTrustStore({ entries }: TrustStore): string {
  const certificates = entries.map(({ purpose, role, vendor, certificate }) => ({
    fingerprint: certificate.fingerprint,
    purpose,
    role,
    vendor: vendor ?? null,
    certificate: toBase64(certificate.raw),
  }));
  return `${canonicalJson({ version: VERSION, certificates })}\n`;
}

/**
 * Adds one certificate; the same one for the same purpose is there once, and its newer role counts.
 * @throws Refusal when it could never be an issuer: not a CA, weak key, extensions that aren't understood
 */
export function addToStore(store: TrustStore, entry: TrustEntry): TrustStore {
  checkIssuer(entry.certificate, 0, entry.role === 'anchor');
  checkKeyStrength(entry.certificate);
  checkExtensions(entry.certificate);
  const others = store.entries.filter(
    (each) => !(each.purpose === entry.purpose && sameCertificate(each, entry)),
  );
  if (others.length >= MAX_ENTRIES) refuse('trust-store', 'the trust store is full', { max: MAX_ENTRIES });
  return { entries: [...others, entry] };
}

/** Which entries {@link removeFromStore} takes out. */
export interface TrustSelection {
  /** At least the first eight hex digits. */
  readonly fingerprint?: string;
  readonly vendor?: string;
  readonly purpose?: TrustPurpose;
}

/** Takes out the selected entries. @throws Refusal `trust-store` when nothing matches, or one fingerprint prefix matches several certificates */
export function removeFromStore(
  store: TrustStore,
  selection: TrustSelection,
): { store: TrustStore; removed: readonly TrustEntry[] } {
  const { fingerprint, vendor, purpose } = selection;
  if (fingerprint === undefined && vendor === undefined) throw new TypeError('nothing selected');
  if (fingerprint !== undefined && !/^[0-9a-f]{8,64}$/.test(fingerprint)) {
    refuse('trust-store', 'a fingerprint is at least eight lowercase hex digits', { fingerprint });
  }
  const matches = (entry: TrustEntry): boolean =>
    (fingerprint === undefined || entry.certificate.fingerprint.startsWith(fingerprint)) &&
    (vendor === undefined || entry.vendor === vendor) &&
    (purpose === undefined || entry.purpose === purpose);
  const removed = store.entries.filter(matches);
  const distinct = new Set(removed.map(({ certificate }) => certificate.fingerprint));
  if (removed.length === 0) refuse('trust-store', 'no such certificate in the trust store', { ...selection });
  if (fingerprint !== undefined && distinct.size > 1)
    refuse('trust-store', 'the fingerprint is not unique', { fingerprint });
  return { store: { entries: store.entries.filter((entry) => !matches(entry)) }, removed };
}

/** What `verifyPath` takes, for one purpose. */
export function trustFor(
  store: TrustStore,
  purpose: TrustPurpose,
): { anchors: readonly Certificate[]; pool: readonly Certificate[] } {
  const of = (role: TrustRole): readonly Certificate[] =>
    store.entries
      .filter((entry) => entry.purpose === purpose && entry.role === role)
      .map(({ certificate }) => certificate);
  return { anchors: of('anchor'), pool: of('intermediate') };
}

/** Self-signed certificates end a path; others do only when the operator says so. */
export function defaultRole(certificate: Certificate): TrustRole {
  return sameName(certificate.subject, certificate.issuer) ? 'anchor' : 'intermediate';
}

function sameCertificate(a: TrustEntry, b: TrustEntry): boolean {
  return a.certificate.fingerprint === b.certificate.fingerprint;
}

function parseEntry(value: JsonValue): TrustEntry {
  if (!isJsonObject(value)) return refuse('trust-store', 'an entry is no object');
  exactMembers(value, ['fingerprint', 'purpose', 'role', 'vendor', 'certificate']);
  const { fingerprint, purpose, role, vendor, certificate: encoded } = value;
  if (purpose !== 'ek' && purpose !== 'ak')
    return refuse('trust-store', 'an entry has no known purpose', { purpose: purpose ?? null });
  if (role !== 'anchor' && role !== 'intermediate')
    return refuse('trust-store', 'an entry has no known role', { role: role ?? null });
  if (typeof encoded !== 'string' || (vendor !== null && typeof vendor !== 'string'))
    return refuse('trust-store', 'an entry is incomplete');
  const certificate = parseCertificate(fromBase64(encoded, 'trust store'));
  if (certificate.fingerprint !== fingerprint) {
    refuse('trust-store', 'a fingerprint is not that of its certificate', {
      ...described(certificate),
      stored: fingerprint ?? null,
    });
  }
  return { purpose, role, vendor: vendor ?? undefined, certificate };
}

function exactMembers(object: JsonObject, names: readonly string[]): void {
  const present = Object.keys(object);
  if (present.length !== names.length || !names.every((name) => present.includes(name))) {
    refuse('trust-store', 'the trust store has missing or unknown members', { members: present });
  }
}
