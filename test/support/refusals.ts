import { expect } from 'vitest';
import { Refusal } from '../../src/base/index.ts';

/** Runs `action`, which must refuse with `check`; returns the refusal for further assertions. */
export function expectRefusal(check: string, action: () => unknown): Refusal {
  let value: unknown;
  try {
    value = action();
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    expect(error.check, error.message).toBe(check);
    return error;
  }
  throw new Error(`expected a refusal ${check}, got ${JSON.stringify(value)}`);
}

/** Awaits a promise that must reject with a refusal of `check`; returns the refusal. */
export async function expectRejection(check: string, promise: Promise<unknown>): Promise<Refusal> {
  let value: unknown;
  try {
    value = await promise;
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    expect(error.check, error.message).toBe(check);
    return error;
  }
  throw new Error(`expected a refusal ${check}, got ${String(value)}`);
}
