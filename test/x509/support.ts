import { createHash, generateKeyPairSync } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import {
  encodeCertificate,
  encodeName,
  extension,
  isPem,
  parseCertificate,
  parsePem,
  spkiOf,
  OID,
} from '../../src/x509/index.ts';
import type { Certificate, ExtensionInput } from '../../src/x509/index.ts';

/** The clock of these tests. */
export const NOW = Date.UTC(2026, 11, 1);

const DATA = path.resolve(import.meta.dirname, '../data');

/** A certificate file of test/data, PEM or DER, as DER. */
export function dataDer(file: string): Uint8Array {
  const bytes = new Uint8Array(readFileSync(path.join(DATA, file)));
  return isPem(bytes) ? parsePem(bytes)[0]! : bytes;
}

export const data = (file: string): Certificate => parseCertificate(dataDer(file));

/** Keys are slow to make and mean nothing here: one of each for the whole file. */
const keys = new Map<string, { publicKey: KeyObject; privateKey: KeyObject }>();
export function key(name: string): { publicKey: KeyObject; privateKey: KeyObject } {
  let pair = keys.get(name);
  if (pair === undefined) {
    pair = name.startsWith('rsa')
      ? generateKeyPairSync('rsa', { modulusLength: Number(name.slice(3, 7)) })
      : generateKeyPairSync('ec', { namedCurve: 'P-256' });
    keys.set(name, pair);
  }
  return pair;
}

/** Differences from a plain CA (or leaf) certificate. */
export interface Wish {
  readonly subject?: string;
  readonly issuer?: string;
  /** Name of the subject's key, of the signing key; default the subject's and issuer's names. */
  readonly key?: string;
  readonly signer?: string;
  readonly notBefore?: number;
  readonly notAfter?: number;
  readonly ca?: boolean;
  readonly pathLength?: number;
  /** Replaces all extensions. */
  readonly extensions?: readonly ExtensionInput[];
  readonly more?: readonly ExtensionInput[];
  readonly publicKey?: Uint8Array;
}

let serial = 0;

/** Builds a certificate, right or wrong. */
export function make(wish: Wish): Uint8Array {
  const subject = wish.subject ?? 'leaf';
  const issuer = wish.issuer ?? 'root';
  const extensions = wish.extensions ?? [
    extension.basicConstraints(wish.ca ?? false, wish.pathLength),
    extension.keyUsage(wish.ca === true ? 'keyCertSign' : 'digitalSignature'),
    ...(wish.ca === true ? [] : [extension.extKeyUsage(OID.codeSigning)]),
    ...(wish.more ?? []),
  ];
  return encodeCertificate(
    {
      serial: createHash('sha256').update(`${++serial}`).digest().subarray(0, 8),
      issuer: name(issuer),
      subject: name(subject),
      notBefore: wish.notBefore ?? Date.UTC(2026, 0, 1),
      notAfter: wish.notAfter ?? Date.UTC(2027, 0, 1),
      publicKey: wish.publicKey ?? spkiOf(key(wish.key ?? subject).publicKey),
      extensions,
    },
    key(wish.signer ?? issuer).privateKey,
  );
}

export const certificate = (wish: Wish): Certificate => parseCertificate(make(wish));

/** DER of a name with this common name; '' is the empty name. */
export function name(commonName: string): Uint8Array {
  return encodeName(commonName === '' ? [] : [[[OID.commonName, commonName]]]);
}

/** A self-signed root. */
export const root = (wish: Wish = {}): Certificate =>
  certificate({ subject: 'root', issuer: wish.subject ?? 'root', ca: true, ...wish });
