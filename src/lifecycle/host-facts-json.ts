import type { HostState } from '../audit/index.ts';
import { fromBase64url, fromHex, isJsonObject, shape, toBase64url, toHex } from '../base/index.ts';
import type { JsonObject, Shape } from '../base/index.ts';
import { decodeImaState, encodeImaState } from '../evidence/index.ts';
import { RUN_DIGESTS } from './execution-record.ts';
import type { HostFacts } from './ports.ts';

const { boolean, decimal, hex32, integer, list, map, nullable, object, oneOf, text } = shape;
const u32 = integer(0, 0xffff_ffff);
const publicArea = shape.base64url(8192);
const tpmName = text({ min: 68, max: 132, pattern: /^(?:[0-9a-f]{2})+$/, want: 'a TPM name in hex' });
const json: Shape<JsonObject> = (value, path, fail) =>
  isJsonObject(value) ? value : fail(path, 'an object');
const states: Shape<HostState> = oneOf('pending', 'active', 'quarantined', 'revoked');

/** A host's facts as JSON, as a decision read them. */
export const HOST_FACTS = object({
  version: integer(),
  name: text({ max: 512 }),
  state: states,
  platform: text({ min: 0, max: 512 }),
  labels: map(/^[^\0]{1,256}$/, text({ min: 0, max: 1024 }), 256),
  ek: publicArea,
  ak: object({ public: publicArea, name: tpmName, qualifiedName: tpmName }),
  agent: object({ key: hex32, public: publicArea }),
  manufacturer: nullable(text({ max: 512 })),
  ekRoot: nullable(text({ max: 512 })),
  ekIssuers: list(hex32, 16),
  lastClock: nullable(
    object({ resetCount: u32, restartCount: u32, clock: decimal, safe: boolean }, { at: integer() }),
  ),
  eventLog: nullable(hex32),
  /** As it is stored. */
  ima: nullable(json),
  run: object({
    version: integer(),
    boot: nullable(object({ resetCount: u32, restartCount: u32 })),
    /** Hex SHA-256, sorted. */
    digests: list(hex32, 20_000),
  }),
});
export type HostFactsJson = ReturnType<typeof HOST_FACTS>;

/** The facts as JSON. */
export function encodeHostFacts(facts: HostFacts): HostFactsJson {
  const { lastClock, run, ima } = facts;
  return {
    version: facts.record.version,
    name: facts.name,
    state: facts.state,
    platform: facts.platform,
    labels: facts.labels,
    ek: toBase64url(facts.ekPublic),
    ak: {
      public: toBase64url(facts.akPublic),
      name: toHex(facts.akName),
      qualifiedName: toHex(facts.akQualifiedName),
    },
    agent: { key: facts.agentKey, public: toBase64url(facts.agentPublic) },
    manufacturer: facts.manufacturer,
    ekRoot: facts.ekRoot,
    ekIssuers: [...facts.ekIssuers],
    lastClock: lastClock && { ...lastClock, clock: String(lastClock.clock) },
    eventLog: facts.eventLog,
    ima: ima && encodeImaState(ima),
    run: {
      version: run.record.version,
      boot: run.boot && { resetCount: run.boot.resetCount, restartCount: run.boot.restartCount },
      digests: [...run.digests].sort(),
    },
  };
}

/** The facts of {@link encodeHostFacts}. @throws Refusal `malformed`, `ima-state-damaged` */
export function decodeHostFacts(hostId: string, facts: HostFactsJson): HostFacts {
  const { lastClock, run, ima, ak, agent } = facts;
  return {
    record: { kind: 'host', id: hostId, version: facts.version },
    hostId,
    name: facts.name,
    state: facts.state,
    platform: facts.platform,
    labels: facts.labels,
    ekPublic: fromBase64url(facts.ek, 'ek'),
    akPublic: fromBase64url(ak.public, 'ak'),
    akName: fromHex(ak.name),
    akQualifiedName: fromHex(ak.qualifiedName),
    agentKey: agent.key,
    agentPublic: fromBase64url(agent.public, 'agent'),
    manufacturer: facts.manufacturer,
    ekRoot: facts.ekRoot,
    ekIssuers: facts.ekIssuers,
    lastClock: lastClock && { ...lastClock, clock: BigInt(lastClock.clock) },
    eventLog: facts.eventLog,
    ima: ima && decodeImaState(ima),
    run: {
      record: { kind: RUN_DIGESTS, id: hostId, version: run.version },
      boot: run.boot,
      digests: new Set(run.digests),
    },
  };
}
