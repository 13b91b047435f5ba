import { Refusal, refuse } from '../base/index.ts';
import type { JsonObject } from '../base/index.ts';
import { decryptCredentials } from '../credential/index.ts';
import type { ReleaseBinding, RenewalBinding } from '../credential/index.ts';
import type { SealedObject } from '../tpm/index.ts';
import type { Session } from '../../native/index.ts';
import { nameBytes } from './host-identity.ts';
import type { Host, LockedTpm } from './host.ts';

/** What was judged and is to be opened now. */
export interface Opening {
  readonly object: SealedObject;
  readonly jwe: string;
  readonly binding: ReleaseBinding | RenewalBinding;
}

/**
 * Opens what was sealed for this host a moment ago, a first release or a renewal, by the one session that it is for.
 * @throws ReleaseLost when the TPM refuses it; Refusal `release-late` when the lock's time ran out before
 */
export async function openRelease(
  host: Host,
  { object, jwe, binding }: Opening,
  session: Session,
  { tpm, signal }: LockedTpm,
): Promise<JsonObject> {
  const { ekTemplate, ekName } = host.identity;
  let key: Uint8Array;
  try {
    key = await tpm.openSealed({ session, sealed: object, ekTemplate, ekName: nameBytes(ekName) });
  } catch (error) {
    if (signal.aborted)
      return refuse('release-late', 'the TPM’s lock ended before the sealed credentials could be opened');
    // Somebody used the session's one opening, moved a PCR or reset the TPM: this host is not what it was a moment ago.
    throw new ReleaseLost(executionsOf(binding), error instanceof Error ? error.message : 'unknown');
  }
  try {
    return await decryptCredentials(jwe, key, binding);
  } finally {
    key.fill(0);
  }
}

const executionsOf = (binding: Opening['binding']): readonly string[] =>
  binding.kind === 'release'
    ? [binding.executionId]
    : binding.authorizations.map(({ executionId }) => executionId);

/** A release that this host asked for and could not open: reported to the verifier as what it is. */
export class ReleaseLost extends Refusal {
  readonly executionIds: readonly string[];

  constructor(executionIds: readonly string[], reason: string) {
    super('release-lost', `the TPM did not open the sealed credentials: ${reason}`, {
      executionIds: [...executionIds],
    });
    this.executionIds = executionIds;
  }
}
