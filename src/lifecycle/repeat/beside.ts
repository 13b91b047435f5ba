import { COMMIT_CHECKS } from '../../audit/index.ts';
import type { ChallengePurpose } from '../challenge.ts';
import type { Denial } from '../denial.ts';
import { denialOf } from '../deny.ts';
import { requireNotRevoked } from '../not-revoked.ts';
import type { ActivePolicy } from '../policy-port.ts';
import type { Caller, DecisionDeps, DecisionKeys, ImaVerification } from '../ports.ts';
import { recordDecision } from './record-decision.ts';
import type { RepeatPolicy } from './repeat-deps.ts';

/** How a decision compares with what another bundle says to the same request, evidence, state and time. */
export type BesideResult = 'same' | 'denied-then' | 'allowed-then' | 'undetermined' | 'failed';

/** The comparison of one decision. */
export interface Beside {
  readonly result: BesideResult;
  /** Why the other bundle denies; null where it doesn't. */
  readonly denial: Denial | null;
}

/** The stages that judge, of one submission: why they deny, or null. They make nothing. */
export type Judge = (deps: DecisionDeps) => Promise<Denial | null>;

/** How a decision is judged a second time. */
export interface SecondLook {
  readonly judge: Judge;
  /** The other bundle, its engine its own. */
  readonly candidate: RepeatPolicy;
  /** What was decided: why it was denied, null for an allow. */
  readonly decided: Denial | null;
  /** Not the one that decides: real lists must not wait for this. */
  readonly verifyIma: ImaVerification;
  /** Told of exceptions. */
  readonly onFault: (error: unknown) => void;
}

/** A decision whose reads are remembered, so that it can be judged again under another bundle. */
export interface WatchedDecision {
  /** What the decision is made with. */
  readonly deps: DecisionDeps;
  /** Never throws. */
  compare(look: SecondLook): Promise<Beside>;
}

/**
 * Denials that say more about what was sent than about the bundle: a host that is challenged under another bundle sends
 * another selection of PCRs (e19) or its whole IMA list.
 */
const SENT_OTHERWISE: ReadonlySet<string> = new Set([
  'e19',
  'ima-behind-quote',
  'ima-state-lost',
  'ima-state-damaged',
]);

/**
 * Remembers what a decision reads. A second look sees the same values; what only it asks for is read then. It has no
 * key, no secret, no randomness and no ledger: nothing can be made, taken or written.
 */
export function watchDecision(
  purpose: ChallengePurpose,
  caller: Caller,
  deps: DecisionDeps,
): WatchedDecision {
  let spent = false;
  const nonces: DecisionDeps['nonces'] = {
    has: (nonce) => (spent = deps.nonces.has(nonce)),
    reserve: (nonce, until) => deps.nonces.reserve(nonce, until),
  };
  const { deps: watched } = recordDecision(purpose, caller, { ...deps, nonces });
  return {
    // No second look may have a secret: none is kept for it.
    deps: { ...watched, secrets: deps.secrets },
    compare: async (look) => {
      try {
        // The nonce is this decision's by now; whether it was spent before is what counts.
        return await compare(readOnly(watched, look, spent), look);
      } catch (error) {
        look.onFault(error);
        return { result: 'failed', denial: null };
      }
    },
  };
}

async function compare(deps: DecisionDeps, look: SecondLook): Promise<Beside> {
  const { judge, candidate, decided } = look;
  // Lost to something else at the same moment: no bundle says anything about that.
  if (decided !== null && COMMIT_CHECKS.has(decided.check)) return UNDETERMINED;
  const active = await deps.policy.active();
  if (active === undefined) return UNDETERMINED;
  const policy = asActive(candidate, active, deps.clock.now());
  const under = { ...deps, policy: { active: () => Promise.resolve(policy) } };
  const denial = (await revokedItself(candidate, deps)) ?? (await judge(under));
  if (denial?.check === 'internal') return { result: 'failed', denial };
  if ((denial === null) === (decided === null)) return { result: 'same', denial };
  if (denial !== null) {
    const result = SENT_OTHERWISE.has(denial.check) ? 'undetermined' : 'denied-then';
    return { result, denial };
  }
  // Only what these stages deny under the active bundle, too, can be the bundle's doing.
  return (await judge(deps)) === null ? UNDETERMINED : { result: 'allowed-then', denial };
}

const UNDETERMINED: Beside = { result: 'undetermined', denial: null };

/** The bundle is judged under the active one's hash: whether it was revoked by its own has to be asked besides. */
async function revokedItself({ bundle }: RepeatPolicy, deps: DecisionDeps): Promise<Denial | null> {
  try {
    await requireNotRevoked([{ kind: 'policy', id: bundle.hash }], deps);
    return null;
  } catch (error) {
    return denialOf(error, 'identity', deps);
  }
}

/** The bundle as if it were the one that the request names, and as valid at that moment; everything else of it counts. */
function asActive(candidate: RepeatPolicy, active: ActivePolicy, now: number): ActivePolicy {
  const { bundle, manifest, authorities, engine, imaRules } = candidate;
  return {
    record: active.record,
    uri: active.uri,
    bundle: { ...bundle, hash: active.bundle.hash, validity: { notBefore: now, notAfter: now + 1 } },
    manifest,
    authorities,
    imaRules: (platform, at) => imaRules.get(platform, at) ?? null,
    authorize: (request) => engine.authorize(request),
  };
}

function readOnly(watched: DecisionDeps, look: SecondLook, spent: boolean): DecisionDeps {
  const { verifyIma, onFault } = look;
  return {
    ...watched,
    verifyIma,
    onFault,
    random: { bytes: () => nothing('randomness') },
    ids: { bytes: () => nothing('randomness') },
    keys: verifyingOnly(watched.keys),
    secrets: { get: () => nothing('a secret') },
    status: { assign: () => nothing('a status index') },
    agents: { renew: () => nothing('a certificate') },
    nonces: { has: () => spent, reserve: () => true },
  };
}

/** Parents' authorizations are verified; nothing is signed. */
function verifyingOnly({ authorizations }: DecisionKeys): DecisionKeys {
  return {
    authorizations,
    get authorization() {
      return nothing('a key');
    },
    get ear() {
      return nothing('a key');
    },
    get svid() {
      return nothing('a key');
    },
    get jwtSvid() {
      return nothing('a key');
    },
  };
}

const nothing = (what: string): never => {
  throw new TypeError(`a second look at a decision asks for ${what}`);
};
