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
import { checkArguments, checkOpening } from './method-arguments.ts';
import type { CheckedMethod } from './method-arguments.ts';
import { TpmObject } from './object.ts';
import { openSealed } from './release.ts';
import type { SealedOpening } from './release.ts';
import { readProperties } from './properties.ts';
import type { TpmProperties } from './properties.ts';
import { Session, startSession } from './session.ts';
import type { SessionOptions } from './session.ts';

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
    checkOpening(tcti, options);
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
    if (!(signal instanceof AbortSignal)) throw new TypeError('abortable: signal is not an AbortSignal');
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
    return this.#run('startup', state.startup, type);
  }

  /** TPM2_Shutdown. */
  shutdown(type: state.StartupType = 'clear'): Promise<void> {
    return this.#run('shutdown', state.shutdown, type);
  }

  /** TPM2_Clear: new storage seed, auth values empty, clock and resetCount zero. */
  clear(by: 'platform' | 'lockout' = 'lockout', authorization?: Authorization): Promise<void> {
    return this.#run('clear', state.clear, by, authorization);
  }

  /** Tells the connection a hierarchy's authValue; nothing is sent. Objects have a `setAuth` of their own. */
  setAuth(hierarchy: Hierarchy, value: Uint8Array): Promise<void> {
    return this.#run('setAuth', state.setHierarchyAuth, hierarchy, value);
  }

  /** TPM2_HierarchyChangeAuth. */
  hierarchyChangeAuth(hierarchy: Hierarchy, value: Uint8Array, authorization?: Authorization): Promise<void> {
    return this.#run('hierarchyChangeAuth', state.hierarchyChangeAuth, hierarchy, value, authorization);
  }

  /** TPM2_DictionaryAttackLockReset. */
  dictionaryAttackLockReset(authorization?: Authorization): Promise<void> {
    return this.#run('dictionaryAttackLockReset', state.dictionaryAttackLockReset, authorization);
  }

  /** TPM2_DictionaryAttackParameters. */
  dictionaryAttackParameters(
    parameters: state.DictionaryAttackPolicy,
    authorization?: Authorization,
  ): Promise<void> {
    return this.#run(
      'dictionaryAttackParameters',
      state.dictionaryAttackParameters,
      parameters,
      authorization,
    );
  }

  /** Manufacturer, firmware, PCR banks, algorithms, lockout. */
  properties(): Promise<TpmProperties> {
    return readProperties(this.#caller);
  }

  /** The handles of a range: persistent and transient objects, sessions, NV indexes. */
  handles(range: HandleRange): Promise<number[]> {
    return this.#run('handles', getHandles, range);
  }

  /** TPM2_GetRandom, `length` bytes in as many commands as it takes. */
  getRandom(length: number): Promise<Uint8Array> {
    return this.#run('getRandom', state.getRandom, length);
  }

  /** TPM2_ReadClock. */
  readClock(): Promise<TimeInfo> {
    return state.readClock(this.#caller);
  }

  // ── PCRs and NV ──

  /** TPM2_PCR_Read of any selection, consistent over several answers. @throws Refusal `tpm-pcr` */
  pcrRead(selection: PcrSelection): Promise<pcr.PcrReading> {
    return this.#run('pcrRead', pcr.pcrRead, selection);
  }

  /** TPM2_PCR_Extend. */
  pcrExtend(
    index: number,
    digests: Readonly<Partial<Record<HashName, Uint8Array>>>,
    authorization?: Authorization,
  ): Promise<void> {
    return this.#run('pcrExtend', pcr.pcrExtend, index, digests, authorization);
  }

  /** TPM2_PCR_Reset: 16 and 23 on the PC Client. */
  pcrReset(index: number, authorization?: Authorization): Promise<void> {
    return this.#run('pcrReset', pcr.pcrReset, index, authorization);
  }

  /** TPM2_NV_ReadPublic. */
  nvReadPublic(nvIndex: number): Promise<NvPublic> {
    return this.#run('nvReadPublic', nv.nvReadPublic, nvIndex);
  }

  /** The whole data of an NV index of any size. @throws Refusal `tpm-nv` */
  nvRead(nvIndex: number, authorization?: Authorization): Promise<Uint8Array> {
    return this.#run('nvRead', nv.nvRead, nvIndex, authorization);
  }

  // ── Objects ──

  /** TPM2_CreatePrimary. */
  createPrimary(
    hierarchy: Hierarchy,
    creation: objects.Creation,
  ): Promise<{ readonly object: TpmObject; readonly creation: objects.CreationProof }> {
    return this.#run('createPrimary', objects.createPrimary, hierarchy, creation);
  }

  /** TPM2_Create. */
  create(
    parent: TpmObject,
    creation: objects.Creation,
  ): Promise<objects.ObjectParts & { readonly creation: objects.CreationProof }> {
    return this.#run('create', objects.create, parent, creation);
  }

  /** TPM2_Load. */
  load(parent: TpmObject, parts: objects.ObjectParts, authorization?: Authorization): Promise<TpmObject> {
    return this.#run('load', objects.load, parent, parts, authorization);
  }

  /** TPM2_LoadExternal of a public key (TPMT_PUBLIC). */
  loadExternal(publicBytes: Uint8Array, hierarchy: Hierarchy = 'null'): Promise<TpmObject> {
    return this.#run('loadExternal', objects.loadExternal, publicBytes, hierarchy);
  }

  /** TPM2_ReadPublic. */
  readPublic(object: TpmObject): Promise<objects.ReadPublicResult> {
    return this.#run('readPublic', objects.readPublic, object);
  }

  /** A persistent object by its handle. */
  persistentObject(handle: number): Promise<TpmObject> {
    return this.#run('persistentObject', objects.persistentObject, handle);
  }

  /** TPM2_FlushContext. */
  async flush(resource: TpmObject | Session): Promise<void> {
    if (!(resource instanceof TpmObject || resource instanceof Session))
      throw new TypeError('flush: neither an object nor a session of a TPM');
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
    return this.#run('evictControl', objects.evictControl, object, handle, authorization);
  }

  /** TPM2_Import. */
  import(
    parent: TpmObject,
    blob: objects.Duplicate,
    authorization?: Authorization,
  ): Promise<objects.ObjectParts> {
    return this.#run('import', objects.importObject, parent, blob, authorization);
  }

  /** TPM2_Unseal. */
  unseal(object: TpmObject, authorization?: Authorization): Promise<Uint8Array> {
    return this.#run('unseal', objects.unseal, object, authorization);
  }

  // ── Attestation and signing ──

  /** TPM2_Quote. */
  quote(request: attest.QuoteRequest): Promise<attest.Attestation> {
    return this.#run('quote', attest.quote, request);
  }

  /** TPM2_Certify. */
  certify(request: attest.CertifyRequest): Promise<attest.Attestation> {
    return this.#run('certify', attest.certify, request);
  }

  /** TPM2_CertifyCreation. */
  certifyCreation(request: attest.CertifyCreationRequest): Promise<attest.Attestation> {
    return this.#run('certifyCreation', attest.certifyCreation, request);
  }

  /** TPM2_ActivateCredential; `auth` is [object, key]. */
  activateCredential(
    object: TpmObject,
    key: TpmObject,
    credential: attest.Credential,
    authorization?: Authorization,
  ): Promise<Uint8Array> {
    return this.#run('activateCredential', attest.activateCredential, object, key, credential, authorization);
  }

  /** TPM2_Sign by an unrestricted key: a TPMT_SIGNATURE. */
  sign(request: attest.SignRequest): Promise<Uint8Array> {
    return this.#run('sign', attest.sign, request);
  }

  /** TPM2_VerifySignature: a TPMT_TK_VERIFIED. */
  verifySignature(key: TpmObject, digest: Uint8Array, signature: Uint8Array): Promise<Uint8Array> {
    return this.#run('verifySignature', attest.verifySignature, key, digest, signature);
  }

  // ── Sessions and policy ──

  /** TPM2_StartAuthSession. */
  startSession(options: SessionOptions): Promise<Session> {
    return this.#run('startSession', startSession, options);
  }

  /** TPM2_PolicyPCR; without a digest, over the values that the PCRs have now. */
  policyPCR(session: Session, selection: PcrSelection, pcrDigest?: Uint8Array): Promise<void> {
    return this.#run('policyPCR', policy.policyPcr, session, selection, pcrDigest);
  }

  /** TPM2_PolicyCounterTimer. */
  policyCounterTimer(session: Session, comparison: PolicyComparison): Promise<void> {
    return this.#run('policyCounterTimer', policy.policyCounterTimer, session, comparison);
  }

  /** TPM2_PolicySecret. */
  policySecret(
    session: Session,
    entity: Hierarchy | TpmObject,
    binding?: policy.PolicyBinding & Authorization,
  ): Promise<policy.PolicyTicket> {
    return this.#run('policySecret', policy.policySecret, session, entity, binding);
  }

  /** TPM2_PolicySigned. */
  policySigned(
    session: Session,
    key: TpmObject,
    signature: Uint8Array,
    binding?: policy.PolicyBinding,
  ): Promise<policy.PolicyTicket> {
    return this.#run('policySigned', policy.policySigned, session, key, signature, binding);
  }

  /** TPM2_PolicyCommandCode. */
  policyCommandCode(session: Session, code: number): Promise<void> {
    return this.#run('policyCommandCode', policy.policyCommandCode, session, code);
  }

  /** TPM2_PolicyOR. */
  policyOr(session: Session, digests: readonly Uint8Array[]): Promise<void> {
    return this.#run('policyOr', policy.policyOr, session, digests);
  }

  /** TPM2_PolicyAuthValue. */
  policyAuthValue(session: Session): Promise<void> {
    return this.#run('policyAuthValue', policy.policyAuthValue, session);
  }

  /** TPM2_PolicyAuthorize. */
  policyAuthorize(session: Session, approved: policy.ApprovedPolicy): Promise<void> {
    return this.#run('policyAuthorize', policy.policyAuthorize, session, approved);
  }

  /** TPM2_PolicyRestart. */
  policyRestart(session: Session): Promise<void> {
    return this.#run('policyRestart', policy.policyRestart, session);
  }

  /** TPM2_PolicyGetDigest. */
  policyGetDigest(session: Session): Promise<Uint8Array> {
    return this.#run('policyGetDigest', policy.policyGetDigest, session);
  }

  // ── What hosts do (PROTOCOL 2 and 5) ──

  /**
   * The EK of a template: persistent where one is, else made.
   * @throws Refusal `tpm-ek-mismatch`, `tpm-ek-template`, `tpm-ek-unsupported`
   */
  endorsementKey(template: EkTemplateName, options?: EndorsementKeyOptions): Promise<TpmObject> {
    return this.#run('endorsementKey', endorsementKey, template, options);
  }

  /** Its certificate and chain as they lie in NV; null when there is none. */
  endorsementCertificate(template: EkTemplateName): Promise<EndorsementCertificate | null> {
    return this.#run('endorsementCertificate', endorsementCertificate, template);
  }

  /** A new AK under the EK, persistent, with a random authValue. @throws Refusal `tpm-no-handle` */
  attestationKey(options: AttestationKeyOptions): Promise<NewAttestationKey> {
    return this.#run('attestationKey', createAttestationKey, options);
  }

  /** An AK that was made before. @throws Refusal `tpm-ak-mismatch` */
  openAttestationKey(handle: number, authValue: Uint8Array, name: Uint8Array): Promise<TpmObject> {
    return this.#run('openAttestationKey', openAttestationKey, handle, authValue, name);
  }

  /** Opens a sealed release with the session that it was made for; the session is used up. */
  openSealed(opening: SealedOpening): Promise<Uint8Array> {
    return this.#run('openSealed', openSealed, opening);
  }

  /**
   * Runs what a method stands for, once its arguments were checked; a wrong one rejects, and nothing is sent. Where
   * nothing can be sent any more, that is the reason, since then every handle is closed.
   */
  async #run<A extends readonly unknown[], R>(
    method: CheckedMethod,
    use: (caller: Caller, ...args: A) => Promise<R>,
    ...args: A
  ): Promise<R> {
    const { connection } = this.#caller;
    if (connection.broken !== undefined) throw connection.broken;
    checkArguments(method, args, connection);
    return use(this.#caller, ...args);
  }
}
