import { describe, expect, it } from 'vitest';
import { COMMIT_CHECKS, MOVED_CHECKS } from '../../src/audit/index.ts';
import { VerifierRefusal, movedMeanwhile } from '../../src/client/index.ts';
import { Refusal } from '../../src/base/index.ts';

const denied = (check: string) =>
  new VerifierRefusal({ ...{ stage: 'audit', code: 'x', reason: 'x', remedy: '' }, check, detail: {} }, 403);

describe('a denial at the commit', () => {
  it('is asked again when something moved, and for nothing else', () => {
    const again = [...COMMIT_CHECKS].filter((check) => movedMeanwhile(denied(check)));
    expect(again).toEqual([...MOVED_CHECKS]);
    expect(again).toEqual(['state-moved', 'policy-moved', 'revoked-meanwhile']);
  });

  it('is the verifier’s: what this program refused by itself is not asked again', () => {
    expect(movedMeanwhile(new Refusal('state-moved', 'x'))).toBe(false);
  });
});
