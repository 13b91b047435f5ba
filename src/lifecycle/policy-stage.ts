import type { VerifiedArtifact } from '../artifact/index.ts';
import { refuse } from '../base/index.ts';
import type { Environment } from './environment-stage.ts';
import type { Principals } from './identity-stage.ts';
import type { CredentialGrant, PolicyFacts } from './policy-port.ts';
import type { HostFacts } from './ports.ts';
import type { AdmittedRequest } from './request-stage.ts';

/** An explicit yes, and what it grants. */
export interface PolicyApproval {
  readonly facts: PolicyFacts;
  /** Ids of the policies that decided; never empty. */
  readonly deciding: readonly string[];
  /** One for each credential that was asked for, in that order. */
  readonly grants: readonly CredentialGrant[];
}

/** What the stages before it verified. */
export interface Verified {
  readonly admitted: AdmittedRequest;
  readonly host: HostFacts;
  readonly principals: Principals;
  readonly environment: Environment;
  readonly artifact: VerifiedArtifact;
}

/**
 * Stage `policy`: only verified facts are evaluated, and only an explicit allow without any error counts.
 * @throws Refusal `policy-engine-error`, `policy-denied`, `credential-not-granted`
 */
export async function evaluatePolicy(verified: Verified): Promise<PolicyApproval> {
  const { policy, request } = verified.admitted;
  const facts = policyFacts(verified);
  const { allow, deciding, errors } = await policy.authorize(facts);
  if (errors.length > 0)
    refuse('policy-engine-error', 'policies failed in evaluation', { errors: errors.slice(0, 16) });
  // An allow that no policy made is no explicit one.
  if (!allow || deciding.length === 0)
    refuse('policy-denied', 'no policy allows this, or one forbids it', { deciding: [...deciding] });
  const grants = request.credentials.map(
    (name) =>
      policy.grant(name, facts) ??
      refuse('credential-not-granted', 'policy does not grant this credential here', { name }),
  );
  return { facts, deciding: [...deciding].sort(), grants };
}

function policyFacts({ admitted, host, principals, environment, artifact }: Verified): PolicyFacts {
  const { request, now } = admitted;
  const { initiator, parent } = principals;
  return {
    host: {
      id: host.hostId,
      name: host.name,
      platform: host.platform,
      labels: host.labels,
      manufacturer: host.manufacturer,
    },
    appraisal: { status: environment.appraisal.status, vector: environment.appraisal.vector },
    runtime: {
      measured: environment.measured,
      privileged: request.privileged,
      isolated: request.isolated,
      executedDigest: environment.executedDigest,
    },
    artifact: {
      name: request.artifact.name,
      digest: `sha256:${artifact.digest}`,
      type: request.artifact.type,
      version: artifact.version,
      signers: artifact.signers.map(({ key }) => key),
    },
    initiator: initiator && {
      issuer: initiator.issuer,
      subject: initiator.subject,
      claims: initiator.claims,
      proved: initiator.confirmationKey !== undefined,
    },
    parent: parent && {
      executionId: parent.executionId,
      hostId: parent.hostId,
      subject: parent.claims.sub,
      depth: parent.claims.del_depth,
      scopes: parent.claims.authorization_details[0].scopes,
    },
    request: {
      executionId: request.executionId,
      argv: request.argv,
      environment: Object.keys(request.environment).sort(),
      cwd: request.cwd,
      uid: request.uid,
      gid: request.gid,
      interpreter: request.interpreter && {
        path: request.interpreter.path,
        sha256: request.interpreter.sha256,
      },
      scopes: request.scopes,
      credentials: request.credentials,
    },
    now: Math.floor(now / 1000),
  };
}
