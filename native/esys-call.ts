import type { Argument, CType, NativeFunction } from './ffi.ts';
import { commandOf } from './command-table.ts';
import type { CommandName, ParameterType, ResultType, Results } from './command-table.ts';
import { ESYS_TR } from './esys-types.ts';
import type { Call, SessionUse } from './esys-types.ts';
import { LIBRARIES, loadLibrary } from './library.ts';
import { OutSlot, Structure } from './memory.ts';
import type { Address } from './memory.ts';
import { toStructure, toWire, wipeSized } from './mu.ts';
import { tpmError } from './tpm-error.ts';

/** TPMA_SESSION (TPM 2.0 Part 2 §8.4). `decrypt` and `encrypt` are from the TPM's point of view. */
const SESSION = { continueSession: 0x01, decrypt: 0x20, encrypt: 0x40 } as const;
const ALL_ATTRIBUTES = 0xff;

/**
 * Calls one function of the table on an ESYS_CONTEXT; nothing else may use the context until it has ended.
 * @throws TpmError with the response code; TypeError and RangeError before anything is sent
 */
export async function callEsys<N extends CommandName>(
  esys: Address,
  name: N,
  call: Call<N>,
): Promise<Results<N>> {
  const command = commandOf(name);
  const handles = call.handles ?? [];
  const sessions = call.sessions ?? [];
  if (handles.length !== command.handles) throw new RangeError(`${name}: wrong number of handles`);
  if (sessions.length > 3) throw new RangeError(`${name}: more than three sessions`);
  setAttributes(esys, command.in[0], command.out, sessions);
  const inputs: (number | Structure | null)[] = [];
  const outputs = command.out.map(() => new OutSlot());
  try {
    command.in.forEach((type, i) => inputs.push(input(type, call.in[i] ?? null)));
    const slots = command.sessions ? [0, 1, 2].map((i) => sessions[i]?.esys ?? ESYS_TR.NONE) : [];
    const args: Argument[] = [
      esys,
      ...handles,
      ...slots,
      ...inputs.map((value) => (value instanceof Structure ? value.memory : value)),
      ...outputs.map((slot) => slot.memory),
    ];
    const native = commandFunction(name);
    const rc = command.local === true ? native(...args) : await native.start(...args);
    if (rc !== 0) throw tpmError(rc, commandLabel(name));
    return readResults(command.out, outputs, command.secret === true) as unknown as Results<N>; // by the table
  } finally {
    for (const value of inputs) if (value instanceof Structure) value.release();
    for (const slot of outputs) slot.release();
  }
}

/** A function of libtss2-esys that isn't in the table. */
export function esysFunction(
  name: string,
  args: readonly CType[],
  result: 'u32' | 'void' = 'u32',
): NativeFunction {
  return loadLibrary(LIBRARIES.esys).function(`Esys_${name}`, result, args);
}

/** A command's name for errors: as the specification writes it. */
export function commandLabel(name: CommandName): string {
  return name.startsWith('TR') ? `Esys_${name}` : `TPM2_${name}`;
}

/** Which parameters a session encrypts depends on the command: only a leading TPM2B can be (Part 1 §21). */
function setAttributes(
  esys: Address,
  first: ParameterType | undefined,
  results: readonly ResultType[],
  sessions: readonly SessionUse[],
): void {
  const firstResult = results.find((type) => type !== 'object');
  const coder = sessions.findIndex((session) => session.encrypts);
  sessions.forEach((session, i) => {
    if (session.esys === ESYS_TR.PASSWORD) return;
    let flags = session.continueSession ? SESSION.continueSession : 0;
    // Only one session may decrypt, and one encrypt.
    if (i === coder && isSized(first)) flags |= SESSION.decrypt;
    if (i === coder && isSized(firstResult)) flags |= SESSION.encrypt;
    const set = esysFunction('TRSess_SetAttributes', ['address', 'u32', 'u8', 'u8']);
    const rc = set(esys, session.esys, flags, ALL_ATTRIBUTES);
    if (rc !== 0) throw tpmError(rc, 'Esys_TRSess_SetAttributes');
  });
}

function commandFunction(name: CommandName): NativeFunction {
  const command = commandOf(name);
  return esysFunction(name, [
    'address',
    ...Array<CType>(command.handles + (command.sessions ? 3 : 0)).fill('u32'),
    ...command.in.map(cType),
    ...command.out.map((): CType => 'memory'),
  ]);
}

function cType(type: ParameterType): CType {
  return type === 'u8' || type === 'u16' || type === 'u32' || type === 'i32' ? type : 'memory';
}

function input(type: ParameterType, value: number | Uint8Array | null): number | Structure | null {
  if (type === 'u8' || type === 'u16' || type === 'u32' || type === 'i32' || value === null) {
    if (value instanceof Uint8Array) throw new TypeError(`bytes for ${type}`);
    return value;
  }
  if (!(value instanceof Uint8Array)) throw new TypeError(`a number for ${type}`);
  return toStructure(type, value);
}

function readResults(
  types: readonly ResultType[],
  slots: readonly OutSlot[],
  secret: boolean,
): (number | Uint8Array)[] {
  const free = esysFunction('Free', ['address'], 'void');
  const pointers = slots.filter((_, i) => isStructure(types[i])).map((slot) => slot.address);
  try {
    return slots.map((slot, i) => {
      const type = types[i] ?? 'u32';
      if (type === 'u8') return slot.u8;
      if (type === 'u32' || type === 'object') return slot.u32;
      const wire = toWire(type, slot.address);
      if (secret && i === 0) wipeSized(type, wire, slot.address);
      return wire;
    });
  } finally {
    for (const pointer of pointers) free(pointer);
  }
}

function isStructure(type: ResultType | undefined): boolean {
  return type !== undefined && type !== 'u8' && type !== 'u32' && type !== 'object';
}

function isSized(type: ParameterType | ResultType | undefined): boolean {
  return type?.startsWith('TPM2B_') ?? false;
}
