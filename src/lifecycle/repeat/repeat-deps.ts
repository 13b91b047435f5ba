import { createHash, createPrivateKey, createPublicKey } from 'node:crypto';
import type { JsonWebKey, KeyObject } from 'node:crypto';
import type { VerificationKey } from '../../authorization/index.ts';
import {
  Refusal,
  Writer,
  fromBase64url,
  fromUtf8,
  refuse,
  toBase64url,
  toHex,
  utf8,
} from '../../base/index.ts';
import type { JsonObject, Random, SignElsewhere } from '../../base/index.ts';
import type { LoadedBundle, PolicyBundle } from '../../policy/index.ts';
import { ephemeralKey } from '../../tpm/index.ts';
import { unkeyedNonce } from '../challenge.ts';
import type { DecisionInputs } from './decision-inputs.ts';
import { parseExecutionRecord } from '../execution-record.ts';
import { decodeHostFacts } from '../host-facts-json.ts';
import type { ActivePolicy } from '../policy-port.ts';
import type { DecisionDeps, InitiatorVerification } from '../ports.ts';

/** The bundle that decided: its signatures verified, its engine loaded. */
export interface RepeatPolicy extends LoadedBundle {
  readonly bundle: PolicyBundle;
  readonly manifest: JsonObject;
  /** Key ids of the authorities that signed it. */
  readonly authorities: readonly string[];
}

/** What the verifier's keys were: public halves, from the trust bundle that was current. */
export interface RepeatTrust {
  /** Of the trust bundle. */
  readonly digest: string;
  readonly authorization: readonly VerificationKey[];
  readonly ear: readonly VerificationKey[];
  /** Certificates (DER) of authorities that sign SVIDs. */
  readonly svid: readonly Uint8Array[];
}

/** The tokens of an answer. */
export interface SignedAnswer {
  readonly attestationResult: string;
  readonly authorizations: readonly string[];
}

/** What a decision is repeated from, besides the request and its evidence. */
export interface RepeatMaterial {
  readonly inputs: DecisionInputs;
  /** Null where no bundle was active. */
  readonly policy: RepeatPolicy | null;
  readonly trust: RepeatTrust;
  /** What was answered; null for a denial. An ECDSA signature draws, so signatures are taken as they were made. */
  readonly signed: SignedAnswer | null;
  /** A kept body that the decision read, by hex SHA-256; undefined when it isn't at hand. */
  readonly body: (sha256: string) => Uint8Array | undefined;
}

/**
 * The ports of a decision that is repeated: each is answered from the inputs, none from this moment or this machine.
 * What is asked for and not in the inputs was not asked then: the repetition fails.
 */
export function repeatDeps(material: RepeatMaterial): DecisionDeps {
  const { inputs, trust, policy } = material;
  const { verifier } = inputs;
  const failing = failures(inputs);
  const drawn = inputs.drawn.values();
  return {
    trustDomain: verifier.trustDomain,
    issuer: verifier.issuer,
    replica: verifier.replica,
    verifier: { build: verifier.build, developer: verifier.developer },
    trust: trust.digest,
    clock: { now: () => inputs.now },
    // For the keys of a sealed object that nobody opens: any will do.
    random: counted('sealgate/repeat/v1\0'),
    ids: {
      bytes: (length) => {
        const { value } = drawn.next();
        const bytes = value === undefined ? undefined : fromBase64url(value, 'drawn');
        return bytes?.length === length ? bytes : asked('random value');
      },
    },
    challenge: { keys: [], epoch: new Uint8Array() },
    checkNonce: (nonce, _, binding, now) => unkeyedNonce(nonce, binding, now),
    verifyInitiator: initiatorOf(inputs, failing),
    keys: keysOf(material),
    policy: {
      active: () =>
        failing('policy', () => (policy === null ? undefined : activePolicy(policy, inputs, failing))),
    },
    ...recordsOf(inputs, failing),
    nonces: { has: () => inputs.nonce.taken, reserve: () => inputs.nonce.reserved },
    bodies: {
      get: (sha256) =>
        failing(`bodies/${sha256}`, () => {
          if (inputs.bodies.missing.includes(sha256)) return undefined;
          return material.body(sha256) ?? asked('kept body');
        }),
    },
    log: {
      size: () => failing('log', () => BigInt(inputs.logSize)),
      consistency: () => asked('consistency proof'),
    },
    retention: 0,
  };
}

type Failing = <T>(read: string, value: () => T) => Promise<T>;

/** Reads fail as they did then. */
function failures({ failed }: DecisionInputs): Failing {
  const byRead = new Map(failed.map(({ read, refusal }) => [read, refusal] as const));
  return (read, value) =>
    new Promise((resolve) => {
      const refusal = byRead.get(read);
      if (refusal === null) throw new Error('this failed when it was decided');
      if (refusal !== undefined) throw Refusal.revive(refusal);
      resolve(value());
    });
}

const asked = (what: string): never =>
  refuse('decision-repeat', `repeated, the decision asks for a ${what} that it did not ask for then`);

function recordsOf(
  inputs: DecisionInputs,
  failing: Failing,
): Pick<DecisionDeps, 'hosts' | 'executions' | 'revocations' | 'secrets' | 'status' | 'agents'> {
  const hosts = new Map(inputs.hosts.map(({ id, facts }) => [id, facts] as const));
  const executions = new Map(inputs.executions.map(({ id, found }) => [id, found] as const));
  const secrets = new Map(inputs.secrets.map(({ name, found }) => [name, found] as const));
  const revoked = new Set(inputs.revoked.map(({ kind, id }) => `${kind}/${id}`));
  return {
    hosts: {
      get: (id) =>
        failing(`hosts/${id}`, () => {
          const facts = hosts.get(id);
          if (facts === undefined) return asked('host');
          return facts === null ? undefined : decodeHostFacts(id, facts);
        }),
    },
    executions: {
      get: (id) =>
        failing(`executions/${id}`, () => {
          const found = executions.get(id);
          if (found === undefined) return asked('execution');
          if (found === null) return undefined;
          const record = { kind: 'execution', id, version: found.version };
          return { record, body: parseExecutionRecord(found.record) };
        }),
    },
    revocations: {
      revokedOf: (subjects) =>
        failing(`revoked/${subjects.map(({ kind, id }) => `${kind}/${id}`).join()}`.slice(0, 512), () =>
          subjects.filter(({ kind, id }) => revoked.has(`${kind}/${id}`)),
        ),
    },
    secrets: {
      get: (name) =>
        failing(`secrets/${name}`, () => {
          const found = secrets.get(name);
          if (found === undefined) return asked('secret');
          if (found === null) return undefined;
          // Its value is nowhere but in the sealed object, and nothing that is repeated is committed.
          const record = { kind: 'secret', id: name, version: found.version };
          return { record, version: found.version, value: new Uint8Array(found.bytes) };
        }),
    },
    status: { assign: (id) => failing(`status/${id}`, () => inputs.status ?? asked('status index')) },
    agents: { renew: (id) => failing(`agents/${id}`, () => inputs.certificate ?? asked('certificate')) },
  };
}

function activePolicy(
  policy: RepeatPolicy,
  { policy: read }: DecisionInputs,
  failing: Failing,
): ActivePolicy {
  const { bundle, manifest, authorities, engine, imaRules } = policy;
  if (read === null) return asked('policy');
  return {
    record: { kind: 'policy', id: 'active', version: read.version },
    bundle,
    manifest,
    authorities,
    uri: read.uri,
    imaRules: (platform, now) => imaRules.get(platform, now) ?? null,
    authorize: (request) => failing('authorize', () => engine.authorize(request)),
  };
}

function initiatorOf({ initiator }: DecisionInputs, failing: Failing): InitiatorVerification {
  return () =>
    failing('initiator', () => {
      if (initiator === null) return asked('verified token');
      const { confirmationKey, ...said } = initiator;
      return {
        ...said,
        confirmationKey: confirmationKey === null ? undefined : publicKeyOf(confirmationKey),
      };
    });
}

function publicKeyOf(jwk: JsonObject): KeyObject {
  try {
    // `createPublicKey` judges the members.
    return createPublicKey({ key: jwk as unknown as JsonWebKey, format: 'jwk' });
  } catch {
    return refuse('decision-inputs', 'the key of the initiator’s token is none');
  }
}

/** Signatures are given as they were made; that the trust bundle's keys made them is verified beside. */
function keysOf({ inputs, trust, signed }: RepeatMaterial): DecisionDeps['keys'] {
  const { authorizationKid, earKid, svidAuthority } = inputs.verifier;
  const authorization = keyOf(trust.authorization, authorizationKid);
  const ear = keyOf(trust.ear, earKid);
  const certificate =
    trust.svid.find((der) => sha256(der) === svidAuthority) ??
    refuse('decision-repeat', 'the trust bundle has no such SVID authority', { svidAuthority });
  const sign: SignElsewhere = (input) => signatureOver(input, signed?.authorizations ?? []);
  return {
    authorization: { ...authorization, sign },
    authorizations: trust.authorization,
    ear: { ...ear, sign: (input) => signatureOver(input, signed === null ? [] : [signed.attestationResult]) },
    // An SVID is in the sealed object only; its serial and its times are what the log has.
    svid: { certificate, key: throwaway(), chain: [] },
    jwtSvid: { kid: '', key: throwaway(), sign: () => new Uint8Array(64) },
  };
}

function keyOf(keys: readonly VerificationKey[], kid: string): VerificationKey {
  return (
    keys.find((key) => key.kid === kid) ??
    refuse('decision-repeat', 'the trust bundle has no such key of the verifier', { kid })
  );
}

/** The signature of the token with this signing input. A token that went nowhere has none: any bytes do. */
function signatureOver(signingInput: Uint8Array, tokens: readonly string[]): Uint8Array {
  const input = `${fromUtf8(signingInput, 'token')}.`;
  const token = tokens.find((one) => one.startsWith(input));
  return token === undefined ? new Uint8Array(64) : fromBase64url(token.slice(input.length), 'signature');
}

const sha256 = (data: Uint8Array): string =>
  toHex(new Uint8Array(createHash('sha256').update(data).digest()));

/** Bytes that are the same each time: SHA-256(label ‖ counter). */
function counted(label: string): Random {
  let counter = 0;
  const block = (): Uint8Array =>
    new Uint8Array(
      createHash('sha256').update(utf8(label)).update(new Writer().u32(counter++).finish()).digest(),
    );
  return {
    bytes: (length) => {
      const out = new Uint8Array(length);
      for (let at = 0; at < length; at += 32) out.set(block().slice(0, length - at), at);
      return out;
    },
  };
}

/** A key that signs what nobody reads. It is no secret: it is the same each time. */
function throwaway(): KeyObject {
  const pair = ephemeralKey('P-256', counted('sealgate/repeat/svid/v1\0'));
  // 0x04 ‖ x ‖ y (SEC 1 §2.3.3).
  const point = new Uint8Array(pair.getPublicKey());
  const [x, y] = [toBase64url(point.slice(1, 33)), toBase64url(point.slice(33))];
  const scalar = new Uint8Array(32);
  const short = new Uint8Array(pair.getPrivateKey());
  scalar.set(short, 32 - short.length);
  const d = toBase64url(scalar);
  return createPrivateKey({ key: { kty: 'EC', crv: 'P-256', d, x, y }, format: 'jwk' });
}
