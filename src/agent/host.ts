import { VerifierClient } from '../client/index.ts';
import { fromUtf8, refuse } from '../base/index.ts';
import type { Clock } from '../base/index.ts';
import type { VerifiedTrustBundle } from '../policy/index.ts';
import type { PcrSelection } from '../tpm/index.ts';
import type { Session, Tpm, TpmObject } from '../../native/index.ts';
import { systemClock } from './clock.ts';
import { CheckpointMemory } from './checkpoint-memory.ts';
import { evidenceLogs } from './evidence-logs.ts';
import type { EvidenceLogs, LogPaths } from './evidence-logs.ts';
import { withFileLock } from './file-lock.ts';
import { nameBytes, readIdentity } from './host-identity.ts';
import type { HostIdentity } from './host-identity.ts';
import { openTpm } from './open-tpm.ts';
import { PolicyMemory } from './policy-memory.ts';
import { quoteWithValues } from './quote.ts';
import type { HostQuote } from './quote.ts';
import { DEFAULT_STATE, STATE_FILES, StateDirectory } from './state-directory.ts';
import { TrustMemory } from './trust-memory.ts';
import type { TrustEnvelopes } from './trust-memory.ts';

/** Which host; what isn't given is as enrollment wrote it. */
export interface HostOptions extends Partial<LogPaths> {
  /** State directory; default `/var/lib/sealgate`. */
  readonly state?: string;
  readonly tcti?: string;
  /** For the verifier's TLS certificate; default the machine's. */
  readonly clock?: Clock;
}

/** A task's TPM while it has the lock: no command is sent after the lock's 30 s. */
export interface LockedTpm {
  readonly tpm: Tpm;
  readonly signal: AbortSignal;
}

/**
 * An enrolled host: its TPM with the enrolled AK, its verifier, and what it remembers of it. Made by {@link openHost};
 * `await using` closes the TPM.
 */
export class Host implements AsyncDisposable {
  readonly identity: HostIdentity;
  readonly state: StateDirectory;
  readonly tpm: Tpm;
  /** Its authValue is set. */
  readonly ak: TpmObject;
  readonly checkpoint: CheckpointMemory;
  readonly policySeen: PolicyMemory;
  readonly #trust: TrustMemory;
  readonly #logs: LogPaths;
  readonly #clock: Clock;
  #client: VerifierClient;

  /** @internal use {@link openHost} */
  constructor(parts: {
    readonly identity: HostIdentity;
    readonly state: StateDirectory;
    readonly tpm: Tpm;
    readonly ak: TpmObject;
    readonly trust: TrustMemory;
    readonly client: VerifierClient;
    readonly logs: LogPaths;
    readonly clock: Clock;
  }) {
    this.identity = parts.identity;
    this.state = parts.state;
    this.tpm = parts.tpm;
    this.ak = parts.ak;
    this.#trust = parts.trust;
    this.#client = parts.client;
    this.#logs = parts.logs;
    this.#clock = parts.clock;
    this.checkpoint = new CheckpointMemory(parts.state, () => this.trust);
    this.policySeen = new PolicyMemory(parts.state);
  }

  /** The verifier, by the agent certificate of now. */
  get client(): VerifierClient {
    return this.#client;
  }

  /** The newest trust bundle that the pinned one leads to. */
  get trust(): VerifiedTrustBundle {
    return this.#trust.current;
  }

  /** Walks the chain on. @throws Refusal; then the bundle stays the one before */
  async advanceTrust(envelopes: TrustEnvelopes): Promise<VerifiedTrustBundle> {
    return await this.#trust.advance(envelopes);
  }

  /** Keeps a renewed agent certificate, which the caller has judged, and speaks by it from now on. */
  async renewCertificate(pem: string): Promise<void> {
    this.state.write(STATE_FILES.agentCertificate, pem);
    const before = this.#client;
    this.#client = await connectAsAgent(this.identity, this.state, this.#clock);
    await before.close();
  }

  /**
   * Runs a task while nobody else of this host uses the TPM for an execution or attestation: across processes, waited
   * for and held for at most 30 s. What goes from the reset of PCR 23 to unsealing, and from reading the checkpoint to
   * advancing it, is inside one such task.
   * @throws Refusal `agent-lock`
   */
  async withTpmLock<T>(task: (locked: LockedTpm) => Promise<T>): Promise<T> {
    return await withFileLock(this.state.at('tpm.lock'), (signal) =>
      task({ tpm: this.tpm.abortable(signal), signal }),
    );
  }

  /**
   * Quotes by the AK, its authValue proved in a session that is salted to the enrolled EK.
   * @param qualifyingData 32 bytes
   * @throws Refusal `tpm-pcr`, `tpm-ek-mismatch`; TpmError
   */
  async quoteNow(selection: PcrSelection, qualifyingData: Uint8Array, tpm = this.tpm): Promise<HostQuote> {
    await using session = await this.#saltedSession(tpm, 'hmac');
    return await quoteWithValues(tpm, this.ak, session, selection, qualifyingData);
  }

  /**
   * A policy session that a sealed release can be made for: SHA-256, salted to the enrolled EK. Its nonceTPM goes into the
   * request; `openSealed` uses it up.
   */
  async releaseSession(tpm = this.tpm): Promise<Session> {
    return await this.#saltedSession(tpm, 'policy');
  }

  /** The host's measured logs, read when asked. */
  evidenceLogs(): EvidenceLogs {
    return evidenceLogs(this.#logs);
  }

  /** Disconnects from TPM and verifier. May be called again. */
  async close(): Promise<void> {
    await this.#client.close();
    await this.tpm.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #saltedSession(tpm: Tpm, type: 'hmac' | 'policy'): Promise<Session> {
    const { ekTemplate, ekName } = this.identity;
    await using ek = await tpm.endorsementKey(ekTemplate, { name: nameBytes(ekName) });
    return await tpm.startSession({ type, salt: ek });
  }
}

/**
 * Opens the host that a state directory describes: every file's mode judged, the trust bundles' chain verified, the AK
 * at its handle compared with the enrolled one.
 * @throws Refusal `agent-not-enrolled`, `agent-state`, `secret-file`, `trust-bundle-…`, `tpm-…`; TpmError
 */
export async function openHost(options: HostOptions = {}): Promise<Host> {
  const state = StateDirectory.open(options.state ?? DEFAULT_STATE);
  const identity = readIdentity(state);
  const trust = TrustMemory.read(state, identity.trustDomain);
  const clock = options.clock ?? systemClock;
  const client = await connectAsAgent(identity, state, clock);
  const tpm = await openTpm(options.tcti ?? identity.tcti);
  try {
    const auth = required(state, STATE_FILES.akAuth);
    const ak = await tpm.openAttestationKey(identity.akHandle, auth, nameBytes(identity.akName));
    const { eventLog = identity.eventLog, imaList = identity.imaList } = options;
    return new Host({ identity, state, tpm, ak, trust, client, logs: { eventLog, imaList }, clock });
  } catch (error) {
    await tpm.close();
    await client.close();
    throw error;
  }
}

async function connectAsAgent(
  { url, caFingerprint }: HostIdentity,
  state: StateDirectory,
  clock: Clock,
): Promise<VerifierClient> {
  return await VerifierClient.connect({
    url,
    caFingerprint,
    clock,
    certificatePem: fromUtf8(required(state, STATE_FILES.agentCertificate), 'agent certificate'),
    keyPem: fromUtf8(required(state, STATE_FILES.agentKey), 'agent key'),
  });
}

function required(state: StateDirectory, name: string): Uint8Array {
  return (
    state.read(name) ??
    refuse('agent-state', `the state directory has no ${name}`, { directory: state.path, file: name })
  );
}
