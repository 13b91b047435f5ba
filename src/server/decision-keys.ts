import { createHash, createPublicKey } from 'node:crypto';
import { thumbprint } from '../authorization/index.ts';
import type { VerificationKey } from '../authorization/index.ts';
import type { KeyRing } from '../config/index.ts';
import type { ChallengeKey, DecisionKeys } from '../lifecycle/index.ts';

/**
 * The keys that decisions are signed with; a kid is the key's RFC 7638 thumbprint, in trust bundles as in tokens.
 * @param earlier authorization keys of the trust bundle: what they signed is still believed
 */
export async function decisionKeys(
  ring: KeyRing,
  earlier: readonly VerificationKey[],
): Promise<DecisionKeys> {
  const authorization = ring.privateKey('authorization');
  const ear = ring.privateKey('ear');
  const jwtSvid = ring.privateKey('jwt-svid');
  const kid = await thumbprint(authorization);
  const own = { kid, algorithm: 'ES256' as const };
  return {
    authorization: { ...own, key: authorization },
    authorizations: [
      { ...own, key: createPublicKey(authorization) },
      ...earlier.filter((key) => key.kid !== kid),
    ],
    ear: { kid: await thumbprint(ear), key: ear },
    jwtSvid: { kid: await thumbprint(jwtSvid), key: jwtSvid },
    // Its certificate is a root: relying parties have it, so no chain goes with an SVID.
    svid: { certificate: ring.certificate('svid-ca').raw, key: ring.privateKey('svid-ca'), chain: [] },
  };
}

/** The key that makes nonces; its id says nothing of it. */
export function challengeKeys(ring: KeyRing): readonly ChallengeKey[] {
  const secret = ring.secret('challenge');
  const id = createHash('sha256').update('sealgate/challenge-key-id/v1\0').update(secret).digest();
  return [{ id: Uint8Array.from(id).slice(0, 4), secret }];
}
