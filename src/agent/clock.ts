import type { Clock } from '../base/index.ts';

/** The machine's clock: an agent is a process of its own, so time begins here where nobody gives one. */
export const systemClock: Clock = { now: () => new Date().getTime() };
