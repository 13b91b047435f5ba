import { LIMITS, parseJson, refuse, utf8 } from '../base/index.ts';
import type { JsonValue } from '../base/index.ts';
import { openFirstTrustBundle, verifyTrustChain } from '../policy/index.ts';
import type { VerifiedTrustBundle } from '../policy/index.ts';
import { MEMORY_LOCK, withFileLock } from './file-lock.ts';
import { STATE_FILES } from './state-directory.ts';
import type { StateDirectory } from './state-directory.ts';

/** DSSE envelopes of trust bundles, oldest first. */
export type TrustEnvelopes = readonly JsonValue[];

const MAX_BYTES = 4 * 1024 * 1024;

/**
 * The chain from version 1, which is pinned at enrollment, to the newest: each version signed by the threshold that the
 * one before names. The whole chain is verified each time it is read.
 */
export class TrustMemory {
  readonly #state: StateDirectory;
  #envelopes: TrustEnvelopes;
  #current: VerifiedTrustBundle;

  private constructor(state: StateDirectory, envelopes: TrustEnvelopes, current: VerifiedTrustBundle) {
    this.#state = state;
    this.#envelopes = envelopes;
    this.#current = current;
  }

  /** @throws Refusal `agent-state`, and those of `openFirstTrustBundle` and `verifyTrustChain` */
  static read(state: StateDirectory, trustDomain: string): TrustMemory {
    const { envelopes, current } = readChain(state, trustDomain);
    return new TrustMemory(state, envelopes, current);
  }

  get current(): VerifiedTrustBundle {
    return this.#current;
  }

  /**
   * How the chain goes on. What another process of this host kept meanwhile is gone on from, and a chain that is longer
   * than this one stays.
   * @throws Refusal, `agent-lock`; none of a broken chain is believed or kept, nor another chain than the one that is kept
   */
  async advance(envelopes: TrustEnvelopes): Promise<VerifiedTrustBundle> {
    return await withFileLock(this.#state.at(MEMORY_LOCK), () =>
      Promise.resolve().then(() => this.#advance(envelopes)),
    );
  }

  #advance(envelopes: TrustEnvelopes): VerifiedTrustBundle {
    const next = verifyTrustChain(this.#current, envelopes.map(envelopeBytes));
    const { trustDomain } = next;
    const all = [...this.#envelopes, ...envelopes];
    const kept = readChain(this.#state, trustDomain);
    // Each envelope is one version, from 1 on.
    const [shorter, longer] =
      kept.envelopes.length < all.length ? [kept.envelopes, all] : [all, kept.envelopes];
    const own = shorter === all ? next : kept.current;
    if (verifyEnvelopes(longer.slice(0, shorter.length), trustDomain).digest !== own.digest)
      refuse('trust-bundle-chain', 'this host keeps another chain of trust bundles', {
        version: own.version,
      });
    if (longer === all) this.#state.write(STATE_FILES.trustBundles, JSON.stringify(all));
    this.#envelopes = longer;
    this.#current = longer === all ? next : kept.current;
    return this.#current;
  }
}

interface Chain {
  readonly envelopes: TrustEnvelopes;
  readonly current: VerifiedTrustBundle;
}

function readChain(state: StateDirectory, trustDomain: string): Chain {
  const bytes =
    state.read(STATE_FILES.trustBundles) ?? refuse('agent-state', 'the state directory has no trust bundle');
  const limits = { maxBytes: MAX_BYTES, maxDepth: 6 };
  const list = parseJson(bytes, STATE_FILES.trustBundles, limits);
  if (!Array.isArray(list)) return refuse('agent-state', 'trust bundles are not a list');
  // What Array.isArray leaves of a JsonValue are its lists.
  const envelopes = list as TrustEnvelopes;
  return { envelopes, current: verifyEnvelopes(envelopes, trustDomain) };
}

/** The newest trust bundle of a chain from version 1. @throws Refusal */
export function verifyEnvelopes(envelopes: TrustEnvelopes, trustDomain: string): VerifiedTrustBundle {
  const [first, ...next] = envelopes.map(envelopeBytes);
  if (first === undefined) return refuse('trust-bundle-chain', 'there is no trust bundle');
  return verifyTrustChain(openFirstTrustBundle(first, trustDomain), next);
}

function envelopeBytes(envelope: JsonValue): Uint8Array {
  const bytes = utf8(JSON.stringify(envelope));
  if (bytes.length > LIMITS.signature) refuse('trust-bundle-form', 'a trust bundle is too large');
  return bytes;
}
