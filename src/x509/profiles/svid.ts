import { refuse } from '../../base/index.ts';
import { OID } from '../oids.ts';
import { described } from '../path-checks.ts';
import type { LeafProfile } from '../path.ts';
import { checkEndEntity, checkPurposes } from './end-entity.ts';
import { subjectNames } from './signer.ts';

/** A SPIFFE ID taken apart (SPIFFE-ID §2). */
export interface SpiffeId {
  readonly text: string;
  readonly trustDomain: string;
  /** Empty, or `/` and segments. */
  readonly path: string;
}

/** SPIFFE-ID §2.3: implementations must support 2048 bytes, and may refuse more. */
const MAX_ID_BYTES = 2048;

/**
 * Parses a SPIFFE ID strictly: lower-case trust domain, no port, user, query or fragment, no empty, `.` or `..`
 * segment, no percent encoding (SPIFFE-ID §2.1, §2.2).
 * @throws Refusal `spiffe-id`
 */
export function parseSpiffeId(text: string): SpiffeId {
  const match =
    text.length <= MAX_ID_BYTES
      ? /^spiffe:\/\/([a-z0-9._-]{1,255})((?:\/[a-zA-Z0-9._-]+)*)$/.exec(text)
      : null;
  const [, trustDomain = '', path = ''] =
    match ?? refuse('spiffe-id', 'not a SPIFFE ID', { id: text.slice(0, MAX_ID_BYTES) });
  if (path.split('/').some((segment) => segment === '.' || segment === '..')) {
    refuse('spiffe-id', 'a path segment of the SPIFFE ID is relative', { id: text });
  }
  return { text, trustDomain, path };
}

/**
 * X509-SVID (X509-SVID §2, §4): exactly one URI name, which is a SPIFFE ID of the trust domain whose bundle verifies
 * it; CA false; key usage critical, digitalSignature, never keyCertSign or cRLSign; serverAuth and clientAuth; the
 * alternative name critical when the subject is empty.
 * @param trustDomain a bundle verifies its own domain only, so the caller says which one the anchors are of
 */
export function svidProfile(trustDomain: string): LeafProfile<SpiffeId> {
  return {
    issuerPurposes: () => [OID.serverAuth, OID.clientAuth],
    check: (leaf) => {
      checkEndEntity(leaf, { usages: ['digitalSignature'], forbidden: ['keyCertSign', 'cRLSign'] });
      if (leaf.extensions.get(OID.keyUsage)?.critical !== true) {
        refuse('x509-key-usage', 'the key usage of an X509-SVID is not critical', described(leaf));
      }
      checkPurposes(leaf, [OID.serverAuth, OID.clientAuth]);
      const { uris } = subjectNames(leaf);
      const [uri] = uris;
      if (uri === undefined || uris.length > 1)
        refuse('svid-uri', `${String(uris.length)} URI names in place of one`, described(leaf));
      if (leaf.subject.rdns.length === 0 && leaf.extensions.get(OID.subjectAltName)?.critical !== true) {
        refuse(
          'x509-san-critical',
          'the subject is empty and the alternative name is not critical',
          described(leaf),
        );
      }
      const id = parseSpiffeId(uri);
      if (id.trustDomain !== trustDomain) {
        refuse('svid-trust-domain', 'the SPIFFE ID is of another trust domain', { id: id.text, trustDomain });
      }
      return id;
    },
  };
}
