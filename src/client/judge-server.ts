import { isIP } from 'node:net';
import type { DetailedPeerCertificate, TLSSocket } from 'node:tls';
import { LIMITS, refuse } from '../base/index.ts';
import { parseCertificate, tlsServerProfile, verifyPath } from '../x509/index.ts';
import type { Certificate, SubjectNames } from '../x509/index.ts';

/** Whom a connection must lead to. */
export interface ExpectedServer {
  /** Host of the URL: a name, or an IP address without brackets. */
  readonly host: string;
  /** Lowercase hex SHA-256 of the DER of the one CA certificate that is believed. */
  readonly caFingerprint: string;
  /** Unix ms. */
  readonly now: number;
}

/**
 * Judges who is at the other end of a TLS connection whose handshake is done: the server sends the pinned CA in its
 * chain, its certificate has a valid path to it (RFC 5280) and names the host (RFC 9525: DNS name or IP address, never a
 * common name, no wildcards). The machine's own trusted roots play no part.
 * @throws Refusal `verifier-pin`, `verifier-name`, `x509-…`
 */
export function judgeServer(socket: TLSSocket, expected: ExpectedServer): void {
  const [leaf, ...above] = sentChain(socket);
  if (leaf === undefined) return refuse('verifier-pin', 'the server sent no certificate');
  const anchor = above.find(({ fingerprint }) => fingerprint === expected.caFingerprint);
  if (anchor === undefined)
    return refuse('verifier-pin', 'the server’s chain does not contain the pinned CA certificate', {
      pinned: expected.caFingerprint,
      sent: [leaf, ...above].map(({ fingerprint }) => fingerprint),
    });
  const { findings } = verifyPath({
    leaf,
    intermediates: above.filter((one) => one !== anchor),
    anchors: [anchor],
    now: expected.now,
    profile: tlsServerProfile,
  });
  if (!names(findings, expected.host))
    refuse('verifier-name', `the server’s certificate is not for ${expected.host}`, {
      host: expected.host,
      names: [...findings.dns, ...findings.ip],
    });
}

/** What the server sent, leaf first, in the order in which each is issued by the next; at most the limit. */
function sentChain(socket: TLSSocket): Certificate[] {
  const chain: Certificate[] = [];
  // Without a certificate Node gives an empty object.
  let next: Partial<DetailedPeerCertificate> | undefined = socket.getPeerCertificate(true);
  while (next?.raw !== undefined && chain.length < LIMITS.chainLength) {
    const certificate = parseCertificate(new Uint8Array(next.raw));
    // A self-signed certificate is given as its own issuer.
    if (chain.some(({ fingerprint }) => fingerprint === certificate.fingerprint)) break;
    chain.push(certificate);
    next = next.issuerCertificate;
  }
  return chain;
}

function names({ dns, ip }: SubjectNames, host: string): boolean {
  if (isIP(host) === 0) return dns.some((name) => name.toLowerCase() === host.toLowerCase());
  const wanted = canonicalIp(host);
  return ip.some((address) => canonicalIp(address) === wanted);
}

/** IPv6 has several spellings; the URL parser knows one. */
const canonicalIp = (address: string): string =>
  isIP(address) === 6 ? new URL(`http://[${address}]`).hostname : address;
