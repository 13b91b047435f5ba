import { parseJsonObject, refuse, shape } from '../base/index.ts';
import type { PolicyHighWater } from '../policy/index.ts';
import { STATE_FILES } from './state-directory.ts';
import type { StateDirectory } from './state-directory.ts';

const seenShape = shape.object({ version: shape.integer(1), digest: shape.sha256Text });

/** The highest policy version that this host accepted: what a verifier may not go back behind (`policy-rollback`). */
export class PolicyMemory {
  readonly #state: StateDirectory;

  constructor(state: StateDirectory) {
    this.#state = state;
  }

  /** Undefined before the first policy. @throws Refusal `agent-state` */
  read(): PolicyHighWater | undefined {
    const bytes = this.#state.read(STATE_FILES.policySeen);
    if (bytes === undefined) return undefined;
    const limits = { maxBytes: 4096, maxDepth: 2, maxValues: 8 };
    const { version, digest } = seenShape(
      parseJsonObject(bytes, 'policy-seen', limits),
      'seen',
      (path, want) => refuse('agent-state', `${path} is not ${want}`, { file: STATE_FILES.policySeen }),
    );
    return { version, hash: digest };
  }

  /** Keeps a policy that was verified against {@link PolicyMemory.read}; an older one changes nothing. */
  raise({ version, hash }: PolicyHighWater): void {
    const before = this.read();
    if (before !== undefined && before.version >= version) return;
    this.#state.write(STATE_FILES.policySeen, JSON.stringify({ version, digest: hash }));
  }
}
