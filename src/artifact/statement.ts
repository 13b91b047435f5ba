import { equalBytes, fromHex, isJsonObject, parseJsonObject, refuse, shape } from '../base/index.ts';
import type { Fail, JsonObject, JsonValue, Shape } from '../base/index.ts';
import { time } from './time.ts';
import { HASHES } from './types.ts';
import type { ContentDigests } from './types.ts';
import { isVersion } from './version.ts';

/** What DSSE envelopes hold here (in-toto attestation framework, Statement v1). */
export const PAYLOAD_TYPE = 'application/vnd.in-toto+json';
export const STATEMENT_TYPE = 'https://in-toto.io/Statement/v1';
/** The predicate that `artifact sign` writes: {version?, signedAt?, notBefore?, notAfter?}. */
export const ARTIFACT_PREDICATE = 'https://sealgate.dev/artifact/v1';

/** What a signed statement says about one artifact. Times are Unix milliseconds. */
export interface StatementFacts {
  readonly name: string | undefined;
  readonly version: string | undefined;
  readonly signedAt: number | undefined;
  readonly notBefore: number | undefined;
  readonly notAfter: number | undefined;
}

const LIMITS = { maxBytes: 256 * 1024, maxDepth: 32, maxValues: 50_000 };
const MAX_SUBJECTS = 4096;
const { list, map, object, text } = shape;

const any: Shape<JsonValue> = (value) => value;
const anyObject: Shape<JsonObject> = (value, path, fail) =>
  isJsonObject(value) ? value : fail(path, 'an object');
const version: Shape<string> = (value, path, fail) =>
  typeof value === 'string' && isVersion(value) ? value : fail(path, 'a version like 1.4.2');

/** in-toto ResourceDescriptor v1; the digest set's values are lowercase or uppercase hex. */
const subjectShape = object(
  { digest: map(/^[A-Za-z0-9_/.-]{1,64}$/, text({ max: 512 }), 32) },
  {
    name: text(),
    uri: text({ max: 4096 }),
    content: any,
    downloadLocation: any,
    mediaType: any,
    annotations: any,
  },
);

const statementShape = object(
  { _type: text(), subject: list(subjectShape, MAX_SUBJECTS, 1), predicateType: text() },
  { predicate: anyObject },
);

const predicateShape = object({}, { version, signedAt: time, notBefore: time, notAfter: time });

const fail: Fail = (path, want) => refuse('dsse-statement', `${path}: expected ${want}`, { path });

/**
 * The facts of a Statement about the artifact with these digests. Call it with verified bytes only.
 * @param names names that are wanted: of several subjects with this digest the first one so named counts
 * @throws Refusal `malformed`, `dsse-statement-type`, `dsse-predicate-type`, `dsse-statement`, `dsse-subject`
 */
export function readStatement(
  payload: Uint8Array,
  digests: ContentDigests,
  allowed: { predicateTypes: readonly string[]; names: readonly string[] | undefined },
): StatementFacts {
  const json = parseJsonObject(payload, 'in-toto Statement', LIMITS);
  if (json['_type'] !== STATEMENT_TYPE) refuse('dsse-statement-type', `_type is not ${STATEMENT_TYPE}`);
  const statement = statementShape(json, 'statement', fail);
  const { predicateType } = statement;
  if (!allowed.predicateTypes.includes(predicateType)) {
    refuse('dsse-predicate-type', 'the predicate type is not an allowed one', { predicateType });
  }
  const ours = statement.subject.filter((subject) => matches(subject.digest, digests));
  const subject = ours.find(({ name }) => name !== undefined && allowed.names?.includes(name)) ?? ours[0];
  if (subject === undefined)
    return refuse('dsse-subject', 'no subject of the statement has this artifact’s digest');
  return { name: subject.name, ...predicateFacts(predicateType, statement.predicate ?? {}) };
}

/** At least one digest of SHA-256 or stronger, and every one that can be compared is equal; weaker ones don't count. */
function matches(digest: Readonly<Record<string, string>>, digests: ContentDigests): boolean {
  let compared = 0;
  for (const hash of HASHES) {
    const [claimed, own] = [Object.hasOwn(digest, hash) ? digest[hash] : undefined, digests[hash]];
    if (claimed === undefined || own === undefined) continue;
    if (!equalBytes(fromHex(claimed, `digest ${hash}`), own)) return false;
    compared++;
  }
  return compared > 0;
}

/** Version and times are known only from our own predicate; others mean what their authors say. */
function predicateFacts(type: string, predicate: JsonObject): Omit<StatementFacts, 'name'> {
  if (type !== ARTIFACT_PREDICATE) {
    return { version: undefined, signedAt: undefined, notBefore: undefined, notAfter: undefined };
  }
  const { version: stated, signedAt, notBefore, notAfter } = predicateShape(predicate, 'predicate', fail);
  return { version: stated, signedAt, notBefore, notAfter };
}
