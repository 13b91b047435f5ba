import { createHash } from 'node:crypto';
import { appraise, isAffirming } from '../../appraisal/index.ts';
import type { Appraisal } from '../../appraisal/index.ts';
import { Refusal, equalBytes, fromHex, refuse } from '../../base/index.ts';
import {
  examineEventLog,
  replayEventLog,
  requireArtifactMeasured,
  requireGatewayMeasured,
  verifyIma,
} from '../../evidence/index.ts';
import type {
  BootCounters,
  CompiledImaRules,
  PcrSource,
  VerifiedEventLog,
  VerifiedIma,
} from '../../evidence/index.ts';
import type { Platform } from '../../policy/index.ts';
import { treeFileDigests } from '../evidence-collection.ts';
import type { ClaimedEvidence } from '../evidence-collection.ts';
import type { RequestedArtifact } from '../execution-request.ts';
import type { DecisionDeps, HostFacts, ImaVerification } from '../ports.ts';
import type { AuthenticQuote } from './quote-stage.ts';

/** What is true of the host at this moment, and that policy's reference values hold. */
export interface Environment {
  readonly appraisal: Appraisal;
  readonly eventLog: VerifiedEventLog | null;
  readonly ima: VerifiedIma | null;
  /** True when the kernel measured the gateway and the artifact; false only where policy says `unmeasured`. */
  readonly measured: boolean;
  /** Hex SHA-256 of what the kernel measured; null when unmeasured, or for a tree. */
  readonly executedDigest: string | null;
  /** Hex SHA-256 of what may be below the run directory in this boot: authorized before, and now. */
  readonly authorized: ReadonlySet<string>;
}

/** What the environment is judged from. */
export interface EnvironmentQuestion {
  readonly quote: AuthenticQuote;
  readonly evidence: ClaimedEvidence;
  readonly host: HostFacts;
  /** The event log that verified last, for a host that sends none. */
  readonly storedLog: Uint8Array | null;
  readonly platform: Platform;
  /** The platform's, compiled; null where it has none. */
  readonly imaRules: CompiledImaRules | null;
  /** Null for a host attestation: then nothing has to be measured besides the gateway. */
  readonly artifact: RequestedArtifact | null;
}

/** The body of the event log that verified last, where the host sends none. */
export async function storedEventLog(
  { eventLog }: HostFacts,
  evidence: ClaimedEvidence,
  { bodies }: DecisionDeps,
): Promise<Uint8Array | null> {
  if (evidence.eventLog !== undefined || eventLog === null) return null;
  return (await bodies.get(eventLog)) ?? null;
}

/**
 * Stage `environment`, after the quote: logs against the quoted values, measured gateway and artifact, appraisal.
 * @throws Refusal with every check that failed
 */
export async function validateEnvironment(
  question: EnvironmentQuestion,
  deps: Pick<DecisionDeps, 'verifyIma'>,
): Promise<Environment> {
  const { quote, platform, host } = question;
  const failures: Refusal[] = [];
  const eventLog = readEventLog(question, failures);
  const authorised = authorisedDigests({ ...question, boot: quote.quote.attest.clockInfo });
  const ima = await readIma(question, eventLog, { authorised, failures }, deps);
  const appraisal = appraise(
    {
      quote: quote.quote,
      eventLog,
      ima,
      failures,
      enrollment: host.manufacturer === null ? {} : { manufacturer: host.manufacturer },
    },
    platform.references,
  );
  if (appraisal.failures.length > 0) throw Refusal.join(appraisal.failures);
  if (!isAffirming(appraisal, platform.requiredClaims)) {
    refuse(
      'not-affirming',
      'the attestation result is not affirming in every claim that the platform requires',
      {
        status: appraisal.status,
        vector: { ...appraisal.vector },
      },
    );
  }
  const measured = platform.runtime === 'measured';
  const executedDigest = measured ? requireMeasured(question, ima) : null;
  return { appraisal, eventLog, ima, measured, executedDigest, authorized: authorised };
}

function readEventLog(
  { quote, evidence, storedLog, platform }: EnvironmentQuestion,
  failures: Refusal[],
): VerifiedEventLog | null {
  const bytes = evidence.eventLog ?? storedLog ?? undefined;
  // A platform that is judged by PCR values alone needs no log; one that came is verified all the same.
  if (
    bytes === undefined &&
    platform.references.eventLog === undefined &&
    platform.references.ima === undefined
  )
    return null;
  const examination = examineEventLog(bytes, quote.pcrs, platform.quirks);
  failures.push(...examination.failures);
  return examination.verified;
}

async function readIma(
  { quote, evidence, host, imaRules }: EnvironmentQuestion,
  log: VerifiedEventLog | null,
  { authorised, failures }: { readonly authorised: ReadonlySet<string>; readonly failures: Refusal[] },
  { verifyIma: verify = verifyHere }: Pick<DecisionDeps, 'verifyIma'>,
): Promise<VerifiedIma | null> {
  if (imaRules === null) return null;
  try {
    const { list, firstEntry } = evidence.ima ?? refuse('ima-empty', 'there is no IMA list');
    return await verify(list, {
      pcrs: quote.pcrs,
      boot: quote.quote.attest.clockInfo,
      rules: imaRules,
      ...(host.ima === null ? {} : { state: host.ima }),
      firstEntry,
      isAuthorised: (sha256) => authorised.has(sha256),
      ...(log === null ? {} : { logPcrs: replayed(log) }),
    });
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    failures.push(...error.failures);
    return null;
  }
}

const verifyHere: ImaVerification = (list, question) => Promise.resolve(verifyIma([list], question));

/** PCR values that a verified log gives, for a boot_aggregate over a bank that isn't quoted. */
function replayed({ log }: VerifiedEventLog): PcrSource {
  return {
    get: (bank, index) => (log.banks.includes(bank) ? replayEventLog(log, bank).get(index) : undefined),
  };
}

/**
 * Hex SHA-256 of what may be below the run directory: what was authorized before in this boot, and what is asked for now.
 * @throws Refusal `artifact-tree`
 */
export function authorisedDigests(
  question: Pick<EnvironmentQuestion, 'host' | 'artifact'> & {
    readonly evidence: Pick<ClaimedEvidence, 'tree'>;
    readonly boot: BootCounters;
  },
): ReadonlySet<string> {
  const { artifact, evidence } = question;
  return new Set([
    ...earlierDigests(question),
    ...(artifact === null ? [] : artifactFiles(artifact, evidence.tree)),
  ]);
}

/** What was authorized in the boot that is quoted; nothing of an earlier one. */
function earlierDigests({
  host: { run },
  boot,
}: Parameters<typeof authorisedDigests>[0]): ReadonlySet<string> {
  const same = run.boot?.resetCount === boot.resetCount && run.boot.restartCount === boot.restartCount;
  return same ? run.digests : new Set();
}

/** Hex SHA-256 of the files that an artifact consists of. @throws Refusal `artifact-tree` */
function artifactFiles(
  { type, digest }: RequestedArtifact,
  tree: Uint8Array | undefined,
): ReadonlySet<string> {
  const sha256 = digest.slice('sha256:'.length);
  if (type === 'file') return new Set([sha256]);
  if (tree === undefined) return new Set();
  const actual = new Uint8Array(createHash('sha256').update(tree).digest());
  if (!equalBytes(actual, fromHex(sha256))) refuse('artifact-tree', 'the manifest is of another tree');
  return treeFileDigests(tree);
}

/**
 * The gateway as built and the artifact as asked for, measured by the kernel before the quote.
 * @throws Refusal `gateway-measured`, `artifact-measured`, `artifact-tree`
 */
function requireMeasured(
  { artifact, evidence, platform }: EnvironmentQuestion,
  ima: VerifiedIma | null,
): string | null {
  if (ima === null) return refuse('gateway-measured', 'nothing measured the gateway: there is no IMA list');
  if (platform.gatewayMeasured) requireGatewayMeasured(ima);
  if (artifact === null) return null;
  if (artifact.type === 'file')
    return requireArtifactMeasured(ima, artifact.digest.slice('sha256:'.length)).sha256;
  if (evidence.tree === undefined) refuse('artifact-tree', 'a tree comes with its manifest');
  // Every file of it, whatever was authorized before: then it was another copy, or a policy that didn't ask.
  for (const sha256 of artifactFiles(artifact, evidence.tree)) requireArtifactMeasured(ima, sha256);
  return null;
}
