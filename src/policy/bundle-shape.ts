import { shape } from '../base/index.ts';
import type { JsonObject, Shape } from '../base/index.ts';
import { isJsonObject } from '../base/index.ts';
import { MAX_DEPTH, MAX_LIFETIME_SECONDS } from '../authorization/index.ts';
import { QUIRKS } from '../evidence/index.ts';
import type { Quirk } from '../evidence/index.ts';

const { boolean, hex32, integer, list, literal, map, nullable, object, oneOf, set, sha256Text, text } = shape;

/** Names of platforms, host sets and credentials: they are in ids, labels and file names. */
const NAME = /^[a-z0-9][a-z0-9-]{0,62}$/;
const name = text({ pattern: NAME, want: 'a name of a-z, 0-9 and -' });
const trustDomain = text({
  max: 255,
  pattern: /^[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?$/,
  want: 'a trust domain',
});
const time = text({ max: 32 });
const selection = text({ max: 512 });
const label = text({ max: 256, pattern: /^[A-Za-z0-9._/-]+=[^\0\n]*$/, want: 'a label like env=prod' });
const anyObject: Shape<JsonObject> = (value, path, fail) =>
  isJsonObject(value) ? value : fail(path, 'an object');
const LONGEST_CERTIFICATE = 7 * 86_400;
const LONGEST_EXECUTION = 366 * 86_400;

// Object.keys gives text[]; these are the keys of a constant.
const KNOWN_QUIRKS = Object.keys(QUIRKS) as Quirk[];

const platform = object({
  quoted: selection,
  sealed: selection,
  references: anyObject,
  quirks: set(oneOf(...KNOWN_QUIRKS), KNOWN_QUIRKS.length),
  runtime: oneOf('measured', 'unmeasured'),
  gateway: oneOf('measured', 'unmeasured'),
  requiredClaims: set(
    oneOf(
      'instance-identity',
      'configuration',
      'executables',
      'file-system',
      'hardware',
      'storage-opaque',
      'sourced-data',
    ),
    8,
    1,
  ),
});
export type PlatformDocument = ReturnType<typeof platform>;

const hostSet = object(
  {},
  { hosts: set(hex32, 100_000), labels: set(label, 64), platforms: set(name, 64, 1) },
);
export type HostSetDocument = ReturnType<typeof hostSet>;

const svid = object({
  kind: oneOf('x509-svid'),
  /** Seconds; never longer than the authorization. */
  ttl: integer(1, LONGEST_CERTIFICATE),
  path: text({ max: 512 }),
  hosts: set(name, 256),
});
const jwtSvid = object({
  kind: oneOf('jwt-svid'),
  /** Seconds; never longer than the authorization. */
  ttl: integer(1, MAX_LIFETIME_SECONDS),
  path: text({ max: 512 }),
  /** Who may accept it: a token for nobody in particular would be one for everybody. */
  audiences: set(text({ max: 512 }), 16, 1),
  hosts: set(name, 256),
});
const secret = object({ kind: oneOf('secret'), secret: name, hosts: set(name, 256) });
/** What is released for a name that a request may ask for. */
export type CredentialDocument =
  ReturnType<typeof svid> | ReturnType<typeof jwtSvid> | ReturnType<typeof secret>;
const credential: Shape<CredentialDocument> = (value, path, fail) => {
  const kind = isJsonObject(value) ? value['kind'] : undefined;
  if (kind === 'x509-svid') return svid(value, path, fail);
  if (kind === 'jwt-svid') return jwtSvid(value, path, fail);
  return kind === 'secret'
    ? secret(value, path, fail)
    : fail(`${path}.kind`, 'x509-svid, jwt-svid or secret');
};

const initiator = object({
  issuer: text({ max: 512 }),
  jwks: anyObject,
  bearer: boolean,
  maxLifetime: integer(1, 86_400),
  claims: set(text({ max: 128, pattern: /^[A-Za-z][A-Za-z0-9_]*$/, want: 'a claim’s name' }), 64),
});

const ARTIFACT_NAME = /^[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,255}$/;

const sections = {
  v: literal(1),
  trustDomain,
  version: integer(1, 1_000_000_000),
  previous: nullable(sha256Text),
  validity: object({ notBefore: time, notAfter: time }),
  platforms: map(NAME, platform, 256),
  artifacts: anyObject,
  hostSets: map(NAME, hostSet, 1_000),
  initiators: list(initiator, 256),
  credentials: map(NAME, credential, 1_000),
  delegation: object({ maxDepth: integer(0, MAX_DEPTH), maxChildren: integer(0, 100_000) }),
  // TPM2_PolicySigned: 0 never ends, and a negative expiration gives a ticket that opens again.
  sealing: object({ expiration: integer(1, 120) }),
  limits: object({
    authorizationLifetime: integer(1, MAX_LIFETIME_SECONDS),
    executionLifetime: integer(1, LONGEST_EXECUTION),
    attestationInterval: integer(10, 86_400),
    // What one host attestation can name, and renew in one sealed object.
    executionsPerHost: integer(1, 256),
  }),
  execution: object({
    /** Variables that select code (`LD_…`, `NODE_OPTIONS`) which a request may set all the same. */
    loaderVariables: set(
      text({ max: 128, pattern: /^[A-Za-z_][A-Za-z0-9_]*$/, want: 'a variable’s name' }),
      64,
    ),
  }),
  /** Who answers for an artifact, by its name; policy's own statement. */
  attribution: map(
    ARTIFACT_NAME,
    object({}, { owner: text({ max: 256 }), purpose: text({ max: 256 }), change: text({ max: 256 }) }),
    10_000,
  ),
  cedar: object({
    schema: anyObject,
    policies: list(object({ id: text({ max: 128 }), policy: anyObject }), 1_000, 1),
  }),
};

/**
 * Which answers must come with a checkpoint that witnesses cosigned: a tlog-policy text, the actions that it is for, and
 * for executions the artifacts, where it isn't for all.
 */
const witnessed = object(
  { policy: text({ max: 64 * 1024 }), actions: set(oneOf('execution', 'attestation'), 2, 1) },
  { artifacts: set(text({ max: 256 }), 10_000, 1) },
);
export type WitnessedDocument = ReturnType<typeof witnessed>;
export const witnessedShape: Shape<WitnessedDocument> = witnessed;

/** Whom an authorization may be shown to, and how often; absent: no limit. */
const limits = {
  /** Relying parties by the audience that they call themselves; empty: none. */
  audiences: set(text({ max: 512 }), 64),
  /** Requests that one relying party accepts of it and of what it starts. */
  uses: integer(0, 1_000_000_000),
};
const presentation = object({}, { ...limits, artifacts: map(ARTIFACT_NAME, object({}, limits), 10_000) });
/** What authorizations say to relying parties; both the general limits and those of an artifact's name hold. */
export type PresentationDocument = ReturnType<typeof presentation>;

/** The closed shape of a bundle's JSON; `readBundle` says what a shape can't. */
export const bundleShape = object(sections, { witnessed, presentation });

/** A bundle's JSON, typed. */
export type BundleDocument = ReturnType<typeof bundleShape>;
