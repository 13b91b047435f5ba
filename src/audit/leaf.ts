import { createHash } from 'node:crypto';
import {
  canonicalJson,
  equalBytes,
  notCanonical,
  parseJsonObject,
  refuse,
  scanCanonical,
  utf8,
} from '../base/index.ts';
import type { CanonicalReader, Fail, JsonObject, JsonValue } from '../base/index.ts';
import type {
  AuditLeaf,
  DecisionLeaf,
  EnrollmentLeaf,
  LeafBody,
  LeafDenial,
  LeafPlace,
} from './leaf-kinds.ts';
import { LEAF_SCANS, LEAF_SHAPES, PLACE_SHAPE } from './leaf-shapes.ts';
import { MAX_ENTRY } from './tiles.ts';

const LIMITS = { maxBytes: MAX_ENTRY, maxDepth: 16, maxValues: 10_000 };
/** Bytes that the ledger may add to a body: place and denial. */
const RESERVED = 4096;
/** Bytes of canonical JSON that a denial's detail may have in the log. */
const MAX_DETAIL = 8 * 1024;
const MAX_REASON = 2000;

const fail: Fail = (path, want) =>
  refuse('malformed', `audit leaf: ${path} is not ${want}`, { structure: 'audit leaf' });

/**
 * A leaf as the ledger takes it (`Change.leaf`): checked like a received one, so that nothing gets into the log that
 * a reader would refuse, and small enough for what the ledger adds.
 * @throws Refusal `malformed`
 */
export function leafBody(body: LeafBody): JsonObject {
  // A body consists of JSON values only; interfaces just have no index signature.
  const value = body as unknown as JsonObject;
  checkOutcome(checkBody(value));
  if (utf8(canonicalJson(value)).length > MAX_ENTRY - RESERVED) {
    fail('leaf', `at most ${String(MAX_ENTRY - RESERVED)} bytes long`);
  }
  return value;
}

/**
 * The leaf of a decision that no longer holds when it is committed (`Change.denialLeaf`): the same request, nothing
 * released. The ledger adds the denial.
 */
export function denialBody(body: DecisionLeaf | EnrollmentLeaf): JsonObject {
  const members = Object.entries(body).filter(([name]) => name !== 'denial');
  const denied: JsonObject = { ...Object.fromEntries(members), outcome: 'deny' };
  if (body.kind !== 'decision') return denied;
  return { ...denied, digests: { ...body.digests, authorization: null, sealed: null }, released: [] };
}

/**
 * Reads an entry of the log: strict and canonical JSON (RFC 8785), of a known kind, no unknown member, at most 65 535
 * bytes. @throws Refusal `malformed`
 */
export function parseLeaf(bytes: Uint8Array): AuditLeaf {
  const leaf = scanCanonical(bytes, scanLeaf, LIMITS) ?? parseStrictly(bytes);
  checkOutcome(leaf);
  return leaf;
}

/** What the shape of its kind reads in one pass. What it doesn't read {@link parseStrictly} accepts, or says why not. */
function scanLeaf(reader: CanonicalReader): AuditLeaf {
  const scan = LEAF_SCANS.find(([text]) => reader.has(text))?.[1];
  return scan === undefined ? notCanonical() : scan(reader);
}

function parseStrictly(bytes: Uint8Array): AuditLeaf {
  const value = parseJsonObject(bytes, 'audit leaf', LIMITS);
  if (!equalBytes(utf8(canonicalJson(value)), bytes)) fail('leaf', 'canonical JSON');
  const { index = null, time = null, epoch = null, ...body } = value;
  const place = PLACE_SHAPE({ index, time, epoch }, 'leaf', fail);
  return { ...checkBody(body), ...place };
}

/**
 * What the ledger added to a body: nothing else of the entry is looked at, for whoever compares all of it afterwards.
 * @throws Refusal `malformed`
 */
export function leafPlace(bytes: Uint8Array): LeafPlace {
  const { index = null, time = null, epoch = null } = parseJsonObject(bytes, 'audit leaf', LIMITS);
  return PLACE_SHAPE({ index, time, epoch }, 'leaf', fail);
}

function checkBody(value: JsonObject): LeafBody {
  const kind = value['kind'];
  if (typeof kind !== 'string' || !isKind(kind)) return fail('leaf.kind', 'a known kind');
  return LEAF_SHAPES[kind](value, 'leaf', fail);
}

function isKind(kind: string): kind is LeafBody['kind'] {
  return Object.hasOwn(LEAF_SHAPES, kind);
}

/** A denial says why, an allow has none; a denied decision released nothing, an allowed one names what allowed it. */
function checkOutcome(leaf: LeafBody): void {
  if (leaf.kind !== 'decision' && leaf.kind !== 'enrollment') return;
  const denied = leaf.outcome === 'deny';
  if (denied !== (leaf.denial !== undefined)) fail('leaf.denial', 'there for a denial, and only then');
  if (leaf.kind !== 'decision') return;
  const { authorization, sealed } = leaf.digests;
  if (denied && (authorization !== null || sealed !== null || leaf.released.length > 0)) {
    fail('leaf.released', 'empty for a denial');
  }
  if (denied) return;
  if (leaf.policy === null) fail('leaf.policy', 'there for an allow');
  if (leaf.purpose === 'execution' && authorization === null)
    fail('leaf.digests.authorization', 'there for an allow');
}

/** A denial whose detail has a size that the log takes: a larger one is replaced by its digest. */
export function boundedDenial(denial: LeafDenial): LeafDenial {
  const detail = utf8(canonicalJson(denial.detail ?? {}));
  const reason = denial.reason.slice(0, MAX_REASON).toWellFormed();
  if (detail.length <= MAX_DETAIL) return { ...denial, reason };
  const sha256 = createHash('sha256').update(detail).digest('hex');
  return { ...denial, reason, detail: { omitted: `sha256:${sha256}` } };
}

/**
 * Digest of a value that could be guessed (arguments, environment): `sha256:` and hex of
 * SHA-256(label ‖ salt ‖ JCS(value)). The salt is kept with the evidence and goes when that goes.
 * @param salt at least 16 random bytes
 */
export function saltedDigest(value: JsonValue, salt: Uint8Array): string {
  if (salt.length < 16 || salt.length > 64) throw new RangeError('a salt is 16 to 64 bytes long');
  const hash = createHash('sha256');
  // The salt's length is part of it, so that no byte can move between salt and value.
  hash.update(utf8('sealgate/salted/v1\0')).update(Uint8Array.of(salt.length)).update(salt);
  return `sha256:${hash.update(utf8(canonicalJson(value))).digest('hex')}`;
}
