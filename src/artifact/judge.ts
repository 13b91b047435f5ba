import { Refusal } from '../base/index.ts';
import type { SignedClaim } from './claim.ts';
import type { ArtifactTrust, Window } from './trust.ts';
import { versionAtLeast } from './version.ts';

/** Signers' clocks may be this far ahead of ours: milliseconds. */
const CLOCK_TOLERANCE = 5 * 60_000;

/**
 * Whether a verified signature counts under this trust at `now` (Unix milliseconds): the reason why not, or undefined.
 * Checks `artifact-name`, `artifact-window`, `artifact-age`, `artifact-version`.
 */
export function whyNot(claim: SignedClaim, trust: ArtifactTrust, now: number): Refusal | undefined {
  return (
    nameProblem(claim, trust) ??
    windowProblem(claim, trust, now) ??
    ageProblem(claim, trust, now) ??
    versionProblem(claim, trust)
  );
}

function nameProblem({ name, key }: SignedClaim, { names }: ArtifactTrust): Refusal | undefined {
  if (name === undefined || names === undefined || names.includes(name)) return undefined;
  return new Refusal('artifact-name', 'signed under a name that is not allowed', { name, key });
}

function windowProblem(claim: SignedClaim, trust: ArtifactTrust, now: number): Refusal | undefined {
  const { key, signedAt } = claim;
  const no = (reason: string): Refusal => new Refusal('artifact-window', reason, { key });
  if (!within(now, trust)) return no('the trust document is not valid now');
  if (!within(now, claim.signer)) return no('the signer is not valid now');
  if (!within(now, claim.window)) return no('the signature says that it is not valid now');
  if (signedAt === undefined) return undefined;
  if (signedAt > now + CLOCK_TOLERANCE) return no('the signature was made in the future');
  if (!within(signedAt, trust) || !within(signedAt, claim.signer))
    return no('the signature was made outside of the signer’s window');
  return undefined;
}

function ageProblem({ signedAt, key }: SignedClaim, trust: ArtifactTrust, now: number): Refusal | undefined {
  if (trust.maximumAge === undefined) return undefined;
  if (signedAt === undefined)
    return new Refusal('artifact-age', 'the signature does not state when it was made', { key });
  if (now - signedAt <= trust.maximumAge * 1000) return undefined;
  return new Refusal('artifact-age', 'the signature is older than allowed', {
    key,
    maximumAge: trust.maximumAge,
  });
}

function versionProblem({ version, key }: SignedClaim, trust: ArtifactTrust): Refusal | undefined {
  const { minimumVersion } = trust;
  if (minimumVersion === undefined) return undefined;
  if (version === undefined)
    return new Refusal('artifact-version', 'the signature does not state a version', { key });
  if (versionAtLeast(version, minimumVersion)) return undefined;
  return new Refusal('artifact-version', 'the signed version is below the minimum', {
    version,
    minimumVersion,
    key,
  });
}

function within(time: number, { notBefore, notAfter }: Window): boolean {
  return (notBefore === undefined || time >= notBefore) && (notAfter === undefined || time <= notAfter);
}
