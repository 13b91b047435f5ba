import type { Records, StoredRecord } from '../../audit/index.ts';
import { refuse, shape } from '../../base/index.ts';
import type { Fail, JsonObject } from '../../base/index.ts';

/** Which bundle is active, and which is staged; `digest` is its policyHash. */
export const ACTIVE_POLICY = { kind: 'policy', id: 'active' } as const;
export const STAGED_POLICY = { kind: 'policy', id: 'staged' } as const;

/** The signed manifest of a bundle that was staged once; the bundle itself is a body, kept by its digest. */
export const policyBundleRef = (digest: string) => ({ kind: 'policy-bundle', id: digest });
/** A bundle that was active once, by version, so that history is in order. */
export const POLICY_VERSION = 'policy-version';
export const policyVersionRef = (version: number) => ({
  kind: POLICY_VERSION,
  id: String(version).padStart(10, '0'),
});

const { integer, list, literal, nullable, object, sha256Text, text } = shape;
const authorities = list(text({ max: 128 }), 64, 1);
const anyObject: shape.Shape<JsonObject> = (value, path, fail) =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as JsonObject)
    : fail(path, 'an object');

const pointerShape = object({
  v: literal(1),
  /** Null: nothing is staged any more. */
  digest: nullable(sha256Text),
  version: integer(0),
  authorities: list(text({ max: 128 }), 64),
});
export type PolicyPointer = ReturnType<typeof pointerShape>;

const bundleShape = object({
  v: literal(1),
  version: integer(1),
  previous: nullable(sha256Text),
  manifest: anyObject,
  authorities,
});
export type PolicyBundleRecord = ReturnType<typeof bundleShape>;

const versionShape = object({
  v: literal(1),
  digest: sha256Text,
  version: integer(1),
  previous: nullable(sha256Text),
  authorities,
  at: text({ max: 32 }),
  by: text({ max: 256 }),
});
export type PolicyVersionRecord = ReturnType<typeof versionShape>;

const fail: Fail = (path, want) => refuse('policy-record', `${path} is not ${want}`, { member: path });

/** A record and what it says. */
export interface Found<T> {
  readonly record: StoredRecord;
  readonly body: T;
}

/** A pointer that was written; undefined before the first. @throws Refusal `policy-record`, `record-forged` */
export async function readPointer(
  records: Records,
  ref: typeof ACTIVE_POLICY | typeof STAGED_POLICY,
): Promise<Found<PolicyPointer> | undefined> {
  const record = await records.get(ref);
  return record && { record, body: pointerShape(record.body, `policy/${ref.id}`, fail) };
}

/** @throws Refusal `policy-record`, `record-forged` */
export async function readBundleRecord(
  records: Records,
  digest: string,
): Promise<PolicyBundleRecord | undefined> {
  const record = await records.get(policyBundleRef(digest));
  return record && bundleShape(record.body, 'policy-bundle', fail);
}

/** @throws Refusal `policy-record` */
export function readVersion({ body }: StoredRecord): PolicyVersionRecord {
  return versionShape(body, 'policy-version', fail);
}
