import { refuse } from '../../base/index.ts';
import type { CedarModule } from './load.ts';

/**
 * Calls the engine; anything that it throws (a trap, a full stack, a value that it can't read) is a refusal, after which
 * the instance must not be used again.
 * @throws Refusal `policy-engine`
 */
export function callEngine<T>(cedar: CedarModule, call: (cedar: CedarModule) => T): T {
  try {
    return call(cedar);
  } catch (error) {
    const kind = error instanceof Error ? error.name : typeof error;
    const message = error instanceof Error ? error.message : String(error);
    return refuse('policy-engine', `the policy engine failed: ${kind}: ${message}`, { kind });
  }
}
