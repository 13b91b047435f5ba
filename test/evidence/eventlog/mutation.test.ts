import { describe, expect, it } from 'vitest';
import { mutations, realBoot, reported } from '../../support/eventlog-mutations.ts';

// Steps through the bytes here; slow-mutation.test.ts takes every byte and every bit.
describe.each(['secure-boot', 'plain-boot'])('each single change to the log of %s', (name) => {
  it('is refused, or changes nothing that is reported', () => {
    const { log, values } = realBoot(name);
    const original = reported(log, values);
    expect(original).toBeDefined();
    let refused = 0;
    const survived: string[] = [];
    for (const { what, bytes } of mutations(log, {
      stride: 211,
      headerStride: 29,
      pcrStride: 5,
      masks: [1],
    })) {
      const now = reported(bytes, values);
      if (now === undefined) refused++;
      else if (now !== original) survived.push(what);
    }
    expect(survived).toEqual([]);
    expect(refused).toBeGreaterThan(1000);
  });
});
