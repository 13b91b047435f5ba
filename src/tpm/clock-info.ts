import type { Reader, Writer } from '../base/index.ts';

/** TPMS_CLOCK_INFO (TPM 2.0 Part 2 §10.11.1): when, in the TPM's own terms. */
export interface ClockInfo {
  /** Milliseconds of power-on time since TPM2_Clear; non-volatile, updated every few seconds to minutes. */
  readonly clock: bigint;
  /** TPM Resets since TPM2_Clear. */
  readonly resetCount: number;
  /** TPM Restarts and Resumes since the last TPM Reset. */
  readonly restartCount: number;
  /** False when `clock` may have been reported higher before: after a power loss without TPM2_Shutdown. */
  readonly safe: boolean;
}

/** TPMS_TIME_INFO (TPM 2.0 Part 2 §10.11.6). */
export interface TimeInfo {
  /** Milliseconds since the TPM was powered on. */
  readonly time: bigint;
  readonly clockInfo: ClockInfo;
}

export function readClockInfo(reader: Reader): ClockInfo {
  return {
    clock: reader.u64(),
    resetCount: reader.u32(),
    restartCount: reader.u32(),
    safe: readYesNo(reader),
  };
}

export function writeClockInfo(writer: Writer, info: ClockInfo): void {
  writer
    .u64(info.clock)
    .u32(info.resetCount)
    .u32(info.restartCount)
    .u8(info.safe ? 1 : 0);
}

export function readTimeInfo(reader: Reader): TimeInfo {
  return { time: reader.u64(), clockInfo: readClockInfo(reader) };
}

export function writeTimeInfo(writer: Writer, info: TimeInfo): void {
  writeClockInfo(writer.u64(info.time), info.clockInfo);
}

/** TPMI_YES_NO: anything but 0 and 1 is refused, else two encodings would mean the same. */
export function readYesNo(reader: Reader): boolean {
  const value = reader.u8();
  if (value > 1) return reader.malformed(`TPMI_YES_NO is ${String(value)}`);
  return value === 1;
}
