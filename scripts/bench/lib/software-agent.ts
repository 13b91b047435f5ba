/** The host's half of an execution for hosts whose TPM is done in software: real cryptography, no TPM's time. */
import { createHash, generateKeyPairSync } from 'node:crypto';
import { makeHolderProof } from '../../../src/authorization/index.ts';
import { dsseJson, encodeStatement, normalKey, signDsse } from '../../../src/artifact/index.ts';
import type { SigningKey } from '../../../src/artifact/index.ts';
import { fromBase64url, toBase64url, toHex, utf8 } from '../../../src/base/index.ts';
import type { JsonObject } from '../../../src/base/index.ts';
import {
  EVIDENCE_TYPE,
  artifactMeasurement,
  artifactPcr,
  attestationDigest,
  attestationQualifyingData,
  executionQualifyingData,
  quotedSelection,
  requestDigest,
} from '../../../src/lifecycle/index.ts';
import type { ExecutionRequest } from '../../../src/lifecycle/index.ts';
import { encodeAttest, parsePcrSelectionText, pcrDigest, pcrValuesJson } from '../../../src/tpm/index.ts';
import { pcrValue } from '../../../test/support/software-ak.ts';
import type { SoftwareHost } from '../../../test/enrollment/software-host.ts';
import { systemRandom } from '../../../test/support/random.ts';

export const BOOT = 'sha256:0,1,2,3,4,5,6,7,8,9,14';
const FIRMWARE = 0x0007_0055_0000_0000n;
const ARTIFACT_PCR = 23;
const IMA_PCR = 10;

export const ARTIFACT_SHA256 = createHash('sha256').update('report').digest('hex');

/** An artifact signer, and one signature that every request carries. */
export function artifactSigner(now: number): { readonly key: SigningKey; readonly envelope: string } {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  const key = { privateKey, publicKey: normalKey(publicKey) };
  const statement = encodeStatement({ name: 'report', sha256: ARTIFACT_SHA256, signedAt: now });
  return { key, envelope: toBase64url(utf8(JSON.stringify(dsseJson(signDsse(statement, key))))) };
}

/** What a challenge answers, as far as a request needs it. */
export interface Terms {
  readonly trustDomain: string;
  readonly nonce: string;
  readonly policyHash: string;
  readonly logSize: string;
  readonly envelope: string;
}

/** A UUIDv7 of now. */
function uuidV7(now: number): string {
  const bytes = systemRandom.bytes(16);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, Math.floor(now / 2 ** 32));
  view.setUint32(2, now % 2 ** 32);
  bytes[6] = 0x70 | ((bytes[6] ?? 0) & 0x0f);
  bytes[8] = 0x80 | ((bytes[8] ?? 0) & 0x3f);
  return toHex(bytes).replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}

/** A workload's key pair. */
export const newWorkload = () => generateKeyPairSync('ec', { namedCurve: 'P-256' });

/** An execution that is to go on. */
export interface LiveExecution {
  readonly workload: ReturnType<typeof newWorkload>;
  readonly executionId: string;
  readonly jti: string;
  readonly sequence: number;
}

/** The body of `POST /v1/hosts/{id}/attestations`, sound in every part. */
export async function attestationBody(
  host: SoftwareHost,
  { trustDomain, nonce, logSize }: Pick<Terms, 'trustDomain' | 'nonce' | 'logSize'>,
  live: readonly LiveExecution[],
): Promise<JsonObject> {
  const request = {
    ...{ v: 1 as const, purpose: 'attestation' as const, verifier: trustDomain, nonce, hostId: host.id },
    ...{ nonceTPM: toBase64url(systemRandom.bytes(32)), logSize },
    executions: live.map(({ executionId, jti, sequence }) => ({ executionId, jti, sequence })),
  };
  const digest = attestationDigest(request);
  const binding = { audience: trustDomain, nonce, requestDigest: digest };
  const proofs = await Promise.all(live.map(({ workload }) => makeHolderProof(binding, workload.privateKey)));
  const extraData = attestationQualifyingData(fromBase64url(nonce, 'nonce'), digest);
  const selection = quotedSelection(parsePcrSelectionText(BOOT), [IMA_PCR]);
  return { request, proofs, evidence: quoteEvidence(host, extraData, selection) };
}

/** The body of `POST /v1/executions`, sound in every part. */
export async function executionBody(
  host: SoftwareHost,
  terms: Terms,
  workload = newWorkload(),
): Promise<JsonObject> {
  const { x = '', y = '' } = workload.publicKey.export({ format: 'jwk' });
  const request: ExecutionRequest = {
    v: 1,
    purpose: 'execution',
    verifier: terms.trustDomain,
    nonce: terms.nonce,
    hostId: host.id,
    executionId: uuidV7(Date.now()),
    nonceTPM: toBase64url(systemRandom.bytes(32)),
    policyHash: terms.policyHash,
    logSize: terms.logSize,
    artifact: {
      name: 'report',
      digest: `sha256:${ARTIFACT_SHA256}`,
      type: 'file',
      signatures: [{ format: 'dsse', data: terms.envelope }],
    },
    argv: ['report'],
    environment: { LANG: 'C' },
    cwd: '/',
    uid: 1000,
    gid: 1000,
    interpreter: null,
    privileged: false,
    isolated: true,
    scopes: ['reports.read'],
    credentials: ['workload'],
    initiator: null,
    parent: null,
    workloadPublic: { kty: 'EC', crv: 'P-256', x, y },
  };
  const digest = requestDigest(request);
  const nonce = fromBase64url(request.nonce, 'nonce');
  const measured = artifactPcr(artifactMeasurement(nonce, request.artifact.digest, digest));
  const binding = { audience: terms.trustDomain, nonce: request.nonce, requestDigest: digest };
  return {
    request,
    proofs: { workload: await makeHolderProof(binding, workload.privateKey), parent: null, initiator: null },
    evidence: quoteEvidence(
      host,
      executionQualifyingData(nonce, digest),
      quotedSelection(parsePcrSelectionText(BOOT)),
      measured,
    ),
  } as unknown as JsonObject;
}

function quoteEvidence(
  host: SoftwareHost,
  extraData: Uint8Array,
  selection: ReturnType<typeof quotedSelection>,
  measured?: Uint8Array,
): JsonObject {
  const value = (bank: 'sha1' | 'sha256' | 'sha384' | 'sha512', index: number): Uint8Array =>
    measured !== undefined && index === ARTIFACT_PCR ? measured : pcrValue(bank, index);
  host.boot = { ...host.boot, clock: host.boot.clock + 50n };
  const attest = encodeAttest({
    qualifiedSigner: host.qualifiedSigner(),
    extraData,
    clockInfo: host.boot,
    firmwareVersion: FIRMWARE,
    attested: { type: 'quote', pcrSelection: selection, pcrDigest: pcrDigest('sha256', selection, value) },
  });
  const pcrs = selection.flatMap(({ bank, pcrs: ofBank }) =>
    ofBank.map((index) => ({ bank, index, value: value(bank, index) })),
  );
  const record = (type: string, content: JsonObject) => [type, toBase64url(utf8(JSON.stringify(content))), 4];
  return {
    __cmwc_t: EVIDENCE_TYPE,
    quote: record('application/vnd.sealgate.quote+json', {
      attest: toBase64url(attest),
      signature: toBase64url(host.ak.sign(attest)),
    }),
    pcrs: record('application/vnd.sealgate.pcrs+json', pcrValuesJson(pcrs)),
  };
}
