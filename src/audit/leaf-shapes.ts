import type { CanonicalReader, JsonObject, Shape } from '../base/index.ts';
import { isJsonObject, shape } from '../base/index.ts';
import type {
  AuditLeaf,
  DecisionLeaf,
  DenialSummaryLeaf,
  EnrollmentLeaf,
  HostState,
  LeafActor,
  LeafBody,
  LeafDenial,
  LeafPlace,
  OpeningLeaf,
  OperatorLeaf,
  OutcomeLeaf,
  PolicyLeaf,
  RefusalLeaf,
  RevocationLeaf,
  TransitionLeaf,
} from './leaf-kinds.ts';

const { decimal, hex32, integer, list, literal, nullable, object, oneOf, set, sha256Text, text } = shape;

const token = text({ max: 128, pattern: /^[A-Za-z0-9][A-Za-z0-9._:-]*$/, want: 'an identifier' });
const name = text({ max: 512 });
const reason = text({ max: 2000 });
const uuid = text({
  pattern: /^[0-9a-f]{8}-[0-9a-f]{4}-[1-8][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/,
  want: 'a UUID',
});
/** BE16(nameAlg) ‖ digest: 34 to 66 bytes. */
const tpmName = text({ min: 68, max: 132, pattern: /^(?:[0-9a-f]{2})+$/, want: 'a TPM name in hex' });
const u32 = integer(0, 0xffff_ffff);
const time = text({ pattern: /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/, want: 'a time in UTC' });

const json: Shape<JsonObject> = (value, path, fail) =>
  isJsonObject(value) ? value : fail(path, 'an object');

const head = <const K extends LeafBody['kind']>(kind: K) => ({ v: literal(1), kind: oneOf(kind) });

const actor: Shape<LeafActor> = object({ kind: oneOf('operator', 'host', 'verifier'), id: name });
const denial: Shape<LeafDenial> = object(
  {
    check: text({ max: 128, pattern: /^[A-Za-z0-9][A-Za-z0-9._-]*$/, want: 'a check id' }),
    reason,
  },
  { stage: token, code: token, remedy: reason, detail: json },
);

const opening: Shape<OpeningLeaf> = object({
  ...head('opening'),
  origin: name,
  previous: nullable(
    object({
      ...{ origin: name, size: decimal, root: sha256Text, kept: decimal, gap: reason },
      source: oneOf('backup', 'high-water', 'store', 'checkpoint'),
    }),
  ),
});

const decision: Shape<DecisionLeaf> = object(
  {
    ...head('decision'),
    replica: token,
    purpose: oneOf('execution', 'attestation'),
    outcome: oneOf('allow', 'deny'),
    hostId: hex32,
    executions: set(uuid, 256),
    parent: nullable(uuid),
    digests: object({
      request: sha256Text,
      authorization: nullable(sha256Text),
      sealed: nullable(sha256Text),
      evidence: list(object({ name: token, sha256: sha256Text }), 32),
      inputs: nullable(sha256Text),
    }),
    policy: nullable(object({ digest: sha256Text, version: integer(), deciding: set(name, 64) })),
    ak: tpmName,
    boot: object({ resetCount: u32, restartCount: u32 }),
    artifact: nullable(object({ name, digest: sha256Text })),
    argv: nullable(sha256Text),
    environment: nullable(sha256Text),
    initiator: nullable(object({ issuer: name, subject: name, token: sha256Text, claims: json })),
    released: list(object({ kind: token, name, serial: name, expires: nullable(time) }), 64),
    dependencies: list(
      object({
        kind: oneOf('ek-root', 'ak', 'reference-values', 'signer', 'issuer', 'bundle', 'authority', 'build'),
        id: name,
      }),
      256,
    ),
  },
  { denial },
);

const enrollment: Shape<EnrollmentLeaf> = object(
  {
    ...head('enrollment'),
    outcome: oneOf('allow', 'deny'),
    hostId: hex32,
    name,
    platform: token,
    admission: oneOf('token', 'ek-list', 'approval'),
    ekCertificate: nullable(sha256Text),
    ak: tpmName,
    by: actor,
  },
  { denial },
);

const hostState: Shape<HostState> = oneOf('pending', 'active', 'quarantined', 'revoked');
const transition: Shape<TransitionLeaf> = object({
  ...head('transition'),
  hostId: hex32,
  from: hostState,
  to: hostState,
  reason,
  by: actor,
});

const policy: Shape<PolicyLeaf> = object({
  ...head('policy'),
  action: oneOf('stage', 'unstage', 'publish'),
  digest: sha256Text,
  version: integer(),
  previous: nullable(sha256Text),
  authorities: set(name, 64),
  by: actor,
});

const revocation: Shape<RevocationLeaf> = object({
  ...head('revocation'),
  subject: object({
    kind: oneOf('host', 'ak', 'ek-ca', 'artifact', 'signer', 'initiator', 'authority', 'policy', 'execution'),
    id: name,
  }),
  reason,
  by: actor,
});

const status = object({ status: integer(0, 255) });
const signal = object({ signal: text({ max: 16, pattern: /^SIG[A-Z0-9]+$/, want: 'a signal' }) });
const outcome: Shape<OutcomeLeaf> = object({
  ...head('outcome'),
  executionId: uuid,
  hostId: hex32,
  state: oneOf('running', 'ended', 'failed', 'revoked', 'expired', 'lost', 'release-lost'),
  reportedBy: oneOf('host', 'verifier'),
  exit: nullable((value, path, fail) =>
    isJsonObject(value) && 'signal' in value ? signal(value, path, fail) : status(value, path, fail),
  ),
  reason: nullable(reason),
});

const operator: Shape<OperatorLeaf> = object({
  ...head('operator'),
  action: token,
  target: name,
  digest: nullable(sha256Text),
  by: actor,
});

const refusal: Shape<RefusalLeaf> = object({
  ...head('refusal'),
  action: text({ max: 256, pattern: /^[A-Z]+ \/[\x21-\x7e]*$/, want: 'a method and a route' }),
  denial,
  by: actor,
});

const denialSummary: Shape<DenialSummaryLeaf> = object({
  ...head('denial-summary'),
  from: time,
  to: time,
  counts: list(object({ stage: token, code: token, check: token, count: integer(1) }), 256, 1),
});

/** The shape of each kind, as callers make it. */
export const LEAF_SHAPES: { readonly [K in LeafBody['kind']]: Shape<Extract<LeafBody, { kind: K }>> } = {
  opening,
  decision,
  enrollment,
  transition,
  policy,
  revocation,
  outcome,
  operator,
  refusal,
  'denial-summary': denialSummary,
};

/** What the ledger adds to each. */
export const PLACE_SHAPE: Shape<LeafPlace> = object({ index: decimal, time, epoch: token });

/** Reads an entry of a kind from canonical text, by a text that such an entry has; the kinds that are there most first. */
export const LEAF_SCANS: readonly (readonly [string, (reader: CanonicalReader) => AuditLeaf])[] = [
  ['"kind":"decision"', shape.scanOf(shape.joined(decision, PLACE_SHAPE))],
  ['"kind":"outcome"', shape.scanOf(shape.joined(outcome, PLACE_SHAPE))],
  ['"kind":"denial-summary"', shape.scanOf(shape.joined(denialSummary, PLACE_SHAPE))],
  ['"kind":"refusal"', shape.scanOf(shape.joined(refusal, PLACE_SHAPE))],
  ['"kind":"enrollment"', shape.scanOf(shape.joined(enrollment, PLACE_SHAPE))],
  ['"kind":"transition"', shape.scanOf(shape.joined(transition, PLACE_SHAPE))],
  ['"kind":"revocation"', shape.scanOf(shape.joined(revocation, PLACE_SHAPE))],
  ['"kind":"opening"', shape.scanOf(shape.joined(opening, PLACE_SHAPE))],
  ['"kind":"operator"', shape.scanOf(shape.joined(operator, PLACE_SHAPE))],
  // Last: "kind":"policy" is in revocations of policies as well.
  ['"kind":"policy"', shape.scanOf(shape.joined(policy, PLACE_SHAPE))],
];
