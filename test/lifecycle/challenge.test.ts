import { describe, expect, it } from 'vitest';
import { fromBase64url, toBase64url } from '../../src/base/index.ts';
import type { ChallengeBinding, ChallengeKey } from '../../src/lifecycle/challenge.ts';
import { CHALLENGE_LIFETIME_MS, checkNonce, makeNonce } from '../../src/lifecycle/challenge.ts';
import { systemRandom } from '../support/random.ts';
import { expectRefusal } from '../support/refusals.ts';

const NOW = 1_800_000_000_000;
const key: ChallengeKey = { id: Uint8Array.of(0, 0, 0, 1), secret: new Uint8Array(32).fill(1) };
const older: ChallengeKey = { id: Uint8Array.of(0, 0, 0, 0), secret: new Uint8Array(32).fill(2) };
const binding: ChallengeBinding = {
  purpose: 'execution',
  hostId: 'a'.repeat(64),
  epoch: new Uint8Array(16).fill(3),
};
const nonce = makeNonce(key, binding, NOW, systemRandom);

describe('a challenge’s nonce', () => {
  it('is accepted in its time, also under the key before the current one', () => {
    checkNonce(nonce, [key], binding, NOW);
    checkNonce(nonce, [older, key], binding, NOW + CHALLENGE_LIFETIME_MS - 1);
  });

  it('is never the same twice', () => {
    const many = new Set(Array.from({ length: 1000 }, () => makeNonce(key, binding, NOW, systemRandom)));
    expect(many.size).toBe(1000);
    expect(fromBase64url(nonce)).toHaveLength(61);
  });

  it.each<[string, Partial<ChallengeBinding>]>([
    ['another purpose', { purpose: 'attestation' }],
    ['another host', { hostId: 'b'.repeat(64) }],
    ['another epoch', { epoch: new Uint8Array(16).fill(4) }],
    ['no epoch', { epoch: new Uint8Array() }],
  ])('is refused for %s', (_name, change) => {
    expectRefusal('e2', () => {
      checkNonce(nonce, [key], { ...binding, ...change }, NOW);
    });
  });

  it('is refused under other keys, and under none', () => {
    expectRefusal('e2', () => {
      checkNonce(nonce, [{ ...key, secret: older.secret }], binding, NOW);
    });
    expectRefusal('e2', () => {
      checkNonce(nonce, [older], binding, NOW);
    });
    expectRefusal('e2', () => {
      checkNonce(nonce, [], binding, NOW);
    });
  });

  it('is refused after its time and before it', () => {
    expectRefusal('nonce-expired', () => {
      checkNonce(nonce, [key], binding, NOW + CHALLENGE_LIFETIME_MS);
    });
    expectRefusal('nonce-expired', () => {
      checkNonce(nonce, [key], binding, NOW - 1);
    });
  });

  it('is refused with any bit changed, cut or extended', () => {
    const bytes = fromBase64url(nonce);
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      const changed = Uint8Array.from(bytes);
      changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      expect(() => {
        checkNonce(toBase64url(changed), [key], binding, NOW);
      }, String(bit)).toThrow();
    }
    expectRefusal('malformed', () => {
      checkNonce(toBase64url(bytes.slice(1)), [key], binding, NOW);
    });
    expectRefusal('malformed', () => {
      checkNonce(toBase64url(Uint8Array.of(...bytes, 0)), [key], binding, NOW);
    });
    expectRefusal('malformed', () => {
      checkNonce('A'.repeat(200), [key], binding, NOW);
    });
    expectRefusal('malformed', () => {
      checkNonce(`${nonce}=`, [key], binding, NOW);
    });
  });
});
