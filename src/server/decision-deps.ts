import { createHash } from 'node:crypto';
import { KnownNodes, proveConsistency } from '../audit/index.ts';
import type { Records } from '../audit/index.ts';
import type { VerificationKey } from '../authorization/index.ts';
import { equalBytes, fromHex, refuse, toBase64, toHex, utf8 } from '../base/index.ts';
import type { Clock, Random } from '../base/index.ts';
import type { KeyRing, VerifierConfig } from '../config/index.ts';
import { issueAgentCertificate, readHost } from '../enrollment/index.ts';
import type { AgentIssuer } from '../enrollment/index.ts';
import type {
  AgentCertificates,
  DecisionDeps,
  ImaVerification,
  KeptBodies,
  LogView,
} from '../lifecycle/index.ts';
import type { StoreOperations } from '../store/index.ts';
import { parseCertificate, toPem } from '../x509/index.ts';
import { challengeKeys, decisionKeys } from './decision-keys.ts';
import { executionsOf, hostsOf, revocationsOf } from './decision-records.ts';
import { nonceReservations } from './nonce-reservations.ts';
import { statusIndexes } from './status-lists.ts';

const DAY_MS = 86_400_000;

/** What decisions are put together from. */
export interface DecisionParts {
  readonly config: VerifierConfig;
  readonly ring: KeyRing;
  readonly clock: Clock;
  readonly random: Random;
  readonly store: StoreOperations;
  readonly records: Records;
  readonly epoch: string;
  readonly agentIssuer: AgentIssuer;
  readonly policy: DecisionDeps['policy'];
  readonly secrets: DecisionDeps['secrets'];
  /** Of the current trust bundle: issuer, and authorization keys that may have signed earlier. */
  readonly trust: {
    readonly digest: string;
    readonly issuer: string;
    readonly authorizations: readonly VerificationKey[];
  };
  readonly verifyIma: ImaVerification;
  readonly onError: (error: unknown) => void;
}

/** Everything that a decision is a function of, over the store's records and the verifier's keys. */
export async function decisionDeps(parts: DecisionParts): Promise<DecisionDeps> {
  const { config, ring, clock, random, store, records, policy, secrets, trust, verifyIma, onError } = parts;
  return {
    trustDomain: config.trustDomain,
    issuer: trust.issuer,
    replica: config.replica,
    verifier: { build: 'sealgate-0.1.0', developer: 'sealgate' },
    trust: trust.digest,
    clock,
    random,
    ids: random,
    challenge: { keys: challengeKeys(ring), epoch: utf8(parts.epoch) },
    keys: await decisionKeys(ring, trust.authorizations),
    policy,
    hosts: hostsOf(records),
    executions: executionsOf(records),
    revocations: revocationsOf(records),
    secrets,
    nonces: nonceReservations(clock),
    bodies: bodiesOf(store),
    agents: agentCertificates(parts),
    log: logView(store),
    status: statusIndexes(config.url, config.replica, parts.epoch, Number((await store.head())?.size ?? 0)),
    verifyIma,
    retention: config.retention.evidenceDays * DAY_MS,
    onFault: (error) => {
      onError(error);
    },
  };
}

/** A body is what its digest says, or it is not given out: a database writer is no authority. */
function bodiesOf(store: StoreOperations): KeptBodies {
  return {
    get: async (sha256) => {
      const body = await store.body(sha256);
      if (body === undefined) return undefined;
      const actual = new Uint8Array(createHash('sha256').update(body).digest());
      return equalBytes(actual, fromHex(sha256))
        ? body
        : refuse('record-forged', 'a kept body is not the one of its digest', { sha256: toHex(actual) });
    },
  };
}

function agentCertificates({ records, agentIssuer, random }: DecisionParts): AgentCertificates {
  return {
    renew: async (hostId, now) => {
      const stored = await readHost(records, hostId);
      if (stored === undefined) return refuse('host-unknown', 'no such host is enrolled');
      const certificate = issueAgentCertificate(stored.host, agentIssuer, now, random);
      const { serial, notAfter } = parseCertificate(certificate);
      return { pem: toPem(certificate), serial, expires: notAfter };
    },
  };
}

function logView(store: StoreOperations): LogView {
  const known = new KnownNodes();
  return {
    size: async () => BigInt((await store.head())?.size ?? 0),
    consistency: async (from, to) => (await proveConsistency(from, to, store.tiles, known)).map(toBase64),
  };
}
