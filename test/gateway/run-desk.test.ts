import { expect, it } from 'vitest';
import { RunDesk } from '../../src/gateway/run-desk.ts';
import { expectRejection } from '../support/refusals.ts';

/** A task that ends when it is told to. */
function held(): { task: () => Promise<string>; end: () => void } {
  let end: () => void = () => undefined;
  const ended = new Promise<void>((resolve) => (end = resolve));
  return {
    task: () => ended.then(() => 'ended'),
    end: () => {
      end();
    },
  };
}

it('one user has so many runs at one time and no more; others are not concerned', async () => {
  const desk = new RunDesk({ runs: 2 });
  const runs = [held(), held()];
  const running = runs.map(({ task }) => desk.run(1000, task));
  await expectRejection(
    'run-limit',
    desk.run(1000, () => Promise.resolve('never')),
  );
  expect(await desk.run(1001, () => Promise.resolve('another'))).toBe('another');
  runs[0]?.end();
  expect(await running[0]).toBe('ended');
  expect(await desk.run(1000, () => Promise.resolve('next'))).toBe('next');
  // Also one that fails gives its place back.
  await expect(desk.run(1000, () => Promise.reject(new Error('failed')))).rejects.toThrow('failed');
  expect(await desk.run(1000, () => Promise.resolve('next'))).toBe('next');
  runs[1]?.end();
  await running[1];
});

it('all users together have no more runs than one attestation can name', async () => {
  const desk = new RunDesk();
  const runs = Array.from({ length: 256 }, () => held());
  const running = runs.map(({ task }, i) => desk.run(1000 + (i % 8), task));
  await expectRejection(
    'run-limit',
    desk.run(2000, () => Promise.resolve('never')),
  );
  for (const { end } of runs) end();
  await Promise.all(running);
  expect(await desk.run(2000, () => Promise.resolve('next'))).toBe('next');
});

it('users take turns, whoever asks most often; one at a time', async () => {
  const desk = new RunDesk();
  const order: string[] = [];
  let inside = 0;
  const first = held();
  const ask = (uid: number, name: string): Promise<void> =>
    desk.turn(uid, async () => {
      expect(++inside).toBe(1);
      order.push(name);
      if (name === 'a1') await first.task();
      await new Promise((resolve) => setImmediate(resolve));
      inside--;
    });
  const all = [
    ask(1, 'a1'),
    ask(1, 'a2'),
    ask(1, 'a3'),
    ask(1, 'a4'),
    ask(2, 'b1'),
    ask(3, 'c1'),
    ask(2, 'b2'),
  ];
  first.end();
  await Promise.all(all);
  expect(order).toEqual(['a1', 'a2', 'b1', 'c1', 'a3', 'b2', 'a4']);
  // A task that fails hands the turn on.
  await expect(desk.turn(1, () => Promise.reject(new Error('failed')))).rejects.toThrow('failed');
  expect(await desk.turn(2, () => Promise.resolve('next'))).toBe('next');
});

it('the queue is bounded, for all and for each', async () => {
  const desk = new RunDesk({ waiting: 3, waitingOfOne: 2 });
  const first = held();
  const busy = desk.turn(1, first.task);
  const nothing = (): Promise<void> => Promise.resolve();
  const waiting = [desk.turn(1, nothing), desk.turn(1, nothing)];
  await expectRejection('run-queue', desk.turn(1, nothing));
  waiting.push(desk.turn(2, nothing));
  await expectRejection('run-queue', desk.turn(3, nothing));
  first.end();
  await Promise.all([busy, ...waiting]);
  await desk.turn(3, nothing);
});
