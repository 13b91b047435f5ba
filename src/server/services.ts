import type { Ledger, Records, VerifierKey } from '../audit/index.ts';
import type { Clock, Random } from '../base/index.ts';
import type { KeyRing, VerifierConfig } from '../config/index.ts';
import type { AgentIssuer, EnrollmentDesk } from '../enrollment/index.ts';
import type { DecisionDeps } from '../lifecycle/index.ts';
import type { TrustChain } from '../policy/index.ts';
import type { StoreOperations } from '../store/index.ts';
import type { DenialTally } from './denial-tally.ts';
import type { Governance } from './governance.ts';
import type { HostEvents } from './host-events.ts';
import type { StagedDecisions } from './policy/staged-decisions.ts';
import type { LiveExecutions } from './live-executions.ts';
import type { StatusLists } from './status-lists.ts';
import type { WitnessDesk } from './witness/witness-desk.ts';
import type { Witnessing } from './witness/witnessing.ts';

/** Everything that routes use; made once at start. */
export interface Services {
  readonly config: VerifierConfig;
  readonly ring: KeyRing;
  /** Trust bundles, verified, the newest with this verifier's own keys; its `issuer` is `iss`, its kids are those used. */
  readonly trust: TrustChain;
  readonly clock: Clock;
  readonly random: Random;
  readonly store: StoreOperations;
  readonly records: Records;
  readonly ledger: Ledger;
  /** The ledger for what hosts get proofs of: it waits for the witnesses that they will ask for. */
  readonly hostLedger: Ledger;
  /** The witnesses of this log; undefined when none is configured. */
  readonly witnessing: Witnessing | undefined;
  /** This verifier as a witness of other logs. */
  readonly witness: WitnessDesk;
  readonly epoch: string;
  readonly logKey: VerifierKey;
  readonly caFingerprint: string;
  readonly desk: EnrollmentDesk;
  readonly agentIssuer: AgentIssuer;
  /** Policy and secrets, as operators change them. */
  readonly governance: Governance;
  /** The active policy bundle. */
  readonly policy: DecisionDeps['policy'];
  /** Stored secrets, as decisions take them. */
  readonly secrets: DecisionDeps['secrets'];
  /** What decisions are made with. */
  readonly decisions: DecisionDeps;
  /** Makes decisions; while a bundle is staged, looks at each a second time. */
  readonly staged: StagedDecisions;
  /** Executions that have not ended. */
  readonly live: LiveExecutions;
  /** What relying parties learn of executions that ended. */
  readonly statusLists: StatusLists;
  /** Open event streams of hosts. */
  readonly events: HostEvents;
  /** Refusals that are no leaf of their own. */
  readonly denials: DenialTally;
  /** Fingerprints of EK authorities that were revoked; enrollment looks at it. */
  readonly revokedEkCas: Set<string>;
  /** Ends everything in order; changes under way are committed first. */
  close(): Promise<void>;
}
