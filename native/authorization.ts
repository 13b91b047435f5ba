import { PASSWORD } from './esys-types.ts';
import type { SessionUse } from './esys-types.ts';
import type { Session } from './session.ts';

/** Sessions of a command whose handles need authorization. */
export interface Authorization {
  /**
   * For each handle that needs authorization one session, in order; a missing one means the entity's authValue as a
   * plain password (see {@link Tpm.setAuth}), which a listener on the bus could read unless it is empty.
   */
  readonly auth?: Session | readonly (Session | undefined)[];
  /** One more session, which encrypts the first parameters. */
  readonly protect?: Session;
}

/** The sessions of a command with `handles` authorized handles, in the order in which ESAPI takes them. */
export function sessionsOf(handles: number, { auth, protect }: Authorization): SessionUse[] {
  const given: readonly (Session | undefined)[] =
    auth !== undefined && 'esys' in auth ? [auth] : (auth ?? []);
  if (given.length > handles)
    throw new RangeError(`${String(given.length)} sessions for ${String(handles)} handles`);
  const sessions: SessionUse[] = Array.from({ length: handles }, (_, i) => given[i] ?? PASSWORD);
  if (protect !== undefined) sessions.push(protect);
  return sessions;
}
