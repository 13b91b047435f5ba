import { HASHES, assessArtifact, parseTrust } from '../../artifact/index.ts';
import type { ArtifactSigner } from '../../artifact/index.ts';
import { LIMITS, Refusal, toHex } from '../../base/index.ts';
import type { JsonObject } from '../../base/index.ts';
import { toDenial } from '../../lifecycle/denial.ts';
import type { Denial } from '../../lifecycle/denial.ts';
import { measureInput, readBeside, readNamed } from '../artifact-files.ts';
import { systemClock } from '../clock.ts';
import { readInput } from '../input.ts';

export interface VerifyOptions {
  readonly trust: string;
  readonly signature: readonly string[];
}

/** What `artifact verify` answers; members that could not be known are null. */
export interface VerifyAnswer {
  readonly denial: Denial | null;
  readonly digest: string | null;
  readonly signers: readonly ArtifactSigner[];
  readonly threshold: { readonly need: number; readonly have: number } | null;
  /** Signatures that don't count although the answer is yes: check and reason. */
  readonly notes: readonly string[];
}

/** The answer with `ok`, as `--json` prints it. */
export function answerJson({ denial, digest, signers, threshold }: VerifyAnswer): JsonObject {
  return {
    ok: denial === null,
    denial: denial === null ? null : { ...denial },
    digest,
    signers: signers.map((signer) => ({ ...signer })),
    threshold: threshold === null ? null : { ...threshold },
  };
}

/** @throws UsageError for files that can't be opened; every refusal is in the answer */
export async function verifyArtifactFile(file: string, options: VerifyOptions): Promise<VerifyAnswer> {
  const known: { digest: string | null; threshold: VerifyAnswer['threshold'] } = {
    digest: null,
    threshold: null,
  };
  try {
    const trustBytes = readInput(options.trust, 'trust document', LIMITS.json);
    const envelopes = options.signature.length > 0 ? options.signature.map(readNamed) : readBeside(file);
    const { digests } = await measureInput(file, HASHES);
    known.digest = toHex(digests.sha256);
    const trust = parseTrust(trustBytes);
    known.threshold = { need: trust.threshold, have: 0 };
    const found = assessArtifact({ digests, envelopes }, trust, systemClock);
    const refusal = found.refusal ?? malformedNamed(options, found.rejected);
    return {
      denial: refusal === undefined ? null : toDenial(refusal, 'artifact'),
      digest: found.digest,
      signers: found.signers,
      threshold: found.threshold,
      notes: found.rejected.map(({ check, reason }) => `not counted: [${check}] ${reason}`),
    };
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    return { denial: toDenial(error, 'artifact'), ...known, signers: [], notes: [] };
  }
}

/** A file that the caller named has to be a signature, even when others are enough. */
function malformedNamed({ signature }: VerifyOptions, rejected: readonly Refusal[]): Refusal | undefined {
  return signature.length === 0 ? undefined : rejected.find(({ check }) => check === 'malformed');
}
