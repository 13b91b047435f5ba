import type { HashName, PcrSelection, PolicyComparison } from '../src/tpm/index.ts';
import type { NvPublic } from '../src/tpm/nv-public.ts';
import type { TimeInfo } from '../src/tpm/clock-info.ts';
import type { EkTemplateName } from '../src/tpm/ek-template.ts';
import { Caller } from './caller.ts';
import type { Authorization } from './authorization.ts';
import { Connection } from './connection.ts';
import { createAttestationKey, openAttestationKey } from './attestation-key.ts';
import type { AttestationKeyOptions, NewAttestationKey } from './attestation-key.ts';
import { endorsementCertificate, endorsementKey } from './endorsement.ts';
import type { EndorsementCertificate, EndorsementKeyOptions } from './endorsement.ts';
import * as attest from './esys-attest.ts';
import { getHandles } from './esys-capability.ts';
import type { HandleRange } from './esys-capability.ts';
import * as nv from './esys-nv.ts';
import * as objects from './esys-object.ts';
import * as pcr from './esys-pcr.ts';
import * as policy from './esys-policy.ts';
import * as state from './esys-state.ts';
import type { Hierarchy } from './esys-state.ts';
import type { TpmObject } from './object.ts';
import { openSealed } from './release.ts';
import type { SealedOpening } from './release.ts';
import { readProperties } from './properties.ts';
import type { TpmProperties } from './properties.ts';
import { startSession } from './session.ts';
import type { Session, SessionOptions } from './session.ts';

/** How {@link Tpm.open} connects. */
export interface OpenOptions {
  /** Milliseconds until a command counts as lost; the connection is then unusable. Default 120 000. */
  readonly timeoutMs?: number;
}

const DEFAULT_TIMEOUT = 120_000;

/**
 * A TPM 2.0, command by command as TPM 2.0 Part 3 has them. Structures go in and out in their wire form; each method
 * that makes an object or session gives something to `await using` or to `flush()`.
 *
 * Commands run one after the other, off the event loop. Every method can throw {@link TpmError}, a Refusal
 * `tpm-timeout` or `tpm-closed`, and TypeError or RangeError for arguments that no TPM would take. For use on the
 * main thread or in a child process: ffi-napi crashes when a worker thread that loaded it ends.
 */
export class Tpm implements AsyncDisposable {
  readonly #caller: Caller;

  private constructor(caller: Caller) {
    this.#caller = caller;
  }

  /**
   * Connects to a TPM.
   * @param tcti a configuration string of tpm2-tss, e.g. `device:/dev/tpmrm0`, `swtpm:path=/run/tpm`
   * @throws Refusal `tpm-tcti`, `tpm-library`, `tpm-unreachable`, `tpm-timeout`
   */
  static async open(tcti: string, options: OpenOptions = {}): Promise<Tpm> {
    return new Tpm(new Caller(await Connection.open(tcti, options.timeoutMs ?? DEFAULT_TIMEOUT)));
  }

  /** The TCTI configuration string. */
  get tcti(): string {
    return this.#caller.connection.tcti;
  }

  /**
   * The same connection for a task that can be called off: once the signal fires, no further command of the task is
   * sent, and the promise rejects with the signal's reason. A command that the TPM works on is waited for, and what
   * the task holds is still flushed.
   */
  abortable(signal: AbortSignal): Tpm {
    return new Tpm(new Caller(this.#caller.connection, signal));
  }

  /** Flushes every object and session that is still open, and disconnects. May be called again. */
  close(): Promise<void> {
    return this.#caller.connection.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  // ── State ──

  /** TPM2_Startup: on an emulator without firmware. */
  startup(type: state.StartupType = 'clear'): Promise<void> {
    return state.startup(this.#caller, type);
  }

  /** TPM2_Shutdown. */
  shutdown(type: state.StartupType = 'clear'): Promise<void> {
    return state.shutdown(this.#caller, type);
  }

  /** TPM2_Clear: new storage seed, auth values empty, clock and resetCount zero. */
  clear(by: 'platform' | 'lockout' = 'lockout', authorization?: Authorization): Promise<void> {
    return state.clear(this.#caller, by, authorization);
  }

  /** Tells the connection a hierarchy's authValue; nothing is sent. Objects have a `setAuth` of their own. */
  setAuth(hierarchy: Hierarchy, value: Uint8Array): Promise<void> {
    return state.setHierarchyAuth(this.#caller, hierarchy, value);
  }

  /** TPM2_HierarchyChangeAuth. */
  hierarchyChangeAuth(hierarchy: Hierarchy, value: Uint8Array, authorization?: Authorization): Promise<void> {
    return state.hierarchyChangeAuth(this.#caller, hierarchy, value, authorization);
  }

  /** TPM2_DictionaryAttackLockReset. */
  dictionaryAttackLockReset(authorization?: Authorization): Promise<void> {
    return state.dictionaryAttackLockReset(this.#caller, authorization);
  }

  /** TPM2_DictionaryAttackParameters. */
  dictionaryAttackParameters(
    parameters: state.DictionaryAttackPolicy,
    authorization?: Authorization,
  ): Promise<void> {
    return state.dictionaryAttackParameters(this.#caller, parameters, authorization);
  }

  /** Manufacturer, firmware, PCR banks, algorithms, lockout. */
  properties(): Promise<TpmProperties> {
    return readProperties(this.#caller);
  }

  /** The handles of a range: persistent and transient objects, sessions, NV indexes. */
  handles(range: HandleRange): Promise<number[]> {
    return getHandles(this.#caller, range);
  }

  /** TPM2_GetRandom, `length` bytes in as many commands as it takes. */
  getRandom(length: number): Promise<Uint8Array> {
    return state.getRandom(this.#caller, length);
  }

  /** TPM2_ReadClock. */
  readClock(): Promise<TimeInfo> {
    return state.readClock(this.#caller);
  }

  // ── PCRs and NV ──

  /** TPM2_PCR_Read of any selection, consistent over several answers. @throws Refusal `tpm-pcr` */
  pcrRead(selection: PcrSelection): Promise<pcr.PcrReading> {
    return pcr.pcrRead(this.#caller, selection);
  }

  /** TPM2_PCR_Extend. */
  pcrExtend(
    index: number,
    digests: Readonly<Partial<Record<HashName, Uint8Array>>>,
    authorization?: Authorization,
  ): Promise<void> {
    return pcr.pcrExtend(this.#caller, index, digests, authorization);
  }

  /** TPM2_PCR_Reset: 16 and 23 on the PC Client. */
  pcrReset(index: number, authorization?: Authorization): Promise<void> {
    return pcr.pcrReset(this.#caller, index, authorization);
  }

  /** TPM2_NV_ReadPublic. */
  nvReadPublic(nvIndex: number): Promise<NvPublic> {
    return nv.nvReadPublic(this.#caller, nvIndex);
  }

  /** The whole data of an NV index of any size. @throws Refusal `tpm-nv` */
  nvRead(nvIndex: number, authorization?: Authorization): Promise<Uint8Array> {
    return nv.nvRead(this.#caller, nvIndex, authorization);
  }

  // ── Objects ──

  /** TPM2_CreatePrimary. */
  createPrimary(
    hierarchy: Hierarchy,
    creation: objects.Creation,
  ): Promise<{ readonly object: TpmObject; readonly creation: objects.CreationProof }> {
    return objects.createPrimary(this.#caller, hierarchy, creation);
  }

  /** TPM2_Create. */
  create(
    parent: TpmObject,
    creation: objects.Creation,
  ): Promise<objects.ObjectParts & { readonly creation: objects.CreationProof }> {
    return objects.create(this.#caller, parent, creation);
  }

  /** TPM2_Load. */
  load(parent: TpmObject, parts: objects.ObjectParts, authorization?: Authorization): Promise<TpmObject> {
    return objects.load(this.#caller, parent, parts, authorization);
  }

  /** TPM2_LoadExternal of a public key (TPMT_PUBLIC). */
  loadExternal(publicBytes: Uint8Array, hierarchy: Hierarchy = 'null'): Promise<TpmObject> {
    return objects.loadExternal(this.#caller, publicBytes, hierarchy);
  }

  /** TPM2_ReadPublic. */
  readPublic(object: TpmObject): Promise<objects.ReadPublicResult> {
    return objects.readPublic(this.#caller, object);
  }

  /** A persistent object by its handle. */
  persistentObject(handle: number): Promise<TpmObject> {
    return objects.persistentObject(this.#caller, handle);
  }

  /** TPM2_FlushContext. */
  async flush(resource: TpmObject | Session): Promise<void> {
    await resource.flush();
  }

  /** TPM2_EvictControl: with a handle, makes a transient object persistent there; without, removes a persistent one. */
  evictControl(object: TpmObject, handle: number, authorization?: Authorization): Promise<TpmObject>;
  evictControl(object: TpmObject, handle?: undefined, authorization?: Authorization): Promise<undefined>;
  async evictControl(
    object: TpmObject,
    handle?: number,
    authorization?: Authorization,
  ): Promise<TpmObject | undefined> {
    if (handle !== undefined) return objects.persist(this.#caller, object, handle, authorization);
    await objects.evict(this.#caller, object, authorization);
    return undefined;
  }

  /** TPM2_Import. */
  import(
    parent: TpmObject,
    blob: objects.Duplicate,
    authorization?: Authorization,
  ): Promise<objects.ObjectParts> {
    return objects.importObject(this.#caller, parent, blob, authorization);
  }

  /** TPM2_Unseal. */
  unseal(object: TpmObject, authorization?: Authorization): Promise<Uint8Array> {
    return objects.unseal(this.#caller, object, authorization);
  }

  // ── Attestation and signing ──

  /** TPM2_Quote. */
  quote(request: attest.QuoteRequest): Promise<attest.Attestation> {
    return attest.quote(this.#caller, request);
  }

  /** TPM2_Certify. */
  certify(request: attest.CertifyRequest): Promise<attest.Attestation> {
    return attest.certify(this.#caller, request);
  }

  /** TPM2_CertifyCreation. */
  certifyCreation(request: attest.CertifyCreationRequest): Promise<attest.Attestation> {
    return attest.certifyCreation(this.#caller, request);
  }

  /** TPM2_ActivateCredential; `auth` is [object, key]. */
  activateCredential(
    object: TpmObject,
    key: TpmObject,
    credential: attest.Credential,
    authorization?: Authorization,
  ): Promise<Uint8Array> {
    return attest.activateCredential(this.#caller, object, key, credential, authorization);
  }

  /** TPM2_Sign by an unrestricted key: a TPMT_SIGNATURE. */
  sign(request: attest.SignRequest): Promise<Uint8Array> {
    return attest.sign(this.#caller, request);
  }

  /** TPM2_VerifySignature: a TPMT_TK_VERIFIED. */
  verifySignature(key: TpmObject, digest: Uint8Array, signature: Uint8Array): Promise<Uint8Array> {
    return attest.verifySignature(this.#caller, key, digest, signature);
  }

  // ── Sessions and policy ──

  /** TPM2_StartAuthSession. */
  startSession(options: SessionOptions): Promise<Session> {
    return startSession(this.#caller, options);
  }

  /** TPM2_PolicyPCR; without a digest, over the values that the PCRs have now. */
  policyPCR(session: Session, selection: PcrSelection, pcrDigest?: Uint8Array): Promise<void> {
    return policy.policyPcr(this.#caller, session, selection, pcrDigest);
  }

  /** TPM2_PolicyCounterTimer. */
  policyCounterTimer(session: Session, comparison: PolicyComparison): Promise<void> {
    return policy.policyCounterTimer(this.#caller, session, comparison);
  }

  /** TPM2_PolicySecret. */
  policySecret(
    session: Session,
    entity: Hierarchy | TpmObject,
    binding?: policy.PolicyBinding & Authorization,
  ): Promise<policy.PolicyTicket> {
    return policy.policySecret(this.#caller, session, entity, binding);
  }

  /** TPM2_PolicySigned. */
  policySigned(
    session: Session,
    key: TpmObject,
    signature: Uint8Array,
    binding?: policy.PolicyBinding,
  ): Promise<policy.PolicyTicket> {
    return policy.policySigned(this.#caller, session, key, signature, binding);
  }

  /** TPM2_PolicyCommandCode. */
  policyCommandCode(session: Session, code: number): Promise<void> {
    return policy.policyCommandCode(this.#caller, session, code);
  }

  /** TPM2_PolicyOR. */
  policyOr(session: Session, digests: readonly Uint8Array[]): Promise<void> {
    return policy.policyOr(this.#caller, session, digests);
  }

  /** TPM2_PolicyAuthValue. */
  policyAuthValue(session: Session): Promise<void> {
    return policy.policyAuthValue(this.#caller, session);
  }

  /** TPM2_PolicyAuthorize. */
  policyAuthorize(session: Session, approved: policy.ApprovedPolicy): Promise<void> {
    return policy.policyAuthorize(this.#caller, session, approved);
  }

  /** TPM2_PolicyRestart. */
  policyRestart(session: Session): Promise<void> {
    return policy.policyRestart(this.#caller, session);
  }

  /** TPM2_PolicyGetDigest. */
  policyGetDigest(session: Session): Promise<Uint8Array> {
    return policy.policyGetDigest(this.#caller, session);
  }

  // ── What hosts do (PROTOCOL 2 and 5) ──

  /** The EK of a template: persistent where one is, else made. @throws Refusal `tpm-ek-mismatch` */
  endorsementKey(template: EkTemplateName, options?: EndorsementKeyOptions): Promise<TpmObject> {
    return endorsementKey(this.#caller, template, options);
  }

  /** Its certificate and chain as they lie in NV; null when there is none. */
  endorsementCertificate(template: EkTemplateName): Promise<EndorsementCertificate | null> {
    return endorsementCertificate(this.#caller, template);
  }

  /** A new AK under the EK, persistent, with a random authValue. @throws Refusal `tpm-no-handle` */
  attestationKey(options: AttestationKeyOptions): Promise<NewAttestationKey> {
    return createAttestationKey(this.#caller, options);
  }

  /** An AK that was made before. @throws Refusal `tpm-ak-mismatch` */
  openAttestationKey(handle: number, authValue: Uint8Array, name: Uint8Array): Promise<TpmObject> {
    return openAttestationKey(this.#caller, handle, authValue, name);
  }

  /** Opens a sealed release with the session that it was made for; the session is used up. */
  openSealed(opening: SealedOpening): Promise<Uint8Array> {
    return openSealed(this.#caller, opening);
  }
}
