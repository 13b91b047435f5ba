import type { HostState } from '../audit/index.ts';
import type { Records, StoredRecord } from '../audit/ledger.ts';
import type { JsonObject, Shape } from '../base/index.ts';
import { LIMITS, refuse, shape } from '../base/index.ts';
import { EK_TEMPLATES } from '../tpm/index.ts';
import type { EkTemplateName } from '../tpm/index.ts';
import { RECORD, hostName, labelMap, operatorShape, platformName } from './kinds.ts';
import type { Operator } from './kinds.ts';

/**
 * A host: its EK, AK and agent key, who let it in and what it may be. One record, written in one transaction: its
 * fields are never read at different times (CVE-2022-1053).
 */
export interface HostRecord {
  readonly v: 1;
  /** Lowercase hex SHA-256 of the EK's SubjectPublicKeyInfo. */
  readonly hostId: string;
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  /** The operator's word; null until there is one. */
  readonly platform: string | null;
  readonly state: HostState;
  /** Grows with every change; what was prepared under an earlier one is void. */
  readonly generation: number;
  readonly ek: {
    /** TPMT_PUBLIC, base64url. */
    readonly public: string;
    readonly template: EkTemplateName;
    /** Fingerprints; null when an operator's list is all that says that this EK is a TPM's. */
    readonly certificate: {
      readonly fingerprint: string;
      readonly root: string;
      /** Authorities between it and the root; absent in a record that was written before they were kept. */
      readonly issuers?: readonly string[];
      readonly quirks: readonly string[];
    } | null;
  };
  readonly ak: {
    /** TPMT_PUBLIC, base64url: scheme and attributes are fixed by it. */
    readonly public: string;
    /** TPM name and qualified name, hex. */
    readonly name: string;
    readonly qualifiedName: string;
    readonly parent: 'ek' | 'primary';
  };
  /** The agent certificate's key. */
  readonly agent: {
    /** SubjectPublicKeyInfo, base64url, and its SHA-256 in hex. */
    readonly public: string;
    readonly keyId: string;
  };
  /** Boot and clock of the enrollment's quote; later marks are the ledger's. */
  readonly boot: { readonly resetCount: number; readonly restartCount: number; readonly clock: string };
  readonly tpm: {
    /** From the EK certificate; null without one. */
    readonly manufacturer: string | null;
    readonly model: string | null;
    readonly version: string | null;
    /** From the quote: 16 hex digits. */
    readonly firmware: string;
  };
  readonly admission: {
    readonly by: 'token' | 'ek-list' | 'approval';
    readonly invitedBy: Operator | null;
    readonly approvedBy: Operator | null;
    /** Unix ms. */
    readonly at: number;
  };
}

/** A host as it was read: what a change prepared from it expects to be still so. */
export interface StoredHost {
  readonly host: HostRecord;
  readonly version: number;
}

const { base64url, decimal, hex32, integer, list, literal, nullable, object, oneOf, text } = shape;
const u32 = integer(0, 0xffff_ffff);
const publicArea = base64url(Math.ceil((LIMITS.tpmStructure * 4) / 3));
const tpmName = text({ min: 68, max: 132, pattern: /^(?:[0-9a-f]{2})+$/, want: 'a TPM name in hex' });
const templates = EK_TEMPLATES.map(({ name }) => name);

const HOST: Shape<HostRecord> = object({
  v: literal(1),
  hostId: hex32,
  name: hostName,
  labels: labelMap,
  platform: nullable(platformName),
  state: oneOf('pending', 'active', 'quarantined', 'revoked'),
  generation: integer(1),
  ek: object({
    public: publicArea,
    template: oneOf(...templates),
    certificate: nullable(
      object(
        { fingerprint: hex32, root: hex32, quirks: list(text({ max: 64 }), 8) },
        { issuers: list(hex32, LIMITS.chainLength) },
      ),
    ),
  }),
  ak: object({
    public: publicArea,
    name: tpmName,
    qualifiedName: tpmName,
    parent: oneOf('ek', 'primary'),
  }),
  agent: object({ public: base64url(256), keyId: hex32 }),
  boot: object({ resetCount: u32, restartCount: u32, clock: decimal }),
  tpm: object({
    manufacturer: nullable(text({ max: 128 })),
    model: nullable(text({ max: 128 })),
    version: nullable(text({ max: 128 })),
    firmware: text({ pattern: /^[0-9a-f]{16}$/, want: '16 hex digits' }),
  }),
  admission: object({
    by: oneOf('token', 'ek-list', 'approval'),
    invitedBy: nullable(operatorShape),
    approvedBy: nullable(operatorShape),
    at: integer(),
  }),
});

/** Bodies that nobody can change any more are read once. */
const readBefore = new WeakMap<JsonObject, HostRecord>();

function readBody(body: JsonObject): HostRecord {
  const known = readBefore.get(body);
  if (known !== undefined) return known;
  const host = HOST(body, 'host', (path, want) => refuse('host-record', `${path} is not ${want}`));
  if (Object.isFrozen(body)) readBefore.set(body, host);
  return host;
}

/** A stored host. @throws Refusal `host-record` when the record isn't one, or is another host's */
export function parseHost({ id, version, body }: StoredRecord): StoredHost {
  const host = readBody(body);
  if (host.hostId !== id) refuse('host-record', 'the record is of another host than its id says');
  return { host, version };
}

/** The host of this id; undefined when there is none. @throws Refusal `record-forged`, `host-record` */
export async function readHost(records: Records, hostId: string): Promise<StoredHost | undefined> {
  const stored = await records.get(RECORD.host(hostId));
  return stored === undefined ? undefined : parseHost(stored);
}

/** The record's body. */
export function hostBody(host: HostRecord): JsonObject {
  // Consists of JSON values only; interfaces just have no index signature.
  return host as unknown as JsonObject;
}
