import type { Records, StoredRecord } from '../audit/index.ts';
import { fromBase64url, fromHex, refuse, shape } from '../base/index.ts';
import type { JsonObject, Shape } from '../base/index.ts';
import { readHost } from '../enrollment/index.ts';
import type { HostRecord } from '../enrollment/index.ts';
import { decodeImaState } from '../evidence/index.ts';
import type { ImaState } from '../evidence/index.ts';
import {
  BOOT_EVIDENCE,
  EXECUTION,
  IMA_STATE,
  RUN_DIGESTS,
  parseExecutionRecord,
  revokedRecord,
} from '../lifecycle/index.ts';
import type {
  AuthorizedRun,
  Executions,
  HostFacts,
  Hosts,
  RecordVersion,
  Revocations,
} from '../lifecycle/index.ts';

const { decimal, hex32, integer, list, literal, nullable, object } = shape;
const u32 = integer(0, 0xffff_ffff);
const boot = object({ resetCount: u32, restartCount: u32 });
const MARK = object(
  { resetCount: u32, restartCount: u32, clock: decimal, safe: shape.boolean },
  { at: integer() },
);
const EVIDENCE = object({ v: literal(1), boot, eventLog: nullable(hex32) });
const RUN = object({ v: literal(1), boot, digests: list(hex32, 100_000) });

/** What the ledger keeps of a host, read together; each row's MAC is checked by the store. */
export function hostsOf(records: Records): Hosts {
  return {
    get: async (hostId) => {
      const stored = await readHost(records, hostId);
      if (stored === undefined) return undefined;
      const [mark, evidence, ima, run] = await Promise.all(
        ['counters', BOOT_EVIDENCE, IMA_STATE, RUN_DIGESTS].map((kind) => records.get({ kind, id: hostId })),
      );
      return {
        record: { kind: 'host', id: hostId, version: stored.version },
        ...factsOf(stored.host),
        lastClock: mark === undefined ? null : readMark(mark),
        eventLog: evidence === undefined ? null : read(EVIDENCE, evidence).eventLog,
        ima: ima === undefined ? null : readImaState(ima),
        run: readRun(hostId, run),
      };
    },
  };
}

type EnrolledFacts = Omit<HostFacts, 'record' | 'lastClock' | 'eventLog' | 'ima' | 'run'>;

/** A host's record is read once for as long as it doesn't change, and so is what follows from it. */
const decoded = new WeakMap<HostRecord, EnrolledFacts>();

function factsOf(host: HostRecord): EnrolledFacts {
  const facts = decoded.get(host) ?? enrolledFacts(host);
  decoded.set(host, facts);
  return facts;
}

function enrolledFacts(host: HostRecord): EnrolledFacts {
  return {
    hostId: host.hostId,
    name: host.name,
    state: host.state,
    // Without a platform no policy holds: none has an empty name.
    platform: host.platform ?? '',
    labels: host.labels,
    ekPublic: fromBase64url(host.ek.public, 'ek'),
    akPublic: fromBase64url(host.ak.public, 'ak'),
    akName: fromHex(host.ak.name),
    akQualifiedName: fromHex(host.ak.qualifiedName),
    agentKey: host.agent.keyId,
    agentPublic: fromBase64url(host.agent.public, 'agent'),
    manufacturer: host.tpm.manufacturer,
    ekRoot: host.ek.certificate?.root ?? null,
    ekIssuers: host.ek.certificate?.issuers ?? [],
  };
}

function readMark(stored: StoredRecord): HostFacts['lastClock'] {
  const { clock, ...mark } = read(MARK, stored);
  return { ...mark, clock: BigInt(clock) };
}

function readImaState({ body }: StoredRecord): ImaState {
  return decodeImaState(body);
}

function readRun(hostId: string, stored: StoredRecord | undefined): AuthorizedRun {
  const record = versionOf({ kind: RUN_DIGESTS, id: hostId }, stored);
  if (stored === undefined) return { record, boot: null, digests: new Set() };
  const { boot: ofBoot, digests } = read(RUN, stored);
  return { record, boot: ofBoot, digests: new Set(digests) };
}

/** Executions as decisions see them. */
export function executionsOf(records: Records): Executions {
  return {
    get: async (executionId) => {
      const stored = await records.get({ kind: EXECUTION, id: executionId });
      return stored && { record: stored, body: parseExecutionRecord(stored.body) };
    },
  };
}

/** Revocations as decisions see them. */
export function revocationsOf(records: Records): Revocations {
  return {
    revokedOf: async (subjects) => {
      const found = await Promise.all(subjects.map((subject) => records.get(revokedRecord(subject))));
      return subjects.filter((_, i) => found[i] !== undefined);
    },
  };
}

function versionOf(
  { kind, id }: { readonly kind: string; readonly id: string },
  stored: StoredRecord | undefined,
): RecordVersion {
  return { kind, id, version: stored?.version ?? 0 };
}

function read<T>(form: Shape<T>, { kind, body }: { readonly kind: string; readonly body: JsonObject }): T {
  return form(body, kind, (path, want) => refuse('host-record', `${path} is not ${want}`, { member: path }));
}
