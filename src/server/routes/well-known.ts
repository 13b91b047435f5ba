import { createHash } from 'node:crypto';
import { toBase64 } from '../../base/index.ts';
import type { JsonObject } from '../../base/index.ts';
import type { Certificate } from '../../x509/index.ts';
import { publicJwk } from '../decision-keys.ts';
import { route } from '../route.ts';
import type { Route } from '../route.ts';
import { publicKeyOf } from '../../x509/index.ts';

/** How often relying parties look for new keys: seconds. */
const REFRESH_SECONDS = 300;

/** Keys for relying parties, each set for one kind of token only. */
export const WELL_KNOWN_ROUTES: readonly Route[] = [
  route({
    method: 'GET',
    url: '/.well-known/spiffe-bundle',
    summary: 'The trust domain’s SPIFFE bundle: what workload SVIDs verify under, and nothing else',
    access: { who: 'anyone' },
    handle: async ({ services: { ring, trust } }) => ({
      status: 200,
      json: {
        keys: [
          x509Authority(ring.certificate('svid-ca')),
          await publicJwk(ring.privateKey('jwt-svid'), 'jwt-svid'),
        ],
        spiffe_sequence: trust.current.version,
        spiffe_refresh_hint: REFRESH_SECONDS,
      },
    }),
  }),
  route({
    method: 'GET',
    url: '/.well-known/jwks.json',
    summary: 'Keys of authorizations, attestation results and status lists (RFC 7517)',
    access: { who: 'anyone' },
    handle: async ({ services: { ring } }) => ({
      status: 200,
      json: {
        keys: await Promise.all(
          (['authorization', 'ear', 'status'] as const).map((name) =>
            publicJwk(ring.privateKey(name), 'sig'),
          ),
        ),
      },
    }),
  }),
];

/** SPIFFE Trust Domain and Bundle §4.2.2: `use` x509-svid, the certificate in `x5c`. */
function x509Authority(certificate: Certificate): JsonObject {
  const { kty = '', crv = '', x = '', y = '' } = publicKeyOf(certificate.publicKey).export({ format: 'jwk' });
  const thumb = createHash('sha256').update(certificate.raw).digest('base64url');
  return { kty, crv, x, y, use: 'x509-svid', x5c: [toBase64(certificate.raw)], 'x5t#S256': thumb };
}
