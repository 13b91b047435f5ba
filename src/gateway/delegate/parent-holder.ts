import { createPrivateKey } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { makeHolderProof } from '../../authorization/index.ts';
import type { HolderBinding } from '../../authorization/index.ts';
import { refuse } from '../../base/index.ts';
import type { Prove, RunOrder } from '../run-order.ts';

/** Who starts an execution: its current authorization, and what proves that its key is held, request by request. */
export interface ParentHolder {
  /** As it is when the request is made: a renewal may have replaced it since the order came. */
  readonly authorization: () => string;
  readonly prove: (binding: HolderBinding) => Promise<string>;
  /** True when it is held elsewhere: what it is now is known by its next proof only. */
  readonly elsewhere: boolean;
}

/**
 * The parent that an order names, by the key that it brings, or by whoever asks: then the caller is told the request's
 * nonce and digest and answers with a proof.
 * @throws Refusal `run-order`, `parent-proof`
 */
export function namedParent({ parent, parentKey }: RunOrder, ask: Prove | undefined): ParentHolder | null {
  if (parent === null) return null;
  let current = parent;
  const authorization = (): string => current;
  if (parentKey !== null) {
    const key = holderKey(parentKey);
    return { authorization, prove: (binding) => makeHolderProof(binding, key), elsewhere: false };
  }
  if (ask === undefined)
    return refuse('parent-proof', 'a parent without its key, and nobody here who proves that it is held');
  return {
    authorization,
    elsewhere: true,
    prove: async (binding) => {
      const proved = await ask(binding);
      current = proved.authorization ?? current;
      return proved.proof;
    },
  };
}

/** A private key by which a holder proves itself: P-256, PKCS #8 PEM. @throws Refusal `run-order` */
export function holderKey(pem: string): KeyObject {
  try {
    const key = createPrivateKey(pem);
    if (key.asymmetricKeyDetails?.namedCurve === 'prime256v1') return key;
  } catch {
    // Refused below: what a key file holds is nobody's message.
  }
  return refuse('run-order', 'the key of initiator or parent is not a private P-256 key in PEM');
}
