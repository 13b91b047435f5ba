import { refuse } from '../../base/index.ts';
import type { RunFile } from './judge.ts';
import type { VerifiedIma } from './verify.ts';

/** Missing files that a refusal names. */
const NAMED = 20;

/** Paths of the manifest that the kernel has not measured with the digest that the manifest gives. */
export function missingFromManifest(ima: VerifiedIma): readonly string[] {
  const measured = new Set(ima.findings.measured);
  return ima.manifestPaths.filter((path) => !measured.has(path));
}

/**
 * The binding of an artifact to a host is worth what the gateway that made it is: every file of its manifest must be
 * in the verified list.
 * @throws Refusal `gateway-measured`, also when there is no manifest to compare with
 */
export function requireGatewayMeasured(ima: VerifiedIma): void {
  if (ima.manifestPaths.length === 0) refuse('gateway-measured', 'no manifest of the gateway is known');
  const missing = missingFromManifest(ima);
  if (missing.length > 0) {
    refuse(
      'gateway-measured',
      `${String(missing.length)} of ${String(ima.manifestPaths.length)} files of the gateway were not measured as built`,
      { missing: missing.slice(0, NAMED), total: missing.length },
    );
  }
}

/**
 * The artifact as the kernel measured it below the run directory, among the entries that this quote added: the fact
 * `executedDigest`.
 * @param sha256 lowercase hex
 * @throws Refusal `artifact-measured`
 */
export function requireArtifactMeasured(ima: VerifiedIma, sha256: string): RunFile {
  return (
    ima.runFiles.find((file) => file.sha256 === sha256) ??
    refuse('artifact-measured', 'the kernel has not measured the artifact before the quote', {
      expected: sha256,
      got: ima.runFiles.slice(0, NAMED).map((file) => file.sha256),
    })
  );
}
