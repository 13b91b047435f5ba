import { parseTime, readTrust } from '../artifact/index.ts';
import type { ArtifactTrust } from '../artifact/index.ts';
import { canonicalJson, equalBytes, parseJsonObject, refuse, shape, utf8 } from '../base/index.ts';
import type { Clock, Fail, JsonObject, Shape } from '../base/index.ts';
import { isJsonObject } from '../base/index.ts';
import { witnessedShape } from './bundle-shape.ts';
import type { WitnessedDocument } from './bundle-shape.ts';
import { openSigned } from './authorities.ts';
import type { Authorities, AuthoritySignatures } from './authorities.ts';
import { parseBundle } from './bundle.ts';
import type { PolicyBundle } from './bundle.ts';
import { readWitnessed } from './witnessed.ts';
import type { WitnessedActions } from './witnessed.ts';

/** DSSE payload type of a policy manifest. */
export const MANIFEST_TYPE = 'application/vnd.sealgate.policy-manifest+json';

/** What authorities sign and gateways check (PROTOCOL 9): the bundle by its hash, and what a gateway needs of it. */
export interface PolicyManifest {
  readonly v: 1;
  readonly trustDomain: string;
  /** policyHash: `sha256:` and hex. */
  readonly hash: string;
  readonly version: number;
  readonly notBefore: string;
  readonly notAfter: string;
  /** policyHash of the bundle before; null for version 1. */
  readonly previous: string | null;
  /** The trust document of the bundle. */
  readonly artifactTrust: JsonObject;
  /** Which answers must come with a checkpoint that witnesses cosigned; as in the bundle. */
  readonly witnessed?: WitnessedDocument;
}

/** The newest policy that somebody has seen; never goes back. */
export interface PolicyHighWater {
  readonly version: number;
  readonly hash: string;
}

declare const signed: unique symbol;
/** A manifest of this domain that enough authorities signed, whenever. Only {@link authenticateManifest} makes one. */
export interface SignedManifest extends AuthoritySignatures {
  readonly [signed]: true;
  readonly manifest: PolicyManifest;
  readonly artifactTrust: ArtifactTrust;
  readonly witnessed: WitnessedActions | null;
}

declare const verified: unique symbol;
/** A manifest that enough authorities signed, in its time, no older than any seen. Only {@link verifyManifest} makes it. */
export interface VerifiedManifest extends SignedManifest {
  readonly [verified]: true;
}

/** What a verifier or gateway brings: pinned authorities, its own domain, and what it has seen. */
export interface ManifestTrust {
  readonly authorities: Authorities;
  readonly trustDomain: string;
  /** Undefined only where nothing was ever seen. */
  readonly highest: PolicyHighWater | undefined;
}

const { integer, literal, nullable, object, sha256Text, text } = shape;
const anyObject: Shape<JsonObject> = (value, path, fail) =>
  isJsonObject(value) ? value : fail(path, 'an object');
const manifestShape: Shape<PolicyManifest> = object(
  {
    v: literal(1),
    trustDomain: text({ max: 255 }),
    hash: sha256Text,
    version: integer(1),
    notBefore: text({ max: 32 }),
    notAfter: text({ max: 32 }),
    previous: nullable(sha256Text),
    artifactTrust: anyObject,
  },
  { witnessed: witnessedShape },
);
const fail: Fail = (path, want) => refuse('policy-manifest', `${path} is not ${want}`, { member: path });
/** Gateways and verifiers whose clocks differ by less agree. */
const SKEW_MS = 30_000;

/** The manifest of a bundle. */
export function manifestOf({ document, hash }: PolicyBundle): PolicyManifest {
  return {
    v: 1,
    trustDomain: document.trustDomain,
    hash,
    version: document.version,
    notBefore: document.validity.notBefore,
    notAfter: document.validity.notAfter,
    previous: document.previous,
    artifactTrust: document.artifacts,
    ...(document.witnessed === undefined ? {} : { witnessed: document.witnessed }),
  };
}

/** Canonical JSON: what is signed. */
export function manifestBytes(manifest: PolicyManifest): Uint8Array {
  return utf8(canonicalJson({ ...manifest }));
}

/**
 * Verifies a manifest: enough distinct authorities, this domain, in its time, never below the highest version seen, and
 * never another policy of the same version.
 * @param clock Unix milliseconds
 * @throws Refusal `malformed`, `policy-payload-type`, `policy-signatures`, `policy-manifest`, `policy-domain`,
 *   `policy-rollback`, `policy-expired`, `trust-document`
 */
export function verifyManifest(bytes: Uint8Array, trust: ManifestTrust, clock: Clock): VerifiedManifest {
  const found = authenticateManifest(bytes, trust);
  requireNotOlder(found.manifest, trust.highest);
  requireInTime(found.manifest, clock.now());
  return found as VerifiedManifest;
}

/**
 * The part of {@link verifyManifest} that doesn't change with time: for who loads again what was published before.
 * @throws Refusal `malformed`, `policy-payload-type`, `policy-signatures`, `policy-manifest`, `policy-domain`,
 *   `trust-document`
 */
export function authenticateManifest(
  bytes: Uint8Array,
  trust: Omit<ManifestTrust, 'highest'>,
): SignedManifest {
  const { payload, signers, unknown } = openSigned(bytes, MANIFEST_TYPE, trust.authorities);
  const manifest = parseManifest(payload);
  if (manifest.trustDomain !== trust.trustDomain)
    refuse('policy-domain', 'the policy is of another trust domain', { trustDomain: manifest.trustDomain });
  const artifactTrust = readTrust(manifest.artifactTrust);
  const witnessed = readWitnessed(manifest.witnessed, 'manifest.witnessed', fail);
  return { manifest, artifactTrust, witnessed, signers, unknown } as unknown as SignedManifest;
}

/** A manifest as signed; canonical, so that one policy has one manifest. @throws Refusal `malformed`, `policy-manifest` */
export function parseManifest(payload: Uint8Array): PolicyManifest {
  const json = parseJsonObject(payload, 'policy manifest', { maxBytes: payload.length, maxDepth: 16 });
  const manifest = manifestShape(json, 'manifest', fail);
  if (!equalBytes(payload, manifestBytes(manifest))) fail('manifest', 'canonical JSON');
  return manifest;
}

function requireNotOlder({ version, hash }: PolicyManifest, highest: PolicyHighWater | undefined): void {
  if (highest === undefined) return;
  if (version < highest.version)
    refuse('policy-rollback', `version ${String(version)} is older than ${String(highest.version)}`, {
      version,
      highest: highest.version,
    });
  if (version === highest.version && hash !== highest.hash)
    refuse('policy-rollback', `version ${String(version)} was another policy`, { version, hash });
}

function requireInTime(manifest: PolicyManifest, now: number): void {
  const notBefore = parseTime(manifest.notBefore) ?? fail('manifest.notBefore', 'a time');
  const notAfter = parseTime(manifest.notAfter) ?? fail('manifest.notAfter', 'a time');
  if (now < notBefore - SKEW_MS)
    refuse('policy-expired', 'the policy is not valid yet', { notBefore: manifest.notBefore });
  if (now > notAfter) refuse('policy-expired', 'the policy has ended', { notAfter: manifest.notAfter });
}

/**
 * The bundle that a signed manifest names, and nothing else: its hash and each member that both have.
 * @throws Refusal `policy-bundle-hash`, `policy-manifest`, and those of `parseBundle`
 */
export function openBundle({ manifest }: SignedManifest, bytes: Uint8Array): PolicyBundle {
  const bundle = parseBundle(bytes);
  if (bundle.hash !== manifest.hash)
    refuse('policy-bundle-hash', 'the bundle is not the one that the authorities signed', {
      hash: bundle.hash,
    });
  if (!equalBytes(manifestBytes(manifestOf(bundle)), manifestBytes(manifest)))
    refuse('policy-manifest', 'the manifest says something else than its bundle');
  return bundle;
}

/** The high-water mark after a manifest was accepted. */
export function raiseHighWater({ manifest }: VerifiedManifest): PolicyHighWater {
  return { version: manifest.version, hash: manifest.hash };
}

/**
 * What publishing checks besides: the new policy names the active one as the one before, so that history has no gap
 * that nobody signed.
 * @param active undefined when there is no policy yet
 * @throws Refusal `policy-history`
 */
export function requireSuccessor({ manifest }: VerifiedManifest, active: PolicyHighWater | undefined): void {
  const previous = active?.hash ?? null;
  if (manifest.previous !== previous || manifest.version !== (active?.version ?? 0) + 1)
    refuse('policy-history', 'the policy does not follow the active one', {
      previous: manifest.previous,
      active: previous,
      version: manifest.version,
    });
}
