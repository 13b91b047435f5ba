import type { KeyObject } from 'node:crypto';
import { generateKeyPairSync } from 'node:crypto';
import type { Random } from '../base/index.ts';
import { issueCertificate, randomSerial } from '../x509/index.ts';
import { formatOperatorId } from './operator-id.ts';
import type { OperatorId } from './operator-id.ts';

export const DAY_MS = 86_400_000;
/** How long an operator's certificate lives by default, in days. */
export const OPERATOR_DAYS = 365;

/** Clocks differ: a certificate is valid from a little before its issue. */
export const BACKDATE_MS = 5 * 60_000;

/** An operator's certificate (DER) and its new private key (PKCS #8 PEM). */
export interface IssuedOperator {
  readonly certificate: Uint8Array;
  readonly keyPem: string;
}

/** Issues an operator's certificate by the operator CA. @param now Unix ms @throws Refusal `operator-id` */
export function issueOperator(
  operator: OperatorId,
  ca: { readonly certificate: Uint8Array; readonly key: KeyObject },
  now: number,
  random: Random,
  days = OPERATOR_DAYS,
): IssuedOperator {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const certificate = issueCertificate({
    subject: { organization: operator.trustDomain, commonName: operator.name },
    publicKey,
    issuer: ca,
    serial: randomSerial(random),
    notBefore: now - BACKDATE_MS,
    notAfter: now + days * DAY_MS,
    purpose: { kind: 'tls-client', uri: formatOperatorId(operator) },
  });
  return { certificate, keyPem: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString() };
}
