import type { Refusal } from '../base/index.ts';
import type { Window } from './trust.ts';
import type { SignatureFormat } from './types.ts';

/** One signature that a trusted key really made over this artifact; whether it counts is for `judge.ts`. */
export interface SignedClaim {
  /** `sha256:` and the hex of the key's SPKI digest. */
  readonly key: string;
  readonly format: SignatureFormat;
  /** When the trust document lets this signer sign. */
  readonly signer: Window & { readonly name: string };
  /** The artifact's name as signed; CMS and SSHSIG sign none. */
  readonly name: string | undefined;
  readonly version: string | undefined;
  /** When it says that it was made, and when it says that it holds: Unix milliseconds. */
  readonly signedAt: number | undefined;
  readonly window: Window;
}

/** What came of one signature. */
export type Outcome = SignedClaim | Refusal;

/** For formats that sign content only. */
export const NO_STATEMENT = {
  name: undefined,
  version: undefined,
  signedAt: undefined,
  window: { notBefore: undefined, notAfter: undefined },
} as const;
