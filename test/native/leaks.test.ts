import { expect, it } from 'vitest';
import { TpmFixture } from './support/fixture.ts';
import { churn } from './support/holdings.ts';

const fixture = new TpmFixture({ clone: true });

it('5 000 operations, half of them failing, leave nothing behind', { timeout: 300_000 }, async () => {
  const { before, after } = await fixture.aside((swtpm) => churn(swtpm, 1000, 5000));
  const { rss, ...held } = after;
  expect(held).toEqual({
    descriptors: before.descriptors,
    transient: before.transient,
    sessions: before.sessions,
  });
  expect(rss / before.rss).toBeLessThan(1.05);
});

it(
  'garbage collected all the time, also during calls, takes nothing that C still uses',
  { timeout: 300_000 },
  async () => {
    const { before, after } = await fixture.aside((swtpm) => churn(swtpm, 20, 100, 'gc'));
    expect(after).toMatchObject({
      descriptors: before.descriptors,
      transient: before.transient,
      sessions: 0,
    });
  },
);
