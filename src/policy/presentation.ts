import type { BundleDocument } from './bundle-shape.ts';

/** What an artifact's authorizations say to relying parties: a member that is absent is no limit. */
export interface PresentationLimits {
  readonly audiences?: readonly string[];
  readonly uses?: number;
}

/**
 * Policy's limits for the authorizations of an artifact: the general ones and those of its name, both at once.
 * @param artifact its name
 */
export function presentationOf(
  { presentation }: Pick<BundleDocument, 'presentation'>,
  artifact: string,
): PresentationLimits {
  const { artifacts = {}, ...general } = presentation ?? {};
  const own = Object.hasOwn(artifacts, artifact) ? artifacts[artifact] : undefined;
  return bothLimits(general, own ?? {});
}

/** The limits that keep to both: the audiences that are in each, the fewer uses. */
export function bothLimits(a: PresentationLimits, b: PresentationLimits): PresentationLimits {
  const audiences =
    a.audiences !== undefined && b.audiences !== undefined
      ? a.audiences.filter((audience) => b.audiences?.includes(audience))
      : (a.audiences ?? b.audiences);
  const uses = Math.min(a.uses ?? Infinity, b.uses ?? Infinity);
  return {
    ...(audiences === undefined ? {} : { audiences }),
    ...(uses === Infinity ? {} : { uses }),
  };
}
