import type { JsonObject } from '../../base/index.ts';
import { equalBytes, fromBase64url, refuse, utf8 } from '../../base/index.ts';
import { checkNonce } from '../challenge.ts';
import type { IssuedChallenge } from '../challenge.ts';
import { parseEvidence } from '../evidence-collection.ts';
import type { ClaimedEvidence } from '../evidence-collection.ts';
import { requestDigest } from '../execution-request.ts';
import type { ExecutionProofs, ExecutionRequest } from '../execution-request.ts';
import type { ActivePolicy } from '../policy-port.ts';
import type { Caller, DecisionDeps } from '../ports.ts';

/** What every request of a host has once it is admitted. */
export interface Admitted {
  readonly evidence: ClaimedEvidence;
  /** SHA-256(JCS(request)): 32 bytes. */
  readonly digest: Uint8Array;
  readonly nonce: Uint8Array;
  /** The challenge that the nonce is. */
  readonly challenge: IssuedChallenge;
  readonly policy: ActivePolicy;
  /** Unix ms; the one time of this decision. */
  readonly now: number;
}

/** A request that is well formed, fresh, from the host that it names, and under the active bundle. */
export interface AdmittedRequest extends Admitted {
  readonly request: ExecutionRequest;
  readonly proofs: ExecutionProofs;
}

/** A submission as it is decided. */
export interface Submission {
  readonly request: ExecutionRequest;
  readonly proofs: ExecutionProofs;
  /** CMW collection. */
  readonly evidence: JsonObject;
  /** SHA-256(JCS(request)), where the request is not all there: a token is not kept, so who repeats has it from the leaf. */
  readonly digest?: Uint8Array;
}

/**
 * Stage `request`: bounds, agent certificate, challenge, active bundle.
 * @throws Refusal `evidence-form`, `malformed`, `wrong-verifier`, `caller-host`, `caller-expired`,
 *   `e2`, `nonce-expired`, `no-policy`, `policy-not-active`, `policy-window`, `log-size`
 */
export async function admitRequest(
  { request, proofs, evidence, digest }: Submission,
  caller: Caller,
  deps: DecisionDeps,
): Promise<AdmittedRequest> {
  const now = deps.clock.now();
  requireAddressee(request.verifier, deps.trustDomain);
  requireCaller(caller, request.hostId);
  if (now >= caller.notAfter) refuse('caller-expired', 'the agent certificate has ended');
  const { hostId } = request;
  const { keys, epoch } = deps.challenge;
  const challenge = (deps.checkNonce ?? checkNonce)(
    request.nonce,
    keys,
    { purpose: 'execution', hostId, epoch },
    now,
  );
  const policy = await requirePolicy(now, deps, request.policyHash);
  await requireLogSize(request.logSize, deps);
  return {
    request,
    proofs,
    evidence: parseEvidence(evidence),
    digest: digest ?? requestDigest(request),
    nonce: fromBase64url(request.nonce, 'nonce'),
    challenge,
    policy,
    now,
  };
}

/** A request for another verifier was relayed here. @throws Refusal `wrong-verifier` */
export function requireAddressee(verifier: string, trustDomain: string): void {
  if (verifier !== trustDomain)
    refuse('wrong-verifier', 'the request is for another verifier', { verifier, trustDomain });
}

/** The certificate names one host; it speaks for no other. @throws Refusal `caller-host` */
export function requireCaller(caller: Caller, hostId: string): void {
  if (!equalBytes(utf8(caller.hostId), utf8(hostId)))
    refuse('caller-host', 'the certificate is of another host', { hostId });
}

/**
 * The active bundle, within its time.
 * @param hash of the bundle that the host asked under; an attestation is judged under whichever is active
 * @throws Refusal `no-policy`, `policy-not-active`, `policy-window`
 */
export async function requirePolicy(now: number, deps: DecisionDeps, hash?: string): Promise<ActivePolicy> {
  const policy = await deps.policy.active();
  if (policy === undefined) return refuse('no-policy', 'no policy bundle is active');
  const { hash: active, validity } = policy.bundle;
  if (hash !== undefined && active !== hash)
    refuse('policy-not-active', 'another policy bundle is active', { active, asked: hash });
  if (now < validity.notBefore || now >= validity.notAfter) {
    refuse('policy-window', 'the active policy bundle is outside its validity', {
      notAfter: new Date(validity.notAfter).toISOString(),
    });
  }
  return policy;
}

/** A gateway that saw more of the log than there is saw another log; one that saw nothing has nothing to compare. */
export async function requireLogSize(logSize: string, deps: DecisionDeps): Promise<void> {
  const size = await deps.log.size();
  const seen = BigInt(logSize);
  if (seen < 1n || seen > size)
    refuse('log-size', 'the log never had a checkpoint of this size', { logSize, size: String(size) });
}
