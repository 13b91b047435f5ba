import type { EarKey } from '../appraisal/index.ts';
import type { HostState, RecordRef, RevocableKind } from '../audit/index.ts';
import type { SigningKey, VerificationKey } from '../authorization/index.ts';
import type { Clock, Random } from '../base/index.ts';
import type { JwtSvidKey, SigningAuthority } from '../credential/index.ts';
import type { BootCounters, ImaQuestion, ImaState, VerifiedIma } from '../evidence/index.ts';
import type { VerifiedInitiator, verifyInitiator } from '../identity/index.ts';
import type { ClockInfo } from '../tpm/index.ts';
import type { ChallengeKey, checkNonce } from './challenge.ts';
import type { ExecutionRecord } from './execution-record.ts';
import type { ActivePolicy } from './policy-port.ts';

/** A record as it was read; version 0: there is none. Becomes a precondition of the commit. */
export interface RecordVersion extends RecordRef {
  readonly version: number;
}

/** Who sent a request, from the client certificate that TLS verified. */
export interface Caller {
  /** The one host that the agent certificate names. */
  readonly hostId: string;
  /** Hex SHA-256 of the certificate's SubjectPublicKeyInfo. */
  readonly agentKey: string;
  /** Unix ms: end of the certificate. */
  readonly notAfter: number;
}

/** What enrollment and later attestations prove about a host; every member is from records whose MAC was checked. */
export interface HostFacts {
  readonly record: RecordVersion;
  readonly hostId: string;
  readonly name: string;
  readonly state: HostState;
  readonly platform: string;
  readonly labels: Readonly<Record<string, string>>;
  /** TPMT_PUBLIC of the key that credentials are sealed to. */
  readonly ekPublic: Uint8Array;
  /** TPMT_PUBLIC. */
  readonly akPublic: Uint8Array;
  readonly akName: Uint8Array;
  /** In the endorsement hierarchy, as computed at enrollment (e15). */
  readonly akQualifiedName: Uint8Array;
  /** Hex SHA-256 of the SubjectPublicKeyInfo that agent certificates of this host have. */
  readonly agentKey: string;
  /** That SubjectPublicKeyInfo, DER. */
  readonly agentPublic: Uint8Array;
  /** As in reference values; null when no certificate said it. */
  readonly manufacturer: string | null;
  /** Fingerprint of the root that the EK certificate chains to. */
  readonly ekRoot: string | null;
  /** Fingerprints of the authorities between both; empty where they were not kept yet. */
  readonly ekIssuers: readonly string[];
  /** Of the last accepted quote under this EK; `at`: when it was committed, Unix ms, where that was kept. */
  readonly lastClock: (ClockInfo & { readonly at?: number }) | null;
  /**
   * Hex SHA-256 of the event log that verified last: its body is used when the host sends none, and compared with the
   * new quote all the same.
   */
  readonly eventLog: string | null;
  readonly ima: ImaState | null;
  readonly run: AuthorizedRun;
}

/** Files that were authorized to run on a host. */
export interface AuthorizedRun {
  readonly record: RecordVersion;
  /** The boot that they belong to; null when there are none. */
  readonly boot: BootCounters | null;
  /** Hex SHA-256. */
  readonly digests: ReadonlySet<string>;
}

export interface Hosts {
  get(hostId: string): Promise<HostFacts | undefined>;
}

export interface Executions {
  get(
    executionId: string,
  ): Promise<{ readonly record: RecordVersion; readonly body: ExecutionRecord } | undefined>;
}

/** Something that can be revoked. */
export interface Revocable {
  readonly kind: RevocableKind;
  readonly id: string;
}

export interface Revocations {
  /** Those of the subjects that are revoked. The others have to be so still when the decision is committed. */
  revokedOf(subjects: readonly Revocable[]): Promise<readonly Revocable[]>;
}

/** A stored secret, decrypted. */
export interface ReleasedSecret {
  /** As it was read: what is rotated or removed before the commit is not released. */
  readonly record: RecordVersion;
  readonly version: number;
  readonly value: Uint8Array;
}

export interface Secrets {
  get(name: string): Promise<ReleasedSecret | undefined>;
}

/** Nonces that are being decided in this process: a second presentation buys no work. */
export interface NonceReservations {
  /** False when it is taken. @param until Unix ms after which it may be forgotten */
  reserve(nonce: string, until: number): boolean;
  /** True when it is taken. */
  has(nonce: string): boolean;
}

/** Bodies that are kept beside the log, by digest. */
export interface KeptBodies {
  /** Undefined when it is not, or no longer, kept. @param sha256 hex; what is given has that digest */
  get(sha256: string): Promise<Uint8Array | undefined>;
}

/** Certificates of agents. */
export interface AgentCertificates {
  /** A new certificate for the host's key; PEM, serial in hex, end as Unix ms. */
  renew(
    hostId: string,
    now: number,
  ): Promise<{ readonly pem: string; readonly serial: string; readonly expires: number }>;
}

export interface LogView {
  /** Size of the last published checkpoint. */
  size(): Promise<bigint>;
  /** Consistency proof between two sizes, base64 hashes. */
  consistency(from: bigint, to: bigint): Promise<readonly string[]>;
}

/** As `verifyIma` with one chunk, in more than one turn where the list is large. @throws Refusal as that does */
export type ImaVerification = (list: Uint8Array, question: ImaQuestion) => Promise<VerifiedIma>;

/** As `verifyInitiator`: who asked, by a token that verified. @throws Refusal as that does */
export type InitiatorVerification = (
  ...question: Parameters<typeof verifyInitiator>
) => Promise<Omit<VerifiedInitiator, symbol>>;

/** Where an authorization's status is published. */
export interface StatusIndexes {
  assign(executionId: string): Promise<{ readonly idx: number; readonly uri: string }>;
}

/** The verifier's keys: one key, one purpose. */
export interface DecisionKeys {
  readonly authorization: SigningKey;
  /** Authorization keys of the trust bundle, the current one among them. */
  readonly authorizations: readonly VerificationKey[];
  readonly ear: EarKey;
  readonly svid: SigningAuthority;
  readonly jwtSvid: JwtSvidKey;
}

/** Everything that a decision is a function of, besides the request. */
export interface DecisionDeps {
  readonly trustDomain: string;
  /** `iss` of authorizations. */
  readonly issuer: string;
  readonly replica: string;
  readonly verifier: { readonly build: string; readonly developer: string };
  /** Digest of the trust bundle that is current. */
  readonly trust: string;
  readonly clock: Clock;
  /** For secrets only: nothing that is drawn from it is kept. */
  readonly random: Random;
  /**
   * For what ends in signed claims and in the leaf (ids, serials, salts): it is kept with the decision's inputs, so
   * that the decision can be repeated. Never draw a secret from it.
   */
  readonly ids: Random;
  readonly challenge: { readonly keys: readonly ChallengeKey[]; readonly epoch: Uint8Array };
  /** {@link checkNonce} when left out; who repeats a decision has no key of the MAC. */
  readonly checkNonce?: typeof checkNonce;
  /** `verifyInitiator` when left out; who repeats a decision has no token, since none is kept. */
  readonly verifyInitiator?: InitiatorVerification;
  readonly keys: DecisionKeys;
  /** The active bundle; undefined before the first was published. */
  readonly policy: { active(): Promise<ActivePolicy | undefined> };
  readonly hosts: Hosts;
  readonly executions: Executions;
  readonly revocations: Revocations;
  readonly secrets: Secrets;
  readonly nonces: NonceReservations;
  readonly bodies: KeptBodies;
  readonly agents: AgentCertificates;
  readonly log: LogView;
  readonly status: StatusIndexes;
  /** In this turn, and on this thread, when left out. */
  readonly verifyIma?: ImaVerification;
  /** How long evidence bodies are kept: ms. */
  readonly retention: number;
  /** Told of exceptions that became denials; for logs. */
  readonly onFault?: (error: unknown, stage: string) => void;
}
