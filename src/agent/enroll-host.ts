import { createPublicKey, generateKeyPairSync } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { VerifierClient } from '../client/index.ts';
import { Refusal, fromUtf8, refuse, toHex } from '../base/index.ts';
import type { Clock, JsonObject } from '../base/index.ts';
import type { EkTemplateName } from '../tpm/index.ts';
import { parseSpki } from '../x509/index.ts';
import { systemClock } from './clock.ts';
import { judgeEnrollmentAnswer } from './enrollment-answer.ts';
import { KERNEL_LOG_PATHS } from './evidence-logs.ts';
import type { LogPaths } from './evidence-logs.ts';
import { writeIdentity } from './host-identity.ts';
import type { HostIdentity } from './host-identity.ts';
import { DEFAULT_TCTI, openTpm } from './open-tpm.ts';
import { readPending, writePending } from './pending-enrollment.ts';
import type { PendingEnrollment } from './pending-enrollment.ts';
import { DEFAULT_STATE, STATE_FILES, StateDirectory } from './state-directory.ts';
import { answerChallenge, discardKey, ekCandidates, offerKeys } from './tpm-enrollment.ts';
import type { OfferedKeys } from './tpm-enrollment.ts';
import type { Tpm } from '../../native/index.ts';

/** Which verifier, as which host. */
export interface EnrollOrder extends Partial<LogPaths> {
  readonly url: string;
  /** SHA-256 of the certificate of its TLS CA, as `host invite` prints it. */
  readonly caFingerprint: string;
  readonly name: string;
  /** Join token; absent where the EK is listed or an operator approves. */
  readonly token?: string;
  /** State directory; default `/var/lib/sealgate`. */
  readonly state?: string;
  readonly tcti?: string;
  /** Which EK; by default those that have a certificate are tried in the order of the templates. */
  readonly ekTemplate?: EkTemplateName;
  readonly clock?: Clock;
  /** Told once when an operator has to approve. */
  readonly onPending?: (hostId: string) => void;
  /** Milliseconds between questions while pending; default 5 s. */
  readonly pollMs?: number;
  /** Ends the waiting; the enrollment can be taken up again by the same command. */
  readonly signal?: AbortSignal;
}

const POLL_MS = 5000;
/** Said of this EK: another one of the same TPM may be the one that is invited or listed. */
const OTHER_EK = ['enroll-ek-template', 'enroll-admission', 'tpm-ek-template', 'tpm-ek-unsupported'];

/**
 * Enrolls this host (PROTOCOL 3): an AK under the EK at a free handle, a key of the agent, the credential challenge, a
 * quote; then the answer is judged and the state directory written, the identity last. Interrupted after the challenge
 * was answered, the same call goes on where it was.
 * @throws Refusal `agent-enrolled` when the directory has an enrolled host; the verifier's denials; those of
 *   `judgeEnrollmentAnswer`; `tpm-…`
 */
export async function enrollHost(order: EnrollOrder): Promise<HostIdentity> {
  const state = StateDirectory.create(order.state ?? DEFAULT_STATE);
  if (state.read(STATE_FILES.identity) !== undefined)
    refuse('agent-enrolled', 'the state directory belongs to a host that is enrolled', {
      directory: state.path,
    });
  state.tidy();
  const { url, caFingerprint, clock = systemClock } = order;
  const client = await VerifierClient.connect({ url, caFingerprint, clock });
  try {
    const begun = readPending(state);
    const [pending, first] =
      begun !== undefined && isFor(begun, order) ? [begun, undefined] : await begin(order, state, client);
    const answer = first ?? (await poll(client, pending));
    const body = isActive(answer) ? answer : await waitForApproval(order, state, client, pending);
    return accept(order, state, pending, body);
  } finally {
    await client.close();
  }
}

function isFor({ identity }: PendingEnrollment, { url, caFingerprint, name }: EnrollOrder): boolean {
  return identity.url === url && identity.caFingerprint === caFingerprint && identity.name === name;
}

const isActive = (body: JsonObject): boolean => body['state'] === 'active';

/** From nothing to the answer of the activation. */
async function begin(
  order: EnrollOrder,
  state: StateDirectory,
  client: VerifierClient,
): Promise<readonly [PendingEnrollment, JsonObject]> {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  state.write(STATE_FILES.agentKey, privateKey.export({ type: 'pkcs8', format: 'pem' }).toString());
  await using tpm = await openTpm(order.tcti ?? DEFAULT_TCTI);
  const keys = await offer(
    order,
    client,
    tpm,
    new Uint8Array(createPublicKey(privateKey).export({ type: 'spki', format: 'der' })),
  );
  try {
    const answer = await answerChallenge(tpm, keys);
    state.write(STATE_FILES.akAuth, keys.authValue);
    const { eventLog, imaList } = { ...KERNEL_LOG_PATHS, ...definedPaths(order) };
    const pending: PendingEnrollment = {
      enrollmentId: keys.offer.enrollmentId,
      secret: answer.secret,
      identity: {
        v: 1,
        url: order.url,
        caFingerprint: order.caFingerprint,
        hostId: keys.offer.hostId,
        name: order.name,
        tcti: order.tcti ?? DEFAULT_TCTI,
        ekTemplate: keys.template,
        ekName: toHex(keys.ekName),
        akHandle: keys.handle,
        akName: toHex(keys.akName),
        eventLog,
        imaList,
      },
    };
    writePending(state, pending);
    const url = `/v1/enrollments/${keys.offer.enrollmentId}/activate`;
    return [pending, await post(client, url, { ...answer })];
  } catch (error) {
    // Without an answer the host may be enrolled: then its key stays, and the next call asks.
    if (!isUnanswered(error)) {
      state.remove(STATE_FILES.pending);
      await discardKey(tpm, keys);
    }
    throw error;
  }
}

/** Offers the EKs of this TPM until the verifier takes one: the invitation fixes the template. */
async function offer(
  order: EnrollOrder,
  client: VerifierClient,
  tpm: Tpm,
  agentPublic: Uint8Array,
): Promise<OfferedKeys> {
  const candidates = order.ekTemplate === undefined ? await ekCandidates(tpm) : [order.ekTemplate];
  const { name, token } = order;
  const terms = { name, agentPublic, ...(token === undefined ? {} : { token }) };
  const send = (body: JsonObject): Promise<JsonObject> => post(client, '/v1/enrollments', body);
  for (const template of candidates.slice(0, -1)) {
    try {
      return await offerKeys(tpm, template, terms, send);
    } catch (error) {
      if (!(error instanceof Refusal && OTHER_EK.includes(error.check))) throw error;
    }
  }
  return await offerKeys(tpm, candidates.at(-1) ?? 'L-1', terms, send);
}

const definedPaths = ({ eventLog, imaList }: EnrollOrder): Partial<LogPaths> => ({
  ...(eventLog === undefined ? {} : { eventLog }),
  ...(imaList === undefined ? {} : { imaList }),
});

async function waitForApproval(
  { onPending, pollMs = POLL_MS, signal }: EnrollOrder,
  state: StateDirectory,
  client: VerifierClient,
  pending: PendingEnrollment,
): Promise<JsonObject> {
  onPending?.(pending.identity.hostId);
  for (;;) {
    await sleep(pollMs, undefined, signal === undefined ? {} : { signal });
    try {
      const answer = await poll(client, pending);
      if (isActive(answer)) return answer;
    } catch (error) {
      // The verifier may be away for a while; what it says itself is final.
      if (isUnanswered(error)) continue;
      state.remove(STATE_FILES.pending);
      throw error;
    }
  }
}

function poll(client: VerifierClient, { enrollmentId, secret }: PendingEnrollment): Promise<JsonObject> {
  return post(client, `/v1/enrollments/${enrollmentId}/poll`, { secret });
}

/** Judges the answer and writes the state; the identity comes last, so that a state with one is complete. */
function accept(
  { clock = systemClock }: EnrollOrder,
  state: StateDirectory,
  { identity: known }: PendingEnrollment,
  body: JsonObject,
): HostIdentity {
  const key = fromUtf8(state.read(STATE_FILES.agentKey) ?? new Uint8Array(), 'agent key');
  const spki = createPublicKey(key).export({ type: 'spki', format: 'der' });
  const accepted = judgeEnrollmentAnswer(body, {
    hostId: known.hostId,
    akName: known.akName,
    agentKeyId: parseSpki(new Uint8Array(spki)).keyId,
    now: clock.now(),
  });
  const identity: HostIdentity = { ...known, trustDomain: accepted.trustDomain };
  state.write(STATE_FILES.agentCertificate, accepted.certificatePem);
  state.write(STATE_FILES.trustBundles, JSON.stringify(accepted.envelopes));
  state.write(STATE_FILES.checkpoint, accepted.checkpoint);
  writeIdentity(state, identity);
  state.remove(STATE_FILES.pending);
  return identity;
}

const isUnanswered = (error: unknown): boolean =>
  !(error instanceof Refusal) || error.check === 'verifier-unreachable';

async function post(client: VerifierClient, url: string, body: JsonObject): Promise<JsonObject> {
  const answer = await client.request('POST', url, { body });
  return answer.json;
}
