import { isJsonObject, refuse, shape } from '../base/index.ts';
import type { Clock, Fail, JsonObject, JsonValue } from '../base/index.ts';
import type { ChallengePurpose } from '../lifecycle/index.ts';
import { parsePcrSelectionText } from '../tpm/index.ts';
import type { PcrSelection } from '../tpm/index.ts';
import type { Host } from './host.ts';

/** What the verifier asks for (docs/PROTOCOL.md, "Challenge"). All but the nonce is advice. */
export interface HostChallenge {
  readonly nonce: string;
  readonly selection: PcrSelection;
  readonly policyHash: string;
  readonly trustBundleVersion: number;
  readonly eventLog: 'required' | 'unchanged';
  /** Entries that the verifier knows of the boot of the last accepted quote. */
  readonly imaOffset: number;
}

/** How far the clocks of verifier and host may be apart, in milliseconds. */
export const CLOCK_BOUND_MS = 30_000;

/** Bytes of all trust bundles. */
const MAX_BUNDLES = 4 * 1024 * 1024;

const { base64url, integer, object, oneOf, sha256Text, text } = shape;
const time = text({ pattern: /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/, want: 'a time in UTC' });
const fail: Fail = (path, want) => refuse('verifier-answer', `${path} is not ${want}`, { member: path });
/** The digest is of the verifier's state, which only it can compute; the host goes by the boot (`hostEvidence`). */
const ima = object({ offset: integer(), digest: text({ min: 0, max: 64 }) });
const challengeShape = object({
  nonce: base64url(128),
  expiresAt: time,
  verifierTime: time,
  trustBundleVersion: integer(1),
  pcrSelection: text({ max: 512 }),
  policyHash: sha256Text,
  eventLog: oneOf('required', 'unchanged'),
  ima,
});

/**
 * Asks for a challenge, and brings the trust bundle up to the version that it names.
 * @throws Refusal `clock-difference` when the verifier's clock is over 30 s from ours; `trust-bundle-chain`;
 *   `verifier-answer`; the verifier's denials; `verifier-unreachable`
 */
export async function askChallenge(
  host: Host,
  purpose: ChallengePurpose,
  clock: Clock,
): Promise<HostChallenge> {
  const sent = clock.now();
  const { json } = await host.client.request('POST', '/v1/challenges', { body: { v: 1, purpose } });
  const answer = challengeShape(json, 'challenge', fail);
  requireSameTime(Date.parse(answer.verifierTime), sent, clock.now());
  await followTrust(host, answer.trustBundleVersion);
  return {
    nonce: answer.nonce,
    selection: parsePcrSelectionText(answer.pcrSelection),
    policyHash: answer.policyHash,
    trustBundleVersion: answer.trustBundleVersion,
    eventLog: answer.eventLog,
    imaOffset: answer.ima.offset,
  };
}

/** The verifier looked at its clock between request and answer. Expiry means nothing where clocks differ. */
function requireSameTime(theirs: number, sent: number, received: number): void {
  const difference = theirs < sent ? theirs - sent : Math.max(0, theirs - received);
  if (Math.abs(difference) <= CLOCK_BOUND_MS) return;
  refuse('clock-difference', 'the clocks of verifier and host are more than 30 s apart', {
    seconds: Math.round(difference / 1000),
  });
}

/**
 * Walks the trust bundle's chain to the version that the verifier has. A version below ours is no way back.
 * @throws Refusal `trust-bundle-chain` and those of the walk
 */
export async function followTrust(host: Host, version: number): Promise<void> {
  const known = host.trust.version;
  if (version === known) return;
  if (version < known)
    refuse('trust-bundle-chain', `the verifier names version ${String(version)}, older than ours`, {
      version,
      pinned: known,
    });
  const { list } = await host.client.request('GET', '/v1/trust-bundles', { maxBytes: MAX_BUNDLES });
  const envelopes = trustList(list);
  if (envelopes.length < version)
    refuse('trust-bundle-chain', 'the verifier names a version that it does not show', { version });
  // Version 1 is the first of the list; only what follows ours is read, so that nothing replaces what is pinned.
  await host.advanceTrust(envelopes.slice(known, version));
}

function trustList(list: readonly JsonValue[]): readonly JsonObject[] {
  return list.map((entry) => (isJsonObject(entry) ? entry : fail('trust-bundles', 'a list of envelopes')));
}
