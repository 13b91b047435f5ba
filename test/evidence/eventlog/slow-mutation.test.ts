import { describe, expect, it } from 'vitest';
import { mutations, realBoot, reported } from '../../support/eventlog-mutations.ts';

describe.each(['secure-boot', 'plain-boot', 'secure-boot-tampered-cmdline'])(
  'each bit of the log of %s',
  (name) => {
    it('is refused when flipped, or changes nothing that is reported', { timeout: 1_200_000 }, () => {
      const { log, values } = realBoot(name);
      const original = reported(log, values);
      expect(original).toBeDefined();
      for (const { what, bytes } of mutations(log, {
        stride: 1,
        headerStride: 1,
        pcrStride: 1,
        masks: [1, 2, 4, 8, 16, 32, 64, 128],
      })) {
        const now = reported(bytes, values);
        if (now !== undefined && now !== original) expect.fail(what);
      }
    });
  },
);
