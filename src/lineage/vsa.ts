import { PAYLOAD_TYPE, dsseJson, signDsse } from '../artifact/index.ts';
import type { SigningKey } from '../artifact/index.ts';
import { canonicalJson, refuse, utf8 } from '../base/index.ts';
import type { JsonObject } from '../base/index.ts';
import { environmentText } from './graph.ts';
import type { ExecutionView } from './view.ts';

const STATEMENT = 'https://in-toto.io/Statement/v1';
const PREDICATE = 'https://slsa.dev/verification_summary/v1';
/** Our extension of the predicate: its name is a URI, as the predicate's rules want it. */
const EXTENSION = 'https://sealgate.dev/lineage/v1';

/** What the summary says besides the execution: in which log it is proved. */
export interface VsaContext {
  /** Origin of the log. */
  readonly origin: string;
  /** tlog-proof text of the decision's entry. */
  readonly proof: string;
}

/**
 * The verification summary (SLSA VSA v1 in an in-toto Statement) of one execution's artifact. It says what the log
 * proves: that the verifier of this log allowed this artifact under this policy. No SLSA level is claimed: the
 * verifier verifies signatures and environments, not builds.
 * @throws Refusal `lineage-artifact` when the decision names no artifact or no policy
 */
export function vsaStatement(
  { decision, executionId, appraised }: ExecutionView,
  context: VsaContext,
): JsonObject {
  const { artifact, policy, digests, time, index } = decision;
  if (artifact === null || policy === null)
    return refuse('lineage-artifact', 'the decision names no artifact, or no policy');
  const hex = (text: string): string => text.slice('sha256:'.length);
  return {
    _type: STATEMENT,
    subject: [{ name: artifact.name, digest: { sha256: hex(artifact.digest) } }],
    predicateType: PREDICATE,
    predicate: {
      verifier: { id: `https://${context.origin}` },
      timeVerified: time,
      resourceUri: `urn:uuid:${executionId}`,
      policy: { uri: `urn:sealgate:policy:${policy.digest}`, digest: { sha256: hex(policy.digest) } },
      inputAttestations: digests.evidence.map(({ name, sha256 }) => ({
        uri: `urn:sealgate:evidence:${encodeURIComponent(name)}`,
        digest: { sha256: hex(sha256) },
      })),
      verificationResult: 'PASSED',
      // Custom levels may not begin with SLSA_.
      verifiedLevels: [
        'SEALGATE_ALLOWED',
        ...(appraised === null ? [] : [`SEALGATE_ENVIRONMENT_${environmentText(appraised).toUpperCase()}`]),
      ],
      slsaVersion: '1.0',
      [EXTENSION]: { executionId, entry: index, hostId: decision.hostId, proof: context.proof },
    },
  };
}

/**
 * The summary in a DSSE envelope, signed by who checked the log. None of the verifier's keys signs it: each has one
 * purpose, and a summary is the word of whoever read the proof.
 */
export function signVsa(statement: JsonObject, key: SigningKey): JsonObject {
  const envelope = signDsse(utf8(canonicalJson(statement)), key);
  return { ...dsseJson({ ...envelope, payloadType: PAYLOAD_TYPE }) };
}
