import { fromHex, parseJsonObject, refuse, shape, utf8 } from '../base/index.ts';
import type { Fail } from '../base/index.ts';
import { EK_TEMPLATES } from '../tpm/index.ts';
import type { EkTemplateName } from '../tpm/index.ts';
import { STATE_FILES } from './state-directory.ts';
import type { StateDirectory } from './state-directory.ts';

const { hex32, integer, literal, object, text } = shape;

const tpmName = text({ min: 68, max: 132, pattern: /^(?:[0-9a-f]{2})+$/, want: 'a TPM name in hex' });
const file = text({ max: 4096, pattern: /^\//, want: 'an absolute path' });
const identityShape = object({
  v: literal(1),
  url: text({ max: 512, pattern: /^https:\/\//, want: 'an https URL' }),
  caFingerprint: text({ max: 128 }),
  trustDomain: text({ max: 255 }),
  hostId: hex32,
  name: text({ max: 63 }),
  tcti: text({ max: 1024 }),
  ekTemplate: text({ max: 8 }),
  ekName: tpmName,
  akHandle: integer(0x8101_0020, 0x8101_003f),
  akName: tpmName,
  eventLog: file,
  imaList: file,
});

/** `identity.json`: who this host is to its verifier, and where its TPM and logs are. */
export interface HostIdentity {
  readonly v: 1;
  readonly url: string;
  /** SHA-256 of the certificate of the verifier's TLS CA. */
  readonly caFingerprint: string;
  readonly trustDomain: string;
  readonly hostId: string;
  readonly name: string;
  readonly tcti: string;
  readonly ekTemplate: EkTemplateName;
  /** TPM names, hex. */
  readonly ekName: string;
  readonly akHandle: number;
  readonly akName: string;
  /** Where the kernel shows its logs. */
  readonly eventLog: string;
  readonly imaList: string;
}

const LIMITS = { maxBytes: 64 * 1024, maxDepth: 2, maxValues: 64 };
const fail: Fail = (path, want) => refuse('agent-state', `${path} is not ${want}`, { member: path });

/** Reads it. @throws Refusal `agent-not-enrolled`, `agent-state` */
export function readIdentity(state: StateDirectory): HostIdentity {
  const bytes =
    state.read(STATE_FILES.identity) ??
    refuse('agent-not-enrolled', 'this host is not enrolled', { directory: state.path });
  return parseIdentity(bytes);
}

/** @throws Refusal `agent-state`, `malformed` */
export function parseIdentity(bytes: Uint8Array): HostIdentity {
  const read = identityShape(parseJsonObject(bytes, STATE_FILES.identity, LIMITS), 'identity', fail);
  const ekTemplate =
    EK_TEMPLATES.find(({ name }) => name === read.ekTemplate)?.name ??
    fail('identity.ekTemplate', 'an EK template');
  return { ...read, ekTemplate };
}

export function writeIdentity(state: StateDirectory, identity: HostIdentity): void {
  const bytes = utf8(`${JSON.stringify(identity, null, 2)}\n`);
  parseIdentity(bytes);
  state.write(STATE_FILES.identity, bytes);
}

/** A TPM name out of its hex text. */
export const nameBytes = (hex: string): Uint8Array => fromHex(hex, 'TPM name');
