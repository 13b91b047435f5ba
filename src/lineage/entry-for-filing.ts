import type { AuditLeaf } from '../audit/index.ts';
import { isJsonObject } from '../base/index.ts';
import type { JsonObject, JsonValue } from '../base/index.ts';

/*
 * An entry is filed in the transaction that appends it, so reading it must cost next to nothing: only the members that
 * filing looks at are checked. Who answers a question reads the entry strictly (read-entry.ts).
 */

type Check = (value: JsonValue | undefined) => boolean;

const text: Check = (value) => typeof value === 'string';
const textOrNull: Check = (value) => value === null || typeof value === 'string';
const list =
  (item: Check): Check =>
  (value) =>
    Array.isArray(value) && (value as readonly JsonValue[]).every(item);
const object =
  (members: Readonly<Record<string, Check>>): Check =>
  (value) =>
    isJsonObject(value) && Object.entries(members).every(([name, check]) => check(value[name]));
const nullable =
  (check: Check): Check =>
  (value) =>
    value === null || check(value);

const named = object({ kind: text, id: text });
const FILED: Readonly<Record<string, Check>> = {
  decision: object({
    ...{ index: text, purpose: text, outcome: text, hostId: text, ak: text, parent: textOrNull },
    executions: list(text),
    digests: object({ evidence: list(object({ name: text, sha256: text })) }),
    policy: nullable(object({ digest: text })),
    artifact: nullable(object({ name: text, digest: text })),
    initiator: nullable(object({ issuer: text, subject: text })),
    released: list(object({ kind: text, name: text, serial: text })),
    dependencies: list(named),
  }),
  outcome: object({ index: text, executionId: text }),
  revocation: object({ index: text, subject: named }),
  enrollment: object({ index: text, outcome: text, hostId: text }),
  policy: object({ index: text, action: text, digest: text }),
};

/** The entry, when it is of a kind that is filed and has what filing looks at; undefined otherwise. */
export function entryForFiling(data: Uint8Array): AuditLeaf | undefined {
  let value: JsonObject;
  try {
    value = JSON.parse(
      Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString('utf8'),
    ) as JsonObject;
  } catch {
    return undefined;
  }
  if (!isJsonObject(value)) return undefined;
  const kind = value['kind'];
  const check = typeof kind === 'string' && Object.hasOwn(FILED, kind) ? FILED[kind] : undefined;
  // Of its kind's members those that filing reads were checked; nobody else gets this object.
  return check?.(value) === true ? (value as unknown as AuditLeaf) : undefined;
}
