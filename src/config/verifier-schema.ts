import type { Static, TInteger, TObject, TSchema, TString } from 'typebox';
import { Type } from './type-builder.ts';

/** A closed section: a key that is not in it is refused, never ignored. */
const section = <P extends Record<string, TSchema>>(description: string, properties: P): TObject<P> =>
  Type.Object(properties, { additionalProperties: false, description });

const count = (description: string, byDefault: number, minimum: number, maximum: number): TInteger =>
  Type.Integer({ description, default: byDefault, minimum, maximum });

const file = (description: string, byDefault: string): TString =>
  Type.String({ description, default: byDefault, minLength: 1, maxLength: 4096 });

const optionalFile = (description: string): TString =>
  Type.String({ description, default: '', maxLength: 4096 });

/** What a trust domain may be called (SPIFFE-ID §2.1); it is in every id, so it is chosen once. */
export const TRUST_DOMAIN = '^[a-z0-9](?:[a-z0-9._-]{0,253}[a-z0-9])?$';

/**
 * `sealgate.yaml` of a verifier: the one place that says which keys there are, what they default to and what they
 * mean. `config schema`, docs/CONFIG.md and the environment overrides are made from it.
 */
export const VERIFIER_SCHEMA = section('Configuration of a verifier (sealgate.yaml).', {
  trustDomain: Type.String({
    description: 'Trust domain: a part of every id that this verifier issues. It is chosen by init, once.',
    default: 'sealgate.local',
    pattern: TRUST_DOMAIN,
  }),
  url: Type.String({
    description: 'Where hosts and operators reach the verifier; invitations and profiles name it.',
    default: 'https://localhost:8443',
    pattern: '^https://[A-Za-z0-9.:\\[\\]-]{1,255}$',
  }),
  replica: Type.String({
    description: 'Name of this verifier process in decisions.',
    default: 'verifier-1',
    pattern: '^[a-z0-9][a-z0-9.-]{0,62}$',
  }),
  listen: section('Where the one HTTPS listener is.', {
    address: Type.String({
      description: 'Address to listen on.',
      default: '0.0.0.0',
      minLength: 2,
      maxLength: 64,
    }),
    port: count('TCP port; 0 takes a free one.', 8443, 0, 65535),
  }),
  directories: section('Where things are; relative to the configuration file.', {
    keys: file('Private keys: the directory 0700, each file 0600.', 'keys'),
    certificates: file('Certificates that belong to the keys.', 'certificates'),
    data: file('The embedded store.', 'data'),
  }),
  log: section('The audit log.', {
    origin: Type.String({
      description: 'Name of the log and of its key in checkpoints; empty: the trust domain and /log.',
      default: '',
      pattern: '^[A-Za-z0-9._/-]{0,255}$',
    }),
    entries: Type.Union([Type.Literal('auditors'), Type.Literal('public')], {
      description: 'Who may read entries. Checkpoints, hash tiles and proofs are always public.',
      default: 'auditors',
    }),
    highWaterFile: file(
      'Remembers the newest checkpoint outside the store: a store that is behind it is refused. Best on another disk.',
      'high-water',
    ),
  }),
  witnessing: section('Witnesses of this log (C2SP tlog-witness): asked after each commit, never before.', {
    policyFile: optionalFile(
      'A tlog-policy file: witnesses with their URLs, and the quorum that makes a checkpoint a published one. Empty: the policy of the trust bundle, if it has one.',
    ),
    caFile: optionalFile(
      'PEM: authorities that the TLS certificates of witnesses may come from, besides the public ones.',
    ),
    waitSeconds: count('How long an answer waits for the quorum that it needs.', 5, 1, 60),
    requestSeconds: count('Time for one request to a witness.', 10, 1, 120),
  }),
  witness: section('This verifier as a witness of other logs (C2SP tlog-witness).', {
    name: Type.String({
      description: 'Name of its key in cosignatures; empty: the trust domain and /witness.',
      default: '',
      pattern: '^[A-Za-z0-9._/-]{0,255}$',
    }),
    logsFile: optionalFile(
      'A tlog-policy file whose log lines are the logs that are witnessed. Empty: none.',
    ),
  }),
  trust: section('Roots that operators switch on.', {
    file: file('Manufacturer and AK-certificate roots, as "sealgate trust" writes them.', 'trust.json'),
  }),
  enrollment: section('How hosts come in without an invitation.', {
    approvals: Type.Boolean({
      description: 'Whether a host without an invitation may come and wait for an operator’s approval.',
      default: false,
    }),
    ekTemplate: Type.Union(
      (['L-1', 'L-2', 'H-1', 'H-2', 'H-3', 'H-4', 'H-6', 'H-7'] as const).map((name) => Type.Literal(name)),
      { description: 'The EK template that such a host must have.', default: 'L-1' },
    ),
    selection: Type.String({
      description: 'What an enrolling host quotes.',
      default: 'sha256:0,1,2,3,4,5,6,7,8,9,10,14',
      pattern: '^sha(?:256|384|512):[0-9]{1,2}(?:,[0-9]{1,2})*$',
    }),
  }),
  attestation: section('Host attestations.', {
    quarantine: Type.Boolean({
      description:
        'Whether a host whose attestation is refused for its environment is quarantined until an operator restores it. What runs there is ended in any case.',
      default: false,
    }),
  }),
  limits: section('Bounds; what is over them is refused before it is read.', {
    bodyBytes: count('Bytes of an ordinary request body.', 256 * 1024, 4096, 16 * 1024 * 1024),
    evidenceBytes: count(
      'Bytes of a request body with evidence.',
      64 * 1024 * 1024,
      65536,
      512 * 1024 * 1024,
    ),
    connections: count('Open connections.', 2000, 1, 100_000),
    connectionsPerAddress: count(
      'Open connections of one address (IPv6: of one /64): hosts behind one NAT count together.',
      512,
      1,
      100_000,
    ),
    requestsPerMinutePerAddress: count(
      'Requests a minute and address (IPv6: a /64), before anybody is known.',
      600,
      1,
      1_000_000,
    ),
    requestsPerMinutePerCertificate: count('Requests a minute and client certificate.', 1200, 1, 1_000_000),
    handshakeSeconds: count('Time for a TLS handshake.', 10, 1, 120),
    headersSeconds: count('Time for a request’s headers.', 10, 1, 120),
    requestSeconds: count('Time for a whole request.', 60, 1, 600),
    keepAliveSeconds: count('How long an idle connection stays open.', 30, 1, 600),
  }),
  retention: section('How long things are kept.', {
    evidenceDays: count(
      'Days that evidence and request bodies are kept; leaves are kept for ever.',
      90,
      1,
      36_500,
    ),
  }),
  shutdown: section('Stopping.', {
    graceSeconds: count('Time that requests under way get to end after SIGTERM.', 20, 0, 600),
  }),
  logging: section('The process’s own log (JSON lines on standard error).', {
    level: Type.Union(
      ['fatal', 'error', 'warn', 'info', 'debug'].map((level) => Type.Literal(level)),
      { description: 'What is logged: this and what is worse.', default: 'info' },
    ),
  }),
});

/** A verifier's whole configuration; every key is there, since every key has a default. */
export type VerifierConfig = Static<typeof VERIFIER_SCHEMA>;
