import { parseLeaf } from '../audit/index.ts';
import { fromBase64url } from '../base/index.ts';
import { RECORD, isHeld, quarantineHost, readHost, returnHost } from '../enrollment/index.ts';
import type { AttestationAnswer, Decided, Denial } from '../lifecycle/index.ts';
import type { Services } from './services.ts';
import { endBelowDenied, endEarlierBoots, endOnHost } from './end-dependents.ts';

/**
 * What an attestation means for everything else on its host. One that was refused for what the TPM itself said ends what
 * runs there, at once and not only when it runs out; one of a new boot ends what the boot before had. What a denied execution had started ends with it.
 */
export async function afterAttestation(
  decided: Decided<AttestationAnswer>,
  hostId: string,
  services: Services,
): Promise<void> {
  if (decided.outcome === 'allow') {
    await endHold(hostId, services);
    await endBelowDenied(
      decided.answer.ended.map(({ executionId }) => executionId),
      services,
    );
    if (services.live.onHost(hostId).length === 0) return;
    const leaf = parseLeaf(fromBase64url(decided.answer.leaf, 'leaf'));
    if (leaf.kind === 'decision') await endEarlierBoots(hostId, leaf.boot, services);
    return;
  }
  if (decided.auditIndex === undefined || !isHostChanged(decided.denial)) return;
  const { check } = decided.denial;
  if (services.config.attestation.quarantine) await quarantine(hostId, check, services);
  await endOnHost(hostId, check, services);
}

/** A host that was quarantined because its log was closed has shown that it is the one it was, at a later moment. */
async function endHold(hostId: string, { records, ledger, config }: Services): Promise<void> {
  const stored = await readHost(records, hostId);
  if (stored?.host.state !== 'quarantined') return;
  const held = await records.get(RECORD.held(hostId));
  const change = returnHost(stored, held, { kind: 'verifier', id: config.replica });
  if (change !== undefined) await ledger.commit(change);
}

/** Of the list as it was read, not of what is in it. */
const READ_AGAIN = new Set(['ima-behind-quote', 'ima-state-lost', 'ima-state-damaged']);

/**
 * The host is not what it should be, by a quote that its own key made for this very challenge. A list that is a moment
 * older than the quote, which the kernel goes on extending meanwhile, says nothing about the host.
 */
function isHostChanged({ stage, code, check }: Denial): boolean {
  if (READ_AGAIN.has(check)) return false;
  return (stage === 'environment' && code === 'environment-integrity-failure') || check === 'e17';
}

async function quarantine(
  hostId: string,
  check: string,
  { records, ledger, config }: Services,
): Promise<void> {
  const stored = await readHost(records, hostId);
  if (stored === undefined) return;
  // One that would come back by its next good attestation was found bad: from here on that takes an operator.
  const held = await records.get(RECORD.held(hostId));
  if (stored.host.state !== 'active' && !isHeld(stored, held)) return;
  await ledger.commit(quarantineHost(stored, check, { kind: 'verifier', id: config.replica }, held));
}
