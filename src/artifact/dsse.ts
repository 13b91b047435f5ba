import {
  LIMITS,
  concat,
  fromBase64,
  fromBase64url,
  parseJson,
  refuse,
  shape,
  toBase64,
  utf8,
} from '../base/index.ts';
import type { Fail, JsonObject } from '../base/index.ts';

/** A DSSE envelope (dsse v1.0 "JSON envelope"), decoded; nothing of it is verified. */
export interface DsseEnvelope {
  readonly payloadType: string;
  readonly payload: Uint8Array;
  readonly signatures: readonly DsseSignature[];
}

export interface DsseSignature {
  /** A hint that decides nothing. */
  readonly keyid: string | undefined;
  readonly sig: Uint8Array;
}

const MAX_SIGNATURES = 64;
const { list, object, text } = shape;

const signatureShape = object({ sig: text({ max: 2048 }) }, { keyid: text({ min: 0 }) });
const envelopeShape = object({
  payload: text({ min: 0, max: LIMITS.signature }),
  payloadType: text(),
  signatures: list(signatureShape, MAX_SIGNATURES, 1),
});

const fail: Fail = (path, want) =>
  refuse('malformed', `${path}: expected ${want}`, { structure: 'DSSE envelope', path });

/** @throws Refusal `malformed` */
export function parseDsse(bytes: Uint8Array): DsseEnvelope {
  const json = parseJson(bytes, 'DSSE envelope', {
    maxBytes: LIMITS.signature,
    maxDepth: 3,
    maxValues: 1000,
  });
  const { payload, payloadType, signatures } = envelopeShape(json, 'envelope', fail);
  return {
    payloadType,
    payload: eitherBase64(payload, 'envelope.payload'),
    signatures: signatures.map(({ keyid, sig }) => ({
      keyid,
      sig: eitherBase64(sig, 'envelope.signatures.sig'),
    })),
  };
}

/**
 * Standard or URL-safe base64 with padding, strictly: one alphabet at a time, no white space, unused bits zero.
 * "Either standard or URL-safe base64 encodings are allowed" (DSSE protocol); URL-safe may leave the padding out.
 */
function eitherBase64(value: string, what: string): Uint8Array {
  if (!/[-_]/.test(value)) return fromBase64(padded(value), what);
  const bare = value.replace(/={1,2}$/, '');
  if (value !== bare && value !== padded(bare)) fail(what, 'right padding');
  return fromBase64url(bare, what);
}

function padded(value: string): string {
  return value.endsWith('=') ? value : value + '='.repeat((4 - (value.length % 4)) % 4);
}

/** PAE(type, body) of the DSSE protocol: what is signed. Lengths are in bytes. */
export function preAuthenticationEncoding(payloadType: string, payload: Uint8Array): Uint8Array {
  const type = utf8(payloadType);
  const head = `DSSEv1 ${String(type.length)} `;
  return concat([utf8(head), type, utf8(` ${String(payload.length)} `), payload]);
}

/** The envelope as a JSON value, in standard base64. */
export function dsseJson(envelope: DsseEnvelope): JsonObject {
  return {
    payloadType: envelope.payloadType,
    payload: toBase64(envelope.payload),
    signatures: envelope.signatures.map(({ keyid, sig }) => ({
      ...(keyid === undefined ? {} : { keyid }),
      sig: toBase64(sig),
    })),
  };
}
