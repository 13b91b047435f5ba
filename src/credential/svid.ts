import type { KeyObject } from 'node:crypto';
import { refuse, toHex } from '../base/index.ts';
import type { Random } from '../base/index.ts';
import { issueCertificate, parseCertificate, randomSerial } from '../x509/index.ts';
import type { Certificate, SpiffeId } from '../x509/index.ts';

/** A certificate authority whose key is here. */
export interface SigningAuthority {
  /** DER; first of `chain`. */
  readonly certificate: Uint8Array;
  readonly key: KeyObject;
  /** DER, from the issuing certificate up to, not with, the root. */
  readonly chain: readonly Uint8Array[];
}

/** What an X509-SVID is issued for. */
export interface SvidOrder {
  readonly id: SpiffeId;
  /** Of the workload, P-256: its private half never leaves the host. */
  readonly publicKey: KeyObject;
  /** Unix ms. */
  readonly notBefore: number;
  /** Unix ms; the certificate ends with the authorization that it belongs to, or before. */
  readonly notAfter: number;
}

/** An issued X509-SVID. */
export interface IssuedSvid {
  /** DER, leaf first. */
  readonly chain: readonly Uint8Array[];
  /** Hex. */
  readonly serial: string;
  /** Unix ms. */
  readonly expires: number;
}

/** Clocks of relying parties may be behind ours by this much: ms. */
const BACKDATE = 30_000;

/**
 * Issues an X509-SVID (SPIFFE X509-SVID §2–§4): one URI name, critical since the subject is empty; CA false; key usage
 * critical digitalSignature; serverAuth and clientAuth.
 * @throws Refusal `credential-authority` when it would outlive its authority
 */
export function issueSvid(order: SvidOrder, authority: SigningAuthority, random: Random): IssuedSvid {
  const certificate = certificateOf(authority);
  const { notBefore: from, notAfter: until } = certificate;
  const notBefore = Math.max(order.notBefore - BACKDATE, from);
  if (order.notAfter > until || order.notAfter <= order.notBefore || order.notBefore < from) {
    return refuse('credential-authority', 'the certificate would be valid outside its authority’s time', {
      notAfter: new Date(order.notAfter).toISOString(),
      authority: new Date(until).toISOString(),
    });
  }
  const serial = randomSerial(random);
  const leaf = issueCertificate({
    subject: {},
    publicKey: order.publicKey,
    issuer: { certificate, key: authority.key },
    serial,
    notBefore,
    notAfter: order.notAfter,
    purpose: { kind: 'x509-svid', id: order.id.text },
  });
  return { chain: [leaf, ...authority.chain], serial: toHex(serial), expires: order.notAfter };
}

/** An authority issues for as long as the verifier runs: its own certificate is read once. */
const readBefore = new WeakMap<SigningAuthority, Certificate>();

function certificateOf(authority: SigningAuthority): Certificate {
  const known = readBefore.get(authority);
  if (known !== undefined) return known;
  const certificate = parseCertificate(authority.certificate);
  readBefore.set(authority, certificate);
  return certificate;
}
