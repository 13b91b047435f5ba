import type { AuditLeaf } from '../../audit/index.ts';
import { refuse, utf8 } from '../../base/index.ts';
import type { JsonObject } from '../../base/index.ts';
import { authenticateManifest, loadBundle, openBundle } from '../../policy/index.ts';
import type { CedarLoader, SignedManifest, VerifiedTrustBundle } from '../../policy/index.ts';
import { requirePlain } from './envelope.ts';
import type { ClaimedPackage } from './format.ts';
import { everyAuthority } from './trust.ts';
import type { PackageTrust } from './trust.ts';
import type { RepeatPolicy } from '../repeat/repeat-deps.ts';

type Decision = Extract<AuditLeaf, { kind: 'decision' }>;

/**
 * Every manifest of the package is signed by authorities of its trust bundles and is of the policy that decided: there
 * is one or, where it was lost, none.
 * @throws Refusal `package-entry`, `package-form`, and those of `authenticateManifest`
 */
export function requireManifests(
  { manifests }: ClaimedPackage,
  { policy }: Decision,
  trust: PackageTrust,
): void {
  const [manifest, ...more] = manifests;
  if (more.length > 0) refuse('package-entry', 'more than one policy manifest');
  if (manifest === undefined) return;
  requirePlain(manifest, everyAuthority(trust.versions));
  // Signed under an earlier version of the trust bundle, it stays what it was.
  const { signed } = signedUnder(manifest, [...trust.versions].reverse());
  if (signed.manifest.hash !== policy?.digest)
    refuse('package-entry', 'the manifest is of another policy than the one that decided');
}

/** The first version whose authorities signed it. @throws Refusal of the newest version when none did */
function signedUnder(
  manifest: JsonObject,
  versions: readonly VerifiedTrustBundle[],
): { readonly signed: SignedManifest; readonly under: VerifiedTrustBundle } {
  let first: unknown;
  for (const under of versions) {
    try {
      const signed = openManifest(manifest, under);
      return { signed, under };
    } catch (error) {
      first ??= error;
    }
  }
  throw first;
}

function openManifest(
  manifest: JsonObject,
  { authorities, trustDomain }: VerifiedTrustBundle,
): SignedManifest {
  const signed = authenticateManifest(utf8(JSON.stringify(manifest)), { authorities, trustDomain });
  return signed;
}

/** The policy that decided, with its engine; null where the leaf names none. @throws Refusal of src/policy */
export function openPackagePolicy(
  { manifests: [manifest], bodies }: ClaimedPackage,
  { policy }: Decision,
  then: VerifiedTrustBundle,
  load: CedarLoader,
): RepeatPolicy | null {
  if (policy === null) return null;
  const bytes = bodies.get(policy.digest.slice('sha256:'.length));
  if (manifest === undefined || bytes === undefined)
    return refuse('package-entry', 'the policy that decided is not in the package');
  const signed = openManifest(manifest, then);
  const bundle = openBundle(signed, bytes);
  return { bundle, manifest, authorities: signed.signers, ...loadBundle(bundle, load) };
}
