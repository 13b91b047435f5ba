import { leafBody } from '../audit/index.ts';
import type { Change, Precondition, Records, StoredRecord } from '../audit/index.ts';
import { fromBase64url, refuse, shape, toBase64url } from '../base/index.ts';
import type { Fail, JsonObject, Random } from '../base/index.ts';
import { decryptStored, encryptStored } from '../credential/index.ts';
import type { StoredPlace } from '../credential/index.ts';
import type { Operator } from '../enrollment/index.ts';
import type { Secrets } from '../lifecycle/index.ts';
import { AdminProblem } from './problem.ts';

const KIND = 'secret';
export const SECRET_NAME = '^[a-z0-9][a-z0-9-]{0,62}$';
/** Bytes of a secret: what fits into a release with a few others. */
export const MAX_SECRET = 64 * 1024;

const { integer, literal, nullable, object, text } = shape;
const secretShape = object({
  v: literal(1),
  version: integer(1),
  /** nonce ‖ ciphertext ‖ tag, base64url; null when it was removed. */
  value: nullable(text({ max: 2 * MAX_SECRET })),
  created: text({ max: 32 }),
  changed: text({ max: 32 }),
});
type SecretRecord = ReturnType<typeof secretShape>;

const fail: Fail = (path, want) => refuse('secret-record', `${path} is not ${want}`, { member: path });
const read = ({ body }: StoredRecord): SecretRecord => secretShape(body, KIND, fail);
const ref = (name: string) => ({ kind: KIND, id: name });
const placeOf = (name: string, version: number): StoredPlace => ({
  purpose: KIND,
  table: 'records',
  id: name,
  version,
});

/** What is told of a secret: never its value, nor anything made of it. */
export interface SecretFacts {
  readonly name: string;
  readonly version: number;
  readonly state: 'stored' | 'removed';
  /** ISO 8601. */
  readonly created: string;
  readonly changed: string;
}

/** Secrets as decisions take them: decrypted for the moment of their release. @param key 32 bytes */
export function secretsPort(records: Records, key: Uint8Array): Secrets {
  return {
    get: async (name) => {
      const stored = await records.get(ref(name));
      if (stored === undefined) return undefined;
      const { version, value } = read(stored);
      if (value === null) return undefined;
      // The version is part of what is authenticated: an older ciphertext of the same name is refused as well.
      const bytes = decryptStored(key, placeOf(name, version), fromBase64url(value, 'secret'));
      return { record: stored, version, value: bytes };
    },
  };
}

/** Every secret's facts, in the order of names. @param after name to begin after */
export async function listSecrets(
  records: Records,
  options: { readonly after?: string; readonly limit: number },
): Promise<readonly SecretFacts[]> {
  const rows = await records.list(KIND, options);
  return rows.map((row) => factsOf(row.id, read(row)));
}

/** What an operator wants with one secret. */
export interface SecretOrder {
  readonly name: string;
  readonly by: Operator;
  /** Unix ms. */
  readonly now: number;
}

/**
 * A new version of a secret, the first or the next. The value is in the ciphertext and nowhere else: not in the leaf,
 * which names the version only (a digest of a password would be a way to guess it).
 * @param key 32 bytes
 * @throws Refusal `malformed` for an empty or oversized value
 */
export async function putSecret(
  records: Records,
  { name, by, now, value }: SecretOrder & { readonly value: string },
  key: Uint8Array,
  random: Random,
): Promise<{ readonly change: Change; readonly facts: SecretFacts }> {
  const bytes = fromBase64url(value, 'secret');
  if (bytes.length === 0 || bytes.length > MAX_SECRET)
    refuse('malformed', `a secret has 1 to ${String(MAX_SECRET)} bytes`);
  const stored = await records.get(ref(name));
  const before = stored === undefined ? undefined : read(stored);
  const version = (before?.version ?? 0) + 1;
  const changed = new Date(now).toISOString();
  const encrypted = toBase64url(encryptStored(key, placeOf(name, version), bytes, random));
  const record: SecretRecord = {
    v: 1,
    version,
    value: encrypted,
    created: before?.created ?? changed,
    changed,
  };
  return secretChange(before === undefined ? 'secret-put' : 'secret-rotate', name, stored, record, by);
}

/**
 * Removes a secret's value; its name and version stay, so that a secret that comes again never has an old version.
 * @throws AdminProblem `not-found`
 */
export async function removeSecret(
  records: Records,
  { name, by, now }: SecretOrder,
): Promise<{ readonly change: Change; readonly facts: SecretFacts }> {
  const stored = await records.get(ref(name));
  const before = stored === undefined ? undefined : read(stored);
  if (stored === undefined || before === undefined || before.value === null)
    throw new AdminProblem('not-found', 'no such secret is stored');
  const record = { ...before, value: null, changed: new Date(now).toISOString() };
  return secretChange('secret-remove', name, stored, record, by);
}

function secretChange(
  action: string,
  name: string,
  stored: StoredRecord | undefined,
  record: SecretRecord,
  by: Operator,
): { readonly change: Change; readonly facts: SecretFacts } {
  const moved = { check: 'state-moved', reason: 'the secret was changed meanwhile' } as const;
  const precondition: Precondition =
    stored === undefined
      ? { ...ref(name), is: 'absent', ...moved }
      : { ...ref(name), is: 'version', version: stored.version, ...moved };
  const leaf = leafBody({
    v: 1,
    kind: 'operator',
    action,
    target: `${name}@${String(record.version)}`,
    digest: null,
    by: { kind: 'operator', id: by.certificate },
  });
  const body: JsonObject = { ...record };
  return {
    change: { leaf, preconditions: [precondition], once: [], writes: [{ ...ref(name), body }], bodies: [] },
    facts: factsOf(name, record),
  };
}

const factsOf = (name: string, { version, value, created, changed }: SecretRecord): SecretFacts => ({
  name,
  version,
  state: value === null ? 'removed' : 'stored',
  created,
  changed,
});
