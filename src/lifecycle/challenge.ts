import { createHmac } from 'node:crypto';
import type { Random } from '../base/index.ts';
import {
  Reader,
  Writer,
  equalBytes,
  fromBase64url,
  fromHex,
  refuse,
  toBase64url,
  utf8,
} from '../base/index.ts';

/** What a challenge may be answered with. A nonce of one purpose is never good for the other. */
export type ChallengePurpose = 'execution' | 'attestation';

/** A key that makes and checks nonces; replicas share it, rotation keeps the one before. */
export interface ChallengeKey {
  /** 4 bytes. */
  readonly id: Uint8Array;
  /** 32 bytes. */
  readonly secret: Uint8Array;
}

/** What a nonce is bound to besides its own bytes. */
export interface ChallengeBinding {
  readonly purpose: ChallengePurpose;
  /** 64 hex digits. */
  readonly hostId: string;
  /** The store's epoch: a restored store accepts no nonce of its earlier life. */
  readonly epoch: Uint8Array;
}

/** What a checked nonce says of the challenge that it is: nothing of it comes from a request. */
export interface IssuedChallenge {
  readonly purpose: ChallengePurpose;
  /** The host that it was made for, as the MAC proves. */
  readonly issuedTo: string;
  /** Unix ms. */
  readonly expiresAt: number;
  /** Bytes that nobody can guess: the random part and the MAC. */
  readonly strength: number;
}

/** How long a nonce may be answered, in milliseconds. */
export const CHALLENGE_LIFETIME_MS = 60_000;

/** Unix ms at which a challenge was issued. */
export const issuedAtOf = ({ expiresAt }: IssuedChallenge): number => expiresAt - CHALLENGE_LIFETIME_MS;
const VERSION = 1;
const SIZE = { keyId: 4, random: 16, mac: 32, nonce: 1 + 4 + 16 + 8 + 32 };

/**
 * A fresh nonce: version ‖ key id ‖ 16 random bytes ‖ issuedAt ‖ HMAC-SHA-256 (61 bytes, base64url). The verifier
 * stores nothing for it until it is presented.
 * @param now Unix time in milliseconds
 */
export function makeNonce(key: ChallengeKey, binding: ChallengeBinding, now: number, random: Random): string {
  const open = new Writer()
    .u8(VERSION)
    .bytes(key.id)
    .bytes(random.bytes(SIZE.random))
    .u64(BigInt(now))
    .finish();
  return toBase64url(
    new Writer()
      .bytes(open)
      .bytes(mac(key, binding, open))
      .finish(),
  );
}

/**
 * Checks that this verifier issued the nonce, for this purpose, host and epoch, and that it is in its time. That it is
 * used once is decided by the ledger, not here.
 * @returns the challenge that the MAC proves, for the check of the quote that answers it (e2)
 * @throws Refusal `e2` (not ours), `nonce-expired`, `malformed`
 */
export function checkNonce(
  nonce: string,
  keys: readonly ChallengeKey[],
  binding: ChallengeBinding,
  now: number,
): IssuedChallenge {
  const { id, issuedAt, open, code } = readNonce(nonce);
  const key = keys.find((candidate) => equalBytes(candidate.id, id));
  if (key === undefined || !equalBytes(mac(key, binding, open), code)) {
    refuse('e2', 'this verifier did not issue the nonce for this host and purpose');
  }
  return inItsTime(issuedAt, binding, now);
}

/**
 * The part of {@link checkNonce} that needs no key: for who repeats a decision, and believes the verifier's log that
 * the nonce was the verifier's. Never for a request that came.
 * @throws Refusal `nonce-expired`, `malformed`
 */
export function unkeyedNonce(
  nonce: string,
  binding: Pick<ChallengeBinding, 'purpose' | 'hostId'>,
  now: number,
): IssuedChallenge {
  return inItsTime(readNonce(nonce).issuedAt, binding, now);
}

/** A nonce taken apart; nothing of it is believed. */
function readNonce(nonce: string): {
  readonly id: Uint8Array;
  readonly issuedAt: number;
  /** What the MAC is over. */
  readonly open: Uint8Array;
  readonly code: Uint8Array;
} {
  if (nonce.length > 128) refuse('malformed', 'nonce: too long');
  const reader = new Reader(fromBase64url(nonce, 'nonce'), 'nonce');
  if (reader.remaining !== SIZE.nonce) reader.malformed(`not ${String(SIZE.nonce)} bytes`);
  if (reader.u8() !== VERSION) reader.malformed('unknown version');
  const id = reader.bytes(SIZE.keyId);
  reader.bytes(SIZE.random);
  const issuedAt = Number(reader.u64());
  const open = reader.consumed();
  return { id, issuedAt, open, code: reader.bytes(SIZE.mac) };
}

/** @throws Refusal `nonce-expired` */
function inItsTime(
  issuedAt: number,
  { purpose, hostId }: Pick<ChallengeBinding, 'purpose' | 'hostId'>,
  now: number,
): IssuedChallenge {
  if (now < issuedAt || now >= issuedAt + CHALLENGE_LIFETIME_MS) {
    refuse('nonce-expired', 'the nonce is out of its time', { issuedAt, now });
  }
  return {
    purpose,
    issuedTo: hostId,
    expiresAt: issuedAt + CHALLENGE_LIFETIME_MS,
    strength: SIZE.random + SIZE.mac,
  };
}

/** Each field has a fixed length or a length before it, so no two bindings give the same bytes. */
function mac(key: ChallengeKey, { purpose, hostId, epoch }: ChallengeBinding, open: Uint8Array): Uint8Array {
  const bound = new Writer()
    .sized16(utf8('sealgate/challenge/v1'))
    .sized16(utf8(purpose))
    .sized16(fromHex(hostId, 'hostId'))
    .sized16(epoch)
    .sized16(open)
    .finish();
  return new Uint8Array(createHmac('sha256', key.secret).update(bound).digest());
}
