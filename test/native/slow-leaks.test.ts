import { expect, it } from 'vitest';
import { TpmFixture } from './support/fixture.ts';
import { churn } from './support/holdings.ts';

const fixture = new TpmFixture({ clone: true });

it('10 000 operations, half of them failing, leave nothing behind', async () => {
  const { before, after } = await fixture.aside((swtpm) => churn(swtpm, 2000, 10_000));
  const { rss, ...held } = after;
  expect(held).toEqual({
    descriptors: before.descriptors,
    transient: before.transient,
    sessions: before.sessions,
  });
  expect(rss / before.rss).toBeLessThan(1.05);
});

it('2 000 operations under forced garbage collection take nothing that C still uses', async () => {
  const { before, after } = await fixture.aside((swtpm) => churn(swtpm, 20, 2000, 'gc'));
  expect(after).toMatchObject({ descriptors: before.descriptors, transient: before.transient, sessions: 0 });
});
