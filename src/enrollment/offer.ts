import type { Fail, JsonObject } from '../base/index.ts';
import { Reader, Writer, fromBase64url, refuse, shape, toBase64url } from '../base/index.ts';
import { formatPcrSelection, parsePcrSelectionText } from '../tpm/index.ts';
import type { CredentialChallenge, PcrSelection } from '../tpm/index.ts';
import { uuidText } from './kinds.ts';

/** The answer to `POST /v1/enrollments`: what the host has to answer within its time. */
export interface EnrollmentOffer {
  readonly enrollmentId: string;
  readonly hostId: string;
  /** Opens only in the TPM with this EK, with exactly this AK loaded. */
  readonly credential: CredentialChallenge;
  /** 32 bytes. */
  readonly nonce: Uint8Array;
  readonly selection: PcrSelection;
  /** Unix ms. */
  readonly expires: number;
}

const { base64url, hex32, object, text } = shape;
const OFFER = object({
  enrollmentId: uuidText,
  hostId: hex32,
  credentialBlob: base64url(256),
  encryptedSecret: base64url(1024),
  nonce: text({ pattern: /^[A-Za-z0-9_-]{43}$/, want: '32 bytes in base64url' }),
  pcrSelection: text({ max: 512 }),
  expiresAt: text({ pattern: /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/, want: 'a time in UTC' }),
});
const fail: Fail = (path, want) => refuse('enroll-form', `${path} is not ${want}`, { member: path });

/** The offer on the wire: the credential as TPM2B_ID_OBJECT and TPM2B_ENCRYPTED_SECRET, sizes included. */
export function encodeOffer(offer: EnrollmentOffer): JsonObject {
  const sized = (bytes: Uint8Array): string => toBase64url(new Writer().sized16(bytes).finish());
  return {
    enrollmentId: offer.enrollmentId,
    hostId: offer.hostId,
    credentialBlob: sized(offer.credential.credentialBlob),
    encryptedSecret: sized(offer.credential.encryptedSecret),
    nonce: toBase64url(offer.nonce),
    pcrSelection: formatPcrSelection(offer.selection),
    expiresAt: new Date(offer.expires).toISOString(),
  };
}

/** Reads it on the host. @throws Refusal `enroll-form`, `malformed` */
export function parseOffer(body: JsonObject): EnrollmentOffer {
  const offer = OFFER(body, 'offer', fail);
  const expires = Date.parse(offer.expiresAt);
  return {
    enrollmentId: offer.enrollmentId,
    hostId: offer.hostId,
    credential: {
      credentialBlob: content(offer.credentialBlob, 'TPM2B_ID_OBJECT'),
      encryptedSecret: content(offer.encryptedSecret, 'TPM2B_ENCRYPTED_SECRET'),
    },
    nonce: fromBase64url(offer.nonce, 'nonce'),
    selection: parsePcrSelectionText(offer.pcrSelection),
    expires: Number.isNaN(expires) ? fail('offer.expiresAt', 'a time') : expires,
  };
}

function content(text: string, structure: string): Uint8Array {
  const reader = new Reader(fromBase64url(text, structure), structure);
  const bytes = reader.sized16();
  reader.end();
  return bytes;
}
