import { LIMITS, parseJson, refuse, utf8 } from '../base/index.ts';
import type { JsonValue } from '../base/index.ts';
import { openFirstTrustBundle, verifyTrustChain } from '../policy/index.ts';
import type { VerifiedTrustBundle } from '../policy/index.ts';
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
    const bytes =
      state.read(STATE_FILES.trustBundles) ??
      refuse('agent-state', 'the state directory has no trust bundle');
    const limits = { maxBytes: MAX_BYTES, maxDepth: 6 };
    const envelopes = parseJson(bytes, STATE_FILES.trustBundles, limits);
    if (!Array.isArray(envelopes)) return refuse('agent-state', 'trust bundles are not a list');
    // What Array.isArray leaves of a JsonValue are its lists.
    const list = envelopes as TrustEnvelopes;
    return new TrustMemory(state, list, verifyEnvelopes(list, trustDomain));
  }

  get current(): VerifiedTrustBundle {
    return this.#current;
  }

  /** How the chain goes on. @throws Refusal; none of a broken chain is believed or kept */
  advance(envelopes: TrustEnvelopes): VerifiedTrustBundle {
    const next = verifyTrustChain(this.#current, envelopes.map(envelopeBytes));
    const all = [...this.#envelopes, ...envelopes];
    this.#state.write(STATE_FILES.trustBundles, JSON.stringify(all));
    this.#envelopes = all;
    this.#current = next;
    return next;
  }
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
