import { createHash } from 'node:crypto';
import { leafHash, parseLeaf, parseLogProof, verifyLogProof } from '../audit/index.ts';
import type { AuditLeaf, QuorumPolicy, VerifierKey } from '../audit/index.ts';
import { jcsSha256, refuse, toHex, utf8 } from '../base/index.ts';
import type { AuthorizationClaims } from './claims.ts';

/** The audit log's word for an authorization. */
export interface LogEvidence {
  /** The entry, byte for byte. */
  readonly leaf: Uint8Array;
  /** tlog-proof text. */
  readonly proof: Uint8Array;
  /** For a renewal: all authorizations that the attestation renewed, in their order; its leaf names them together. */
  readonly renewed?: readonly string[];
}

/** The decision that an authorization comes from, as the log has it. */
export type LoggedDecision = Extract<AuditLeaf, { readonly kind: 'decision' }>;

/**
 * Verifies that an authorization was decided in public: its leaf is in the log (RFC 6962), under a checkpoint that a key
 * of the log signed, cosigned where `quorum` asks for it; and that leaf is an allow of this execution, host and policy,
 * which names this very token.
 * @param token the authorization, verified
 * @throws Refusal `malformed`, `log-origin`, `log-signature`, `log-inclusion`, `log-witnesses`,
 *   `logged-authorization`
 */
export function verifyLogged(
  token: string,
  claims: AuthorizationClaims,
  { leaf: bytes, proof, renewed }: LogEvidence,
  trust: { readonly logKeys: readonly VerifierKey[]; readonly quorum?: QuorumPolicy },
): LoggedDecision {
  if (trust.logKeys.length === 0) refuse('log-signature', 'no key of the log is trusted');
  verifyLogProof(parseLogProof(proof), { ...trust, leafHash: leafHash(bytes) });
  const leaf = parseLeaf(bytes);
  if (leaf.kind !== 'decision' || leaf.outcome !== 'allow')
    return refuse('logged-authorization', 'the entry is no decision that allowed something', {
      kind: leaf.kind,
    });
  const digest = renewed === undefined ? sha256(utf8(token)) : toHex(jcsSha256([...renewed]));
  const named = leaf.purpose === 'execution' ? renewed === undefined : renewed?.includes(token) === true;
  if (!named || leaf.digests.authorization !== `sha256:${digest}`)
    refuse('logged-authorization', 'the entry names another authorization', { index: leaf.index });
  const [{ host }] = claims.authorization_details;
  if (
    !leaf.executions.includes(claims.client_id) ||
    leaf.hostId !== host ||
    leaf.policy?.digest !== claims.policy.digest
  )
    refuse('logged-authorization', 'the entry is about another execution, host or policy', {
      index: leaf.index,
    });
  return leaf;
}

const sha256 = (data: Uint8Array): string =>
  toHex(new Uint8Array(createHash('sha256').update(data).digest()));
