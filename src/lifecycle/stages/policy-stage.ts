import type { VerifiedArtifact } from '../../artifact/index.ts';
import { refuse } from '../../base/index.ts';
import {
  executeRequest,
  grantedCredentials,
  hostSetsOf,
  requireAllowed,
  selectClaims,
} from '../../policy/index.ts';
import type { EnrolledHost, ExecuteFacts, GrantedCredential, Platform } from '../../policy/index.ts';
import { selectsCode } from '../loader-variables.ts';
import type { Environment } from './environment-stage.ts';
import type { Principals } from './identity-stage.ts';
import type { HostFacts } from '../ports.ts';
import type { AdmittedRequest } from './request-stage.ts';

/** An explicit yes, and what it grants. */
export interface PolicyApproval {
  /** Ids of the policies that decided; never empty. */
  readonly deciding: readonly string[];
  /** One for each credential that was asked for, in that order. */
  readonly grants: readonly GrantedCredential[];
}

/** What the stages before it verified. */
export interface Verified {
  readonly admitted: Pick<AdmittedRequest, 'request' | 'policy' | 'now'>;
  readonly host: HostFacts;
  readonly platform: Platform;
  readonly principals: Principals;
  readonly environment: Environment;
  readonly artifact: VerifiedArtifact;
}

/** The same of a first request: with everything that came with it. */
export interface VerifiedRequest extends Verified {
  readonly admitted: AdmittedRequest;
}

/**
 * Stage `policy`: only verified facts are evaluated, and only an explicit allow without any error counts.
 * @throws Refusal `loader-variable`, `policy-error`, `policy-denied`, `policy-credential`
 */
export async function evaluatePolicy(verified: Verified): Promise<PolicyApproval> {
  const { policy, request } = verified.admitted;
  requireNoLoaderVariables(request.environment, policy.bundle.document.execution.loaderVariables);
  const decision = await policy.authorize(executeRequest(executeFacts(verified)));
  const deciding = requireAllowed(decision);
  const grants = grantedCredentials(policy.bundle, enrolled(verified.host), request.credentials);
  return { deciding, grants };
}

/** The host as policy names it. */
export const enrolled = ({ hostId, platform, labels }: HostFacts): EnrolledHost => ({
  id: hostId,
  platform,
  labels: Object.entries(labels).map(([name, value]) => `${name}=${value}`),
});

/** @throws Refusal `loader-variable` */
function requireNoLoaderVariables(
  environment: Readonly<Record<string, string>>,
  allowed: readonly string[],
): void {
  const names = Object.keys(environment).filter((name) => selectsCode(name) && !allowed.includes(name));
  if (names.length > 0)
    refuse('loader-variable', 'variables that select code, which policy does not name', { names });
}

function executeFacts(verified: Verified): ExecuteFacts {
  const { admitted, host, platform, environment, artifact } = verified;
  const { request, policy, now } = admitted;
  const { labels } = enrolled(host);
  const { status, vector, exempt } = environment.appraisal;
  return {
    time: Math.floor(now / 1000),
    host: {
      id: host.hostId,
      name: host.name,
      platform: host.platform,
      labels,
      sets: hostSetsOf(policy.bundle, enrolled(host)),
      ...(host.manufacturer === null ? {} : { manufacturer: host.manufacturer }),
      state: host.state,
      runtime: platform.runtime,
      appraisal: { status, vector, exempt },
    },
    artifact: {
      name: request.artifact.name,
      digest: `sha256:${artifact.digest}`,
      type: request.artifact.type,
      ...(artifact.version === null ? {} : { version: artifact.version }),
      ...(environment.executedDigest === null
        ? {}
        : { executedDigest: `sha256:${environment.executedDigest}` }),
      signers: artifact.signers.map(({ key }) => key),
    },
    request: {
      scopes: request.scopes,
      credentials: request.credentials,
      privileged: request.privileged,
      isolated: request.isolated,
      argv: request.argv,
      environment: Object.keys(request.environment).sort(),
      cwd: request.cwd,
      uid: request.uid,
      gid: request.gid,
      interpreter: request.interpreter && {
        ...request.interpreter,
        measured: isMeasured(request.interpreter, verified),
      },
    },
    ...actors(verified),
  };
}

/**
 * Whether the kernel measured the interpreter with the digest that the request names. Known of the files that the
 * platform's references list as the gateway's: the verified list was compared with them one by one.
 */
function isMeasured(
  { path, sha256 }: { readonly path: string; readonly sha256: string },
  { environment: { ima }, platform }: Verified,
): boolean {
  const files = platform.references.gateway?.files ?? {};
  const listed = Object.hasOwn(files, path) ? files[path] : undefined;
  return listed === sha256 && (ima?.findings.measured.includes(path) ?? false);
}

function actors({ admitted, principals }: Verified): Pick<ExecuteFacts, 'initiator' | 'parent' | 'origin'> {
  const { initiator, parent, origin } = principals;
  return {
    origin,
    ...(initiator !== null && {
      initiator: {
        issuer: initiator.issuer,
        subject: initiator.subject,
        proven: initiator.proven,
        claims: selectClaims(admitted.policy.bundle, initiator.issuer, initiator.claims),
      },
    }),
    ...(parent !== null && {
      parent: {
        execution: parent.executionId,
        host: parent.hostId,
        artifact: parent.claims.authorization_details[0].artifact,
        scopes: parent.claims.authorization_details[0].scopes,
        depth: parent.claims.del_depth,
      },
    }),
  };
}
