import type { CommandName, Results } from './command-table.ts';
import type { Connection } from './connection.ts';
import type { Call, EsysHandle } from './esys-types.ts';
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
