import type { LeafActor } from '../audit/index.ts';
import type { RecordRef } from '../audit/ledger.ts';
import type { Shape } from '../base/index.ts';
import { shape } from '../base/index.ts';

/** An operator as its certificate says. Two certificates with one name are one person. */
export interface Operator {
  /** Serial number of the certificate, lowercase hex. */
  readonly certificate: string;
  readonly name: string;
}

const { map, object, text } = shape;

/** What the ledger keeps for enrollment. Each row of a `host-…` kind names the one host that has the thing. */
export const RECORD = {
  host: (hostId: string): RecordRef => ({ kind: 'host', id: hostId }),
  name: (name: string): RecordRef => ({ kind: 'host-name', id: name }),
  /** @param akName TPM name in hex */
  ak: (akName: string): RecordRef => ({ kind: 'host-ak', id: akName }),
  agentKey: (keyId: string): RecordRef => ({ kind: 'host-agent-key', id: keyId }),
  /** @param hash of the token, in hex: the token itself is stored nowhere */
  token: (hash: string): RecordRef => ({ kind: 'join-token', id: hash }),
  ekList: (hostId: string): RecordRef => ({ kind: 'ek-list', id: hostId }),
  /** A host that is quarantined only until it attests, since its log was closed. */
  held: (hostId: string): RecordRef => ({ kind: 'host-held', id: hostId }),
  enrollment: (enrollmentId: string): RecordRef => ({ kind: 'enrollment', id: enrollmentId }),
} as const;

/** A host's name: what may stand in logs, paths and certificates without escaping (CVE-2022-23949, CVE-2021-27099). */
export const hostName: Shape<string> = text({
  pattern: /^[a-z0-9](?:[a-z0-9.-]{0,61}[a-z0-9])?$/,
  want: 'a host name: up to 63 of a-z, 0-9, dot and hyphen',
});
/** The operator's labels; policy reads them. */
export const labelMap: Shape<Readonly<Record<string, string>>> = map(
  /^[a-z0-9][a-z0-9._/-]{0,62}$/,
  text({ min: 0, max: 128, pattern: /^[A-Za-z0-9._:@/+-]*$/, want: 'a label value' }),
  32,
);
/** A platform that a policy bundle names. */
export const platformName: Shape<string> = text({
  max: 128,
  pattern: /^[A-Za-z0-9][A-Za-z0-9._:-]*$/,
  want: 'a platform name',
});
export const operatorShape: Shape<Operator> = object({
  certificate: text({ max: 64, pattern: /^[0-9a-f]+$/, want: 'a serial number in hex' }),
  name: text({ max: 256 }),
});
export const uuidText: Shape<string> = text({
  pattern: /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/,
  want: 'a UUID',
});

/** True when both are the same person: by certificate, or by name after a renewal. */
export function sameOperator(a: Operator, b: Operator): boolean {
  return a.certificate === b.certificate || a.name === b.name;
}

export const operatorActor = ({ certificate }: Operator): LeafActor => ({
  kind: 'operator',
  id: certificate,
});
