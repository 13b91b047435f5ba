import { LIMITS, Refusal, parseJsonObject, refuse, shape, utf8 } from '../base/index.ts';
import type { JsonObject } from '../base/index.ts';
import { raiseHighWater, verifyManifest } from '../policy/index.ts';
import type { PolicyHighWater, VerifiedManifest, VerifiedTrustBundle } from '../policy/index.ts';
import { MEMORY_LOCK, withFileLock } from './file-lock.ts';
import { STATE_FILES } from './state-directory.ts';
import type { StateDirectory } from './state-directory.ts';

const seenShape = shape.object({ version: shape.integer(1), digest: shape.sha256Text });

/**
 * The highest policy version that this host accepted: what a verifier may not go back behind (`policy-rollback`). Beside it
 * the signed manifest of the last accepted policy, by which the host judges artifacts before it lets its kernel see them.
 */
export class PolicyMemory {
  readonly #state: StateDirectory;

  constructor(state: StateDirectory) {
    this.#state = state;
  }

  /** Undefined before the first policy. @throws Refusal `agent-state` */
  read(): PolicyHighWater | undefined {
    const bytes = this.#state.read(STATE_FILES.policySeen);
    if (bytes === undefined) return undefined;
    const limits = { maxBytes: 4096, maxDepth: 2, maxValues: 8 };
    const { version, digest } = seenShape(
      parseJsonObject(bytes, 'policy-seen', limits),
      'seen',
      (path, want) => refuse('agent-state', `${path} is not ${want}`, { file: STATE_FILES.policySeen }),
    );
    return { version, hash: digest };
  }

  /** Keeps a policy that was verified against {@link PolicyMemory.read}; an older one changes nothing. */
  async raise(policy: PolicyHighWater): Promise<void> {
    await this.#alone(() => {
      this.#raise(policy);
    });
  }

  /** What is read here is what is replaced: another process of this host may be at it. @throws Refusal `agent-lock` */
  async #alone<T>(task: () => T): Promise<T> {
    return await withFileLock(this.#state.at(MEMORY_LOCK), () => Promise.resolve().then(task));
  }

  #raise({ version, hash }: PolicyHighWater): void {
    const before = this.read();
    if (before !== undefined && before.version >= version) return;
    this.#state.write(STATE_FILES.policySeen, JSON.stringify({ version, digest: hash }));
  }

  /**
   * The last accepted manifest, verified again: authorities change, and policies end. Undefined when none is kept or it no
   * longer counts; then the verifier is asked for the one of now.
   */
  manifest({ authorities, trustDomain }: VerifiedTrustBundle, now: number): VerifiedManifest | undefined {
    const bytes = this.#state.read(STATE_FILES.policyManifest);
    if (bytes === undefined) return undefined;
    try {
      const trust = { authorities, trustDomain, highest: this.read() };
      return verifyManifest(bytes, trust, { now: () => now });
    } catch (error) {
      if (error instanceof Refusal) return undefined;
      throw error;
    }
  }

  /**
   * Verifies a policy by those who may make policy, and keeps it: signed by the pinned authorities, of this domain, in its
   * time, no older than any that was seen.
   * @param envelope the manifest as DSSE
   * @throws Refusal `policy-…`, `trust-document`, `malformed`, `agent-lock`
   */
  async accept(envelope: JsonObject, bundle: VerifiedTrustBundle, now: number): Promise<VerifiedManifest> {
    return await this.#alone(() => this.#accept(envelope, bundle, now));
  }

  #accept(envelope: JsonObject, bundle: VerifiedTrustBundle, now: number): VerifiedManifest {
    const { authorities, trustDomain } = bundle;
    const bytes = utf8(JSON.stringify(envelope));
    if (bytes.length > LIMITS.json) refuse('policy-manifest', 'the manifest is too large');
    const trust = { authorities, trustDomain, highest: this.read() };
    const verified = verifyManifest(bytes, trust, { now: () => now });
    const kept = this.manifest(bundle, now);
    // The high-water mark first: what is kept of a policy never counts for more than that.
    this.#raise(raiseHighWater(verified));
    if (kept?.manifest.hash !== verified.manifest.hash) this.#state.write(STATE_FILES.policyManifest, bytes);
    return verified;
  }
}
