import type { ReferenceValues, TrustClaim, TrustVector } from '../appraisal/index.ts';
import type { ArtifactTrust } from '../artifact/index.ts';
import type { Constraints } from '../authorization/index.ts';
import type { JsonObject } from '../base/index.ts';
import type { CompiledImaRules, Quirk } from '../evidence/index.ts';
import type { InitiatorIssuer } from '../identity/index.ts';
import type { PcrSelection } from '../tpm/index.ts';
import type { RecordVersion } from './ports.ts';

/** What a policy bundle says about one platform. */
export interface PlatformPolicy {
  /** Without 10 and 23, which every execution quotes. */
  readonly pcrSelection: PcrSelection;
  /** Without 23, which every release is sealed to. */
  readonly sealedSelection: PcrSelection;
  readonly references: ReferenceValues;
  readonly quirks: ReadonlySet<Quirk>;
  /** Prepared when the bundle became active; null where the references have no IMA rules. */
  readonly imaRules: CompiledImaRules | null;
  /** `unmeasured`: credentials are released although no kernel measures what runs; every answer says so. */
  readonly runtime: 'measured' | 'unmeasured';
  /** Claims of the attestation result that must be affirming. */
  readonly requiredClaims: readonly TrustClaim[];
  /** Seconds in which a release can be opened, 1 … 120. */
  readonly sealExpiration: number;
}

/** How a credential that policy grants is made. */
export type CredentialGrant =
  | { readonly kind: 'x509-svid'; readonly name: string; readonly ttl: number; readonly path: string }
  | { readonly kind: 'secret'; readonly name: string; readonly secret: string };

/** Verified facts, and nothing else: what Cedar's context is made of (docs/POLICY.md has the types). */
export interface PolicyFacts {
  readonly host: {
    readonly id: string;
    readonly name: string;
    readonly platform: string;
    readonly labels: Readonly<Record<string, string>>;
    readonly manufacturer: string | null;
  };
  readonly appraisal: { readonly status: string; readonly vector: TrustVector };
  readonly runtime: {
    readonly measured: boolean;
    readonly privileged: boolean;
    readonly isolated: boolean;
    /** Digest that the kernel measured for what runs; null on an unmeasured platform. */
    readonly executedDigest: string | null;
  };
  readonly artifact: {
    readonly name: string;
    readonly digest: string;
    readonly type: 'file' | 'tree';
    readonly version: string | null;
    readonly signers: readonly string[];
  };
  readonly initiator: {
    readonly issuer: string;
    readonly subject: string;
    readonly claims: JsonObject;
    readonly proved: boolean;
  } | null;
  readonly parent: {
    readonly executionId: string;
    readonly hostId: string;
    readonly subject: string;
    readonly depth: number;
    readonly scopes: readonly string[];
  } | null;
  /** What is asked: bound by the quote, so it is what will run. */
  readonly request: {
    readonly executionId: string;
    readonly argv: readonly string[];
    readonly environment: readonly string[];
    readonly cwd: string;
    readonly uid: number;
    readonly gid: number;
    readonly interpreter: { readonly path: string; readonly sha256: string } | null;
    readonly scopes: readonly string[];
    readonly credentials: readonly string[];
  };
  /** Unix seconds. */
  readonly now: number;
}

/** The verdict on one request. */
export interface PolicyVerdict {
  readonly allow: boolean;
  /** Ids of the policies that decided, sorted. */
  readonly deciding: readonly string[];
  /** What went wrong in the evaluation: with any, the answer is no, whatever `allow` says. */
  readonly errors: readonly string[];
}

/** What a bundle allows to be delegated and for how long. */
export interface AuthorizationLimits {
  /** Seconds, at most 300. */
  readonly lifetime: number;
  readonly maxDepth: number;
  readonly constraints: Constraints;
}

/** The active bundle: verified signatures, one content, read once for a decision. */
export interface ActivePolicy {
  readonly record: RecordVersion;
  /** `sha256:` and hex. */
  readonly hash: string;
  readonly version: number;
  /** Unix ms. */
  readonly notBefore: number;
  readonly notAfter: number;
  /** Key ids of the authorities that signed it. */
  readonly authorities: readonly string[];
  /** DSSE, for the gateway. */
  readonly manifest: JsonObject;
  readonly uri: string;
  readonly issuers: readonly InitiatorIssuer[];
  readonly limits: AuthorizationLimits;
  platform(name: string): PlatformPolicy | undefined;
  /** Who may sign an artifact of this name; undefined: nobody. */
  artifactTrust(name: string): ArtifactTrust | undefined;
  /** Asks Cedar. Throws when the engine fails: that is a denial. */
  authorize(facts: PolicyFacts): Promise<PolicyVerdict>;
  /** How a named credential is made for these facts; undefined when policy grants it to somebody else only. */
  grant(credential: string, facts: PolicyFacts): CredentialGrant | undefined;
  /** Attribution that policy states for an artifact; nothing of it comes from the requester. */
  attribution(artifact: string): {
    readonly owner?: string;
    readonly purpose?: string;
    readonly change?: string;
  };
}
