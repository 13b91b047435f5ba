import { parseReferences } from '../appraisal/index.ts';
import type { ReferenceValues, TrustClaim } from '../appraisal/index.ts';
import { parseTime, readTrust } from '../artifact/index.ts';
import type { ArtifactTrust } from '../artifact/index.ts';
import { canonicalJson, jcsSha256, parseJsonObject, refuse, toHex, utf8 } from '../base/index.ts';
import type { Fail, JsonObject } from '../base/index.ts';
import type { Quirk } from '../evidence/index.ts';
import { parseJwks } from '../identity/index.ts';
import type { InitiatorIssuer } from '../identity/index.ts';
import { parsePcrSelectionText } from '../tpm/index.ts';
import type { PcrSelection } from '../tpm/index.ts';
import { bundleShape } from './bundle-shape.ts';
import type { BundleDocument, PlatformDocument } from './bundle-shape.ts';
import { POLICY_ID, checkPolicyForm } from './cedar/compile.ts';
import { schemaClaims } from './cedar/schema.ts';
import { parseSpiffeTemplate } from './spiffe-template.ts';
import { readWitnessed } from './witnessed.ts';
import type { WitnessedActions } from './witnessed.ts';

/** One kind of machine, ready for use. */
export interface Platform {
  readonly name: string;
  /** What a quote must cover: exactly this, PCR 23 besides in an execution. */
  readonly quoted: PcrSelection;
  /** What a release is sealed to, PCR 23 besides in a first release. */
  readonly sealed: PcrSelection;
  readonly references: ReferenceValues;
  readonly quirks: ReadonlySet<Quirk>;
  /** `unmeasured`: no IMA is asked for; EAR and authorization then say so. */
  readonly runtime: 'measured' | 'unmeasured';
  /** The gateway's files must be in the verified list. */
  readonly gatewayMeasured: boolean;
  readonly requiredClaims: readonly TrustClaim[];
}

/** A bundle that was read whole: every part of it is usable. Only {@link readBundle} makes one. */
export interface PolicyBundle {
  readonly document: BundleDocument;
  /** The same as JSON: what is hashed. */
  readonly json: JsonObject;
  /** `sha256:` and the hex SHA-256 of the canonical JSON. */
  readonly hash: string;
  readonly version: number;
  readonly trustDomain: string;
  /** Unix milliseconds, both included. */
  readonly validity: { readonly notBefore: number; readonly notAfter: number };
  readonly previous: string | null;
  readonly platforms: ReadonlyMap<string, Platform>;
  readonly artifacts: ArtifactTrust;
  readonly issuers: readonly InitiatorIssuer[];
  /** Which answers must come with a checkpoint that witnesses cosigned. */
  readonly witnessed: WitnessedActions | null;
}

/** Size bounds of a bundle; its depth leaves room for the deepest policy. */
export const BUNDLE_LIMITS = { maxBytes: 64 * 1024 * 1024, maxDepth: 112, maxValues: 4_000_000 } as const;
/** User space moves these: nothing is ever sealed to them. 23 is added by the protocol itself. */
const NEVER_SEALED = [10, 11, 15, 23];
const ARTIFACT_PCR = 23;

const fail: Fail = (path, want) => refuse('policy-form', `${path} is not ${want}`, { member: path });

/** A bundle as file content. @throws Refusal `malformed`, and those of {@link readBundle} */
export function parseBundle(bytes: Uint8Array): PolicyBundle {
  return readBundle(parseJsonObject(bytes, 'policy bundle', BUNDLE_LIMITS));
}

/**
 * Reads a bundle: a closed object, and what no shape can say. Whether anybody signed it is another question
 * (`verifyPolicyManifest`), and its Cedar part is analysed by the engine that loads it.
 * @throws Refusal `policy-form` naming the member, `references-form`, `trust-document`, `initiator-issuer`,
 *   `spiffe-template`, `policy-nesting`, `policy-number`
 */
export function readBundle(json: JsonObject, no: Fail = fail): PolicyBundle {
  const document = bundleShape(json, 'policy', no);
  const validity = readValidity(document, no);
  if ((document.version === 1) !== (document.previous === null))
    no('policy.previous', 'null in version 1, and only there');
  checkNames(document, no);
  checkCedar(document, no);
  const platforms = Object.entries(document.platforms).map(([name, platform]) =>
    readPlatform(name, platform, no),
  );
  return Object.freeze({
    document,
    json,
    hash: hashBundle(json),
    version: document.version,
    trustDomain: document.trustDomain,
    validity,
    previous: document.previous,
    platforms: new Map(platforms.map((platform) => [platform.name, platform])),
    artifacts: readTrust(document.artifacts),
    witnessed: readWitnessed(document.witnessed, 'policy.witnessed', no),
    issuers: document.initiators.map(({ jwks, ...issuer }) => ({
      issuer: issuer.issuer,
      keys: parseJwks(jwks),
      bearer: issuer.bearer,
      maxLifetime: issuer.maxLifetime,
    })),
  });
}

/** policyHash: SHA-256 over the canonical JSON (RFC 8785), `sha256:` and hex. */
export function hashBundle(json: JsonObject): string {
  return `sha256:${toHex(jcsSha256(json))}`;
}

/** The bundle's file: canonical JSON, so that equal policies are equal bytes. */
export function bundleBytes({ json }: PolicyBundle): Uint8Array {
  return utf8(`${canonicalJson(json)}\n`);
}

function readValidity({ validity }: BundleDocument, no: Fail): PolicyBundle['validity'] {
  const notBefore = parseTime(validity.notBefore) ?? no('policy.validity.notBefore', TIME);
  const notAfter = parseTime(validity.notAfter) ?? no('policy.validity.notAfter', TIME);
  if (notBefore >= notAfter) no('policy.validity', 'a window that is not empty');
  return { notBefore, notAfter };
}

const TIME = 'a time like 2026-11-22T20:00:00Z';

/** References between parts of the bundle: a name that nothing has would be a rule that never holds. */
function checkNames(document: BundleDocument, no: Fail): void {
  const { credentials, hostSets, initiators, platforms } = document;
  for (const [name, set] of Object.entries(hostSets)) {
    for (const platform of set.platforms ?? [])
      if (!Object.hasOwn(platforms, platform))
        no(`policy.hostSets.${name}.platforms`, `made of known platforms: ${platform} is not`);
    // A set that asks for nothing would hold every host there is.
    if (set.hosts === undefined && (set.labels ?? []).length === 0)
      no(`policy.hostSets.${name}`, 'a set with hosts (which may be none) or with at least one label');
  }
  for (const [name, credential] of Object.entries(credentials)) {
    for (const set of credential.hosts)
      if (!Object.hasOwn(hostSets, set))
        no(`policy.credentials.${name}.hosts`, `made of known host sets: ${set} is not`);
    if (credential.kind !== 'secret') parseSpiffeTemplate(credential.path);
  }
  const issuers = initiators.map(({ issuer }) => issuer);
  if (new Set(issuers).size !== issuers.length) no('policy.initiators', 'a list with each issuer once');
  const known = schemaClaims(document.cedar.schema);
  initiators.forEach(({ claims }, i) => {
    for (const claim of claims)
      if (!known.includes(claim))
        no(`policy.initiators[${String(i)}].claims`, `made of claims that the schema types: ${claim} is not`);
  });
}

function checkCedar({ cedar }: BundleDocument, no: Fail): void {
  cedar.policies.forEach(({ id, policy }, i) => {
    const at = `policy.cedar.policies[${String(i)}]`;
    const before = cedar.policies[i - 1]?.id;
    if (!POLICY_ID.test(id) || (before !== undefined && before >= id)) no(at, 'sorted by unique ids');
    checkPolicyForm(policy, at, { member: at });
  });
  checkPolicyForm(cedar.schema, 'policy.cedar.schema', { member: 'policy.cedar.schema' });
}

function readPlatform(name: string, platform: PlatformDocument, no: Fail): Platform {
  const at = `policy.platforms.${name}`;
  const quoted = readSelection(platform.quoted, `${at}.quoted`, no);
  const sealed = readSelection(platform.sealed, `${at}.sealed`, no);
  const references = parseReferences(platform.references);
  const { runtime, gateway } = platform;
  if (has(quoted, ARTIFACT_PCR)) no(`${at}.quoted`, 'without PCR 23, which each execution adds');
  const moved = NEVER_SEALED.find((pcr) => has(sealed, pcr));
  if (moved !== undefined) no(`${at}.sealed`, `without PCR ${String(moved)}: user space moves it`);
  if (!covers(quoted, sealed)) no(`${at}.sealed`, 'among the quoted PCRs');
  if (runtime === 'measured') {
    if (references.ima === undefined) no(`${at}.references`, 'with ima, which a measured runtime needs');
    if (gateway === 'measured' && Object.keys(references.gateway?.files ?? {}).length === 0)
      no(`${at}.references`, 'with gateway.files, which a measured gateway needs');
  } else if (gateway === 'measured') no(`${at}.gateway`, 'unmeasured, as the runtime');
  return {
    name,
    quoted,
    sealed,
    references,
    quirks: new Set(platform.quirks),
    runtime,
    gatewayMeasured: gateway === 'measured',
    requiredClaims: platform.requiredClaims,
  };
}

function readSelection(text: string, path: string, no: Fail): PcrSelection {
  const selection = parsePcrSelectionText(text);
  if (selection.some(({ bank }) => bank === 'sha1'))
    no(path, 'without the SHA-1 bank, which proves too little');
  return selection;
}

const has = (selection: PcrSelection, pcr: number): boolean =>
  selection.some(({ pcrs }) => pcrs.includes(pcr));

function covers(wide: PcrSelection, narrow: PcrSelection): boolean {
  return narrow.every(({ bank, pcrs }) => {
    const found = wide.find((other) => other.bank === bank);
    return found !== undefined && pcrs.every((pcr) => found.pcrs.includes(pcr));
  });
}
