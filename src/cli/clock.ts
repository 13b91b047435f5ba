import type { Clock } from '../base/index.ts';

/** The machine's clock: the command line is a composition root, so time begins here. */
export const systemClock: Clock = { now: () => new Date().getTime() };
