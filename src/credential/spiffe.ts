import { parseSpiffeId } from '../x509/index.ts';

/**
 * The identity of a host: the accountable origin of an execution that nobody initiated, and the audience of what is
 * issued for its gateway. Identities of workloads come from policy's templates.
 * @param hostId 64 hex digits
 * @throws Refusal `spiffe-id`
 */
export function hostSpiffeId(trustDomain: string, hostId: string): string {
  return parseSpiffeId(`spiffe://${trustDomain}/host/${hostId}`).text;
}
