import { hasAttributes, parsePublic } from '../src/tpm/index.ts';
import type { Caller } from './caller.ts';
import { policySecret } from './esys-policy.ts';
import { HIERARCHY } from './esys-state.ts';
import type { Hierarchy } from './esys-state.ts';
import type { TpmObject } from './object.ts';
import { startSession } from './session.ts';
import type { Session } from './session.ts';

/**
 * The authorization of an endorsement key, salted to that key itself and encrypting: a listener on the bus learns
 * neither auth values nor what is unwrapped. Low-range EKs want their policy, PolicySecret(TPM_RH_ENDORSEMENT),
 * again for each command; high-range ones have userWithAuth and an empty authValue (TCG EK Credential Profile §B).
 */
export class EkSession implements AsyncDisposable {
  readonly #caller: Caller;
  readonly #ek: TpmObject;
  readonly #session: Session;

  private constructor(caller: Caller, ek: TpmObject, session: Session) {
    this.#caller = caller;
    this.#ek = ek;
    this.#session = session;
  }

  /** Starts it; it holds one session until it is flushed. */
  static async start(caller: Caller, ek: TpmObject): Promise<EkSession> {
    const { attributes, nameAlg } = parsePublic(ek.publicBytes);
    const type = hasAttributes(attributes, 'userWithAuth') ? 'hmac' : 'policy';
    return new EkSession(caller, ek, await startSession(caller, { type, hash: nameAlg, salt: ek }));
  }

  /** The session, good for one command. */
  async authorize(): Promise<Session> {
    if (this.#session.type === 'policy') {
      await withHierarchyAuth(this.#caller, 'endorsement', this.#ek, async (auth) => {
        await policySecret(this.#caller, this.#session, 'endorsement', auth === undefined ? {} : { auth });
      });
    }
    return this.#session;
  }

  async flush(): Promise<void> {
    await this.#session.flush();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.flush();
  }
}

/**
 * Runs a command that a hierarchy authorizes. When an authValue was set for it, that is proved by an HMAC session
 * and never sent; an empty one needs no session.
 * @param salt the session is salted to this key, where there is one
 */
export async function withHierarchyAuth<T>(
  caller: Caller,
  hierarchy: Hierarchy,
  salt: TpmObject | undefined,
  use: (auth: Session | undefined) => Promise<T>,
): Promise<T> {
  if (!caller.connection.hasAuth(HIERARCHY[hierarchy])) return use(undefined);
  await using session = await startSession(
    caller,
    salt === undefined ? { type: 'hmac' } : { type: 'hmac', salt },
  );
  return await use(session);
}
