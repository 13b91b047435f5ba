import { connect } from 'node:net';
import { Reader, Writer, concat } from '../../src/base/index.ts';
import { TPM_CC, TPM_RH, encodePcrSelection } from '../../src/tpm/index.ts';
import type { PcrSelection, PolicyComparison, SealedObject } from '../../src/tpm/index.ts';

/** Response codes that attacks must end with, without the number of a handle, session or parameter. */
export const RC = {
  VALUE: 0x84,
  HANDLE: 0x8b,
  NONCE: 0x8f,
  SIGNATURE: 0x9b,
  POLICY_FAIL: 0x9d,
  INTEGRITY: 0x9f,
  EXPIRED: 0xa3,
  POLICY: 0x126,
  PCR_CHANGED: 0x128,
  REFERENCE_S0: 0x918,
} as const;

/** A TPM's refusal. */
export class RawTpmError extends Error {
  /** The code without the number of a handle, session or parameter. */
  readonly rc: number;

  constructor(command: number, rc: number) {
    super(`TPM command 0x${command.toString(16)}: rc 0x${rc.toString(16)}`);
    this.rc = (rc & 0x80) === 0 ? rc : rc & 0xbf;
  }
}

/** A policy session and its nonce. */
export interface RawSession {
  readonly handle: number;
  readonly nonceTpm: Uint8Array;
}

const TPM_RS_PW = 0x4000_0009;
const TPM_RC_RETRY = 0x922;
const CC_CONTEXT_LOAD = 0x161;
const CC_CONTEXT_SAVE = 0x162;
const CONTINUE_SESSION = 1;
const EMPTY = new Uint8Array(0);

interface Call {
  readonly handles?: readonly number[];
  /** Session handle and attributes; TPM_RS_PW is the empty password. */
  readonly authorization?: readonly [handle: number, attributes: number];
  readonly parameters?: Uint8Array;
  readonly outHandles?: number;
}

/**
 * What root can do with a TPM: commands byte by byte, each over a connection of its own to an emulator's socket.
 * Written against TPM 2.0 Part 3 and independent of node-tpm2, which must behave; an attacker doesn't.
 */
export class RawTpm {
  readonly #socket: string;

  constructor(socket: string) {
    this.#socket = socket;
  }

  /** An unsalted policy session with SHA-256. */
  async startPolicySession(): Promise<RawSession> {
    const parameters = new Writer()
      .sized16(new Uint8Array(32))
      .sized16(EMPTY)
      .u8(1)
      .u16(0x0010)
      .u16(0x000b)
      .finish();
    const handles = [TPM_RH.NULL, TPM_RH.NULL];
    const { out, rest } = await this.call(TPM_CC.StartAuthSession, { handles, parameters, outHandles: 1 });
    return { handle: out[0] ?? 0, nonceTpm: rest.sized16() };
  }

  /** TPM2_Import and TPM2_Load under a parent with an empty password; gives the object's handle. */
  async importAndLoad(
    parent: number,
    sealed: Pick<SealedObject, 'objectPublic' | 'duplicate' | 'encryptedSeed'>,
  ) {
    const authorization = [TPM_RS_PW, CONTINUE_SESSION] as const;
    const parameters = new Writer()
      .sized16(EMPTY)
      .sized16(sealed.objectPublic)
      .sized16(sealed.duplicate)
      .sized16(sealed.encryptedSeed)
      .u16(0x0010)
      .finish();
    const imported = await this.call(TPM_CC.Import, { handles: [parent], authorization, parameters });
    const load = new Writer().sized16(imported.rest.sized16()).sized16(sealed.objectPublic).finish();
    return this.#handleOf(TPM_CC.Load, { handles: [parent], authorization, parameters: load });
  }

  /** TPM2_CreatePrimary in the endorsement hierarchy, whose authorization is empty. */
  createEk(template: Uint8Array): Promise<number> {
    const parameters = new Writer().sized16(new Uint8Array(4)).sized16(template).u16(0).u32(0).finish();
    const authorization = [TPM_RS_PW, CONTINUE_SESSION] as const;
    return this.#handleOf(TPM_CC.CreatePrimary, { handles: [TPM_RH.ENDORSEMENT], authorization, parameters });
  }

  loadExternal(publicBytes: Uint8Array): Promise<number> {
    const parameters = new Writer().u16(0).sized16(publicBytes).u32(TPM_RH.NULL).finish();
    return this.#handleOf(TPM_CC.LoadExternal, { parameters });
  }

  async policySigned(
    key: number,
    session: RawSession,
    { signature, expiration, policy }: Pick<SealedObject, 'signature' | 'expiration' | 'policy'>,
    cpHash: Uint8Array,
    nonceTpm = session.nonceTpm,
  ): Promise<void> {
    const parameters = new Writer()
      .sized16(nonceTpm)
      .sized16(cpHash)
      .sized16(policy.policyRef)
      .u32(expiration)
      .bytes(signature)
      .finish();
    await this.call(TPM_CC.PolicySigned, { handles: [key, session.handle], parameters });
  }

  async policyCommandCode(session: RawSession, code: number): Promise<void> {
    const parameters = new Writer().u32(code).finish();
    await this.call(TPM_CC.PolicyCommandCode, { handles: [session.handle], parameters });
  }

  async policyCounterTimer(
    session: RawSession,
    { operand, offset, operation }: PolicyComparison,
  ): Promise<void> {
    const parameters = new Writer().sized16(operand).u16(offset).u16(operation).finish();
    await this.call(TPM_CC.PolicyCounterTimer, { handles: [session.handle], parameters });
  }

  async policyPcr(session: RawSession, selection: PcrSelection, digest: Uint8Array): Promise<void> {
    const parameters = new Writer().sized16(digest).bytes(encodePcrSelection(selection)).finish();
    await this.call(TPM_CC.PolicyPCR, { handles: [session.handle], parameters });
  }

  async policyRestart(session: RawSession): Promise<void> {
    await this.call(TPM_CC.PolicyRestart, { handles: [session.handle] });
  }

  /** TPM2_Unseal; the session goes on afterwards, which is what somebody who wants a second try asks for. */
  async unseal(object: number, session: RawSession): Promise<Uint8Array> {
    const authorization = [session.handle, CONTINUE_SESSION] as const;
    const { rest } = await this.call(TPM_CC.Unseal, { handles: [object], authorization });
    return rest.sized16();
  }

  /** TPM2_ContextSave: the context's bytes. */
  async contextSave(handle: number): Promise<Uint8Array> {
    return (await this.call(CC_CONTEXT_SAVE, { handles: [handle] })).rest.rest();
  }

  contextLoad(context: Uint8Array): Promise<number> {
    return this.#handleOf(CC_CONTEXT_LOAD, { parameters: context });
  }

  async flush(handle: number): Promise<void> {
    await this.call(TPM_CC.FlushContext, { parameters: new Writer().u32(handle).finish() });
  }

  async #handleOf(code: number, call: Call): Promise<number> {
    return (await this.call(code, { ...call, outHandles: 1 })).out[0] ?? 0;
  }

  /** Sends a command again while the TPM is busy with its self-tests (TPM_RC_RETRY). */
  async #exchange(request: Uint8Array): Promise<Reader> {
    for (;;) {
      const response = await exchange(this.#socket, request);
      if (new Reader(response.slice(6), 'TPM_RC').u32() !== TPM_RC_RETRY)
        return new Reader(response, 'TPM response');
    }
  }

  /** One command; gives the handles and a reader of the response's parameters. */
  async call(code: number, call: Call): Promise<{ readonly out: number[]; readonly rest: Reader }> {
    const { handles = [], authorization, parameters = EMPTY, outHandles = 0 } = call;
    const body = new Writer();
    for (const handle of handles) body.u32(handle);
    if (authorization !== undefined) {
      const [handle, attributes] = authorization;
      body.u32(9).u32(handle).sized16(EMPTY).u8(attributes).sized16(EMPTY);
    }
    body.bytes(parameters);
    const tag = authorization === undefined ? 0x8001 : 0x8002;
    const request = new Writer()
      .u16(tag)
      .u32(10 + body.length)
      .u32(code)
      .bytes(body.finish())
      .finish();
    const reader = await this.#exchange(request);
    reader.bytes(6);
    const rc = reader.u32();
    if (rc !== 0) throw new RawTpmError(code, rc);
    const out = Array.from({ length: outHandles }, () => reader.u32());
    const rest = authorization === undefined ? reader : reader.nested(reader.u32(), 'parameters');
    return { out, rest };
  }
}

function exchange(path: string, request: Uint8Array): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    const parts: Uint8Array[] = [];
    const socket = connect(path, () => socket.write(request));
    socket.setTimeout(10_000, () => socket.destroy(new Error('the TPM doesn’t answer')));
    socket.on('error', reject);
    socket.on('close', () => {
      reject(new Error('the TPM closed the connection'));
    });
    socket.on('data', (chunk: Buffer) => {
      parts.push(chunk);
      const response = concat(parts);
      if (response.length < 10 || response.length < new Reader(response.slice(2), 'size').u32()) return;
      resolve(response);
      socket.destroy();
    });
  });
}
