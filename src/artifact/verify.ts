import { LIMITS, Refusal, refuse, toHex } from '../base/index.ts';
import type { Clock } from '../base/index.ts';
import type { Outcome, SignedClaim } from './claim.ts';
import { whyNot } from './judge.ts';
import type { ArtifactTrust } from './trust.ts';
import type { ContentDigests, SignatureEnvelope, SignatureFormat } from './types.ts';
import { verifyCms } from './verify-cms.ts';
import { verifyDsse } from './verify-dsse.ts';
import { verifySshsig } from './verify-sshsig.ts';

/** One trusted key that signed this artifact. */
export interface ArtifactSigner {
  /** `sha256:` and the hex SHA-256 of the key's SubjectPublicKeyInfo. */
  readonly key: string;
  /** The artifact's name: the in-toto subject's, else the trust document's only one. */
  readonly name: string | null;
  readonly format: SignatureFormat;
}

/** Everything that verification found, also when the answer is no. */
export interface ArtifactAssessment {
  /** Lowercase hex SHA-256. */
  readonly digest: string;
  /** Distinct keys whose signatures count, sorted by key. */
  readonly signers: readonly ArtifactSigner[];
  readonly threshold: { readonly need: number; readonly have: number };
  readonly name: string | null;
  /** What all counted statements that state a version state; null when none does or they differ. */
  readonly version: string | null;
  /** Why other signatures don't count. */
  readonly rejected: readonly Refusal[];
  /** Why the artifact is refused; undefined only when the threshold is met. */
  readonly refusal: Refusal | undefined;
}

declare const verified: unique symbol;

/** An artifact whose signatures meet the trust: only {@link verifyArtifact} makes one. */
export interface VerifiedArtifact extends Omit<ArtifactAssessment, 'refusal' | 'rejected'> {
  readonly [verified]: true;
}

/** What is to be verified. */
export interface ArtifactInput {
  readonly digests: ContentDigests;
  readonly envelopes: readonly SignatureEnvelope[];
}

/** Envelopes beside one artifact; each can hold many signatures. */
const MAX_ENVELOPES = 64;

/**
 * The artifact when t distinct trusted keys signed it and everything else that the trust asks for holds.
 * @throws Refusal: the first failure, with all others of the stage in `failures`
 */
export function verifyArtifact(input: ArtifactInput, trust: ArtifactTrust, clock: Clock): VerifiedArtifact {
  const { refusal, digest, signers, threshold, name, version } = assessArtifact(input, trust, clock);
  if (refusal !== undefined) throw refusal;
  // The brand exists in the type system only; this is the one place that gives it.
  return Object.freeze({ digest, signers, threshold, name, version }) as VerifiedArtifact;
}

/** {@link verifyArtifact} that reports instead of throwing, for those who show both outcomes. */
export function assessArtifact(input: ArtifactInput, trust: ArtifactTrust, clock: Clock): ArtifactAssessment {
  const digest = toHex(input.digests.sha256);
  if (input.digests.sha256.length !== 32) throw new TypeError('a SHA-256 digest has 32 bytes');
  const outcomes = trust.deny.has(digest) ? [denied(digest)] : verifyEnvelopes(input, trust, clock.now());
  const { counted, rejected } = sortOut(outcomes, trust, clock.now());
  const { name, claims, others } = oneName(counted);
  const artifactName = name ?? (trust.names?.length === 1 ? (trust.names[0] ?? null) : null);
  const signers = distinctSigners(claims, artifactName);
  const threshold = { need: trust.threshold, have: signers.length };
  const reasons = [...rejected, ...others];
  return {
    digest,
    signers,
    threshold,
    name: artifactName,
    version: oneVersion(claims),
    rejected: reasons,
    refusal: verdict(threshold, reasons, input.envelopes.length),
  };
}

function denied(sha256: string): Refusal {
  return new Refusal('artifact-denied', 'this digest is on the deny-list', { sha256 });
}

function verifyEnvelopes(
  { digests, envelopes }: ArtifactInput,
  trust: ArtifactTrust,
  now: number,
): Outcome[] {
  if (envelopes.length > MAX_ENVELOPES)
    refuse('malformed', `more than ${String(MAX_ENVELOPES)} signature files`);
  return envelopes.flatMap((envelope) => {
    try {
      return verifyEnvelope(envelope, digests, trust, now);
    } catch (error) {
      // One bad envelope must not hide the good ones; it is reported, and decides when the threshold isn't met.
      if (error instanceof Refusal) return [error];
      throw error;
    }
  });
}

function verifyEnvelope(
  envelope: SignatureEnvelope,
  digests: ContentDigests,
  trust: ArtifactTrust,
  now: number,
): Outcome[] {
  const { format, bytes } = envelope;
  if (bytes.length > LIMITS.signature)
    refuse('malformed', `${format} signature: ${String(bytes.length)} bytes, over the limit`);
  switch (format) {
    case 'dsse':
      return verifyDsse(bytes, digests, trust);
    case 'cms':
      return verifyCms(bytes, digests, trust, now);
    case 'ssh':
      return verifySshsig(bytes, digests, trust);
  }
}

function sortOut(
  outcomes: readonly Outcome[],
  trust: ArtifactTrust,
  now: number,
): { counted: SignedClaim[]; rejected: Refusal[] } {
  const counted: SignedClaim[] = [];
  const rejected: Refusal[] = [];
  for (const outcome of outcomes) {
    const reason = outcome instanceof Refusal ? outcome : whyNot(outcome, trust, now);
    if (reason !== undefined) rejected.push(reason);
    else if (!(outcome instanceof Refusal)) counted.push(outcome);
  }
  return { counted, rejected };
}

/**
 * One artifact has one name: where statements name it differently, the name that most keys signed, first in order
 * among equals. Signatures without a name stand for any.
 */
function oneName(counted: readonly SignedClaim[]): {
  name: string | undefined;
  claims: readonly SignedClaim[];
  others: Refusal[];
} {
  const keysByName = new Map<string, Set<string>>();
  for (const { name, key } of counted) {
    if (name !== undefined) keysByName.set(name, (keysByName.get(name) ?? new Set()).add(key));
  }
  const ranked = [...keysByName].sort(([a, x], [b, y]) => y.size - x.size || (a < b ? -1 : 1));
  const name = ranked[0]?.[0];
  const agrees = (claim: SignedClaim): boolean => claim.name === undefined || claim.name === name;
  const others = counted
    .filter((claim) => !agrees(claim))
    .map(
      ({ key, name: other }) =>
        new Refusal('artifact-name', 'signed under another name than by the other signers', {
          key,
          name: other ?? null,
        }),
    );
  return { name, claims: counted.filter(agrees), others };
}

function oneVersion(claims: readonly SignedClaim[]): string | null {
  const versions = new Set(claims.flatMap(({ version }) => version ?? []));
  const [version] = versions;
  return versions.size === 1 && version !== undefined ? version : null;
}

/** One key counts once, however many formats and files it signed in. */
function distinctSigners(claims: readonly SignedClaim[], name: string | null): ArtifactSigner[] {
  const byKey = new Map<string, ArtifactSigner>();
  for (const claim of claims) {
    if (!byKey.has(claim.key))
      byKey.set(claim.key, { key: claim.key, name: claim.name ?? name, format: claim.format });
  }
  return [...byKey.values()].sort((a, b) => (a.key < b.key ? -1 : 1));
}

/** Starts at "no": only a met threshold gives undefined. */
function verdict(
  { need, have }: { need: number; have: number },
  rejected: readonly Refusal[],
  envelopes: number,
): Refusal | undefined {
  const denial = rejected.find(({ check }) => check === 'artifact-denied');
  if (denial !== undefined) return denial;
  if (have >= need && need >= 1) return undefined;
  if (envelopes === 0) return new Refusal('artifact-unsigned', 'there is no signature for this artifact');
  if (have === 0 && rejected.length > 0) return Refusal.join(rejected);
  const reason = `${String(have)} of ${String(need)} distinct trusted keys signed`;
  return Refusal.join([new Refusal('artifact-threshold', reason, { need, have }), ...rejected]);
}
