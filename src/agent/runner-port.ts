import type { Readable, Writable } from 'node:stream';
import type { JsonObject } from '../base/index.ts';
import type { AuthorizationClaims, HolderBinding } from '../authorization/index.ts';

/** A denial as data: stage, code, check, reason, remedy, detail. */
export type ExecutionDenial = JsonObject;

/** Who asks over the local socket, as the kernel says. */
export interface LocalCaller {
  readonly pid: number;
  readonly uid: number;
  readonly gid: number;
}

/** What a run is connected to; it belongs to the one who asked. */
export interface RunStreams {
  readonly stdin: Readable;
  readonly stdout: Writable;
  readonly stderr: Writable;
  /** Signals that the caller sends on, by name without SIG. */
  readonly onSignal: (listener: (signal: string) => void) => void;
  /** Told to the caller while it runs. */
  readonly event: (event: JsonObject) => void;
  /** Fires when the caller is gone or the agent stops: what runs is ended. */
  readonly signal: AbortSignal;
  /** Has the caller prove that it holds the parent that its order names. */
  readonly prove?: (binding: HolderBinding) => Promise<ProvedParent>;
}

/** A parent's proof for one request. */
export interface ProvedParent {
  readonly proof: string;
  /** The parent's authorization now: another than the request has, when it was renewed meanwhile. Null: as it was. */
  readonly authorization: string | null;
}

/** How a run ended: as `sealgate run` exits, and what it reports. */
export interface RunEnd {
  /** The child's exit status; null when a signal ended it or nothing ran. */
  readonly status: number | null;
  readonly signal: string | null;
  /** Why nothing ran, or why it was ended. */
  readonly denial: ExecutionDenial | null;
  readonly report: JsonObject;
}

/** An execution under way that the next attestation renews. */
export interface ActiveExecution {
  readonly executionId: string;
  /** Of its current authorization. */
  readonly jti: string;
  readonly sequence: number;
  /** Unix ms: when it was issued and when it ends. */
  readonly issued: number;
  readonly expires: number;
  /** A holder proof by its workload key. */
  readonly prove: (binding: HolderBinding) => Promise<string>;
  /** What its current authorization says: a renewal is compared with it. */
  readonly claims: AuthorizationClaims;
  /** Reports that what was sealed for it could not be opened: this host is not what it was a moment ago. */
  readonly lost: () => Promise<void>;
}

/** What an attestation renewed for one execution. */
export interface RenewedExecution {
  readonly executionId: string;
  /** The new authorization artifact. */
  readonly authorization: string;
  /** The new credentials as in a first release; empty where it has none. */
  readonly credentials: readonly JsonObject[];
}

/** What runs artifacts: the gateway, as the agent needs it. The command line puts it in. */
export interface RunnerPort {
  /** Wipes what executions left behind whose agent crashed. @returns their ids */
  recover(): Promise<readonly string[]>;
  /** Runs one artifact to its end. @throws Refusal when it may not run */
  run(order: JsonObject, caller: LocalCaller, streams: RunStreams): Promise<RunEnd>;
  /** Executions under way, at most 256, each to be named in the next attestation. */
  active(): readonly ActiveExecution[];
  /** Puts renewed authorizations and credentials in place, atomically. */
  renew(renewed: readonly RenewedExecution[]): Promise<void>;
  /** Ends executions: TERM, after a grace KILL, credentials wiped. */
  end(executionIds: readonly string[], reason: ExecutionDenial): Promise<void>;
}

/** Runs nothing: for `host attest` and tests of attestation alone. */
export const NO_EXECUTIONS: Pick<RunnerPort, 'active' | 'renew' | 'end'> = {
  active: () => [],
  renew: () => Promise.resolve(),
  end: () => Promise.resolve(),
};
