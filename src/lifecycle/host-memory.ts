import type { Change, CounterAdvance } from '../audit/index.ts';
import { Refusal, refuse } from '../base/index.ts';
import { encodeImaState } from '../evidence/index.ts';
import type { BootCounters } from '../evidence/index.ts';
import { verifySignatures } from './stages/artifact-stage.ts';
import { unchanged } from './stages/authorization-stage.ts';
import { issuedAtOf } from './challenge.ts';
import type { IssuedChallenge } from './challenge.ts';
import { authorisedDigests } from './stages/environment-stage.ts';
import type { Environment } from './stages/environment-stage.ts';
import type { ClaimedEvidence } from './evidence-collection.ts';
import { BOOT_EVIDENCE, IMA_STATE, RUN_DIGESTS } from './execution-record.ts';
import type { HostFacts } from './ports.ts';
import type { AuthenticQuote } from './stages/quote-stage.ts';
import type { AdmittedRequest } from './stages/request-stage.ts';

/** Files of one boot that are remembered; a host that runs more different ones has to be restarted. */
const MAX_RUN_DIGESTS = 20_000;

/** The TPM's high-water mark after this quote. */
export function countersOf(
  { hostId }: HostFacts,
  { quote }: AuthenticQuote,
  challenge: IssuedChallenge,
): CounterAdvance {
  const { resetCount, restartCount, clock, safe } = quote.attest.clockInfo;
  const challenged = issuedAtOf(challenge);
  return { ek: hostId, resetCount, restartCount, clock: String(clock), safe, challenged };
}

/** What the next decision needs not be sent again: the event log of this boot, and where the IMA list goes on. */
export function rememberEvidence(
  host: HostFacts,
  { items }: ClaimedEvidence,
  { ima }: Environment,
  quote: AuthenticQuote,
): Change['writes'] {
  const log = items.find(({ name }) => name === 'uefi-log')?.sha256;
  const body = { v: 1, boot: bootOf(quote), eventLog: log ?? host.eventLog };
  return [
    ...(log === undefined || log === host.eventLog ? [] : [{ kind: BOOT_EVIDENCE, id: host.hostId, body }]),
    ...(ima === null ? [] : [{ kind: IMA_STATE, id: host.hostId, body: encodeImaState(ima.state) }]),
  ];
}

/**
 * What may be in the IMA list below the run directory from now on.
 * @throws Refusal `run-digests` when there is no room for more
 */
export function rememberRun(
  host: HostFacts,
  { authorized }: Pick<Environment, 'authorized'>,
  quote: AuthenticQuote,
): RunMemory {
  return rememberDigests(host, authorized, bootOf(quote));
}

/** What must still hold, and what is written. */
type RunMemory = Pick<Change, 'preconditions' | 'writes'>;

/**
 * The same for a denial: the kernel measured the copy before anything was decided, so that the list has it whatever came of
 * it. Only what policy's own signers signed is remembered; a host keeps anything else from its kernel by itself.
 */
export function rememberDenied(
  host: HostFacts,
  { request: { artifact }, evidence, policy, now }: AdmittedRequest,
  boot: BootCounters,
): RunMemory {
  try {
    verifySignatures(artifact, { policy, now });
    return rememberDigests(host, authorisedDigests({ host, artifact, evidence, boot }), boot);
  } catch (error) {
    if (error instanceof Refusal) return { preconditions: [], writes: [] };
    throw error;
  }
}

function rememberDigests(
  { hostId, run }: HostFacts,
  authorized: ReadonlySet<string>,
  boot: BootCounters,
): RunMemory {
  const known = run.boot?.resetCount === boot.resetCount && run.boot.restartCount === boot.restartCount;
  if (known && [...authorized].every((digest) => run.digests.has(digest)))
    return { preconditions: [], writes: [] };
  if (authorized.size > MAX_RUN_DIGESTS)
    refuse('run-digests', 'too many different files were authorized in this boot', { most: MAX_RUN_DIGESTS });
  const plain = { resetCount: boot.resetCount, restartCount: boot.restartCount };
  const reason = 'another execution was decided for this host at the same time: ask again';
  return {
    preconditions: [unchanged(run.record, 'state-moved', reason)],
    writes: [{ kind: RUN_DIGESTS, id: hostId, body: { v: 1, boot: plain, digests: [...authorized].sort() } }],
  };
}

function bootOf({ quote }: AuthenticQuote): { readonly resetCount: number; readonly restartCount: number } {
  const { resetCount, restartCount } = quote.attest.clockInfo;
  return { resetCount, restartCount };
}
