import { connect } from 'node:net';
import { Reader, Writer, concat } from '../base/index.ts';

const TPM_ST_NO_SESSIONS = 0x8001;
const TPM_CC_STARTUP = 0x0000_0144;
const TPM_CC_SHUTDOWN = 0x0000_0145;
const TPM_CC_GET_CAPABILITY = 0x0000_017a;
const TPM_CAP_TPM_PROPERTIES = 6;
const TPM_PT_MANUFACTURER = 0x105;
const TPM_SU = { clear: 0, state: 1 } as const;

/** TPM_SU of TPM2_Shutdown and TPM2_Startup (TPM 2.0 Part 2 §6.10): `clear` before a reset, `state` before a resume. */
export type StartupType = keyof typeof TPM_SU;

/** TPM2_Shutdown (Part 3 §9.4): makes the next start orderly. */
export function shutdown(socket: string, type: StartupType): Promise<void> {
  return command(socket, TPM_CC_SHUTDOWN, new Writer().u16(TPM_SU[type]).finish());
}

/** TPM2_Startup (Part 3 §9.3). */
export function startup(socket: string, type: StartupType): Promise<void> {
  return command(socket, TPM_CC_STARTUP, new Writer().u16(TPM_SU[type]).finish());
}

/** Asks for the manufacturer: succeeds only when the emulator serves, is started and isn't in failure mode. */
export function probe(socket: string): Promise<void> {
  const parameters = new Writer().u32(TPM_CAP_TPM_PROPERTIES).u32(TPM_PT_MANUFACTURER).u32(1).finish();
  return command(socket, TPM_CC_GET_CAPABILITY, parameters);
}

/** One command without sessions over the emulator's data socket; it serves one connection at a time. */
async function command(socket: string, code: number, parameters: Uint8Array): Promise<void> {
  const request = new Writer()
    .u16(TPM_ST_NO_SESSIONS)
    .u32(10 + parameters.length)
    .u32(code)
    .bytes(parameters)
    .finish();
  const reader = new Reader(await exchange(socket, request), 'TPM response');
  reader.u16();
  reader.u32();
  const rc = reader.u32();
  if (rc !== 0) throw new Error(`TPM command 0x${code.toString(16)} failed: rc 0x${rc.toString(16)}`);
}

const ANSWER_TIMEOUT = 5000;

function exchange(path: string, request: Uint8Array): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    const socket = connect(path);
    const parts: Uint8Array[] = [];
    socket.setTimeout(ANSWER_TIMEOUT, () => {
      socket.destroy(
        new Error('the TPM doesn’t answer: is another connection to it still open? It serves one at a time'),
      );
    });
    socket.on('connect', () => socket.write(request));
    socket.on('data', (chunk: Buffer) => {
      parts.push(chunk);
      const response = concat(parts);
      if (isComplete(response)) {
        resolve(response);
        socket.destroy();
      }
    });
    socket.on('error', reject);
    socket.on('close', () => {
      reject(new Error('the TPM closed the connection'));
    });
  });
}

function isComplete(response: Uint8Array): boolean {
  if (response.length < 10) return false;
  const reader = new Reader(response, 'TPM response');
  reader.u16();
  return response.length >= reader.u32();
}
