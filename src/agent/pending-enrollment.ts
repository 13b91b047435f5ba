import { isJsonObject, parseJsonObject, refuse, shape, utf8 } from '../base/index.ts';
import type { JsonObject, Shape } from '../base/index.ts';
import { parseIdentity } from './host-identity.ts';
import type { HostIdentity } from './host-identity.ts';
import { STATE_FILES } from './state-directory.ts';
import type { StateDirectory } from './state-directory.ts';

/** An enrollment whose challenge was answered: whoever holds the secret may ask how it went, also after a crash. */
export interface PendingEnrollment {
  readonly enrollmentId: string;
  /** base64url: opened by this TPM. */
  readonly secret: string;
  /** The trust domain isn't known before the answer. */
  readonly identity: Omit<HostIdentity, 'trustDomain'>;
}

const UNKNOWN_DOMAIN = 'unknown';
const anyObject: Shape<JsonObject> = (value, path, fail) =>
  isJsonObject(value) ? value : fail(path, 'an object');
const pendingShape = shape.object({
  enrollmentId: shape.text({ pattern: /^[0-9a-f-]{36}$/ }),
  secret: shape.base64url(64),
  identity: anyObject,
});

/** The enrollment that was begun and not ended; undefined when there is none. @throws Refusal `agent-state` */
export function readPending(state: StateDirectory): PendingEnrollment | undefined {
  const bytes = state.read(STATE_FILES.pending);
  if (bytes === undefined) return undefined;
  const limits = { maxBytes: 64 * 1024, maxDepth: 4, maxValues: 64 };
  const read = pendingShape(parseJsonObject(bytes, STATE_FILES.pending, limits), 'enrollment', (path, want) =>
    refuse('agent-state', `${path} is not ${want}`, { file: STATE_FILES.pending }),
  );
  const identity = utf8(JSON.stringify(read.identity));
  return { enrollmentId: read.enrollmentId, secret: read.secret, identity: parseIdentity(identity) };
}

export function writePending(state: StateDirectory, pending: PendingEnrollment): void {
  const identity: HostIdentity = { ...pending.identity, trustDomain: UNKNOWN_DOMAIN };
  state.write(STATE_FILES.pending, JSON.stringify({ ...pending, identity }));
}
