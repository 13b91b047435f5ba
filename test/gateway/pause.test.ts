import { PassThrough } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { pauseAfter } from '../../src/gateway/run-io.ts';

const stream = () => new PassThrough();
const io = { streams: { stdin: stream(), stdout: stream(), stderr: stream() } };
const drawing = (byte: number) => ({ bytes: (length: number) => new Uint8Array(length).fill(byte) });
const timed = async (work: Promise<void>): Promise<number> => {
  const before = performance.now();
  await work;
  return performance.now() - before;
};

describe('the pause before something is asked for again', () => {
  it('gets longer with each attempt, and shorter by up to a half at random', async () => {
    expect(await timed(pauseAfter(1, io, drawing(0)))).toBeGreaterThan(95);
    expect(await timed(pauseAfter(2, io, drawing(0)))).toBeGreaterThan(195);
    const [half, whole] = await Promise.all([255, 0].map((byte) => timed(pauseAfter(4, io, drawing(byte)))));
    expect(half).toBeGreaterThan(395);
    expect((whole ?? 0) - (half ?? 0)).toBeGreaterThan(200);
  });

  it('ends when the caller is gone, and is none when it was gone before', async () => {
    const gone = new AbortController();
    const pause = pauseAfter(8, { ...io, signal: gone.signal }, drawing(0));
    gone.abort();
    const gave = timed(expect(pause).rejects.toMatchObject({ check: 'caller-gone' }));
    expect(await gave).toBeLessThan(6000);
    const again = pauseAfter(8, { ...io, signal: gone.signal }, drawing(0));
    await expect(again).rejects.toMatchObject({ check: 'caller-gone' });
  });
});
