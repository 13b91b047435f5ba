import { createHash } from 'node:crypto';
import { PURPOSE_MEMBER } from '../../authorization/index.ts';
import type { PublishedPurpose, VerificationKey } from '../../authorization/index.ts';
import { toBase64 } from '../../base/index.ts';
import type { JsonObject } from '../../base/index.ts';
import type { TrustBundle } from '../../policy/index.ts';
import { parseCertificate, publicKeyOf } from '../../x509/index.ts';
import { route } from '../route.ts';
import type { Reply, Route } from '../route.ts';

/** How often relying parties look for new keys: seconds. */
const REFRESH_SECONDS = 300;
/** A set is the same for everybody until the trust bundle has another version. */
const CACHE = `max-age=${String(REFRESH_SECONDS)}`;

/**
 * Keys for relying parties, each with what it is for: all that the current trust bundle has, so that what an earlier key
 * signed is believed as long as the bundle says.
 */
export const WELL_KNOWN_ROUTES: readonly Route[] = [
  route({
    method: 'GET',
    url: '/.well-known/spiffe-bundle',
    summary: 'The trust domain’s SPIFFE bundle: what workload SVIDs verify under, and nothing else',
    access: { who: 'anyone' },
    handle: ({ services: { trust } }) =>
      answer({
        keys: [
          ...trust.current.cas.svid.map(x509Authority),
          ...trust.current.keys.jwtSvid.map((key) => ({ ...publicJwk(key), use: 'jwt-svid' })),
        ],
        spiffe_sequence: trust.current.version,
        spiffe_refresh_hint: REFRESH_SECONDS,
      }),
  }),
  route({
    method: 'GET',
    url: '/.well-known/jwks.json',
    summary: 'Keys of authorizations, attestation results, status lists and JWT-SVIDs (RFC 7517)',
    access: { who: 'anyone' },
    handle: ({ services: { trust } }) =>
      answer({
        keys: PURPOSES.flatMap(([purpose, member]) =>
          trust.current.keys[member].map((key) => ({
            ...publicJwk(key),
            use: 'sig',
            [PURPOSE_MEMBER]: purpose,
          })),
        ),
      }),
  }),
];

/** What a key is for, and where trust bundles have it: no purpose shares a key with another. */
const PURPOSES: readonly (readonly [PublishedPurpose, keyof TrustBundle['keys']])[] = [
  ['authorization', 'authorization'],
  ['attestation-result', 'ear'],
  ['status', 'status'],
  ['jwt-svid', 'jwtSvid'],
];

function answer(set: JsonObject): Promise<Reply> {
  const data = JSON.stringify(set);
  const etag = `"${createHash('sha256').update(data).digest('base64url')}"`;
  return Promise.resolve({ status: 200, type: 'application/json; charset=utf-8', data, cache: CACHE, etag });
}

function publicJwk({ key, kid, algorithm }: VerificationKey): JsonObject {
  const { kty = '', crv = '', x = '', y } = key.export({ format: 'jwk' });
  return { kty, crv, x, ...(y === undefined ? {} : { y }), kid, alg: algorithm };
}

/** SPIFFE Trust Domain and Bundle §4.2.2: `use` x509-svid, the certificate in `x5c`, no `kid`. */
function x509Authority(der: Uint8Array): JsonObject {
  const {
    kty = '',
    crv = '',
    x = '',
    y = '',
  } = publicKeyOf(parseCertificate(der).publicKey).export({
    format: 'jwk',
  });
  const thumb = createHash('sha256').update(der).digest('base64url');
  return { kty, crv, x, y, use: 'x509-svid', x5c: [toBase64(der)], 'x5t#S256': thumb };
}
