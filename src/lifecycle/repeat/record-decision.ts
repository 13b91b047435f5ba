import { hash } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { Refusal, toBase64url } from '../../base/index.ts';
import type { JsonObject } from '../../base/index.ts';
import { verifyInitiator } from '../../identity/index.ts';
import type { PolicyRequest } from '../../policy/index.ts';
import type { ChallengePurpose } from '../challenge.ts';
import type { DecisionInputs, FailedRead, Received, VerifiedToken } from './decision-inputs.ts';
import { executionBody } from '../execution-record.ts';
import { encodeHostFacts } from '../host-facts-json.ts';
import type { ActivePolicy } from '../policy-port.ts';
import type {
  Caller,
  DecisionDeps,
  Executions,
  HostFacts,
  InitiatorVerification,
  ReleasedSecret,
  Revocable,
} from '../ports.ts';
import { Reads, RevokedReads, failedRead } from './recorded-reads.ts';

/** A decision whose reads are written down: the stages get `deps` and nothing else. */
export interface Recording {
  readonly deps: DecisionDeps;
  /** Everything that was read and drawn. */
  inputs(received: Received): DecisionInputs;
  /** Of everything that the stages asked for, what was not revoked: the decision rests on it. */
  notRevoked(): readonly Revocable[];
}

/**
 * Puts a recorder between a decision and its ports, so that what it was a function of is known and can be given again
 * (PROTOCOL 11, 13). Whatever a stage reads past these ports would make the decision one that can't be repeated: the
 * tests that repeat every decision find it.
 */
export function recordDecision(purpose: ChallengePurpose, caller: Caller, deps: DecisionDeps): Recording {
  const record = new DecisionRecord(caller, deps);
  return {
    deps: { ...deps, ...record.computed(), ...record.read() },
    inputs: (received) => ({ v: 1, purpose, ...record.inputs(), received }),
    notRevoked: () => record.notRevoked(),
  };
}

/** What one decision reads, draws and computes outside itself. */
class DecisionRecord {
  readonly #caller: Caller;
  readonly #deps: DecisionDeps;
  readonly #now: number;
  readonly #failed: FailedRead[] = [];
  readonly #drawn: string[] = [];
  readonly #nonce = { taken: false, reserved: false };
  readonly #reads: StoredReads;
  readonly #revoked: RevokedReads;
  #initiator: VerifiedToken | null = null;

  constructor(caller: Caller, deps: DecisionDeps) {
    this.#caller = caller;
    this.#deps = deps;
    this.#now = deps.clock.now();
    this.#reads = this.#readsOf(deps);
    this.#revoked = new RevokedReads(deps.revocations, this.#failed);
  }

  #readsOf(deps: DecisionDeps): StoredReads {
    const failed = this.#failed;
    return {
      policy: new Reads('policy', failed, async () => this.#watched(await deps.policy.active())),
      hosts: new Reads('hosts', failed, async (id) => narrowed(await deps.hosts.get(id), this.#caller)),
      executions: new Reads('executions', failed, (id) => deps.executions.get(id)),
      logSize: new Reads('log', failed, () => deps.log.size()),
      bodies: new Reads('bodies', failed, (sha256) => deps.bodies.get(sha256)),
      secrets: new Reads('secrets', failed, (name) => deps.secrets.get(name)),
      status: new Reads('status', failed, (id) => deps.status.assign(id)),
      certificate: new Reads('agents', failed, (hostId) => deps.agents.renew(hostId, this.#now)),
    };
  }

  /** Work that may fail without its input being at fault: a broken engine, a thread that ended. */
  async #working<T>(name: string, work: () => T | Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof Refusal)) this.#failed.push(failedRead(name, error));
      throw error;
    }
  }

  #watched(policy: ActivePolicy | undefined): ActivePolicy | undefined {
    if (policy === undefined) return undefined;
    const authorize = (request: PolicyRequest) => this.#working('authorize', () => policy.authorize(request));
    return { ...policy, authorize };
  }

  readonly #verifyInitiator: InitiatorVerification = async (...question) => {
    try {
      const verified = await (this.#deps.verifyInitiator ?? verifyInitiator)(...question);
      this.#initiator = tokenOf(verified);
      return verified;
    } catch (error) {
      this.#failed.push(failedRead('initiator', error));
      throw error;
    }
  };

  /** The ports that give time, randomness and results. */
  computed(): Pick<DecisionDeps, 'clock' | 'ids' | 'verifyInitiator' | 'verifyIma' | 'nonces'> {
    const { ids, nonces, verifyIma } = this.#deps;
    return {
      clock: { now: () => this.#now },
      ids: {
        bytes: (length) => {
          const value = ids.bytes(length);
          this.#drawn.push(toBase64url(value));
          return value;
        },
      },
      verifyInitiator: this.#verifyInitiator,
      ...(verifyIma === undefined
        ? {}
        : { verifyIma: (list, question) => this.#working('ima', () => verifyIma(list, question)) }),
      nonces: {
        has: (value) => (this.#nonce.taken = nonces.has(value)),
        reserve: (value, until) => (this.#nonce.reserved = nonces.reserve(value, until)),
      },
    };
  }

  /** The ports that read what is stored. */
  read(): RecordPorts {
    const reads = this.#reads;
    return {
      policy: { active: () => reads.policy.get('') },
      hosts: { get: (id) => reads.hosts.get(id) },
      executions: { get: (id) => reads.executions.get(id) },
      revocations: { revokedOf: (subjects) => this.#revoked.get(subjects) },
      log: { ...this.#deps.log, size: () => reads.logSize.get('') },
      bodies: { get: (sha256) => reads.bodies.get(sha256) },
      secrets: { get: (name) => reads.secrets.get(name) },
      status: { assign: (id) => reads.status.get(id) },
      agents: { renew: (hostId) => reads.certificate.get(hostId) },
    };
  }

  notRevoked(): readonly Revocable[] {
    return this.#revoked.of({ revoked: false });
  }

  inputs(): Omit<DecisionInputs, 'v' | 'purpose' | 'received'> {
    const { hostId, agentKey, notAfter } = this.#caller;
    return {
      now: this.#now,
      verifier: verifierOf(this.#deps),
      trust: this.#deps.trust,
      caller: { hostId, agentKey, notAfter },
      ...this.#stored(),
      nonce: this.#nonce,
      revoked: this.#revoked.of({ revoked: true }),
      initiator: this.#initiator,
      drawn: this.#drawn,
      failed: this.#failed,
    };
  }

  #stored(): StoredInputs {
    const reads = this.#reads;
    const policy = reads.policy.only();
    const bodies = reads.bodies.sorted((sha256, data) => ({ sha256, kept: data !== undefined }));
    return {
      policy:
        policy === undefined
          ? null
          : {
              version: policy.record.version,
              digest: policy.bundle.hash,
              uri: policy.uri,
            },
      logSize: String(reads.logSize.only() ?? 0n),
      hosts: reads.hosts.sorted((id, facts) => ({ id, facts: facts ? encodeHostFacts(facts) : null })),
      executions: reads.executions.sorted((id, found) => ({
        id,
        found: found ? { version: found.record.version, record: executionBody(found.body) } : null,
      })),
      bodies: {
        read: bodies.filter(({ kept }) => kept).map(({ sha256 }) => sha256),
        missing: bodies.filter(({ kept }) => !kept).map(({ sha256 }) => sha256),
      },
      secrets: reads.secrets.sorted((name, secret) => ({
        name,
        found: secret ? { version: secret.version, bytes: secret.value.length } : null,
      })),
      status: reads.status.first() ?? null,
      certificate: reads.certificate.first() ?? null,
    };
  }
}

/** Reads by port. */
interface StoredReads {
  readonly policy: Reads<ActivePolicy | undefined>;
  readonly hosts: Reads<HostFacts | undefined>;
  readonly executions: Reads<Awaited<ReturnType<Executions['get']>>>;
  readonly logSize: Reads<bigint>;
  readonly bodies: Reads<Uint8Array | undefined>;
  readonly secrets: Reads<ReleasedSecret | undefined>;
  readonly status: Reads<NonNullable<DecisionInputs['status']>>;
  readonly certificate: Reads<NonNullable<DecisionInputs['certificate']>>;
}
type RecordPorts = Pick<
  DecisionDeps,
  'policy' | 'hosts' | 'executions' | 'revocations' | 'log' | 'bodies' | 'secrets' | 'status' | 'agents'
>;
type StoredInputs = Pick<
  DecisionInputs,
  'policy' | 'logSize' | 'hosts' | 'executions' | 'bodies' | 'secrets' | 'status' | 'certificate'
>;

/** Of another host than the one that asks, only its standing counts: what it measured is left out. */
function narrowed(facts: HostFacts | undefined, { hostId }: Caller): HostFacts | undefined {
  if (facts === undefined || facts.hostId === hostId) return facts;
  return { ...facts, ima: null, run: { ...facts.run, boot: null, digests: new Set() } };
}

function verifierOf(deps: DecisionDeps): DecisionInputs['verifier'] {
  const { trustDomain, issuer, replica, verifier, keys } = deps;
  return {
    trustDomain,
    issuer,
    replica,
    build: verifier.build,
    developer: verifier.developer,
    authorizationKid: keys.authorization.kid,
    earKid: keys.ear.kid,
    svidAuthority: hash('sha256', keys.svid.certificate, 'hex'),
  };
}

function tokenOf(verified: Awaited<ReturnType<InitiatorVerification>>): VerifiedToken {
  const { issuer, subject, tokenId, expires, tokenSha256, claims, confirmationKey } = verified;
  return {
    issuer,
    subject,
    tokenId,
    expires,
    tokenSha256,
    claims,
    confirmationKey: confirmationKey === undefined ? null : jwkOf(confirmationKey),
  };
}

/** A public key as JWK: members in one order, none undefined. */
function jwkOf(key: KeyObject): JsonObject {
  const { kty = '', crv = '', x = '', y, n, e } = key.export({ format: 'jwk' });
  if (kty === 'RSA') return { kty, n: n ?? '', e: e ?? '' };
  return y === undefined ? { kty, crv, x } : { kty, crv, x, y };
}
