import type { KeyObject } from 'node:crypto';
import type { Host } from '../agent/index.ts';
import type { ActiveExecution, ExecutionDenial, RenewedExecution } from '../agent/runner-port.ts';
import { makeHolderProof, makeOutcomeReport, parseClaims } from '../authorization/index.ts';
import type { AuthorizationClaims, HolderBinding, OutcomeReport } from '../authorization/index.ts';
import { Refusal, fromBase64url, refuse } from '../base/index.ts';
import type { Clock } from '../base/index.ts';
import type { RenewSignal } from '../client/index.ts';
import { reportOutcome } from '../client/agent-api.ts';
import type { Child, ChildEnd } from './confine/child.ts';
import { credentialFiles } from './credentials/credential-files.ts';
import type { CredentialsDirectory } from './credentials/credentials-dir.ts';

/** Why children end that would go on by themselves. */
const PARENT_ENDED = new Refusal('parent-ended', 'the execution that started it has ended');

/** How long a child gets between TERM and KILL. */
const GRACE_MS = 10_000;

/** What an execution under way consists of. */
export interface ExecutionParts {
  readonly host: () => Promise<Host>;
  readonly executionId: string;
  readonly workload: KeyObject;
  readonly credentials: CredentialsDirectory;
  readonly asked: readonly string[];
  readonly claims: AuthorizationClaims;
  /** The artifact that those are of. */
  readonly authorization: string;
  readonly child: Child;
  readonly clock: Clock;
  /** Sent to the child after each renewal, when its files are there. */
  readonly onRenew?: RenewSignal | undefined;
  readonly graceMs?: number;
}

/** An execution under way: renewed by attestations, ended by them or by its time. */
export class Execution {
  readonly #parts: ExecutionParts;
  #claims: AuthorizationClaims;
  #authorization: string;
  readonly #over = new AbortController();
  #sequence = 0;
  #timer: NodeJS.Timeout;
  #denial: ExecutionDenial | null = null;
  #kill: NodeJS.Timeout | undefined;
  #childEnded = false;

  constructor(parts: ExecutionParts) {
    this.#parts = parts;
    this.#claims = parts.claims;
    this.#authorization = parts.authorization;
    this.#timer = this.#expire();
  }

  get id(): string {
    return this.#parts.executionId;
  }

  /** Why it was ended; null when it ended by itself. */
  get denial(): ExecutionDenial | null {
    return this.#denial;
  }

  /** The current authorization, renewals included, and what it says. */
  get authorization(): string {
    return this.#authorization;
  }
  get claims(): AuthorizationClaims {
    return this.#claims;
  }

  /** Names of its credentials. */
  get credentials(): readonly string[] {
    return this.#parts.asked;
  }

  /** Fires when it ends or is ended: its children end with it. */
  get over(): AbortSignal {
    return this.#over.signal;
  }

  /** A proof that its workload key is here. @throws Refusal `parent-ended` when it has ended */
  async prove(binding: HolderBinding): Promise<string> {
    if (this.over.aborted) refuse('parent-ended', 'the execution that starts it has ended');
    return await makeHolderProof(binding, this.#parts.workload);
  }

  /** As the next attestation names it. */
  active(): ActiveExecution {
    const { jti, iat, exp } = this.#claims;
    const { executionId, workload, host } = this.#parts;
    return {
      executionId,
      jti,
      sequence: this.#sequence,
      issued: iat * 1000,
      expires: exp * 1000,
      prove: (binding) => makeHolderProof(binding, workload),
      claims: this.#claims,
      lost: async () => {
        await tellOutcome(await host(), { executionId, event: 'ended', reason: 'release-lost' }, workload);
      },
    };
  }

  /** Puts a renewed authorization and its credentials in place; the agent has judged them. */
  async renew({ authorization, credentials }: RenewedExecution): Promise<void> {
    const { host, workload, asked, onRenew } = this.#parts;
    const { trust } = await host();
    // Ended while the attestation was under way: what was renewed is for nobody.
    if (this.#denial !== null || this.#childEnded) return;
    const svidCas = trust.cas.svid;
    const names = credentials.length === 0 ? [] : asked;
    await this.#parts.credentials.write(
      credentialFiles(credentials, names, { authorization, workload, svidCas }),
    );
    this.#claims = parseClaims(fromBase64url(authorization.split('.')[1] ?? '', 'authorization'));
    this.#authorization = authorization;
    this.#sequence++;
    clearTimeout(this.#timer);
    this.#timer = this.#expire();
    // Now that all of it is there. What was told to end meanwhile has nothing left to read.
    if (onRenew !== undefined && !this.over.aborted) this.signal(`SIG${onRenew}`);
  }

  /** TERM, and after a grace KILL; its credentials are gone at once. What has ended by itself stays so. */
  async end(reason: ExecutionDenial): Promise<void> {
    if (!this.#childEnded) this.#stop(reason);
    await this.#parts.credentials.wipe();
  }

  #stop(reason: ExecutionDenial): void {
    this.#denial ??= reason;
    this.#over.abort(PARENT_ENDED);
    this.signal('SIGTERM');
    this.#kill ??= setTimeout(() => {
      this.signal('SIGKILL');
    }, this.#parts.graceMs ?? GRACE_MS);
  }

  signal(signal: NodeJS.Signals): void {
    this.#parts.child.kill(signal);
  }

  /** When the child has ended. */
  async ended(): Promise<ChildEnd> {
    try {
      return await this.#parts.child.ended;
    } finally {
      this.#childEnded = true;
      this.#over.abort(PARENT_ENDED);
      clearTimeout(this.#timer);
      clearTimeout(this.#kill);
    }
  }

  /** Nothing runs past its authorization. */
  #expire(): NodeJS.Timeout {
    const left = this.#claims.exp * 1000 - this.#parts.clock.now();
    const timer = setTimeout(
      () => {
        // What could not be wiped is wiped once more when the run ends; a timer has nobody to tell.
        this.end({ check: 'expired', reason: 'the authorization ended and was not renewed' }).catch(
          () => undefined,
        );
      },
      Math.max(0, left),
    );
    // It must not keep a process that is done.
    timer.unref();
    return timer;
  }
}

/** Reports an outcome by the workload key. @throws VerifierRefusal; Refusal `verifier-unreachable` */
export async function tellOutcome(
  host: Host,
  report: Omit<OutcomeReport, 'aud'>,
  workload: KeyObject,
): Promise<void> {
  const proof = await makeOutcomeReport({ aud: host.identity.trustDomain, ...report }, workload);
  await reportOutcome(host.client, report.executionId, report.event, proof);
}
