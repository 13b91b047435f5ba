import type { Static, TInteger, TObject, TSchema, TString } from 'typebox';
import { Type } from './type-builder.ts';

/** A closed section: a key that is not in it is refused, never ignored. */
const section = <P extends Record<string, TSchema>>(description: string, properties: P): TObject<P> =>
  Type.Object(properties, { additionalProperties: false, description });

const count = (description: string, byDefault: number, minimum: number, maximum: number): TInteger =>
  Type.Integer({ description, default: byDefault, minimum, maximum });

/** An absolute path, or nothing: then what enrollment wrote holds. */
const enrolledPath = (description: string): TString =>
  Type.String({ description, default: '', maxLength: 4096, pattern: '^(?:/[^\\u0000]*)?$' });

/**
 * `agent.yaml` of a host: like the verifier's, the one place that says which keys there are, what they default to and
 * what they mean.
 */
export const AGENT_SCHEMA = section('Configuration of a host agent (agent.yaml).', {
  state: Type.String({
    description: 'State directory, as host enroll made it.',
    default: '/var/lib/sealgate',
    pattern: '^/[^\\u0000]*$',
    maxLength: 4096,
  }),
  tpm: section('The TPM.', {
    tcti: Type.String({
      description: 'How to reach it; empty: as at enrollment.',
      default: '',
      maxLength: 1024,
    }),
  }),
  logs: section('Where the kernel shows what it measured; empty: as at enrollment.', {
    eventLog: enrolledPath('The firmware’s event log.'),
    imaList: enrolledPath('The binary IMA list.'),
  }),
  attestation: section('Continuous attestation of this host and its executions.', {
    intervalSeconds: count('Seconds from one attestation to the next.', 300, 5, 86_400),
    jitterPercent: count(
      'How much earlier it may be, at random, so that hosts don’t come all at once.',
      20,
      0,
      50,
    ),
    maxBackoffSeconds: count('The longest wait after a failure; the first is a second.', 300, 1, 86_400),
  }),
  socket: section('The local socket that sealgate run asks.', {
    path: Type.String({
      description: 'Where it is.',
      default: '/run/sealgate/agent.sock',
      pattern: '^/[^\\u0000]{1,106}$',
    }),
    mode: Type.String({
      description: 'Its permission bits: who may connect is who may write to it.',
      default: '0660',
      pattern: '^0[0-7]{3}$',
    }),
    users: Type.String({
      description: 'Uids that may ask, with commas between; empty: whoever can connect. Root always may.',
      default: '',
      maxLength: 1024,
      pattern: '^(?:(?:0|[1-9][0-9]{0,9})(?:,(?:0|[1-9][0-9]{0,9}))*)?$',
    }),
    connections: count('Callers at once.', 64, 1, 1024),
  }),
  execution: section('Executions on this host.', {
    graceSeconds: count('Time between TERM and KILL when an execution is ended.', 10, 0, 600),
    credentials: enrolledPath(
      'Where credentials are put, on a tmpfs; empty: /run/sealgate where that is one, else /dev/shm.',
    ),
    unmeasured: Type.Boolean({
      description:
        'Allow copies of artifacts on file systems in memory, which the kernel does not measure: for platforms whose runtime is unmeasured.',
      default: false,
    }),
  }),
  shutdown: section('Stopping.', {
    graceSeconds: count('Time that runs under way get to end after SIGTERM.', 20, 0, 600),
  }),
});

/** A host agent's whole configuration; every key is there, since every key has a default. */
export type AgentConfig = Static<typeof AGENT_SCHEMA>;
