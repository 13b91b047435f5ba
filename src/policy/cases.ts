import { isJsonObject, refuse, shape } from '../base/index.ts';
import type { Fail, JsonObject, JsonValue, Shape } from '../base/index.ts';
import type { PolicyBundle } from './bundle.ts';
import type { ExecuteFacts, PolicyRequest } from './cedar/facts.ts';
import {
  ADMIN_ACTIONS,
  adminRequest,
  enrollRequest,
  executeRequest,
  requireCedarValue,
} from './cedar/facts.ts';
import type { AdminFacts, CedarRecord, EnrollFacts } from './cedar/facts.ts';
import { PolicyEngine } from './cedar/engine.ts';
import type { PolicyDecision } from './cedar/engine.ts';
import type { CedarLoader } from './cedar/load.ts';
import { hostSetsOf } from './grants.ts';
import { parseYaml } from './yaml.ts';

/** A test of a bundle: facts, and what must come of them. */
export interface PolicyCase {
  readonly name: string;
  readonly expect: 'allow' | 'deny';
  /** Ids of the deciding policies, exactly; undefined: any. */
  readonly ids: readonly string[] | undefined;
  readonly request: PolicyRequest;
}

/** How a case came out. */
export interface CaseResult {
  readonly name: string;
  readonly ok: boolean;
  readonly expect: 'allow' | 'deny';
  readonly decision: PolicyDecision;
}

const { boolean, integer, list, literal, map, nullable, object, oneOf, set, text } = shape;
const texts = set(text({ min: 0, max: 4096 }), 1_000);
const claim = integer(-128, 127);

const claims: Shape<CedarRecord> = (value, path, fail) => {
  if (!isJsonObject(value)) return fail(path, 'an object');
  requireCedarValue(value, path);
  return value;
};

/** Everything of a host but its sets, which the bundle says. */
const host = object(
  {
    id: text({ pattern: /^[0-9a-f]{64}$/, want: '64 hex digits' }),
    name: text(),
    platform: text(),
    labels: texts,
    state: oneOf('active', 'quarantined', 'pending', 'revoked'),
    appraisal: object({
      status: oneOf('none', 'affirming', 'warning', 'contraindicated'),
      vector: object(
        {},
        {
          'instance-identity': claim,
          configuration: claim,
          executables: claim,
          'file-system': claim,
          hardware: claim,
          'storage-opaque': claim,
          'sourced-data': claim,
        },
      ),
      exempt: texts,
    }),
  },
  { manufacturer: text() },
);

const execute = object(
  {
    time: integer(),
    host,
    artifact: object(
      { name: text(), digest: shape.sha256Text, type: oneOf('file', 'tree'), signers: texts },
      { version: text(), executedDigest: text() },
    ),
    request: object({
      scopes: texts,
      credentials: texts,
      privileged: boolean,
      isolated: boolean,
      argv: list(text({ min: 0, max: 4096 }), 1_000, 1),
      environment: texts,
      cwd: text(),
      uid: integer(),
      gid: integer(),
      interpreter: nullable(object({ path: text(), sha256: shape.hex32, measured: boolean, args: texts })),
    }),
  },
  {
    initiator: object({ issuer: text(), subject: text(), proven: boolean, claims }),
    parent: object({ execution: text(), host: text(), artifact: text(), scopes: texts, depth: integer() }),
    origin: text(),
  },
);
const admin = object({
  time: integer(),
  action: oneOf(...ADMIN_ACTIONS),
  operator: object({ name: text(), roles: texts }),
  target: object({ kind: text(), id: text() }),
});
const enroll = object({
  time: integer(),
  hostId: text(),
  admission: oneOf('token', 'ek-list', 'approval'),
  platform: text(),
  labels: texts,
  certified: boolean,
});

const head = { name: text(), expect: oneOf('allow', 'deny') } as const;
const anyFacts: Shape<JsonObject> = (value, path, fail) =>
  isJsonObject(value) ? value : fail(path, 'an object');
const casesShape = object({
  version: literal(1),
  defaults: map(/^(?:execute|administer|enroll)$/, anyFacts, 3),
  cases: list(
    object(head, { ids: texts, execute: anyFacts, administer: anyFacts, enroll: anyFacts }),
    10_000,
    1,
  ),
});

/** Where a bundle's directory keeps its cases. */
export const CASES_FILE = 'cases.yaml';

/**
 * Reads test cases: each names facts of one kind, merged over the file's defaults; `null` takes a default away.
 * @throws Refusal `policy-yaml`, `policy-case` naming file and line
 */
export function readCases(bytes: Uint8Array, file: string, bundle: PolicyBundle): readonly PolicyCase[] {
  const yaml = parseYaml(bytes, file, 'test');
  const fail: Fail = (path, want) => {
    const line = yaml.lineOf(path);
    return refuse('policy-case', `${file}:${String(line)}: ${path} is not ${want}`, {
      file,
      line,
      member: path,
    });
  };
  const { cases, defaults } = casesShape(yaml.value, 'test', fail);
  return cases.map(({ name, expect, ids, ...facts }, i) => {
    const at = `test.cases[${String(i)}]`;
    const [only, ...more] = Object.entries(facts);
    if (only === undefined || more.length > 0) return fail(at, 'one of execute, administer and enroll');
    const [kind, own] = only;
    const merged = merge(Object.hasOwn(defaults, kind) ? (defaults[kind] ?? {}) : {}, own);
    return { name, expect, ids, request: requestOf(kind, merged, `${at}.${kind}`, bundle, fail) };
  });
}

function requestOf(
  kind: string,
  facts: JsonValue,
  path: string,
  bundle: PolicyBundle,
  fail: Fail,
): PolicyRequest {
  if (kind === 'administer') return adminRequest(admin(facts, path, fail) satisfies AdminFacts);
  if (kind === 'enroll') return enrollRequest(enroll(facts, path, fail) satisfies EnrollFacts);
  const read = execute(facts, path, fail);
  const runtime =
    bundle.platforms.get(read.host.platform)?.runtime ?? fail(`${path}.host.platform`, 'a platform');
  return executeRequest({
    ...read,
    host: { ...read.host, runtime, sets: hostSetsOf(bundle, read.host) },
  } satisfies ExecuteFacts);
}

/** Objects member by member, everything else replaced; null removes. */
function merge(base: JsonValue, over: JsonValue): JsonValue {
  if (!isJsonObject(base) || !isJsonObject(over)) return over;
  const out = new Map(Object.entries(base));
  for (const [name, value] of Object.entries(over)) {
    if (value === null && name !== 'interpreter') out.delete(name);
    else out.set(name, merge(out.get(name) ?? null, value));
  }
  return Object.fromEntries(out);
}

/** Evaluates cases with the engine that decides. */
export function runCases(
  bundle: PolicyBundle,
  cases: readonly PolicyCase[],
  load: CedarLoader,
): readonly CaseResult[] {
  const engine = new PolicyEngine(load);
  engine.load(bundle.document.cedar);
  return cases.map(({ name, expect, ids, request }) => {
    const decision = engine.authorize(request);
    const same = ids === undefined || [...ids].sort().join('\n') === decision.ids.join('\n');
    // An error denies, but a case that expects a denial means one that policy decided.
    const ok = decision.allow === (expect === 'allow') && decision.errors.length === 0 && same;
    return { name, ok, expect, decision };
  });
}
