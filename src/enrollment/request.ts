import { createHash } from 'node:crypto';
import type { Fail, JsonObject, Shape } from '../base/index.ts';
import { LIMITS, fromBase64url, fromHex, jcsSha256, refuse, shape } from '../base/index.ts';
import type { ClaimedPcrs, HashName } from '../tpm/index.ts';
import { hostName } from './kinds.ts';

const { base64url, list, literal, map, object, text } = shape;

/** Characters of base64url that `bytes` bytes may take. */
const encoded = (bytes: number): number => Math.ceil((bytes * 4) / 3);

/** The body of `POST /v1/enrollments` (docs/PROTOCOL.md, "Enrollment"). */
export interface EnrollmentRequest {
  readonly v: 1;
  /** What the host would like to be called; an invitation decides. */
  readonly name: string;
  readonly token?: string;
  /** DER. */
  readonly ekCertificate?: string;
  readonly ekChain?: readonly string[];
  /** TPM2B_PUBLIC, like `akPublic`. */
  readonly ekPublic: string;
  readonly akPublic: string;
  /** SubjectPublicKeyInfo of the agent certificate's key. */
  readonly agentPublic: string;
}

/** The body of `POST /v1/enrollments/{id}/activate`, decoded. */
export interface ActivationAnswer {
  readonly secret: Uint8Array;
  /** TPMS_ATTEST. */
  readonly attest: Uint8Array;
  /** TPMT_SIGNATURE. */
  readonly signature: Uint8Array;
  readonly pcrs: ClaimedPcrs;
}

const certificate = base64url(encoded(LIMITS.certificate));
const structure = base64url(encoded(LIMITS.tpmStructure));
const secretText = text({ pattern: /^[A-Za-z0-9_-]{43}$/, want: '32 bytes in base64url' });

const REQUEST: Shape<EnrollmentRequest> = object(
  { v: literal(1), name: hostName, ekPublic: structure, akPublic: structure, agentPublic: base64url(256) },
  { token: secretText, ekCertificate: certificate, ekChain: list(certificate, LIMITS.chainLength - 2) },
);
const BANKS: Readonly<Record<string, HashName>> = {
  sha1: 'sha1',
  sha256: 'sha256',
  sha384: 'sha384',
  sha512: 'sha512',
};
const ACTIVATION = object({
  secret: secretText,
  attest: structure,
  signature: structure,
  pcrs: map(
    /^sha(?:1|256|384|512)$/,
    map(
      /^(?:0|[1-9]|1[0-9]|2[0-3])$/,
      text({ pattern: /^(?:[0-9a-f]{2}){20,64}$/, max: 128, want: 'hex' }),
      24,
    ),
    4,
  ),
});
const POLL = object({ secret: secretText });

const fail: Fail = (path, want) => refuse('enroll-form', `${path} is not ${want}`, { member: path });

/** The request as a closed, typed object. @throws Refusal `enroll-form` */
export function parseEnrollmentRequest(body: JsonObject): EnrollmentRequest {
  const request = REQUEST(body, 'enrollment', fail);
  if (request.ekChain !== undefined && request.ekCertificate === undefined)
    fail('enrollment.ekChain', 'there with a certificate only');
  return request;
}

/** The answer to a challenge. @throws Refusal `enroll-form`, `malformed` */
export function parseActivation(body: JsonObject): ActivationAnswer {
  const { secret, attest, signature, pcrs } = ACTIVATION(body, 'activation', fail);
  return {
    secret: fromBase64url(secret, 'secret'),
    attest: fromBase64url(attest, 'attest'),
    signature: fromBase64url(signature, 'signature'),
    pcrs: claimedPcrs(pcrs),
  };
}

/** The secret that somebody polls with: 32 bytes. @throws Refusal `enroll-form`, `malformed` */
export function parsePoll(body: JsonObject): Uint8Array {
  return fromBase64url(POLL(body, 'poll', fail).secret, 'secret');
}

/** SHA-256(JCS(request)): 32 bytes. Everything that the host asked for, token included. */
export function enrollmentDigest(request: EnrollmentRequest): Uint8Array {
  // Consists of JSON values only; interfaces just have no index signature.
  return jcsSha256(request as unknown as JsonObject);
}

/** qualifyingData of the enrollment's quote: SHA-256(label ‖ nonce ‖ SHA-256(JCS(request))). */
export function enrollmentQualifyingData(nonce: Uint8Array, digest: Uint8Array): Uint8Array {
  const hash = createHash('sha256').update('sealgate/enrollment/v1\0').update(nonce).update(digest);
  return new Uint8Array(hash.digest());
}

function claimedPcrs(banks: Readonly<Record<string, Readonly<Record<string, string>>>>): ClaimedPcrs {
  return new Map(
    Object.entries(banks).map(([bank, values]) => [
      BANKS[bank] ?? fail(`activation.pcrs.${bank}`, 'a bank'),
      new Map(Object.entries(values).map(([index, value]) => [Number(index), fromHex(value, 'PCR value')])),
    ]),
  );
}
