import { createHash } from 'node:crypto';
import { saltedDigest } from '../audit/index.ts';
import type { Change, DecisionLeaf } from '../audit/index.ts';
import { jcsSha256, toBase64url, toHex, utf8 } from '../base/index.ts';
import type { JsonObject } from '../base/index.ts';
import { canonicalJson } from '../base/index.ts';
import type { VerifiedArtifact } from '../artifact/index.ts';
import type { QuoteAttest } from '../tpm/index.ts';
import type { Principals } from './identity-stage.ts';
import type { DecisionDeps, HostFacts } from './ports.ts';
import type { AdmittedRequest } from './request-stage.ts';
import type { Released } from './sealing-stage.ts';

/** What was established when the decision ended; what was not reached is absent. */
export interface LeafFacts {
  readonly admitted: AdmittedRequest;
  readonly host: HostFacts;
  /** What the enrolled key signed. */
  readonly signed: QuoteAttest;
  readonly principals: Principals | undefined;
  readonly artifact: VerifiedArtifact | undefined;
  readonly deciding: readonly string[];
}

/** What an allow released. */
export interface LeafRelease {
  readonly authorization: string;
  readonly sealed: JsonObject;
  readonly released: readonly Released[];
  readonly evidence: readonly { readonly name: string; readonly sha256: string }[];
}

/** `sha256:` and hex of a token's text. */
export const textDigest = (text: string): string => `sha256:${sha256Hex(utf8(text))}`;
/** `sha256:` and hex of a JSON value's canonical form. */
export const jsonDigest = (value: JsonObject): string => `sha256:${toHex(jcsSha256(value))}`;

const sha256Hex = (data: Uint8Array): string =>
  toHex(new Uint8Array(createHash('sha256').update(data).digest()));

/** The leaf of a decision, without its outcome: everything by digest, what could be guessed with salt. */
export function leafFacts(
  facts: LeafFacts,
  salts: Salts,
  release: LeafRelease | null,
  deps: DecisionDeps,
): Omit<DecisionLeaf, 'outcome' | 'denial'> {
  const { admitted, host, signed, principals, deciding } = facts;
  const { request, policy, digest, evidence } = admitted;
  const initiator = principals?.initiator ?? null;
  const { resetCount, restartCount } = signed.clockInfo;
  return {
    v: 1,
    kind: 'decision',
    purpose: 'execution',
    replica: deps.replica,
    hostId: host.hostId,
    executions: [request.executionId],
    parent: principals?.parent?.executionId ?? null,
    digests: {
      request: `sha256:${toHex(digest)}`,
      authorization: release && textDigest(release.authorization),
      sealed: release && jsonDigest(release.sealed),
      evidence: (release?.evidence ?? evidence.items).map(({ name, sha256 }) => ({
        name,
        sha256: `sha256:${sha256}`,
      })),
    },
    policy: { digest: policy.bundle.hash, version: policy.bundle.version, deciding },
    ak: toHex(host.akName),
    boot: { resetCount, restartCount },
    artifact: { name: request.artifact.name, digest: request.artifact.digest },
    argv: saltedDigest(request.argv, salts.argv),
    environment: saltedDigest(request.environment, salts.environment),
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
  { host, admitted: { policy }, artifact, principals }: LeafFacts,
  deps: DecisionDeps,
): DecisionLeaf['dependencies'] {
  const issuer = principals?.initiator?.issuer;
  return [
    ...(host.ekRoot === null ? [] : [{ kind: 'ek-root', id: host.ekRoot } as const]),
    { kind: 'ak', id: toHex(host.akName) },
    { kind: 'bundle', id: policy.bundle.hash },
    { kind: 'reference-values', id: `${policy.bundle.hash}/${host.platform}` },
    ...policy.authorities.map((id) => ({ kind: 'authority', id }) as const),
    ...(artifact?.signers ?? []).map(({ key }) => ({ kind: 'signer', id: key }) as const),
    ...(issuer === undefined ? [] : [{ kind: 'issuer', id: issuer } as const]),
    { kind: 'build', id: deps.verifier.build },
  ];
}

/** Salts of what could be guessed; kept with the evidence, gone when that goes. */
export interface Salts {
  readonly argv: Uint8Array;
  readonly environment: Uint8Array;
}

export function drawSalts(deps: DecisionDeps): Salts {
  return { argv: deps.random.bytes(16), environment: deps.random.bytes(16) };
}

/** Bodies that are kept beside the leaf, by digest: evidence, salts, and the request with its token left out. */
export function keptBodies(
  { request, evidence, now }: AdmittedRequest,
  salts: Salts,
  deps: DecisionDeps,
): Change['bodies'] {
  const keepUntil = now + deps.retention;
  // A token is kept as its digest: its claims are in the leaf.
  const initiator = request.initiator === null ? null : textDigest(request.initiator);
  const record = {
    request: { ...request, initiator },
    salts: { argv: toBase64url(salts.argv), environment: toBase64url(salts.environment) },
  };
  const data = utf8(canonicalJson(record as unknown as JsonObject));
  return [...evidence.items, { sha256: sha256Hex(data), data }].map((item) => ({
    sha256: item.sha256,
    data: item.data,
    keepUntil,
  }));
}
