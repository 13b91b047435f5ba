import type { Outcome } from '../../../src/authorization/index.ts';
import type { Json } from './world.ts';

/** One vector: its outcome, its name, why it is there, and what it is made of. */
export type Case = readonly [outcome: Outcome, name: string, description: string, vector: Json];
