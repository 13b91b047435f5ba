import { readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { concat, equalBytes, fromUtf8, utf8 } from '../../src/base/index.ts';
import {
  EMPTY_TRUST_STORE,
  addToStore,
  chainFromNv,
  ekProfile,
  formatTrustStore,
  fromNv,
  isPem,
  parseCertificate,
  parseEkCertificate,
  parsePem,
  parseSpiffeId,
  parseSpki,
  parseTrustStore,
  publicKeyOf,
  readTpmIdentity,
  readTpmSpecification,
  toPem,
  verifyPath,
} from '../../src/x509/index.ts';

const DATA = path.resolve(import.meta.dirname, '../../test/data');
const read = (file: string): Uint8Array => new Uint8Array(readFileSync(path.join(DATA, file)));
const der = (file: string): Uint8Array => {
  const bytes = read(file);
  return isPem(bytes) ? (parsePem(bytes)[0] ?? bytes) : bytes;
};

const leaves = (): Uint8Array[] => [
  ...readdirSync(path.join(DATA, 'gce-vtpm/certificates')).map((file) =>
    der(`gce-vtpm/certificates/${file}`),
  ),
  ...['ekcert_rsa.der', 'ekcert_ecc384.der', 'platform_cert.der', 'rootca.pem'].map((file) =>
    der(`swtpm-certificates/generated/${file}`),
  ),
];
const [anchor, issuer] = ['rootca.pem', 'issuercert.pem'].map((file) =>
  parseCertificate(der(`swtpm-certificates/generated/${file}`)),
);
const NOW = Date.UTC(2026, 11, 1);
/** Certificates in one chain: room for one more than the seeds have. */
const MAX_CHAIN = 3;

export const targets: Record<string, { seeds: () => Uint8Array[]; run: (input: Uint8Array) => void }> = {
  /** Parsing, and everything that is read out of a parsed certificate; then a path to roots that can't be its own. */
  'x509-certificate': {
    seeds: leaves,
    run: (input) => {
      const leaf = parseEkCertificate(input);
      readTpmSpecification(leaf);
      readTpmIdentity(leaf);
      publicKeyOf(leaf.publicKey);
      if (anchor === undefined || issuer === undefined) throw new Error('no roots');
      const path = verifyPath({
        leaf,
        anchors: [anchor],
        intermediates: [issuer],
        now: NOW,
        profile: ekProfile(),
      });
      // Only two of the seeds have such a path: anything else that passes is a forgery.
      if (!GOOD.has(path.leaf.fingerprint)) throw new Error('a mutated certificate was accepted');
    },
  },
  'x509-nv': {
    seeds: () =>
      leaves().flatMap((leaf) => [
        new Uint8Array([...leaf, 0, 0, 0]),
        new Uint8Array([0x10, 1, 0, leaf.length >> 8, leaf.length & 0xff, ...leaf, 0xff]),
      ]),
    run: (input) => {
      parseCertificate(fromNv(input).der);
    },
  },
  /** Two NV indexes, the size of the first one in 16 bits before them: a certificate may begin in one and end in the next. */
  'x509-nv-chain': {
    seeds: () => {
      const chain = ['rootca.pem', 'issuercert.pem'].map((file) =>
        der(`swtpm-certificates/generated/${file}`),
      );
      const joined = concat([...chain, new Uint8Array(5).fill(0xff)]);
      return [700, joined.length, 0, 3].map((first) => Uint8Array.of(first >> 8, first & 0xff, ...joined));
    },
    run: (input) => {
      const first = 2 + (input[0] ?? 0) * 256 + (input[1] ?? 0);
      const contents = [input.slice(2, first), input.slice(first)];
      const chain = chainFromNv(contents, MAX_CHAIN);
      if (chain.length > MAX_CHAIN) throw new Error('more certificates than were asked for');
      // Nothing but padding of one kind is left out.
      const joined = concat(contents);
      const read = concat(chain);
      const padding = joined.slice(read.length);
      if (!equalBytes(joined.slice(0, read.length), read) || new Set(padding).size > 1) {
        throw new Error('the chain is not what the indexes hold');
      }
      chain.map((each) => parseCertificate(each));
    },
  },
  'spiffe-id': {
    seeds: () =>
      [
        'spiffe://example.org',
        'spiffe://example.org/host/a-1_b.c',
        'spiffe://127.0.0.1/ns/x/sa/..y',
        'spiffe://EXAMPLE.org:443/a//b?q#f',
        'spiffe://user@example.org/./%2e',
      ].map(utf8),
    run: (input) => {
      const given = fromUtf8(input, 'SPIFFE ID');
      const { text, trustDomain, path: rest } = parseSpiffeId(given);
      // The URL parser of the platform, which others use, must see the same parts and no others.
      const url = new URL(text);
      if (text !== given || url.href !== given || url.host !== trustDomain || url.pathname !== rest) {
        throw new Error('other parts than a URL parser finds');
      }
    },
  },
  'x509-pem': {
    seeds: () => leaves().map((leaf) => new TextEncoder().encode(toPem(leaf))),
    run: (input) => {
      parsePem(input).map((block) => parseCertificate(block));
    },
  },
  'x509-spki': {
    seeds: () => leaves().map((leaf) => parseCertificate(leaf).publicKey.der),
    run: (input) => {
      publicKeyOf(parseSpki(input));
    },
  },
  'x509-trust-store': {
    seeds: () => {
      if (anchor === undefined) return [];
      const store = addToStore(EMPTY_TRUST_STORE, {
        purpose: 'ek',
        role: 'anchor',
        vendor: 'swtpm',
        certificate: anchor,
      });
      return [EMPTY_TRUST_STORE, store].map((each) => new TextEncoder().encode(formatTrustStore(each)));
    },
    run: (input) => {
      formatTrustStore(parseTrustStore(input));
    },
  },
};

const GOOD = new Set(leaves().map((leaf) => parseCertificate(leaf).fingerprint));
