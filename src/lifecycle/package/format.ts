import { createHash } from 'node:crypto';
import { MAX_LOG_PROOF, parseLeaf, parseLogProof } from '../../audit/index.ts';
import type { AuditLeaf, UnverifiedLogProof } from '../../audit/index.ts';
import {
  canonicalJson,
  equalBytes,
  fromBase64url,
  fromHex,
  isJsonObject,
  parseJsonObject,
  refuse,
  shape,
  toBase64url,
  toHex,
  utf8,
} from '../../base/index.ts';
import type { Fail, JsonObject, Shape } from '../../base/index.ts';

/** Media type of an execution package (docs/PACKAGE.md). */
export const PACKAGE_TYPE = 'application/vnd.sealgate.package+json';
/** Bytes of a package: its bodies in base64url, and the rest. */
export const MAX_PACKAGE = 64 * 1024 * 1024;
/** Bytes of all bodies together. */
export const MAX_PACKAGE_BODIES = 40 * 1024 * 1024;
const MAX_ENTRIES = 512;
const MAX_BODIES = 1024;

const { base64url, decimal, hex32, list, literal, nullable, object, text } = shape;
const json: Shape<JsonObject> = (value, path, fail) =>
  isJsonObject(value) ? value : fail(path, 'an object');
const token = text({ max: 16_384, pattern: /^[\w-]+\.[\w-]+\.[\w-]+$/, want: 'a compact JWS' });

const PACKAGE = object({
  v: literal(1),
  type: shape.oneOf(PACKAGE_TYPE),
  /** What it is about: the decision's index; the execution that it made, null for a denial. */
  subject: object({ executionId: nullable(text({ max: 64 })), decision: decimal }),
  /** Entries of the log in its order, each as it is there, with a tlog-proof; all in one checkpoint. */
  entries: list(object({ leaf: text({ max: 65_535 }), proof: text({ max: MAX_LOG_PROOF }) }), MAX_ENTRIES, 1),
  /** DSSE envelopes of the trust bundles, from version 1. */
  trust: list(json, 4096, 1),
  /** DSSE envelopes of policy manifests. */
  manifests: list(json, 64),
  /** The authorization as it is now, after its ancestors': root first. */
  chain: list(token, 9),
  /** By SHA-256, sorted. */
  bodies: list(object({ sha256: hex32, data: base64url(Math.ceil((MAX_PACKAGE * 4) / 3), 0) }), MAX_BODIES),
});

/** A package as JSON. */
export type PackageDocument = ReturnType<typeof PACKAGE>;

/** An entry as it came: its form is right, nothing is verified. */
export interface PackageEntry {
  readonly bytes: Uint8Array;
  readonly leaf: AuditLeaf;
  readonly proof: UnverifiedLogProof;
}

/** A package taken apart: every body is the one of its digest, nothing else is verified. */
export interface ClaimedPackage {
  readonly subject: PackageDocument['subject'];
  readonly entries: readonly PackageEntry[];
  readonly trust: readonly JsonObject[];
  readonly manifests: readonly JsonObject[];
  readonly chain: readonly string[];
  /** By hex SHA-256. */
  readonly bodies: ReadonlyMap<string, Uint8Array>;
}

const fail: Fail = (path, want) => refuse('package-form', `${path} is not ${want}`, { member: path });

/** The package's text. @throws Refusal `package-form` for what no reader would accept */
export function formatPackage(document: PackageDocument): string {
  // It consists of JSON values only.
  const value = document as unknown as JsonObject;
  PACKAGE(value, 'package', fail);
  return `${canonicalJson(value)}\n`;
}

/** A body as a package has it. */
export function packageBody(data: Uint8Array): PackageDocument['bodies'][number] {
  return { sha256: sha256(data), data: toBase64url(data) };
}

/**
 * Reads a package: closed, bounded, canonical, entries in the log's order and each once, bodies by their digests.
 * @throws Refusal `malformed`, `package-form`, `log-inclusion`
 */
export function parsePackage(bytes: Uint8Array): ClaimedPackage {
  const value = parseJsonObject(bytes, 'package', {
    maxBytes: MAX_PACKAGE,
    maxDepth: 32,
    maxValues: 1_000_000,
  });
  const document = PACKAGE(value, 'package', fail);
  // One package has one text: nothing can be hidden in how it is written.
  if (!equalBytes(bytes, utf8(`${canonicalJson(value)}\n`)))
    fail('package', 'canonical JSON and a line feed');
  const entries = document.entries.map(({ leaf, proof }) => {
    const data = utf8(leaf);
    return { bytes: data, leaf: parseLeaf(data), proof: parseLogProof(utf8(proof)) };
  });
  requireOrder(entries);
  return {
    subject: document.subject,
    entries,
    trust: document.trust,
    manifests: document.manifests,
    chain: document.chain,
    bodies: bodiesOf(document.bodies),
  };
}

function requireOrder(entries: readonly PackageEntry[]): void {
  let last = -1n;
  for (const { leaf, proof } of entries) {
    if (BigInt(leaf.index) !== proof.index) fail('package.entries', 'each with its own proof');
    if (proof.index <= last) fail('package.entries', 'in the order of the log, each once');
    last = proof.index;
  }
}

function bodiesOf(bodies: PackageDocument['bodies']): ReadonlyMap<string, Uint8Array> {
  const found = new Map<string, Uint8Array>();
  let last = '';
  for (const { sha256: name, data: encoded } of bodies) {
    const data = fromBase64url(encoded, 'package.bodies');
    if (name <= last) fail('package.bodies', 'sorted, each once');
    if (!equalBytes(fromHex(sha256(data)), fromHex(name))) fail('package.bodies', 'the body of its digest');
    found.set(name, data);
    last = name;
  }
  return found;
}

const sha256 = (data: Uint8Array): string =>
  toHex(new Uint8Array(createHash('sha256').update(data).digest()));
