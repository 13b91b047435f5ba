import { loadNative } from './open-tpm.ts';

/**
 * Tells the service manager how the agent stands (sd_notify(3)): `READY=1`, `STOPPING=1`, `WATCHDOG=1`, `STATUS=…`.
 * Without a service manager nothing happens.
 * @returns whether somebody was told
 */
export async function notifyManager(
  state: string,
  environment: NodeJS.ProcessEnv = process.env,
): Promise<boolean> {
  const socket = environment['NOTIFY_SOCKET'];
  if (socket === undefined || !/^[/@]/.test(socket)) return false;
  const { sendUnixDatagram } = await loadNative();
  return sendUnixDatagram(socket, new TextEncoder().encode(state));
}

/** Half of the time that the service manager's watchdog gives, in milliseconds; undefined without one. */
export function watchdogMs(environment: NodeJS.ProcessEnv = process.env): number | undefined {
  const { WATCHDOG_USEC: micro, WATCHDOG_PID: pid } = environment;
  if (micro === undefined || !/^[1-9][0-9]{3,15}$/.test(micro)) return undefined;
  if (pid !== undefined && pid !== String(process.pid)) return undefined;
  return Number(micro) / 2000;
}
