import { describe, expect, it } from 'vitest';
import { Refusal, refuse } from '../../src/base/index.ts';

describe('Refusal', () => {
  it('carries check, reason, detail', () => {
    const error = new Refusal('e13', 'no magic', { offset: 0 });
    expect(error).toMatchObject({
      name: 'Refusal',
      check: 'e13',
      reason: 'no magic',
      detail: { offset: 0 },
      message: 'e13: no magic',
    });
    expect(() => refuse('e13', 'no magic')).toThrow(Refusal);
  });

  it('joins all failures of a stage, the first one speaks', () => {
    const joined = Refusal.join([new Refusal('a', '1'), new Refusal('b', '2')]);
    expect(joined.check).toBe('a');
    expect(joined.failures.map((failure) => failure.check)).toEqual(['a', 'b']);
  });

  it('an empty list is a programming error, never a pass', () => {
    expect(() => Refusal.join([])).toThrow(TypeError);
  });
});
