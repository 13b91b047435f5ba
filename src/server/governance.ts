import type { Ledger, Records } from '../audit/index.ts';
import type { Clock } from '../base/index.ts';
import type { KeyRing, VerifierConfig } from '../config/index.ts';
import type { Secrets } from '../lifecycle/index.ts';
import { loadCedar } from '../policy/index.ts';
import type { TrustChain } from '../policy/index.ts';
import { deriveKey } from '../store/record-mac.ts';
import type { StoreOperations } from '../store/index.ts';
import { ActivePolicies } from './policy/active-policy.ts';
import type { PolicySource } from './policy/active-policy.ts';
import { revocationsOf } from './decision-records.ts';
import type { PolicyDesk } from './policy/policy-desk.ts';
import { policyParser } from './policy/policy-parser.ts';
import { secretsPort } from './secrets.ts';

/** Policy and secrets of a running verifier. */
export interface Governance {
  readonly policies: ActivePolicies;
  /** For the staged bundle alone: what becomes of it there, the active one doesn't notice. */
  readonly stagedPolicies: ActivePolicies;
  readonly desk: PolicyDesk;
  readonly secrets: Secrets;
  /** Encrypts secrets; 32 bytes. */
  readonly secretsKey: Uint8Array;
}

/** What they are put together from. */
export interface GovernanceParts {
  readonly config: VerifierConfig;
  readonly ring: KeyRing;
  readonly trust: TrustChain;
  readonly clock: Clock;
  readonly store: StoreOperations;
  readonly records: Records;
  readonly ledger: Ledger;
}

/** Puts policy and secrets over the store's records and the trust bundle's authorities. */
export function governance({
  config,
  ring,
  trust,
  store,
  records,
  ledger,
  clock,
}: GovernanceParts): Governance {
  const { authorities } = trust.current;
  const signers = { authorities, trustDomain: config.trustDomain };
  const source: PolicySource = {
    records,
    body: (sha256) => store.body(sha256),
    trust: signers,
    url: config.url,
    load: loadCedar,
  };
  const policies = new ActivePolicies(source);
  const secretsKey = deriveKey(ring.secret('master'), 'stored');
  return {
    policies,
    stagedPolicies: new ActivePolicies(source),
    desk: {
      records,
      ledger,
      clock,
      trust: signers,
      revocations: revocationsOf(records),
      parser: policyParser(),
      policies,
    },
    secrets: secretsPort(records, secretsKey),
    secretsKey,
  };
}
