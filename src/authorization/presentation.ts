import { createHash } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import {
  fromBase64url,
  jcsSha256,
  parseJsonObject,
  refuse,
  shape,
  toBase64url,
  toHex,
  utf8,
} from '../base/index.ts';
import type { Fail, JsonObject } from '../base/index.ts';
import { CLAIMS_LIMITS, MAX_DEPTH } from './claims.ts';
import { makeHolderProof } from './holder-proof.ts';
import type { HolderBinding } from './holder-proof.ts';
import { publicJwk } from './jwks.ts';
import type { PublicJwk } from './jwks.ts';

const { list, literal, object, text } = shape;

const PRESENTATION = object({
  v: literal(1),
  chain: list(text({ max: CLAIMS_LIMITS.maxBytes }), MAX_DEPTH + 1, 1),
  proof: text({ max: 4096 }),
  key: publicJwk,
});

/** What a workload shows to a relying party: its chain, root first, and a proof for this one request by `key`. */
export interface Presentation {
  readonly chain: readonly string[];
  readonly proof: string;
  readonly key: PublicJwk;
}

const fail: Fail = (path, want) => refuse('presentation-form', `${path} is not ${want}`, { member: path });
const SCHEME = 'Sealgate ';
const LIMITS = { maxBytes: 192 * 1024, maxDepth: 4, maxValues: 64 } as const;

/** A presentation as the value of an HTTP `authorization` header: `Sealgate` and base64url of its JSON. */
export function encodePresentation({ chain, proof, key }: Presentation): string {
  const json = { v: 1, chain, proof, key };
  return SCHEME + toBase64url(utf8(JSON.stringify(json)));
}

/**
 * Reads such a header. Nothing of it is verified.
 * @throws Refusal `presentation-form`, `malformed`
 */
export function decodePresentation(header: string | undefined): Presentation {
  if (header?.startsWith(SCHEME) !== true) return fail('authorization', 'of the scheme Sealgate');
  if (header.length > 2 * LIMITS.maxBytes) return fail('authorization', 'within its limit');
  const json = parseJsonObject(
    fromBase64url(header.slice(SCHEME.length), 'presentation'),
    'presentation',
    LIMITS,
  );
  const { chain, proof, key } = PRESENTATION(json, 'presentation', fail);
  return { chain, proof, key };
}

/** Makes a presentation: what a workload does with its authorization and its key. @param key private, P-256 */
export async function present(
  chain: readonly string[],
  binding: HolderBinding,
  key: KeyObject,
): Promise<Presentation> {
  const { x = '', y = '' } = key.export({ format: 'jwk' });
  return { chain, proof: await makeHolderProof(binding, key), key: { kty: 'EC', crv: 'P-256', x, y } };
}

/** What of an HTTP request the holder's proof is over. */
export interface HttpRequest {
  /** Upper case. */
  readonly method: string;
  /** Path and query, as it is sent. */
  readonly target: string;
  readonly body: Uint8Array;
}

/**
 * The digest of an HTTP request that proofs are bound to: SHA-256(JCS({ method, target, body: hex SHA-256 })). A proof
 * for one request says nothing for another.
 * @returns 32 bytes
 */
export function httpRequestDigest({ method, target, body }: HttpRequest): Uint8Array {
  const json: JsonObject = {
    method,
    target,
    body: toHex(new Uint8Array(createHash('sha256').update(body).digest())),
  };
  return jcsSha256(json);
}
