import { createPublicKey } from 'node:crypto';
import { thumbprint } from '../authorization/index.ts';
import {
  fromUtf8,
  isJsonObject,
  jcsSha256,
  refuse,
  shape,
  toBase64url,
  fromBase64url,
} from '../base/index.ts';
import type { Clock, JsonObject, JsonValue } from '../base/index.ts';
import { checkSealed, parseSealed } from '../credential/sealing/index.ts';
import type { RenewalBinding } from '../credential/sealing/index.ts';
import { attestationQualifyingData } from '../lifecycle/index.ts';
import { parseAttest } from '../tpm/index.ts';
import { parseSpki } from '../x509/index.ts';
import type { Session } from '../../native/index.ts';
import { askChallenge } from './challenge.ts';
import { hostEvidence } from './host-evidence.ts';
import type { HostEvidence } from './host-evidence.ts';
import type { Host, LockedTpm } from './host.ts';
import { judgeAttestation } from './judge-attestation.ts';
import type { JudgedAttestation } from './judge-attestation.ts';
import { ReleaseLost, openRelease } from './open-release.ts';
import type { HostQuote } from './quote.ts';
import type { ActiveExecution, RenewedExecution } from './runner-port.ts';
import { STATE_FILES } from './state-directory.ts';

/** Renewed authorizations and credentials of one attestation, with its proof. */
const MAX_ANSWER = 4 * 1024 * 1024;

/** What came of an attestation. */
export interface AttestationOutcome {
  readonly auditIndex: string;
  readonly policyVersion: number;
  /** The EAR's status of this host: 2 is affirming. */
  readonly status: number | null;
  readonly certificateRenewed: boolean;
  readonly renewed: readonly RenewedExecution[];
  readonly ended: JudgedAttestation['ended'];
  /** To be named in another attestation, at once. */
  readonly deferred: readonly string[];
}

/**
 * Attests this host and the given executions (PROTOCOL 6): challenge, quote with the IMA list after it, answer judged,
 * checkpoint advanced, certificate renewed, renewed credentials unsealed in the session that the quote named.
 * @throws Refusal: the verifier's denial, or what is wrong with its answer
 */
export async function attestHost(
  host: Host,
  executions: readonly ActiveExecution[],
  clock: Clock,
): Promise<AttestationOutcome> {
  const challenge = await askChallenge(host, 'attestation', clock);
  return await host
    .withTpmLock(async (locked) => {
      await using session = await host.releaseSession(locked.tpm);
      const request = {
        v: 1,
        purpose: 'attestation',
        verifier: host.identity.trustDomain,
        nonce: challenge.nonce,
        hostId: host.identity.hostId,
        nonceTPM: toBase64url(await session.nonceTPM()),
        logSize: String(host.checkpoint.read().size),
        executions: executions.map(({ executionId, jti, sequence }) => ({ executionId, jti, sequence })),
      };
      const requestDigest = jcsSha256(request);
      const binding = { audience: host.identity.trustDomain, nonce: challenge.nonce, requestDigest };
      const proofs = await Promise.all(executions.map(({ prove }) => prove(binding)));
      const qualifyingData = attestationQualifyingData(
        fromBase64url(challenge.nonce, 'nonce'),
        requestDigest,
      );
      const quote = await host.quoteNow(challenge.selection, qualifyingData, locked.tpm);
      const evidence = hostEvidence(host, challenge, quote);
      const { json } = await host.client.request('POST', `/v1/hosts/${request.hostId}/attestations`, {
        body: { request, proofs, evidence: evidence.collection },
        maxBytes: MAX_ANSWER,
        signal: locked.signal,
      });
      const judged = await judge(host, json, { request, executions, requestDigest, quote, evidence, clock });
      return await take(host, judged, { locked, session, quote, requestDigest });
    })
    .catch(async (error: unknown) => {
      // Outside the lock; the refusal is what counts, and without a report those executions expire.
      if (error instanceof ReleaseLost) await reportLost(error, executions);
      throw error;
    });
}

async function reportLost(
  { executionIds }: ReleaseLost,
  executions: readonly ActiveExecution[],
): Promise<void> {
  const lost = executions.filter(({ executionId }) => executionIds.includes(executionId));
  await Promise.allSettled(lost.map((execution) => execution.lost()));
}

interface Sent {
  readonly request: { readonly nonce: string };
  readonly executions: readonly ActiveExecution[];
  readonly requestDigest: Uint8Array;
  readonly quote: HostQuote;
  readonly evidence: HostEvidence;
  readonly clock: Clock;
}

/** Judges the answer, and keeps what it proves: checkpoint, policy version, the certificate, what the verifier knows. */
async function judge(host: Host, answer: JsonObject, sent: Sent): Promise<JudgedAttestation> {
  const { identity, trust } = host;
  const key = createPublicKey(
    fromUtf8(host.state.read(STATE_FILES.agentKey) ?? new Uint8Array(), 'agent key'),
  );
  const { keyId } = parseSpki(new Uint8Array(key.export({ type: 'spki', format: 'der' })));
  const { resetCount, restartCount } = parseAttest(sent.quote.attest).clockInfo;
  const judged = await judgeAttestation(answer, {
    trust,
    hostId: identity.hostId,
    akName: identity.akName,
    agentKeyId: keyId,
    confirmation: await thumbprint(key),
    nonce: sent.request.nonce,
    requestDigest: sent.requestDigest,
    boot: { resetCount, restartCount },
    evidence: sent.evidence.digests,
    executions: sent.executions,
    checkpoint: host.checkpoint.read(),
    policySeen: host.policySeen.read(),
    now: sent.clock.now(),
  });
  host.checkpoint.advance(judged.checkpoint, judged.consistency);
  await host.policySeen.accept(judged.policyManifest, trust, sent.clock.now());
  sent.evidence.accepted();
  if (judged.certificatePem !== null) await host.renewCertificate(judged.certificatePem);
  return judged;
}

interface Opening {
  readonly locked: LockedTpm;
  readonly session: Session;
  readonly quote: HostQuote;
  readonly requestDigest: Uint8Array;
}

async function take(host: Host, judged: JudgedAttestation, opening: Opening): Promise<AttestationOutcome> {
  const credentials =
    judged.sealed === null
      ? new Map<string, readonly JsonObject[]>()
      : await openRenewal(host, judged, judged.sealed, opening);
  const { auditIndex, policy, renewed, ended, deferred, certificatePem, resultClaims } = judged;
  return {
    auditIndex,
    policyVersion: policy.version,
    status: statusOf(resultClaims),
    certificateRenewed: certificatePem !== null,
    renewed: renewed.map(({ executionId, authorization }) => ({
      executionId,
      authorization,
      credentials: credentials.get(executionId) ?? [],
    })),
    ended,
    deferred,
  };
}

const anyObject = (
  value: JsonValue,
  path: string,
  fail: (path: string, want: string) => never,
): JsonObject => (isJsonObject(value) ? value : fail(path, 'an object'));
const renewalShape = shape.object({
  v: shape.literal(1),
  executions: shape.list(
    shape.object({ executionId: shape.text({ max: 64 }), credentials: shape.list(anyObject, 64) }),
    256,
  ),
});

/** All renewed credentials of one attestation are one object, opened once by the session that the request named. */
async function openRenewal(
  host: Host,
  judged: JudgedAttestation,
  body: JsonObject,
  { locked, session, quote, requestDigest }: Opening,
): Promise<ReadonlyMap<string, readonly JsonObject[]>> {
  const binding: RenewalBinding = {
    kind: 'renewal',
    requestDigest,
    authorizations: judged.renewed.map(({ executionId, jti }) => ({ executionId, jti })),
  };
  const sealed = parseSealed(body);
  const object = checkSealed(sealed, {
    binding,
    nonceTpm: await session.nonceTPM(),
    quoted: parseAttest(quote.attest).clockInfo,
    quotedPcr: (bank, index) => quote.values.get(bank)?.get(index),
  });
  const opened = renewalShape(
    await openRelease(host, { object, jwe: sealed.jwe, binding }, session, locked),
    'credentials',
    (path, want) => refuse('verifier-answer', `${path} is not ${want}`, { member: path }),
  );
  return new Map(opened.executions.map(({ executionId, credentials }) => [executionId, credentials]));
}

/** The one submodule's status, in either form of an EAR. */
function statusOf({ submods }: JsonObject): number | null {
  const host = isJsonObject(submods) ? submods['host'] : undefined;
  const status = isJsonObject(host) ? (host['ear.status'] ?? host['ear_status']) : undefined;
  return typeof status === 'number' ? status : null;
}
