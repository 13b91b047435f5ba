import type { JsonObject } from '../base/index.ts';

/**
 * What can be in the log. The union is closed: a reader that meets another kind refuses the log. Digests are
 * `sha256:` and hex, identifiers are public. No member holds a secret, and what could be guessed (arguments,
 * environments) is there as a salted digest only.
 */
export type LeafBody =
  | OpeningLeaf
  | DecisionLeaf
  | EnrollmentLeaf
  | TransitionLeaf
  | PolicyLeaf
  | RevocationLeaf
  | OutcomeLeaf
  | OperatorLeaf
  | RefusalLeaf
  | DenialSummaryLeaf;

/** What the ledger adds when it appends a leaf. */
export interface LeafPlace {
  /** Decimal. */
  readonly index: string;
  /** ISO 8601 in UTC with milliseconds; never before that of an earlier leaf. */
  readonly time: string;
  /** The store's epoch: a restore begins a new one. */
  readonly epoch: string;
}

/** An entry of the log. */
export type AuditLeaf = LeafBody & LeafPlace;

/** Who caused something: an operator by certificate serial, a host, or the verifier itself. */
export interface LeafActor {
  readonly kind: 'operator' | 'host' | 'verifier';
  readonly id: string;
}

/** Why a decision was no: check id and reason; the rest as far as it was known where the denial was made. */
export interface LeafDenial {
  readonly check: string;
  readonly reason: string;
  readonly stage?: string;
  readonly code?: string;
  readonly remedy?: string;
  readonly detail?: JsonObject;
}

/** Where the newest checkpoint of a closed log was known from. */
export type ClosedBy = 'backup' | 'high-water' | 'store' | 'checkpoint';

/** First leaf of every log: a new one, or one that opens because entries of the one before are lost. */
export interface OpeningLeaf {
  readonly v: 1;
  readonly kind: 'opening';
  readonly origin: string;
  /** The log before, which is closed; null for the first log. */
  readonly previous: {
    readonly origin: string;
    /** The newest tree head of it that is known, and where it was known from. */
    readonly size: string;
    readonly root: string;
    readonly source: ClosedBy;
    /** Entries that are still there: those from this one on are lost, to `size` and any that nobody told of. */
    readonly kept: string;
    /** The same in words, for people. */
    readonly gap: string;
  } | null;
}

/** The verifier's answer to one request for execution or attestation. */
export interface DecisionLeaf {
  readonly v: 1;
  readonly kind: 'decision';
  readonly purpose: 'execution' | 'attestation';
  readonly outcome: 'allow' | 'deny';
  /** There exactly when the outcome is `deny`. */
  readonly denial?: LeafDenial;
  /** The replica that decided. */
  readonly replica: string;
  readonly hostId: string;
  /** One for an execution; for an attestation those that it renews. */
  readonly executions: readonly string[];
  /** Null for an origin. */
  readonly parent: string | null;
  /** Digests of what was presented and what was answered; the answer's are null for a denial. */
  readonly digests: {
    readonly request: string;
    readonly authorization: string | null;
    readonly sealed: string | null;
    readonly evidence: readonly { readonly name: string; readonly sha256: string }[];
    /** The decision's inputs (docs/PACKAGE.md), by which it can be repeated; null where none are kept. */
    readonly inputs: string | null;
  };
  /** The bundle that decided, and which of its rules; null when none was reached. */
  readonly policy: {
    readonly digest: string;
    readonly version: number;
    readonly deciding: readonly string[];
  } | null;
  /** TPM name of the attestation key, hex. */
  readonly ak: string;
  readonly boot: { readonly resetCount: number; readonly restartCount: number };
  readonly artifact: { readonly name: string; readonly digest: string } | null;
  /** Salted digests. */
  readonly argv: string | null;
  readonly environment: string | null;
  /** The initiator's token: its verified claims and its digest, never the token. */
  readonly initiator: {
    readonly issuer: string;
    readonly subject: string;
    readonly token: string;
    readonly claims: JsonObject;
  } | null;
  /** What was released: serial or version, and when it ends (ISO 8601; null for stored secrets, which don't). */
  readonly released: readonly {
    readonly kind: string;
    readonly name: string;
    readonly serial: string;
    readonly expires: string | null;
  }[];
  /** What the verdict rests on, so that a revocation finds everything that it touches. */
  readonly dependencies: readonly { readonly kind: DependencyKind; readonly id: string }[];
}

export type DependencyKind =
  'ek-root' | 'ak' | 'reference-values' | 'signer' | 'issuer' | 'bundle' | 'authority' | 'build';

/** A host that was admitted, or refused. */
export interface EnrollmentLeaf {
  readonly v: 1;
  readonly kind: 'enrollment';
  readonly outcome: 'allow' | 'deny';
  readonly denial?: LeafDenial;
  readonly hostId: string;
  readonly name: string;
  readonly platform: string;
  readonly admission: 'token' | 'ek-list' | 'approval';
  /** Digest of the EK certificate; null where the host has none. */
  readonly ekCertificate: string | null;
  readonly ak: string;
  readonly by: LeafActor;
}

export type HostState = 'pending' | 'active' | 'quarantined' | 'revoked';

/** A host that changed its state. */
export interface TransitionLeaf {
  readonly v: 1;
  readonly kind: 'transition';
  readonly hostId: string;
  readonly from: HostState;
  readonly to: HostState;
  readonly reason: string;
  readonly by: LeafActor;
}

/** A policy bundle that was staged, unstaged or made the active one. */
export interface PolicyLeaf {
  readonly v: 1;
  readonly kind: 'policy';
  readonly action: 'stage' | 'unstage' | 'publish';
  readonly digest: string;
  readonly version: number;
  /** The active bundle before. */
  readonly previous: string | null;
  /** Key ids of the authorities that signed. */
  readonly authorities: readonly string[];
  readonly by: LeafActor;
}

export type RevocableKind =
  'host' | 'ak' | 'ek-ca' | 'artifact' | 'signer' | 'initiator' | 'authority' | 'policy' | 'execution';

/** Something that is no longer believed. */
export interface RevocationLeaf {
  readonly v: 1;
  readonly kind: 'revocation';
  readonly subject: { readonly kind: RevocableKind; readonly id: string };
  readonly reason: string;
  readonly by: LeafActor;
}

/**
 * What became of an execution. What a host reports is its word, not a proof. `release-lost` quarantines the host: this
 * leaf is that transition's, too.
 */
export interface OutcomeLeaf {
  readonly v: 1;
  readonly kind: 'outcome';
  readonly executionId: string;
  readonly hostId: string;
  readonly state: 'running' | 'ended' | 'failed' | 'revoked' | 'expired' | 'lost' | 'release-lost';
  readonly reportedBy: 'host' | 'verifier';
  readonly exit: { readonly status: number } | { readonly signal: string } | null;
  /** Why the verifier ended it, or what the host gave as reason; null where the state says it all. */
  readonly reason: string | null;
}

/** Something that an operator did and that no other kind tells. */
export interface OperatorLeaf {
  readonly v: 1;
  readonly kind: 'operator';
  readonly action: string;
  readonly target: string;
  /** Digest of what was submitted. */
  readonly digest: string | null;
  readonly by: LeafActor;
}

/** A request of somebody who is known by certificate that was refused and that no other kind tells. */
export interface RefusalLeaf {
  readonly v: 1;
  readonly kind: 'refusal';
  /** Method and route: `POST /v1/executions`. */
  readonly action: string;
  readonly denial: LeafDenial;
  readonly by: LeafActor;
}

/** Refusals of one minute whose sender proved nothing: counted, so that nobody can fill the log. */
export interface DenialSummaryLeaf {
  readonly v: 1;
  readonly kind: 'denial-summary';
  /** ISO 8601. */
  readonly from: string;
  readonly to: string;
  readonly counts: readonly {
    readonly stage: string;
    readonly code: string;
    readonly check: string;
    readonly count: number;
  }[];
}
