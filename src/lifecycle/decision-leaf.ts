import { hash } from 'node:crypto';
import { boundedDenial, denialBody, leafBody, saltedDigest } from '../audit/index.ts';
import type { Change, DecisionLeaf, OnceOnly } from '../audit/index.ts';
import { LIMITS, canonicalJson, jcsSha256, toBase64url, toHex, utf8 } from '../base/index.ts';
import type { JsonObject } from '../base/index.ts';
import type { QuoteAttest } from '../tpm/index.ts';
import { CHALLENGE_LIFETIME_MS } from './challenge.ts';
import type { ChallengePurpose } from './challenge.ts';
import { inputsBytes, requireKeepable } from './repeat/decision-inputs.ts';
import type { DecisionInputs } from './repeat/decision-inputs.ts';
import type { Denial } from './denial.ts';
import type { ClaimedEvidence } from './evidence-collection.ts';
import type { ExecutionRequest } from './execution-request.ts';
import type { ActingInitiator } from './stages/identity-stage.ts';
import type { ActivePolicy } from './policy-port.ts';
import type { DecisionDeps, HostFacts } from './ports.ts';
import type { SignedQuote } from './stages/quote-stage.ts';
import type { Released } from './stages/sealing-stage.ts';

/** What was established when a decision ended. */
export interface LeafFacts {
  readonly purpose: ChallengePurpose;
  readonly nonce: string;
  /** Unix ms. */
  readonly now: number;
  readonly requestDigest: Uint8Array;
  /** Of an execution: itself. Of an attestation: those that it renews. */
  readonly executions: readonly string[];
  readonly evidence: ClaimedEvidence;
  readonly host: HostFacts;
  /** What the enrolled key signed. */
  readonly signed: QuoteAttest;
  readonly policy: ActivePolicy;
  readonly deciding: readonly string[];
  readonly parent: string | null;
  readonly initiator: ActingInitiator | null;
  /** Keys that signed what runs. */
  readonly signers: readonly string[];
  /** What an execution asked for; null for an attestation. */
  readonly asked: {
    readonly request: ExecutionRequest;
    readonly salts: Salts;
    /** As it is kept. */
    readonly kept: KeptBody;
  } | null;
  /** What the decision is a function of; null where it is not kept. */
  readonly inputs: KeptInputs | null;
}

/** What an allow released. */
export interface LeafRelease {
  /** Digest of the authorization, or of the renewed ones; null when there is none. */
  readonly authorization: string | null;
  readonly sealed: JsonObject | null;
  readonly released: readonly Released[];
  readonly evidence: readonly { readonly name: string; readonly sha256: string }[];
}

/** `sha256:` and hex of a token's text. */
export const textDigest = (text: string): string => `sha256:${sha256Hex(utf8(text))}`;
/** `sha256:` and hex of a JSON value's canonical form. */
export const jsonDigest = (value: JsonObject): string => `sha256:${toHex(jcsSha256(value))}`;

const sha256Hex = (data: Uint8Array): string => hash('sha256', data, 'hex');

/** The leaf of a decision, without its outcome: everything by digest, what could be guessed with salt. */
export function leafFacts(
  facts: LeafFacts,
  release: LeafRelease | null,
  deps: DecisionDeps,
): Omit<DecisionLeaf, 'outcome' | 'denial'> {
  const { host, policy, signed, evidence, initiator, asked } = facts;
  const { resetCount, restartCount } = signed.clockInfo;
  return {
    v: 1,
    kind: 'decision',
    purpose: facts.purpose,
    replica: deps.replica,
    hostId: host.hostId,
    executions: facts.executions,
    parent: facts.parent,
    digests: {
      request: `sha256:${toHex(facts.requestDigest)}`,
      authorization: release?.authorization ?? null,
      sealed: release?.sealed ? jsonDigest(release.sealed) : null,
      evidence: (release?.evidence ?? evidence.items).map(({ name, sha256 }) => ({
        name,
        sha256: `sha256:${sha256}`,
      })),
      inputs: facts.inputs && `sha256:${facts.inputs.sha256}`,
    },
    policy: { digest: policy.bundle.hash, version: policy.bundle.version, deciding: facts.deciding },
    ak: toHex(host.akName),
    boot: { resetCount, restartCount },
    artifact: asked && { name: asked.request.artifact.name, digest: asked.request.artifact.digest },
    argv: asked && saltedDigest(asked.request.argv, asked.salts.argv),
    environment: asked && saltedDigest(asked.request.environment, asked.salts.environment),
    initiator: initiator && {
      issuer: initiator.issuer,
      subject: initiator.subject,
      token: `sha256:${initiator.tokenSha256}`,
      claims: initiator.claims,
    },
    released: release?.released ?? [],
    dependencies: dependenciesOf(facts, deps),
  };
}

function dependenciesOf(
  { host, policy, signers, initiator }: LeafFacts,
  deps: DecisionDeps,
): DecisionLeaf['dependencies'] {
  return [
    ...(host.ekRoot === null ? [] : [{ kind: 'ek-root', id: host.ekRoot } as const]),
    { kind: 'ak', id: toHex(host.akName) },
    { kind: 'bundle', id: policy.bundle.hash },
    { kind: 'reference-values', id: `${policy.bundle.hash}/${host.platform}` },
    ...policy.authorities.map((id) => ({ kind: 'authority', id }) as const),
    ...[...new Set(signers)].map((id) => ({ kind: 'signer', id }) as const),
    ...(initiator === null ? [] : [{ kind: 'issuer', id: initiator.issuer } as const]),
    { kind: 'build', id: deps.verifier.build },
  ];
}

/**
 * The change that a denial makes: a leaf, and the nonce is spent. Only for what the enrolled key signed: earlier
 * denials are counted, so that nobody fills the log.
 */
export function denialChange(
  { check, reason, stage, code, remedy, detail }: Denial,
  facts: LeafFacts,
  { reserved }: SignedQuote,
  deps: DecisionDeps,
  more: readonly KeptBody[] = [],
): Change {
  const bodies = keptBodies(facts, more, deps).filter(isSmall);
  const content = {
    ...leafFacts(facts, null, deps),
    outcome: 'deny' as const,
    denial: boundedDenial({ check, reason, stage, code, remedy, detail }),
  };
  return {
    leaf: leafBody(content),
    denialLeaf: denialBody(content),
    preconditions: [],
    // A nonce that another decision holds is spent by that one.
    once: reserved ? [nonceOnce(facts.nonce, facts.now)] : [],
    writes: [],
    bodies,
    denialBodies: bodies,
    keepLonger: keepLonger(facts, deps),
  };
}

/** What of a denial is kept: its sender proved less, so it may fill less. */
export const isSmall = ({ data }: KeptBody): boolean => data.length <= LIMITS.json;

/** The leaf of what is denied at its commit: nothing that was made for the answer is named, since none of it is kept. */
export function unanswered(leaf: DecisionLeaf, { items }: ClaimedEvidence): DecisionLeaf {
  const evidence = items.map(({ name, sha256 }) => ({ name, sha256: `sha256:${sha256}` }));
  return { ...leaf, digests: { ...leaf.digests, evidence } };
}

/** Tolerance for ids that may be forgotten: no clock here is off by more. */
export const LATE = 3_600_000;

/** The nonce works once. */
export function nonceOnce(nonce: string, now: number): OnceOnly {
  return {
    kind: 'nonce',
    id: nonce,
    expires: now + CHALLENGE_LIFETIME_MS + LATE,
    check: 'replay-nonce',
    reason: 'the nonce was presented before',
  };
}

/** Salts of what could be guessed; kept with the evidence, gone when that goes. */
export interface Salts {
  readonly argv: Uint8Array;
  readonly environment: Uint8Array;
}

export function drawSalts(deps: Pick<DecisionDeps, 'ids'>): Salts {
  return { argv: deps.ids.bytes(16), environment: deps.ids.bytes(16) };
}

/** A body under its digest. */
export interface KeptBody {
  /** Hex. */
  readonly sha256: string;
  readonly data: Uint8Array;
}

/** Inputs as they are kept. */
export interface KeptInputs extends KeptBody {
  /** Bodies that were read: needed as long as these inputs. */
  readonly read: readonly string[];
  /** Nothing is released by a decision that can't be proved later. @throws Refusal `decision-inputs-bound` */
  readonly requireKeepable: () => void;
}

export function keptInputs(inputs: DecisionInputs): KeptInputs {
  const kept = keptBody(inputsBytes(inputs));
  return {
    ...kept,
    read: inputs.bodies.read,
    requireKeepable: () => {
      requireKeepable(inputs, kept.data);
    },
  };
}

/** Earlier evidence is kept as long as the newest decision that rests on it. */
export function keepLonger(
  { inputs, now }: LeafFacts,
  deps: DecisionDeps,
): NonNullable<Change['keepLonger']> {
  const keepUntil = now + deps.retention;
  return (inputs?.read ?? []).map((sha256) => ({ sha256, keepUntil }));
}

/** The request of an execution as it is kept: a token as its digest, since its claims are in the leaf. */
export function keptRequest(request: ExecutionRequest, salts: Salts): KeptBody {
  const { initiator: token } = request;
  // Who repeats a decision has the digest only, and a digest has no dots.
  const initiator = token?.includes('.') === true ? textDigest(token) : token;
  const record = {
    request: { ...request, initiator },
    salts: { argv: toBase64url(salts.argv), environment: toBase64url(salts.environment) },
  };
  return keptBody(utf8(canonicalJson(record as unknown as JsonObject)));
}

/** A token as it is kept. */
export const textBody = (text: string): KeptBody => keptBody(utf8(text));

/** A body and its digest. */
export function keptBody(data: Uint8Array): KeptBody {
  return { sha256: sha256Hex(data), data };
}

/**
 * Bodies that are kept beside the leaf, by digest: evidence, the decision's inputs, what it answered, and the request
 * with its salts, which renewals need as long as the execution may live.
 */
export function keptBodies(
  { asked, evidence, policy, now, inputs }: LeafFacts,
  answered: readonly KeptBody[],
  deps: DecisionDeps,
): Change['bodies'] {
  const keepUntil = now + deps.retention;
  const lifetime = policy.bundle.document.limits.executionLifetime * 1000 + LATE;
  return [
    ...evidence.items.map(({ sha256, data }) => ({ sha256, data, keepUntil })),
    ...(inputs === null ? [] : [{ sha256: inputs.sha256, data: inputs.data, keepUntil }]),
    ...answered.map((body) => ({ ...body, keepUntil })),
    ...(asked === null ? [] : [{ ...asked.kept, keepUntil: Math.max(keepUntil, now + lifetime) }]),
  ];
}
