import { describe, expect, it } from 'vitest';
import { CommandQueue } from '../../native/queue.ts';
import { Refusal } from '../../src/base/index.ts';
import { expectRejection } from '../support/refusals.ts';

const patient = { timeoutMs: 10_000 };
const nothing = (): void => undefined;

/** A job that ends when told to, and says when it began. */
function controlled(): { job: () => Promise<string>; end: () => void; began: () => boolean } {
  let end = nothing;
  let began = false;
  const ended = new Promise<string>((resolve) => {
    end = () => {
      resolve('done');
    };
  });
  const job = (): Promise<string> => {
    began = true;
    return ended;
  };
  return { job, end, began: () => began };
}

describe('the queue of a connection', () => {
  it('runs one job after the other', async () => {
    const queue = new CommandQueue(nothing);
    const first = controlled();
    const one = queue.run('one', first.job, patient);
    const second = controlled();
    const two = queue.run('two', second.job, patient);
    await Promise.resolve();
    expect([first.began(), second.began()]).toEqual([true, false]);
    first.end();
    expect(await one).toBe('done');
    second.end();
    expect(await two).toBe('done');
  });

  it('goes on after a job that failed', async () => {
    const queue = new CommandQueue(nothing);
    await expect(queue.run('bad', () => Promise.reject(new Error('no')), patient)).rejects.toThrow('no');
    await expect(
      queue.run(
        'worse',
        () => {
          throw new RangeError('not even started');
        },
        patient,
      ),
    ).rejects.toThrow(RangeError);
    expect(await queue.run('good', () => Promise.resolve(1), patient)).toBe(1);
    expect(queue.broken).toBeUndefined();
  });

  it('is broken by a job that takes too long: nobody waits, nothing starts', async () => {
    let woken = 0;
    const queue = new CommandQueue(() => woken++);
    const stuck = controlled();
    const waiting = controlled();
    const one = queue.run('stuck', stuck.job, { timeoutMs: 20 });
    const two = queue.run('waiting', waiting.job, patient);
    const refusal = await expectRejection('tpm-timeout', one);
    expect(refusal.reason).toBe('stuck: no answer within 20 ms');
    await expectRejection('tpm-timeout', two);
    await expectRejection('tpm-timeout', queue.run('late', waiting.job, patient));
    expect([woken, waiting.began()]).toEqual([1, false]);
    let idle = false;
    const becomesIdle = queue.idle().then(() => (idle = true));
    await new Promise((resolve) => setImmediate(resolve));
    expect(idle).toBe(false);
    stuck.end();
    await becomesIdle;
    expect(waiting.began()).toBe(false);
  });

  it('keeps the first reason that broke it', async () => {
    const queue = new CommandQueue(nothing);
    queue.break(new Refusal('tpm-closed', 'closed'));
    queue.break(new Refusal('tpm-timeout', 'late'));
    await expectRejection(
      'tpm-closed',
      queue.run('any', () => Promise.resolve(1), patient),
    );
  });

  it('does not start what was called off, and says why', async () => {
    const queue = new CommandQueue(nothing);
    const controller = new AbortController();
    const first = controlled();
    const one = queue.run('one', first.job, patient);
    const second = controlled();
    const two = queue.run('two', second.job, { ...patient, signal: controller.signal });
    controller.abort(new Error('changed my mind'));
    first.end();
    expect(await one).toBe('done');
    await expect(two).rejects.toThrow('changed my mind');
    expect(second.began()).toBe(false);
    const aborted = queue.run('three', second.job, { ...patient, signal: AbortSignal.abort('text') });
    await expect(aborted).rejects.toThrow('aborted');
  });
});
