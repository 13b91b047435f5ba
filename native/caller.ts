import type { CommandName, Results } from './command-table.ts';
import { PASSWORD } from './esys-types.ts';
import type { Connection } from './connection.ts';
import type { Call, EsysHandle, SessionUse } from './esys-types.ts';
import type { Session } from './session.ts';
import { isTpmError } from './tpm-error.ts';

/** A connection as one user of it sees it: with that user's abort signal. */
export class Caller {
  readonly connection: Connection;
  readonly signal: AbortSignal | undefined;

  constructor(connection: Connection, signal?: AbortSignal) {
    this.connection = connection;
    this.signal = signal;
  }

  /** Runs one command; see {@link Connection.command}. */
  async command<N extends CommandName>(name: N, call: Omit<Call<N>, 'signal'>): Promise<Results<N>> {
    const results = await this.connection.command(name, { ...call, signal: this.signal });
    for (const session of call.sessions ?? []) session.used?.();
    return results;
  }
}

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

/**
 * TPM2_FlushContext for cleaning up: never cut short by a signal, and satisfied when there is nothing left to flush
 * (the TPM was cleared or restarted, or the connection is gone).
 */
export async function flushContext(connection: Connection, handle: EsysHandle): Promise<void> {
  if (connection.broken !== undefined) return;
  try {
    await connection.command('FlushContext', { handles: [handle], in: [] });
  } catch (error) {
    if (!isTpmError(error, 'TPM_RC_HANDLE')) throw error;
    await connection.release(handle);
  }
}
