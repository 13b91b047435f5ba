import { generateKeyPairSync } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { askChallenge } from '../../agent/challenge.ts';
import { hostEvidence } from '../../agent/host-evidence.ts';
import { nameBytes } from '../../agent/host-identity.ts';
import type { HostQuote } from '../../agent/index.ts';
import { makeHolderProof } from '../../authorization/index.ts';
import { fromBase64url, isJsonObject, refuse, toBase64url, toHex } from '../../base/index.ts';
import type { JsonObject } from '../../base/index.ts';
import { checkSealed, decryptCredentials, parseSealed } from '../../credential/index.ts';
import type { ReleaseBinding } from '../../credential/index.ts';
import {
  artifactMeasurement,
  executionQualifyingData,
  quotedSelection,
  requestDigest,
} from '../../lifecycle/index.ts';
import type { ExecutionRequest } from '../../lifecycle/index.ts';
import { parseAttest } from '../../tpm/index.ts';
import type { Session } from '../../../native/index.ts';
import { ReleaseLost } from '../../agent/open-release.ts';
import { newExecutionId } from '../../gateway/execution-id.ts';
import { measureInput } from '../artifact-files.ts';
import { systemClock } from '../clock.ts';
import { systemRandom } from '../random.ts';
import { TRUST_DOMAIN } from './playground-files.ts';
import type { Playground } from './playground.ts';

const ARTIFACT_PCR = 23;

/** A request as it went over the wire, and what opens its answer. */
export interface AskedByHand {
  readonly request: ExecutionRequest;
  readonly body: JsonObject;
  readonly answer: JsonObject;
  /** The session whose nonceTPM the verifier signed. */
  readonly session: Session;
  readonly quote: HostQuote;
  readonly digest: Uint8Array;
}

/**
 * What root on a host can do without the gateway: speak to the TPM and to the verifier itself. It can ask, and it can open
 * once what was sealed; the demonstrations show what it can't do besides.
 */
export async function askByHand(
  playground: Playground,
  artifact = playground.files.artifact,
): Promise<AskedByHand> {
  const { host } = playground;
  const { token, key } = await playground.initiator();
  const workload = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const challenge = await askChallenge(host, 'execution', systemClock);
  const session = await host.releaseSession();
  const { x = '', y = '' } = workload.publicKey.export({ format: 'jwk' });
  const request: ExecutionRequest = {
    v: 1,
    purpose: 'execution',
    verifier: TRUST_DOMAIN,
    nonce: challenge.nonce,
    hostId: host.identity.hostId,
    executionId: newExecutionId(systemClock, systemRandom),
    nonceTPM: toBase64url(await session.nonceTPM()),
    policyHash: challenge.policyHash,
    logSize: String(host.checkpoint.read().size),
    artifact: await artifactOf(artifact),
    argv: [artifact],
    environment: {},
    cwd: '/',
    uid: 65_534,
    gid: 65_534,
    interpreter: null,
    privileged: false,
    isolated: false,
    scopes: [],
    credentials: ['workload'],
    initiator: token,
    parent: null,
    workloadPublic: { kty: 'EC', crv: 'P-256', x, y },
  };
  const digest = requestDigest(request);
  const nonce = fromBase64url(request.nonce, 'nonce');
  await host.tpm.pcrReset(ARTIFACT_PCR);
  await host.tpm.pcrExtend(ARTIFACT_PCR, {
    sha256: artifactMeasurement(nonce, request.artifact.digest, digest),
  });
  const selection = quotedSelection(challenge.selection);
  const quote = await host.quoteNow(selection, executionQualifyingData(nonce, digest));
  const body = {
    request,
    proofs: await proofs(request, digest, workload.privateKey, key),
    evidence: hostEvidence(host, challenge, quote).collection,
  } as unknown as JsonObject;
  const answer = (await host.client.request('POST', '/v1/executions', { body })).json;
  return { request, body, answer, session, quote, digest };
}

/** Sends the very same bytes again. */
export async function sendAgain({ host }: Playground, { body }: AskedByHand): Promise<void> {
  await host.client.request('POST', '/v1/executions', { body });
}

/** Waits until the TPM's own clock is past the deadline that its policy names. */
export async function deadlinePassed({ host }: Playground, { answer }: AskedByHand): Promise<void> {
  const { clockBefore } = sealedOf(answer).policy;
  for (;;) {
    const { clock } = (await host.tpm.readClock()).clockInfo;
    if (clock > clockBefore) return;
    await sleep(Number(clockBefore - clock) + 1);
  }
}

/**
 * Imports, satisfies the policy and unseals, with the session that it is for or another one.
 * @returns names of what was sealed
 * @throws Refusal `release-lost` when the TPM refuses
 */
export async function openByHand(
  { host }: Playground,
  { request, answer, quote, digest, session }: AskedByHand,
  other: Session = session,
): Promise<readonly string[]> {
  const { authorization } = answer;
  if (typeof authorization !== 'string') return refuse('verifier-answer', 'nothing was authorized');
  const sealed = sealedOf(answer);
  const binding: ReleaseBinding = {
    kind: 'release',
    executionId: request.executionId,
    requestDigest: digest,
    jti: jtiOf(authorization),
  };
  const object = checkSealed(sealed, {
    binding,
    nonceTpm: fromBase64url(request.nonceTPM, 'nonceTPM'),
    quoted: parseAttest(quote.attest).clockInfo,
    quotedPcr: (bank, index) => quote.values.get(bank)?.get(index),
  });
  const { ekTemplate, ekName } = host.identity;
  const key = await host.tpm
    .openSealed({ session: other, sealed: object, ekTemplate, ekName: nameBytes(ekName) })
    .catch((error: unknown) => {
      throw new ReleaseLost([request.executionId], error instanceof Error ? error.message : 'unknown');
    });
  return Object.keys(await decryptCredentials(sealed.jwe, key, binding));
}

function sealedOf({ sealed }: JsonObject): ReturnType<typeof parseSealed> {
  return isJsonObject(sealed) ? parseSealed(sealed) : refuse('verifier-answer', 'nothing was sealed');
}

async function artifactOf(file: string): Promise<ExecutionRequest['artifact']> {
  const { digests } = await measureInput(file);
  const data = toBase64url(new Uint8Array(readFileSync(`${file}.dsse.json`)));
  return {
    name: 'report',
    digest: `sha256:${toHex(digests.sha256)}`,
    type: 'file',
    signatures: [{ format: 'dsse', data }],
  };
}

async function proofs(
  request: ExecutionRequest,
  requestDigest: Uint8Array,
  workload: KeyObject,
  initiator: KeyObject,
) {
  const binding = { audience: request.verifier, nonce: request.nonce, requestDigest };
  return {
    workload: await makeHolderProof(binding, workload),
    parent: null,
    initiator: await makeHolderProof(binding, initiator),
  };
}

function jtiOf(authorization: string): string {
  const claims: unknown = JSON.parse(
    Buffer.from(authorization.split('.')[1] ?? '', 'base64url').toString('utf8'),
  );
  const jti = typeof claims === 'object' && claims !== null && 'jti' in claims ? claims.jti : undefined;
  return typeof jti === 'string' ? jti : refuse('verifier-answer', 'the authorization has no jti');
}
