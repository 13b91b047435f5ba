import { encodeDigestList } from '../src/tpm/digest-list.ts';
import { encodePcrSelection } from '../src/tpm/index.ts';
import type { PcrSelection, PolicyComparison } from '../src/tpm/index.ts';
import { sessionsOf } from './authorization.ts';
import type { Caller } from './caller.ts';
import type { Authorization } from './authorization.ts';
import { HIERARCHY } from './esys-state.ts';
import type { Hierarchy } from './esys-state.ts';
import type { TpmObject } from './object.ts';
import type { Session } from './session.ts';
import { sized, unsized } from './wire.ts';

const NOTHING = new Uint8Array();

/** TPM2_PolicyPCR. @param pcrDigest empty: the values that the PCRs have now */
export async function policyPcr(
  caller: Caller,
  session: Session,
  selection: PcrSelection,
  pcrDigest: Uint8Array = NOTHING,
): Promise<void> {
  await caller.command('PolicyPCR', {
    handles: [session.esys],
    in: [sized(pcrDigest), encodePcrSelection(selection)],
  });
}

/** TPM2_PolicyCounterTimer: compares a part of TPMS_TIME_INFO with an operand. */
export async function policyCounterTimer(
  caller: Caller,
  session: Session,
  { operand, offset, operation }: PolicyComparison,
): Promise<void> {
  await caller.command('PolicyCounterTimer', {
    handles: [session.esys],
    in: [sized(operand), offset, operation],
  });
}

/** TPM2_PolicyCommandCode. @param code TPM_CC */
export async function policyCommandCode(caller: Caller, session: Session, code: number): Promise<void> {
  await caller.command('PolicyCommandCode', { handles: [session.esys], in: [code] });
}

/** TPM2_PolicyOR over 2 to 8 digests, one of which the session has now. */
export async function policyOr(
  caller: Caller,
  session: Session,
  digests: readonly Uint8Array[],
): Promise<void> {
  await caller.command('PolicyOR', { handles: [session.esys], in: [encodeDigestList(digests)] });
}

/** TPM2_PolicyAuthValue: the object's authValue must be proved too. */
export async function policyAuthValue(caller: Caller, session: Session): Promise<void> {
  await caller.command('PolicyAuthValue', { handles: [session.esys], in: [] });
}

/** What TPM2_PolicySecret and TPM2_PolicySigned bind and for how long. */
export interface PolicyBinding {
  /** Only this session: its nonceTPM. */
  readonly nonceTPM?: Uint8Array;
  /** Only this command with these parameters. */
  readonly cpHash?: Uint8Array;
  readonly policyRef?: Uint8Array;
  /** Seconds from the session's start; 0 is for ever; a negative number asks for a reusable ticket. */
  readonly expiration?: number;
}

/** What the TPM answers to PolicySecret and PolicySigned; both are empty unless a ticket was asked for. */
export interface PolicyTicket {
  readonly timeout: Uint8Array;
  /** TPMT_TK_AUTH. */
  readonly ticket: Uint8Array;
}

/** TPM2_PolicySecret: proves knowledge of an entity's authValue. */
export async function policySecret(
  caller: Caller,
  session: Session,
  entity: Hierarchy | TpmObject,
  binding: PolicyBinding & Authorization = {},
): Promise<PolicyTicket> {
  const [timeout, ticket] = await caller.command('PolicySecret', {
    handles: [typeof entity === 'string' ? HIERARCHY[entity] : entity.esys, session.esys],
    sessions: sessionsOf(1, binding),
    in: bindingInput(binding),
  });
  return { timeout: unsized('TPM2B_TIMEOUT', timeout), ticket };
}

/** TPM2_PolicySigned. @param signature TPMT_SIGNATURE over H(nonceTPM ‖ expiration ‖ cpHash ‖ policyRef) */
export async function policySigned(
  caller: Caller,
  session: Session,
  key: TpmObject,
  signature: Uint8Array,
  binding: PolicyBinding = {},
): Promise<PolicyTicket> {
  const [timeout, ticket] = await caller.command('PolicySigned', {
    handles: [key.esys, session.esys],
    in: [...bindingInput(binding), signature],
  });
  return { timeout: unsized('TPM2B_TIMEOUT', timeout), ticket };
}

/** What a policy authority approved. */
export interface ApprovedPolicy {
  readonly approvedPolicy: Uint8Array;
  readonly policyRef: Uint8Array;
  /** Name of the authority's key. */
  readonly keyName: Uint8Array;
  /** TPMT_TK_VERIFIED of TPM2_VerifySignature over H(approvedPolicy ‖ policyRef). */
  readonly ticket: Uint8Array;
}

/** TPM2_PolicyAuthorize. */
export async function policyAuthorize(
  caller: Caller,
  session: Session,
  approved: ApprovedPolicy,
): Promise<void> {
  await caller.command('PolicyAuthorize', {
    handles: [session.esys],
    in: [sized(approved.approvedPolicy), sized(approved.policyRef), sized(approved.keyName), approved.ticket],
  });
}

/** TPM2_PolicyRestart: the session's digest is zero again, its nonceTPM and its start stay. */
export async function policyRestart(caller: Caller, session: Session): Promise<void> {
  await caller.command('PolicyRestart', { handles: [session.esys], in: [] });
}

/** TPM2_PolicyGetDigest. */
export async function policyGetDigest(caller: Caller, session: Session): Promise<Uint8Array> {
  const [wire] = await caller.command('PolicyGetDigest', { handles: [session.esys], in: [] });
  return unsized('TPM2B_DIGEST', wire);
}

function bindingInput(binding: PolicyBinding): [Uint8Array, Uint8Array, Uint8Array, number] {
  return [
    sized(binding.nonceTPM ?? NOTHING),
    sized(binding.cpHash ?? NOTHING),
    sized(binding.policyRef ?? NOTHING),
    binding.expiration ?? 0,
  ];
}
