import { parseClaims } from '../authorization/index.ts';
import { fromBase64url } from '../base/index.ts';
import type { ExecutionRecord } from './execution-record.ts';
import { ekAuthorities } from './not-revoked.ts';
import type { Revocable } from './ports.ts';

/**
 * Everything by whose revocation an execution ends: the execution itself, host, keys, artifact, signers, policy and its
 * authorities, on whose behalf it acts, and the same of every execution above it. From the authorizations that the
 * record keeps, so that it is what was believed when they were signed.
 *
 * The attestation key and the EK's authority of an ancestor aren't in its authorization: `above` brings them.
 * @param above what the parent rests on, where that is known
 */
export function restsOn(
  executionId: string,
  { chain, ak, ekRoot, ekIssuers = [], hostId, artifact, policyHash, initiator }: ExecutionRecord,
  above: readonly Revocable[] = [],
): readonly Revocable[] {
  const own: Revocable[] = [
    { kind: 'execution', id: executionId },
    { kind: 'host', id: hostId },
    { kind: 'ak', id: ak },
    ...ekAuthorities({ ekRoot, ekIssuers }),
    { kind: 'artifact', id: artifact.digest },
    { kind: 'policy', id: policyHash },
    ...(initiator === null ? [] : [initiatorOf(initiator)]),
  ];
  return [...own, ...chain.flatMap(linkRestsOn), ...above];
}

/** How an initiator is named where it is revoked. */
export const initiatorOf = ({
  issuer,
  subject,
}: {
  readonly issuer: string;
  readonly subject: string;
}): Revocable => ({ kind: 'initiator', id: `${issuer}#${subject}` });

/** The record's MAC vouches for the chain: it is read here, not verified again. */
function linkRestsOn(link: string): readonly Revocable[] {
  const claims = parseClaims(fromBase64url(link.split('.')[1] ?? '', 'authorization'));
  const [details] = claims.authorization_details;
  return [
    { kind: 'execution', id: claims.client_id },
    { kind: 'host', id: details.host },
    { kind: 'artifact', id: details.artifact },
    { kind: 'policy', id: claims.policy.digest },
    // The accountable origin: an initiator, or the root's host by its SPIFFE id, which is no initiator's name.
    { kind: 'initiator', id: claims.sub },
    ...claims.attr.signers.map((id) => ({ kind: 'signer', id }) as const),
    ...claims.gov.authorities.map((id) => ({ kind: 'authority', id }) as const),
  ];
}
