import { referencesAt } from '../appraisal/index.ts';
import { refuse } from '../base/index.ts';
import type { JsonObject } from '../base/index.ts';
import type { CredentialDocument, HostSetDocument } from './bundle-shape.ts';
import type { PolicyBundle, Platform } from './bundle.ts';
import { asCedarValue } from './cedar/facts.ts';
import type { CedarRecord } from './cedar/facts.ts';

/** What the enrollment record says about a host; none of it is the host's own claim. */
export interface EnrolledHost {
  /** hostId. */
  readonly id: string;
  readonly platform: string;
  /** `key=value`. */
  readonly labels: readonly string[];
}

/**
 * The platform of a host, with the reference values of that moment: the ordinary ones and those of open updates.
 * @param now Unix ms
 * @throws Refusal `policy-platform` when the bundle has none of that name
 */
export function platformOf(bundle: PolicyBundle, { platform }: EnrolledHost, now: number): Platform {
  const found =
    bundle.platforms.get(platform) ??
    refuse('policy-platform', 'the policy has no platform of that name', { platform });
  return { ...found, references: referencesAt(found.references, now) };
}

/** Names of the host sets that a host belongs to, sorted. */
export function hostSetsOf({ document }: PolicyBundle, host: EnrolledHost): readonly string[] {
  return Object.entries(document.hostSets)
    .filter(([, set]) => isMember(set, host))
    .map(([name]) => name)
    .sort();
}

/** Listed by id, or with every label of the set; in both cases of one of its platforms, where it names any. */
function isMember({ hosts, labels, platforms }: HostSetDocument, host: EnrolledHost): boolean {
  if (platforms !== undefined && !platforms.includes(host.platform)) return false;
  if (hosts?.includes(host.id) === true) return true;
  return labels !== undefined && labels.length > 0 && labels.every((label) => host.labels.includes(label));
}

/** A credential that may be released to this host, as far as the host goes; Cedar says the rest. */
export interface GrantedCredential {
  readonly name: string;
  readonly credential: CredentialDocument;
}

/**
 * The credentials that a request names, each granted to one of the host's sets. Asking for something that isn't granted
 * is an error, not silently less.
 * @throws Refusal `policy-credential`
 */
export function grantedCredentials(
  bundle: PolicyBundle,
  host: EnrolledHost,
  names: readonly string[],
): readonly GrantedCredential[] {
  const sets = hostSetsOf(bundle, host);
  const { credentials } = bundle.document;
  return names.map((name) => {
    const credential = Object.hasOwn(credentials, name) ? credentials[name] : undefined;
    // One answer for both: a host can't find out what exists for others.
    if (!credential?.hosts.some((set) => sets.includes(set)))
      return refuse('policy-credential', `the credential ${name} is not granted to this host`, {
        credential: name,
      });
    return { name, credential };
  });
}

/**
 * The claims of an initiator's token that the bundle lets policies see. A claim of a form that no policy can see (a
 * fraction, an object) is left out, so that a rule that needs it doesn't hold.
 */
export function selectClaims({ document }: PolicyBundle, issuer: string, claims: JsonObject): CedarRecord {
  const selected = document.initiators.find((initiator) => initiator.issuer === issuer)?.claims ?? [];
  return Object.fromEntries(
    selected.flatMap((name) => {
      const claim = Object.hasOwn(claims, name) ? claims[name] : undefined;
      const value = claim === undefined ? undefined : asCedarValue(claim);
      return value === undefined ? [] : [[name, value]];
    }),
  );
}
